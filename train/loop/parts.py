"""The parts of a training: a network and what trains it, its checkpoint, its input, and what makes its steps."""

from __future__ import annotations

import dataclasses
from typing import Any

import orbit
import tensorflow as tf
import tf_keras

from configs.settings.faster_rcnn import FasterRcnn
from data_prep.formats.label_map import LabelMap
from train.checkpoints.class_head import ClassMapping
from train.checkpoints.folded_norms import require_frozen_norms
from train.checkpoints.restore import plan_restore
from train.checkpoints.restore_report import RestoreReport
from train.inputs.left_out import LeftOut
from train.inputs.reader import build_training_dataset
from train.loop.devices import set_precision
from train.loop.learning_rate_multipliers import rate_multipliers
from train.loop.optimization import build_optimizer
from train.loop.processor import garbage_kept
from train.loop.step import DetectionTrainer
from train.loop.stopping import StopRequests
from train.loop.variable_patterns import trainable_variables_of
from train.loop.workers import Workers
from train.models.build import build_or_explain
from train.models.detector import Detector
from train.pipeline import Pipeline


@dataclasses.dataclass(frozen=True)
class TrainingParts:
    """A network and what trains it.

    Attributes:
        detector: The network with its losses.
        optimizer: Made, without its slots.
        learning_rate: The optimizer's schedule, a function of the step.
        global_step: int64 variable.
        variables: Those that are trained.
        rate_multipliers: What their learning rates are multiplied by, by `ref()`; empty where all are alike.
    """

    detector: Detector
    optimizer: Any
    learning_rate: Any
    global_step: tf.Variable
    variables: list[tf.Variable]
    rate_multipliers: dict[Any, float]


def build_parts(pipeline: Pipeline, strategy: tf.distribute.Strategy) -> TrainingParts:
    """Builds a network and its optimizer, with initial values.

    Args:
        pipeline: What to build.
        strategy: Where its variables live.

    Raises:
        UserError: The config describes a network that cannot be built, or patterns that match no variable.
    """
    train_config = pipeline.train_config
    set_precision(pipeline.settings.precision_policy)
    with strategy.scope(), garbage_kept():
        detector = build_or_explain(pipeline.settings)
        extensions = pipeline.settings.extensions
        multipliers = rate_multipliers(extensions, detector.network)
        optimizer, learning_rate = build_optimizer(train_config.optimizer, extensions, multipliers)
        if pipeline.settings.precision_policy == "mixed_float16":
            optimizer = tf_keras.mixed_precision.LossScaleOptimizer(optimizer)
        variables = trainable_variables_of(
            detector.network, train_config.update_trainable_variables, train_config.freeze_variables
        )
        return TrainingParts(
            detector, optimizer, learning_rate, orbit.utils.create_global_step(), variables, multipliers
        )


def restore_fine_tune_checkpoint(
    pipeline: Pipeline, parts: TrainingParts, label_map: LabelMap | None = None
) -> RestoreReport:
    """Gives a network what `train_config.fine_tune_checkpoint` promises; to be called in the strategy's scope.

    Args:
        pipeline: Its config names a checkpoint.
        parts: With the network.
        label_map: That the checkpoint was trained with: classes that it and the pipeline's label map both name keep
            their rows of the class head.
    """
    mapping = None
    if label_map is not None:
        model = pipeline.settings.model
        mapping = ClassMapping.between(
            pipeline.label_map,
            label_map,
            model.num_classes,
            has_background=isinstance(model, FasterRcnn) or model.add_background_class,
        )
    train_config = pipeline.train_config
    plan = plan_restore(
        parts.detector.network,
        train_config.fine_tune_checkpoint,
        train_config.checkpoint_type,
        class_mapping=mapping,
    )
    if plan.report.has_folded_norms:
        require_frozen_norms(parts.detector.network, train_config.fine_tune_checkpoint)
    return plan.apply()


def distribute_training_input(
    pipeline: Pipeline,
    strategy: tf.distribute.Strategy,
    *,
    seed: int | None = None,
    drawn_seed: int | None = None,
    first_batch: int = 0,
    num_steps: int | None = None,
) -> Any:
    """Spreads the training input's batches over the devices.

    Args:
        pipeline: Whose input.
        strategy: Over what.
        seed: Makes the batches repeatable.
        drawn_seed: See `build_training_dataset`.
        first_batch: The number of the first, from 0.
        num_steps: How many steps the training has in all; None takes `train_config.num_steps`.
    """

    def make(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return build_training_dataset(
            pipeline.settings,
            input_context=context,
            seed=seed,
            drawn_seed=drawn_seed,
            resume_step=first_batch,
            num_steps=num_steps,
        )

    # Batches stay in host memory until a step takes them: `source_id` is text, which no GPU holds.
    return strategy.distribute_datasets_from_function(
        make, tf.distribute.InputOptions(experimental_fetch_to_device=False)
    )


def build_trainer(
    pipeline: Pipeline,
    parts: TrainingParts,
    dataset: Any,
    workers: Workers,
    stop: StopRequests,
    *,
    summarize_gradients: bool = False,
) -> DetectionTrainer:
    """Returns what makes steps on distributed batches; see `DetectionTrainer`."""
    train_config = pipeline.train_config
    return DetectionTrainer(
        detector=parts.detector,
        dataset=dataset,
        optimizer=parts.optimizer,
        learning_rate=parts.learning_rate,
        clip_norm=train_config.gradient_clipping_by_norm,
        bias_multiplier=train_config.bias_grad_multiplier,
        variables=parts.variables,
        workers=workers,
        stop=stop,
        global_step=parts.global_step,
        left_out=LeftOut.of_training(pipeline.settings),
        add_regularization_loss=train_config.add_regularization_loss,
        summarize_gradients=summarize_gradients,
        micro_batches=pipeline.settings.extensions.micro_batches,
    )
