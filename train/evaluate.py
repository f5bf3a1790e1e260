"""Measures a checkpoint, each new checkpoint of a running training, or an exported SavedModel."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from configs.settings.loading import add_config_arguments
from data_prep.runtime.command_line import EXIT_DONE, ArgumentParser, UsageError, run_command
from train.loop.processor import prepare_tensorflow
from train.pipeline import Pipeline, pipeline_from


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = ArgumentParser(
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
    parser.add_argument("--once", action="store_true", help="evaluate what is there and end")
    parser.add_argument(
        "--eval_timeout",
        type=float,
        default=3600.0,
        metavar="SECONDS",
        help="end when no new checkpoint comes for so long",
    )
    parser.add_argument("--eval_index", type=int, default=0, help="which eval_input_reader of the config")
    arguments = parser.parse_args(argv)
    pipeline = pipeline_from(arguments)
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
    else:
        _evaluate_checkpoints(pipeline, arguments)
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


def _evaluate_checkpoints(pipeline: Pipeline, arguments: argparse.Namespace) -> None:
    from train.checkpoints.files import find_checkpoint
    from train.evaluation.evaluator import CheckpointEvaluator
    from train.loop.checkpoint_files import read_training_end, restore_trained, wait_for_new_checkpoint
    from train.loop.devices import set_precision
    from train.models.build import build_or_explain
    from train.tracking.recorder import Recorder
    from train.tracking.tensorboard_tracker import TensorBoardTracker

    path = arguments.checkpoint_dir
    # One checkpoint's prefix stays what it is: there is nothing to wait for.
    once = arguments.once or Path(f"{path}.index").is_file()
    prefix = find_checkpoint(path) if once else wait_for_new_checkpoint(path, None, arguments.eval_timeout)
    if prefix is None:
        print(f"no checkpoint appeared in {path} within {arguments.eval_timeout:.0f} s")
        return
    set_precision(pipeline.settings.precision_policy)
    detector = build_or_explain(pipeline.settings)
    evaluator = CheckpointEvaluator(pipeline, detector, reader_index=arguments.eval_index)
    eval_dir = arguments.eval_dir or (Path(path) if Path(path).is_dir() else Path(path).parent) / evaluator.folder
    train_config = pipeline.settings.train_config
    last_step = train_config.num_steps if train_config is not None else 0
    while prefix is not None:
        averages = pipeline.settings.eval_config.use_moving_averages
        step = restore_trained(detector, prefix, moving_averages=averages)
        result = evaluator.evaluate()
        result.write(eval_dir, step=step, source=prefix)
        with Recorder([TensorBoardTracker(eval_dir)]) as recorder:
            result.record(recorder, "", step=step)
        print(f"{prefix}, step {step}, on {result.num_images} images:\n\n{result.table()}")
        print(f"written to {eval_dir}", flush=True)
        if once:
            return
        if last_step and step >= last_step:
            print(f"step {step} is train_config.num_steps: the training has ended")
            return
        prefix = wait_for_new_checkpoint(path, prefix, arguments.eval_timeout)
    end = read_training_end(path)
    if end is not None and step >= end.step:
        print(f"the training has ended at step {end.step}: {end.reason}")
        return
    print(f"no new checkpoint appeared in {path} within {arguments.eval_timeout:.0f} s; ending")


if __name__ == "__main__":
    run_command(main)
