"""Measures a checkpoint, each new checkpoint of a running training, or an exported SavedModel."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from configs.settings.api_flags import add_api_arguments, settle_api_flags
from configs.settings.loading import add_config_arguments
from data_prep.runtime.absl_flags import AbslArgumentParser, BooleanFlag
from data_prep.runtime.command_line import EXIT_DONE, UsageError, run_command
from train.evaluation.input_flags import add_evaluation_input_arguments, with_evaluation_input
from train.loop.processor import prepare_tensorflow
from train.pipeline import Pipeline, pipeline_from


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = AbslArgumentParser(
        description=__doc__ or "",
        example="  python -m train.evaluate --pipeline_config_path pipeline.config --checkpoint_dir model --once",
    )
    add_config_arguments(parser)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--checkpoint_dir", help="a folder with checkpoints, or one checkpoint's prefix (M/ckpt-300)")
    source.add_argument("--saved_model_dir", help="a folder that the exporter wrote")
    parser.add_argument(
        "--eval_dir",
        type=Path,
        help="for metrics.json and TensorBoard; by default `eval` beside the source, and in it the reader's name",
    )
    parser.add_argument(
        "--once", "--run_once", action=BooleanFlag, default=False, help="evaluate what is there and end"
    )
    parser.add_argument(
        "--eval_timeout",
        type=float,
        default=3600.0,
        metavar="SECONDS",
        help="end when no new checkpoint comes for so long",
    )
    parser.add_argument("--eval_index", type=int, default=0, help="which eval_input_reader of the config")
    add_evaluation_input_arguments(parser)
    add_api_arguments(parser)
    arguments = parser.parse_args(argv)
    settle_api_flags(arguments)
    pipeline = with_evaluation_input(pipeline_from(arguments), arguments)
    if not 0 <= arguments.eval_index < len(pipeline.settings.eval_input_reader):
        raise UsageError(
            f"--eval_index {arguments.eval_index}: {arguments.pipeline_config_path} has "
            f"{len(pipeline.settings.eval_input_reader)} eval_input_reader"
        )
    if len(pipeline.settings.eval_input_reader) > 1:
        print(
            f"evaluating on eval_input_reader[{arguments.eval_index}] of {len(pipeline.settings.eval_input_reader)}; "
            "--eval_index takes another"
        )
    prepare_tensorflow()
    if arguments.saved_model_dir:
        _evaluate_saved_model(pipeline, arguments)
        return EXIT_DONE
    from train.evaluation.checkpoints import evaluate_checkpoints

    evaluate_checkpoints(
        pipeline,
        arguments.checkpoint_dir,
        eval_dir=arguments.eval_dir,
        once=arguments.once,
        timeout_seconds=arguments.eval_timeout,
        reader_index=arguments.eval_index,
    )
    return EXIT_DONE


def _evaluate_saved_model(pipeline: Pipeline, arguments: argparse.Namespace) -> None:
    from train.evaluation.evaluator import evaluate_saved_model, evaluation_folder
    from train.tracking.recorder import Recorder
    from train.tracking.tensorboard_tracker import TensorBoardTracker

    result = evaluate_saved_model(pipeline, arguments.saved_model_dir, reader_index=arguments.eval_index)
    name = evaluation_folder(pipeline, arguments.eval_index).relative_to("eval")
    eval_dir = arguments.eval_dir or Path(arguments.saved_model_dir).parent / "eval_saved_model" / name
    result.write(eval_dir, step=0, source=arguments.saved_model_dir)
    with Recorder([TensorBoardTracker(eval_dir)]) as recorder:
        result.record(recorder, "", step=0)
    print(f"{arguments.saved_model_dir} on {result.num_images} images:\n\n{result.table()}")
    print(f"written to {eval_dir}")


if __name__ == "__main__":
    run_command(main)
