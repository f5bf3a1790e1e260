"""A training run: restore, loop, checkpoint, evaluate, and go on from where an earlier run was stopped."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import orbit
import tensorflow as tf
import tf_keras

from configs.schema import pipeline_file
from configs.settings.faster_rcnn import FasterRcnn
from data_prep.formats.label_map import LabelMap, write_label_map
from data_prep.runtime.atomic_files import write_json
from data_prep.runtime.command_line import UserError
from train.checkpoints.class_head import ClassMapping
from train.checkpoints.restore import restore
from train.checkpoints.trunk_check import CHILD_NAME, TrunkExpectations, resume
from train.evaluation.evaluator import EvaluationResult
from train.inputs.left_out import LeftOut
from train.inputs.manifest_check import check_manifests
from train.inputs.reader import build_training_dataset
from train.loop.checkpoint_files import forget_training_end
from train.loop.devices import describe_strategy, pick_strategy, set_precision
from train.loop.evaluation_history import EvaluationHistory, StoppingRule
from train.loop.failures import explained_failures
from train.loop.optimization import build_optimizer, create_slots, start_moving_average, trainable_variables_of
from train.loop.outer_loop import CHECKPOINT_NAME, Intervals, TrainingRun
from train.loop.processor import garbage_kept
from train.loop.step import DetectionTrainer
from train.loop.summaries import input_images, write_images
from train.models.build import build_or_explain
from train.models.detector import Detector
from train.pipeline import Pipeline

IMAGES_SHOWN = 4
CONFIG_NAME = "pipeline.config"
LABEL_MAP_NAME = "label_map.pbtxt"
RESTORE_REPORT_NAME = "restore_report.json"


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """Options of a run beside its config.

    Attributes:
        model_dir: Where checkpoints, summaries and reports go.
        num_train_steps: The step to train up to; None takes `train_config.num_steps`.
        checkpoint_every_n: Steps between checkpoints.
        evaluate_every_n: Steps between evaluations; 0 evaluates at every checkpoint.
        checkpoint_max_to_keep: How many of the last checkpoints stay.
        log_every_n: Steps between TensorBoard scalars.
        evaluate: Whether to evaluate while training, where the config has an evaluation input.
        seed: Makes batches and initial weights repeatable; None draws new ones.
        fine_tune_label_map: That the fine-tune checkpoint was trained with: classes that it and the pipeline's label
            map both name keep their rows of the class head.
    """

    model_dir: Path
    num_train_steps: int | None = None
    checkpoint_every_n: int = 1000
    evaluate_every_n: int = 0
    checkpoint_max_to_keep: int = 7
    log_every_n: int = 20
    evaluate: bool = True
    seed: int | None = None
    fine_tune_label_map: LabelMap | None = None


def train(pipeline: Pipeline, options: TrainingOptions) -> EvaluationResult | None:
    """Trains, or goes on training, until the last step.

    Args:
        pipeline: What to train, and on what.
        options: Where to and how far.

    Returns:
        The last evaluation, if there was one.

    Raises:
        UserError: A checkpoint does not fit, a record is broken, or a loss became infinite; what was saved stays.
    """
    if options.seed is not None:
        tf_keras.utils.set_random_seed(options.seed)
    train_config = pipeline.train_config
    num_steps = options.num_train_steps or train_config.num_steps
    if not num_steps:
        raise UserError("how far to train? set train_config.num_steps, or give --num_train_steps")
    _explain_early_stopping(pipeline, options)
    _check_records(pipeline, options)
    strategy = pick_strategy()
    set_precision(pipeline.settings.precision_policy)
    with strategy.scope(), garbage_kept():
        detector = build_or_explain(pipeline.settings)
        optimizer, learning_rate = build_optimizer(train_config.optimizer)
        if pipeline.settings.precision_policy == "mixed_float16":
            optimizer = tf_keras.mixed_precision.LossScaleOptimizer(optimizer)
        global_step = orbit.utils.create_global_step()
        variables = trainable_variables_of(
            detector.network, train_config.update_trainable_variables, train_config.freeze_variables
        )
    checkpoint = tf.train.Checkpoint(
        model=detector.network,
        optimizer=optimizer,
        global_step=global_step,
        **{CHILD_NAME: TrunkExpectations(detector.network)},
    )
    manager = tf.train.CheckpointManager(
        checkpoint,
        str(options.model_dir),
        max_to_keep=options.checkpoint_max_to_keep,
        keep_checkpoint_every_n_hours=train_config.keep_checkpoint_every_n_hours,
        checkpoint_name=CHECKPOINT_NAME,
    )
    with strategy.scope():
        start = _start(pipeline, options, detector, manager, optimizer, global_step, strategy)
        create_slots(optimizer, variables)
    if start >= num_steps:
        print(f"already trained to step {start}; give a larger --num_train_steps than {num_steps} to go on")
        return None
    history = EvaluationHistory(options.model_dir, StoppingRule.of(pipeline.settings.extensions), start)
    if start > 0 and options.evaluate and (reason := history.reason_to_stop()):
        print(f"stopped early at step {start}: {reason}; to go on, raise the patience or delete the message")
        return None
    forget_training_end(options.model_dir)
    dataset = _distribute(pipeline, options, strategy, start)
    with explained_failures():
        _write_input_images(pipeline, options, dataset, start)
    trainer = DetectionTrainer(
        detector=detector,
        dataset=dataset,
        optimizer=optimizer,
        learning_rate=learning_rate,
        clip_norm=train_config.gradient_clipping_by_norm,
        bias_multiplier=train_config.bias_grad_multiplier,
        variables=variables,
        strategy=strategy,
        global_step=global_step,
        left_out=LeftOut.of_training(pipeline.settings),
        add_regularization_loss=train_config.add_regularization_loss,
        summarize_gradients=train_config.summarize_gradients,
    )
    run = TrainingRun(
        pipeline=pipeline,
        model_dir=options.model_dir,
        intervals=Intervals(
            checkpoint_every_n=options.checkpoint_every_n,
            evaluate_every_n=options.evaluate_every_n or options.checkpoint_every_n,
            log_every_n=options.log_every_n,
        ),
        detector=detector,
        trainer=trainer,
        optimizer=optimizer,
        manager=manager,
        num_steps=num_steps,
        history=history,
        evaluates=options.evaluate,
    )
    return run.to_the_end()


def _explain_early_stopping(pipeline: Pipeline, options: TrainingOptions) -> None:
    """Says so where there will be no evaluation to stop by."""
    settings = pipeline.settings
    if settings.extensions.stops_early and not (options.evaluate and settings.eval_input_reader):
        reason = "there is no eval_input_reader" if options.evaluate else "this run does not evaluate"
        print(f"note: extensions.early_stopping has no effect: {reason}")


def _check_records(pipeline: Pipeline, options: TrainingOptions) -> None:
    """Refuses records of another label map now, and not when the network is built or the first evaluation begins."""
    settings = pipeline.settings
    if settings.train_input_reader is not None:
        check_manifests(settings.train_input_reader, "train_input_reader")
    for index, reader in enumerate(settings.eval_input_reader if options.evaluate else ()):
        check_manifests(reader, f"eval_input_reader[{index}]")


def write_config_and_label_map(folder: Path, pipeline: Pipeline) -> None:
    """Writes what a folder's weights were trained with: `pipeline.config` and `label_map.pbtxt`."""
    pipeline_file.write_pipeline_config(folder / CONFIG_NAME, pipeline.config)
    write_label_map(folder / LABEL_MAP_NAME, pipeline.label_map)


def _start(
    pipeline: Pipeline,
    options: TrainingOptions,
    detector: Detector,
    manager: tf.train.CheckpointManager,
    optimizer: Any,
    global_step: tf.Variable,
    strategy: tf.distribute.Strategy,
) -> int:
    """Restores what there is to restore, writes down what is trained, and returns the step to start from."""
    train_config = pipeline.train_config
    where = f"on {describe_strategy(strategy)}, batches of {train_config.batch_size}"
    if not manager.latest_checkpoint and train_config.fine_tune_checkpoint:
        report = restore(
            detector.network,
            train_config.fine_tune_checkpoint,
            train_config.checkpoint_type,
            class_mapping=_class_mapping(pipeline, options),
        )
        write_json(options.model_dir / RESTORE_REPORT_NAME, report.to_json(), indent=1)
        print(report.summary())
    start_moving_average(optimizer, detector.network)
    if manager.latest_checkpoint:
        try:
            resume(manager.checkpoint, manager.latest_checkpoint)
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            raise UserError(
                f"{manager.latest_checkpoint} is not of the model that the config describes "
                f"({str(error).splitlines()[0]}); train into another --model_dir, or with the config of that one"
            ) from error
        print(f"going on from {manager.latest_checkpoint}, step {int(global_step)}, {where}", flush=True)
    elif train_config.fine_tune_checkpoint:
        print(f"training from step 0, {where}", flush=True)
    else:
        print(f"training from scratch, {where}: no train_config.fine_tune_checkpoint is set", flush=True)
    write_config_and_label_map(options.model_dir, pipeline)
    return int(global_step)


def _class_mapping(pipeline: Pipeline, options: TrainingOptions) -> ClassMapping | None:
    """Rows of the fine-tune checkpoint's class head by class here, as its label map says."""
    if options.fine_tune_label_map is None:
        return None
    model = pipeline.settings.model
    return ClassMapping.between(
        pipeline.label_map,
        options.fine_tune_label_map,
        model.num_classes,
        has_background=isinstance(model, FasterRcnn) or model.add_background_class,
    )


def _distribute(pipeline: Pipeline, options: TrainingOptions, strategy: tf.distribute.Strategy, start: int) -> Any:
    def make(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return build_training_dataset(pipeline.settings, input_context=context, seed=options.seed, resume_step=start)

    # Batches stay in host memory until a step takes them: `source_id` is text, which no GPU holds.
    return strategy.distribute_datasets_from_function(
        make, tf.distribute.InputOptions(experimental_fetch_to_device=False)
    )


def _write_input_images(pipeline: Pipeline, options: TrainingOptions, dataset: Any, step: int) -> None:
    """Writes the first batch's images as the model is given them."""
    batch = next(iter(dataset), None)
    if batch is None:
        raise UserError(
            "the training input has no batch to give: it has fewer records than train_config.batch_size "
            f"({pipeline.train_config.batch_size})"
        )
    images, labels = batch
    first = [tf.nest.map_structure(_first_replica, x) for x in (images, labels)]
    writer = tf.summary.create_file_writer(str(options.model_dir / "train"))
    with writer.as_default():
        write_images("inputs", input_images(first[0], first[1], pipeline.names_by_id, IMAGES_SHOWN), step=step)
    writer.close()


def _first_replica(value: Any) -> Any:
    return value.values[0] if isinstance(value, tf.distribute.DistributedValues) else value
