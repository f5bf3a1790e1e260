"""Trains the detector that a pipeline config describes. Flags follow the Object Detection API's `model_main_tf2.py`."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from configs.settings.api_flags import MODEL_MAIN, MODEL_MAIN_TF2, add_api_arguments, settle_api_flags
from configs.settings.loading import add_config_arguments
from data_prep.formats.label_map import read_label_map
from data_prep.runtime.absl_flags import AbslArgumentParser, BooleanFlag
from data_prep.runtime.command_line import EXIT_DONE, UsageError, number_above_zero, positive_int, run_command
from train.evaluation.input_flags import add_evaluation_input_arguments, with_evaluation_input
from train.loop.cluster import VARIABLE, read_cluster
from train.loop.learning_rate_scaling import scale_to_batch_size
from train.loop.processor import prepare_tensorflow
from train.loop.strategies import add_device_arguments
from train.pipeline import pipeline_from
from train.tracking.choice import add_track_argument, require_installed

DEFAULT_CHECKPOINT_EVERY_N = 1000


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    arguments = _parser().parse_args(argv)
    settle_api_flags(arguments, MODEL_MAIN_TF2, MODEL_MAIN)
    _tell_of_workers(arguments.num_workers)
    if arguments.checkpoint_dir:
        _evaluate(arguments)
        return EXIT_DONE
    if arguments.profile_steps and arguments.profile_steps[0] > arguments.profile_steps[1]:
        first, last = arguments.profile_steps
        raise UsageError(f"--profile_steps {first} {last}: the first comes after the last; swap them")
    require_installed(arguments.track)
    if arguments.eval_on_train_data:
        print("note: --eval_on_train_data has no effect while training, as before; python -m train.evaluate honours it")
        arguments.eval_on_train_data = False
    pipeline = with_evaluation_input(pipeline_from(arguments), arguments)
    for note in pipeline.notes:
        print(f"note: {note}")
    if arguments.scale_learning_rate_to_batch_size:
        config, words = scale_to_batch_size(pipeline.config, arguments.scale_learning_rate_to_batch_size)
        pipeline = dataclasses.replace(pipeline, config=config)
        print(words)
    train_config = pipeline.train_config
    if arguments.map_classes and not train_config.fine_tune_checkpoint:
        raise UsageError("--map_classes maps a checkpoint's classes, and train_config.fine_tune_checkpoint names none")
    fine_tune_label_map = read_label_map(arguments.map_classes) if arguments.map_classes else None
    extensions = pipeline.settings.extensions

    prepare_tensorflow()
    from train.loop.run import TrainingOptions, train
    from train.loop.stopping import TrainingStopped

    arguments.model_dir.mkdir(parents=True, exist_ok=True)
    options = TrainingOptions(
        model_dir=arguments.model_dir,
        num_train_steps=arguments.num_train_steps,
        checkpoint_every_n=arguments.checkpoint_every_n
        or extensions.checkpoint_every_n_steps
        or DEFAULT_CHECKPOINT_EVERY_N,
        evaluate_every_n=extensions.evaluate_every_n_steps,
        checkpoint_max_to_keep=arguments.checkpoint_max_to_keep,
        log_every_n=arguments.log_every_n,
        evaluate=not arguments.no_evaluation,
        seed=arguments.seed,
        fine_tune_label_map=fine_tune_label_map,
        strategy=arguments.strategy,
        virtual_devices=arguments.virtual_devices,
        record_summaries=arguments.record_summaries,
        track=tuple(dict.fromkeys(arguments.track)),
        profile_steps=tuple(arguments.profile_steps) if arguments.profile_steps else None,
    )
    try:
        train(pipeline, options)
    except TrainingStopped as stopped:
        return stopped.exit_code
    return EXIT_DONE


def _parser() -> AbslArgumentParser:
    parser = AbslArgumentParser(
        description=__doc__ or "",
        example="  python -m train.train --pipeline_config_path pipeline.config --model_dir model",
    )
    add_config_arguments(parser)
    parser.add_argument(
        "--model_dir", type=Path, required=True, help="checkpoints, TensorBoard logs and reports go here"
    )
    parser.add_argument(
        "--num_train_steps", type=positive_int, help="train up to this step, not train_config.num_steps"
    )
    parser.add_argument(
        "--checkpoint_every_n",
        type=positive_int,
        help="steps between checkpoints; by default extensions.checkpoint_every_n_steps, "
        f"or {DEFAULT_CHECKPOINT_EVERY_N}",
    )
    parser.add_argument(
        "--scale_learning_rate_to_batch_size",
        type=positive_int,
        metavar="BATCH_SIZE",
        help="train with this batch size, and multiply every learning rate by how much larger it is than "
        "train_config.batch_size",
    )
    parser.add_argument("--checkpoint_max_to_keep", type=positive_int, default=7, help="how many checkpoints stay")
    parser.add_argument("--log_every_n", type=positive_int, default=20, help="steps between TensorBoard scalars")
    parser.add_argument("--no_evaluation", action="store_true", help="do not evaluate while training")
    parser.add_argument(
        "--map_classes",
        type=Path,
        metavar="LABEL_MAP",
        help="the label map that train_config.fine_tune_checkpoint was trained with: classes that it and the config's "
        "label map both name keep their rows of the class head (fine_tune_checkpoint_type: full)",
    )
    add_device_arguments(parser)
    parser.add_argument("--seed", type=int, help="makes batches and initial weights repeatable")
    parser.add_argument(
        "--record_summaries",
        action=BooleanFlag,
        default=True,
        help="write to TensorBoard, beside the losses and the learning rate, the input's images and what else there is",
    )
    parser.add_argument(
        "--num_workers",
        type=positive_int,
        metavar="N",
        help="how many workers the launcher started; TF_CONFIG says so by itself, and a number that is another is told",
    )
    add_track_argument(parser, "scalars, config and images")
    parser.add_argument(
        "--profile_steps",
        nargs=2,
        type=positive_int,
        metavar=("FIRST", "LAST"),
        help="profile these steps, for TensorBoard's profile plugin (requirements-tracking.txt)",
    )
    evaluation = parser.add_argument_group("evaluating, as model_main_tf2.py did; train.evaluate has more to choose")
    evaluation.add_argument(
        "--checkpoint_dir",
        help="do not train: evaluate each new checkpoint of this folder, until the training that writes them has "
        "ended; results go to eval in --model_dir",
    )
    evaluation.add_argument(
        "--eval_timeout",
        type=number_above_zero,
        default=3600.0,
        metavar="SECONDS",
        help="with --checkpoint_dir: end when no new checkpoint comes for so long",
    )
    evaluation.add_argument(
        "--run_once", action=BooleanFlag, default=False, help="with --checkpoint_dir: evaluate what is there and end"
    )
    add_evaluation_input_arguments(parser)
    add_api_arguments(parser, MODEL_MAIN_TF2, MODEL_MAIN)
    return parser


def _evaluate(arguments: argparse.Namespace) -> None:
    """Evaluates instead of training."""
    print(f"note: --checkpoint_dir {arguments.checkpoint_dir}: evaluating, not training")
    pipeline = with_evaluation_input(pipeline_from(arguments), arguments)
    if not pipeline.settings.eval_input_reader:
        raise UsageError(f"{arguments.pipeline_config_path} has no eval_input_reader to evaluate on")
    prepare_tensorflow()
    from train.evaluation.checkpoints import evaluate_checkpoints

    evaluate_checkpoints(
        pipeline,
        arguments.checkpoint_dir,
        model_dir=arguments.model_dir,
        once=arguments.run_once,
        timeout_seconds=arguments.eval_timeout,
        num_train_steps=arguments.num_train_steps,
    )


def _tell_of_workers(num_workers: int | None) -> None:
    """Says so where --num_workers is not how many workers there are."""
    cluster = read_cluster()
    there = cluster.num_workers if cluster is not None else 1
    if num_workers is not None and num_workers != there:
        names = f"names {there}" if cluster is not None else "names no others, and this process trains alone"
        print(f"note: --num_workers {num_workers} has no effect: {VARIABLE} says which workers there are, and {names}")


if __name__ == "__main__":
    # One of several workers would otherwise wait up to half a minute for a thread that watches the others.
    run_command(main, leaves_at_once=True)
