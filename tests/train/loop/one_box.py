"""A training run of a network that trains in moments, for tests of the loop."""

from __future__ import annotations

from pathlib import Path

import orbit
import tensorflow as tf
import tf_keras

from train.inputs.left_out import LeftOut
from train.inputs.reader import build_training_dataset
from train.loop.evaluation_history import EvaluationHistory, StoppingRule
from train.loop.moving_average import start_moving_average
from train.loop.optimization import build_optimizer
from train.loop.outer_loop import Intervals, TrainingRun
from train.loop.recovery import Recoveries
from train.loop.step import DetectionTrainer
from train.loop.stopping import StopRequests
from train.loop.workers import Workers
from train.models.detector import Detector
from train.pipeline import load_pipeline
from train.tracking.recorder import Recorder
from train.tracking.tensorboard_tracker import TensorBoardTracker


class OneBox(Detector):
    """Finds one box of the first class in each image, wherever two weights say; one of them is all that it learns."""

    input_shape = (96, 96)
    num_classes = 2
    loss_names = ("Loss/localization_loss",)

    def __init__(self) -> None:
        layer = tf_keras.layers.Dense(
            4, use_bias=False, kernel_initializer="zeros", kernel_regularizer=tf_keras.regularizers.L2(0.5), name="box"
        )
        self.network = tf_keras.Sequential([tf_keras.Input((1,)), layer])
        self.network.layers[-1].kernel.assign([[0.25, 0.25, 0.75, 0.75]])

    def preprocess(self, images, true_image_shape):
        return images

    def compute_losses(self, images, labels, *, training):
        boxes = self.network(tf.ones([tf.shape(images)[0], 1]), training=training)
        return {"Loss/localization_loss": tf.reduce_mean(tf.abs(boxes - 0.5))}

    def detect(self, images, true_image_shape):
        count = tf.shape(images)[0]
        return {
            "detection_boxes": self.network(tf.ones([count, 1]))[:, tf.newaxis],
            "detection_scores": tf.ones([count, 1]),
            "detection_classes": tf.ones([count, 1]),
            "num_detections": tf.ones([count]),
        }


class Run:
    """A run in a folder, as train.loop.run makes it, but of `OneBox`."""

    def __init__(
        self,
        config_path: Path,
        folder: Path,
        more: str = "",
        num_steps: int = 12,
        detector: type[OneBox] = OneBox,
        seed: int | None = None,
        max_trials: int = 0,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.pipeline = load_pipeline(str(config_path), more)
        self.folder = folder
        config = self.pipeline.config
        self.detector = detector()
        self.optimizer, schedule = build_optimizer(self.pipeline.train_config.optimizer)
        start_moving_average(self.optimizer, self.detector.network)
        step = orbit.utils.create_global_step()
        checkpoint = tf.train.Checkpoint(model=self.detector.network, optimizer=self.optimizer, global_step=step)
        manager = tf.train.CheckpointManager(checkpoint, str(folder), max_to_keep=9, checkpoint_name="ckpt")
        if manager.latest_checkpoint:
            checkpoint.restore(manager.latest_checkpoint)
        self.seed = seed
        self.recoveries = Recoveries(folder, max_trials)
        self.stop = StopRequests()
        workers = Workers(tf.distribute.get_strategy())
        self.trainer = DetectionTrainer(
            detector=self.detector,
            dataset=self.batches_from(int(step)),
            optimizer=self.optimizer,
            learning_rate=schedule,
            clip_norm=0.0,
            bias_multiplier=0.0,
            variables=self.detector.network.trainable_variables,
            workers=workers,
            stop=self.stop,
            global_step=step,
            left_out=LeftOut.of_training(self.pipeline.settings),
            add_regularization_loss=config.train_config.add_regularization_loss,
            summarize_gradients=config.train_config.summarize_gradients,
        )

        def go_back() -> None:
            checkpoint.restore(manager.latest_checkpoint)
            self.trainer.train_dataset = self.batches_from(int(step))

        self.history = EvaluationHistory(folder, StoppingRule.of(self.pipeline.settings.extensions), int(step))
        self.run = TrainingRun(
            pipeline=self.pipeline,
            model_dir=folder,
            intervals=Intervals(checkpoint_every_n=4, evaluate_every_n=3, log_every_n=2),
            detector=self.detector,
            trainer=self.trainer,
            optimizer=self.optimizer,
            manager=manager,
            num_steps=num_steps,
            history=self.history,
            evaluates=True,
            workers=workers,
            stop=self.stop,
            checkpoint_folder=folder,
            recoveries=self.recoveries,
            go_back=go_back,
            recorder=Recorder([TensorBoardTracker(folder)]),
        )

    def batches_from(self, step: int) -> tf.data.Dataset:
        return build_training_dataset(
            self.pipeline.settings, seed=self.seed, resume_step=self.recoveries.batch_of(step)
        )
