"""A training run: restore, loop, checkpoint, evaluate, and go on from where an earlier run was stopped."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from google.protobuf import text_format

from configs.settings.faster_rcnn import FasterRcnn
from data_prep.formats.label_map import LabelMap
from data_prep.runtime.atomic_files import write_json
from data_prep.runtime.command_line import UserError
from train.checkpoints.files import CHECKPOINT_NAME, newest_checkpoint
from train.checkpoints.trunk_check import CHILD_NAME, TrunkExpectations, resume
from train.evaluation.evaluator import EvaluationResult
from train.inputs.manifest_check import check_manifests
from train.inputs.order_seed import keep_order_seed
from train.loop.accumulation import require_parts
from train.loop.checkpoint_files import forget_training_end
from train.loop.cluster import read_cluster
from train.loop.devices import describe_strategy, pick_strategy, repeatable_operations, require_divisible
from train.loop.evaluation_history import EvaluationHistory, StoppingRule
from train.loop.failures import explained_failures
from train.loop.learning_rate_multipliers import describe_multipliers
from train.loop.moving_average import start_moving_average
from train.loop.optimization import create_slots
from train.loop.outer_loop import Intervals, TrainingRun
from train.loop.parts import (
    TrainingParts,
    build_parts,
    build_trainer,
    distribute_training_input,
    restore_fine_tune_checkpoint,
)
from train.loop.recovery import Recoveries
from train.loop.run_description import RESTORE_REPORT_NAME, describe_run
from train.loop.step import step_of
from train.loop.stopping import StopRequests
from train.loop.strategies import AUTO
from train.loop.summaries import input_images
from train.loop.workers import Workers, code_digest
from train.models.dropout import repeat_dropout
from train.pipeline import Pipeline, write_config_and_label_map
from train.tracking.recorder import Recorder

IMAGES_SHOWN = 4


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
        strategy: One of `strategies.STRATEGIES`.
        virtual_devices: Splits the CPU into so many devices; None uses the devices that are there.
        track: Trackers beside TensorBoard, by name.
        profile_steps: The first and the last step to profile, from 1; None profiles none.
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
    strategy: str = AUTO
    virtual_devices: int | None = None
    track: tuple[str, ...] = ()
    profile_steps: tuple[int, int] | None = None
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
        TrainingStopped: The process was asked to stop; where training was is saved.
    """
    cluster = read_cluster()
    if cluster is not None:
        print(f"{cluster.name_of(cluster.index)} of {cluster.num_workers}: waiting for the others", flush=True)
    # Before anything else is asked of TensorFlow, which can only be told of devices and other machines until then.
    strategy = pick_strategy(options.strategy, virtual_devices=options.virtual_devices, cluster=cluster)
    workers = Workers(strategy, cluster)
    stop = StopRequests()
    # SSD's operations are repeatable by themselves.
    is_repeatable = options.seed is not None and isinstance(pipeline.settings.model, FasterRcnn)
    with (
        stop.listening(),
        workers.loss_explained(options.model_dir),
        workers.writing_folder(options.model_dir) as folder,
        repeatable_operations(strategy) if is_repeatable else contextlib.nullcontext(),
    ):
        return _train(pipeline, options, workers, stop, folder)


def _train(
    pipeline: Pipeline, options: TrainingOptions, workers: Workers, stop: StopRequests, folder: Path
) -> EvaluationResult | None:
    """Trains; checkpoints go to `folder`, which is another than the run's for workers that are not the chief."""
    if options.seed is not None:
        tf_keras.utils.set_random_seed(options.seed)
    train_config, strategy = pipeline.train_config, workers.strategy
    num_steps = options.num_train_steps or train_config.num_steps
    if not num_steps:
        raise UserError("how far to train? set train_config.num_steps, or give --num_train_steps")
    require_divisible(train_config.batch_size, strategy)
    if workers.are_several:  # reading all of this code for its digest is nothing that one process needs
        workers.require_the_same(_facts(pipeline, options))
        workers.require_shared_folder(options.model_dir)
    _explain_early_stopping(pipeline, options)
    _check_records(pipeline, options)
    parts = build_parts(pipeline, strategy)
    network = parts.detector.network
    micro_batches = pipeline.settings.extensions.micro_batches
    require_parts(train_config.batch_size, micro_batches, strategy.num_replicas_in_sync, network)
    checkpoint = tf.train.Checkpoint(
        model=network,
        optimizer=parts.optimizer,
        global_step=parts.global_step,
        **{CHILD_NAME: TrunkExpectations(network)},
    )
    manager = tf.train.CheckpointManager(
        checkpoint,
        str(folder),
        max_to_keep=options.checkpoint_max_to_keep,
        keep_checkpoint_every_n_hours=train_config.keep_checkpoint_every_n_hours,
        checkpoint_name=CHECKPOINT_NAME,
    )
    with strategy.scope():
        start = _start(pipeline, options, parts, checkpoint, workers)
        create_slots(parts.optimizer, parts.variables)
    order_seed = keep_order_seed(options.model_dir) if options.seed is None else options.seed
    repeat_dropout(network, order_seed, parts.global_step)
    if start >= num_steps:
        print(f"already trained to step {start}; give a larger --num_train_steps than {num_steps} to go on")
        return None
    history = EvaluationHistory(options.model_dir, StoppingRule.of(pipeline.settings.extensions), start)
    if start > 0 and options.evaluate and (reason := history.reason_to_stop()):
        print(f"stopped early at step {start}: {reason}; to go on, raise the patience or delete the message")
        return None
    if workers.is_chief and parts.rate_multipliers:
        print(describe_multipliers(parts.rate_multipliers))
    recovery = pipeline.settings.extensions.recovery
    recoveries = Recoveries(options.model_dir, recovery.max_trials if recovery is not None else 0)

    def batches_from(step: int) -> Any:
        return distribute_training_input(
            pipeline,
            strategy,
            seed=options.seed,
            drawn_seed=order_seed,
            first_batch=recoveries.batch_of(step),
            num_steps=options.num_train_steps,
        )

    dataset = batches_from(start)
    if workers.is_chief:
        forget_training_end(options.model_dir)
    with explained_failures(pipeline.settings.train_input_reader):
        images = draw_first_batch(pipeline, dataset, start)
    summarize_gradients = train_config.summarize_gradients and options.record_summaries
    trainer = build_trainer(pipeline, parts, dataset, workers, stop, summarize_gradients=summarize_gradients)

    def go_back() -> None:
        with strategy.scope():
            resume(checkpoint, newest_checkpoint(str(options.model_dir)) or "")
        trainer.train_dataset = batches_from(step_of(parts.global_step))

    run = TrainingRun(
        pipeline=pipeline,
        model_dir=options.model_dir,
        checkpoint_folder=folder,
        recoveries=recoveries,
        go_back=go_back,
        intervals=Intervals(
            checkpoint_every_n=options.checkpoint_every_n,
            evaluate_every_n=options.evaluate_every_n or options.checkpoint_every_n,
            log_every_n=options.log_every_n,
        ),
        detector=parts.detector,
        trainer=trainer,
        optimizer=parts.optimizer,
        manager=manager,
        num_steps=num_steps,
        history=history,
        evaluates=options.evaluate,
        workers=workers,
        stop=stop,
        recorder=Recorder.of_run(options.model_dir, options.track, is_chief=workers.is_chief),
        description=describe_run(
            pipeline,
            model_dir=options.model_dir,
            num_steps=num_steps,
            seed=options.seed,
            inputs=images if options.record_summaries else images[:0],
        ),
        profile_steps=options.profile_steps,
    )
    return run.to_the_end()


def _facts(pipeline: Pipeline, options: TrainingOptions) -> dict[str, str]:
    """Texts that must be the same for all workers of a run, by what to call them."""
    flags = dataclasses.replace(options, model_dir=Path(), fine_tune_label_map=None)
    return {
        "pipeline config": text_format.MessageToString(pipeline.config),
        "label map": str(pipeline.label_map),
        "set of flags": str(flags),
        "version of this code or of TensorFlow": code_digest(),
    }


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


def _start(
    pipeline: Pipeline,
    options: TrainingOptions,
    parts: TrainingParts,
    checkpoint: tf.train.Checkpoint,
    workers: Workers,
) -> int:
    """Restores what there is to restore, writes down what is trained, and returns the step to start from."""
    train_config = pipeline.train_config
    where = f"on {describe_strategy(workers.strategy, train_config.batch_size)}"
    newest = newest_checkpoint(str(options.model_dir))
    if newest is None and train_config.fine_tune_checkpoint:
        report = restore_fine_tune_checkpoint(pipeline, parts, options.fine_tune_label_map)
        if workers.is_chief:
            write_json(options.model_dir / RESTORE_REPORT_NAME, report.to_json(), indent=1)
            print(report.summary())
    start_moving_average(parts.optimizer, parts.detector.network)
    if newest is not None:
        try:
            resume(checkpoint, newest)
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            raise UserError(
                f"{newest} is not of the model that the config describes "
                f"({str(error).splitlines()[0]}); train into another --model_dir, or with the config of that one"
            ) from error
        print(f"going on from {newest}, step {step_of(parts.global_step)}, {where}", flush=True)
    elif train_config.fine_tune_checkpoint:
        print(f"training from step 0, {where}", flush=True)
    else:
        print(f"training from scratch, {where}: no train_config.fine_tune_checkpoint is set", flush=True)
    if workers.is_chief:
        write_config_and_label_map(options.model_dir, pipeline)
    return step_of(parts.global_step)


def draw_first_batch(pipeline: Pipeline, dataset: Any, step: int) -> np.ndarray:
    """Draws the first batch's images as the model is given them. All workers call it: they take batches together."""
    batch = next(iter(dataset), None)
    reader = pipeline.settings.train_input_reader
    if batch is None and step > 0 and reader is not None and reader.num_epochs:
        raise UserError(
            f"the records have been gone over {reader.num_epochs} times, and there is no batch from step {step} on; "
            "raise train_input_reader.num_epochs to go on"
        )
    if batch is None:
        raise UserError(
            "the training input has no batch to give: it has fewer records than train_config.batch_size "
            f"({pipeline.train_config.batch_size})"
        )
    images, labels = batch
    first = [tf.nest.map_structure(_first_replica, x) for x in (images, labels)]
    return input_images(first[0], first[1], pipeline.names_by_id, IMAGES_SHOWN)


def _first_replica(value: Any) -> Any:
    return value.values[0] if isinstance(value, tf.distribute.DistributedValues) else value
