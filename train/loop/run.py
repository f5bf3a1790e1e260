"""A training run: restore, loop, checkpoint, evaluate, and go on from where an earlier run was stopped."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras

from configs.schema import pipeline_file
from data_prep.formats.label_map import LabelMap, write_label_map
from data_prep.runtime.atomic_files import write_json
from data_prep.runtime.command_line import UserError
from train.checkpoints.trunk_check import CHILD_NAME, TrunkExpectations, resume
from train.evaluation.evaluator import EvaluationResult
from train.inputs.manifest_check import check_manifests
from train.loop.assembly import TrainingParts, assemble
from train.loop.checkpoint_files import forget_training_end
from train.loop.devices import describe_strategy, pick_strategy
from train.loop.evaluation_history import EvaluationHistory, StoppingRule
from train.loop.failures import explained_failures
from train.loop.outer_loop import CHECKPOINT_NAME, Intervals, TrainingRun
from train.loop.summaries import input_images, write_images
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
        record_summaries: Whether TensorBoard gets images and histograms beside the losses and the learning rate.
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
    record_summaries: bool = True


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
    parts = assemble(pipeline, strategy)
    checkpoint = tf.train.Checkpoint(
        model=parts.detector.network,
        optimizer=parts.optimizer,
        global_step=parts.global_step,
        **{CHILD_NAME: TrunkExpectations(parts.detector.network)},
    )
    manager = tf.train.CheckpointManager(
        checkpoint,
        str(options.model_dir),
        max_to_keep=options.checkpoint_max_to_keep,
        keep_checkpoint_every_n_hours=train_config.keep_checkpoint_every_n_hours,
        checkpoint_name=CHECKPOINT_NAME,
    )
    start = _start(parts, options, manager)
    parts.create_slots()
    if start >= num_steps:
        print(f"already trained to step {start}; give a larger --num_train_steps than {num_steps} to go on")
        return None
    history = EvaluationHistory(options.model_dir, StoppingRule.of(pipeline.settings.extensions), start)
    if start > 0 and options.evaluate and (reason := history.reason_to_stop()):
        print(f"stopped early at step {start}: {reason}; to go on, raise the patience or delete the message")
        return None
    forget_training_end(options.model_dir)
    dataset = parts.distribute(seed=options.seed, start=start)
    with explained_failures():
        _write_input_images(pipeline, options, dataset, start)
    summarizes_gradients = train_config.summarize_gradients and options.record_summaries
    run = TrainingRun(
        pipeline=pipeline,
        model_dir=options.model_dir,
        intervals=Intervals(
            checkpoint_every_n=options.checkpoint_every_n,
            evaluate_every_n=options.evaluate_every_n or options.checkpoint_every_n,
            log_every_n=options.log_every_n,
        ),
        detector=parts.detector,
        trainer=parts.trainer(dataset, summarize_gradients=summarizes_gradients),
        optimizer=parts.optimizer,
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


def _start(parts: TrainingParts, options: TrainingOptions, manager: tf.train.CheckpointManager) -> int:
    """Restores what there is to restore, writes down what is trained, and returns the step to start from."""
    train_config = parts.pipeline.train_config
    where = f"on {describe_strategy(parts.strategy)}, batches of {train_config.batch_size}"
    if not manager.latest_checkpoint and (report := parts.restore_fine_tune_checkpoint(options.fine_tune_label_map)):
        write_json(options.model_dir / RESTORE_REPORT_NAME, report.to_json(), indent=1)
        print(report.summary())
    parts.start_averages()
    if manager.latest_checkpoint:
        try:
            with parts.strategy.scope():
                resume(manager.checkpoint, manager.latest_checkpoint)
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            raise UserError(
                f"{manager.latest_checkpoint} is not of the model that the config describes "
                f"({str(error).splitlines()[0]}); train into another --model_dir, or with the config of that one"
            ) from error
        print(f"going on from {manager.latest_checkpoint}, step {int(parts.global_step)}, {where}", flush=True)
    elif train_config.fine_tune_checkpoint:
        print(f"training from step 0, {where}", flush=True)
    else:
        print(f"training from scratch, {where}: no train_config.fine_tune_checkpoint is set", flush=True)
    write_config_and_label_map(options.model_dir, parts.pipeline)
    return int(parts.global_step)


def _write_input_images(pipeline: Pipeline, options: TrainingOptions, dataset: Any, step: int) -> None:
    """Writes the first batch's images as the model is given them, where summaries are asked for."""
    batch = next(iter(dataset), None)
    if batch is None:
        raise UserError(
            "the training input has no batch to give: it has fewer records than train_config.batch_size "
            f"({pipeline.train_config.batch_size})"
        )
    if not options.record_summaries:
        return
    images, labels = batch
    first = [tf.nest.map_structure(_first_replica, x) for x in (images, labels)]
    writer = tf.summary.create_file_writer(str(options.model_dir / "train"))
    with writer.as_default():
        write_images("inputs", input_images(first[0], first[1], pipeline.names_by_id, IMAGES_SHOWN), step=step)
    writer.close()


def _first_replica(value: Any) -> Any:
    return value.values[0] if isinstance(value, tf.distribute.DistributedValues) else value
