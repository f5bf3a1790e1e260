"""The parts that a training is made of, built from a pipeline config."""

from __future__ import annotations

import dataclasses
from typing import Any

import orbit
import tensorflow as tf
import tf_keras

from configs.settings.faster_rcnn import FasterRcnn
from data_prep.formats.label_map import LabelMap
from train.checkpoints.class_head import ClassMapping
from train.checkpoints.restore import restore
from train.checkpoints.restore_report import RestoreReport
from train.inputs.left_out import LeftOut
from train.inputs.reader import build_training_dataset
from train.loop.devices import set_precision
from train.loop.optimization import build_optimizer, create_slots, start_moving_average, trainable_variables_of
from train.loop.step import DetectionTrainer
from train.models.build import build_or_explain
from train.models.detector import Detector
from train.pipeline import Pipeline


@dataclasses.dataclass(frozen=True)
class TrainingParts:
    """The parts of a training on a strategy's devices.

    Attributes:
        pipeline: What they were built from.
        strategy: Where they are.
        detector: What is trained.
        optimizer: Applies gradients; scales the loss where the precision needs that.
        learning_rate: The optimizer's schedule, a function of the step.
        global_step: Counts steps.
        variables: Those that are trained.
    """

    pipeline: Pipeline
    strategy: tf.distribute.Strategy
    detector: Detector
    optimizer: Any
    learning_rate: Any
    global_step: tf.Variable
    variables: list[tf.Variable]

    def restore_fine_tune_checkpoint(self, label_map: LabelMap | None = None) -> RestoreReport | None:
        """Gives the network what `train_config.fine_tune_checkpoint` promises.

        Args:
            label_map: That the checkpoint was trained with: classes that it and the pipeline's label map both name keep
                their rows of the class head.

        Returns:
            What was restored and what was not; None where the config names no checkpoint.
        """
        train_config = self.pipeline.train_config
        if not train_config.fine_tune_checkpoint:
            return None
        mapping = None
        if label_map is not None:
            model = self.pipeline.settings.model
            mapping = ClassMapping.between(
                self.pipeline.label_map,
                label_map,
                model.num_classes,
                has_background=isinstance(model, FasterRcnn) or model.add_background_class,
            )
        with self.strategy.scope():
            return restore(
                self.detector.network,
                train_config.fine_tune_checkpoint,
                train_config.checkpoint_type,
                class_mapping=mapping,
            )

    def start_averages(self) -> None:
        """Makes the optimizer's moving averages, which begin at the values that the network has now."""
        with self.strategy.scope():
            start_moving_average(self.optimizer, self.detector.network)

    def create_slots(self) -> None:
        """Makes the optimizer's other variables, so that the first step need not."""
        with self.strategy.scope():
            create_slots(self.optimizer, self.variables)

    def distribute(self, *, seed: int | None, start: int = 0) -> Any:
        """Returns the training input's batches, distributed.

        Args:
            seed: Makes them repeatable.
            start: The step that training goes on from.
        """
        settings = self.pipeline.settings

        def make(context: tf.distribute.InputContext) -> tf.data.Dataset:
            return build_training_dataset(settings, input_context=context, seed=seed, resume_step=start)

        # Batches stay in host memory until a step takes them: `source_id` is text, which no GPU holds.
        return self.strategy.distribute_datasets_from_function(
            make, tf.distribute.InputOptions(experimental_fetch_to_device=False)
        )

    def trainer(self, dataset: Any, *, summarize_gradients: bool = False) -> DetectionTrainer:
        """Returns what makes steps on distributed batches."""
        train_config = self.pipeline.train_config
        return DetectionTrainer(
            detector=self.detector,
            dataset=dataset,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            clip_norm=train_config.gradient_clipping_by_norm,
            bias_multiplier=train_config.bias_grad_multiplier,
            variables=self.variables,
            strategy=self.strategy,
            global_step=self.global_step,
            left_out=LeftOut.of_training(self.pipeline.settings),
            add_regularization_loss=train_config.add_regularization_loss,
            summarize_gradients=summarize_gradients,
        )


def assemble(pipeline: Pipeline, strategy: tf.distribute.Strategy) -> TrainingParts:
    """Builds a training's parts, with initial weights.

    Args:
        pipeline: What to train.
        strategy: Where.

    Raises:
        UserError: The model cannot be built.
    """
    train_config = pipeline.train_config
    set_precision(pipeline.settings.precision_policy)
    with strategy.scope():
        detector = build_or_explain(pipeline.settings)
        optimizer, learning_rate = build_optimizer(train_config.optimizer)
        if pipeline.settings.precision_policy == "mixed_float16":
            optimizer = tf_keras.mixed_precision.LossScaleOptimizer(optimizer)
        global_step = orbit.utils.create_global_step()
        variables = trainable_variables_of(
            detector.network, train_config.update_trainable_variables, train_config.freeze_variables
        )
    return TrainingParts(pipeline, strategy, detector, optimizer, learning_rate, global_step, variables)
