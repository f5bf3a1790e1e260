"""Trains the detector that a pipeline config describes. Flags follow the Object Detection API's `model_main_tf2.py`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from configs.settings.loading import add_config_arguments
from data_prep.formats.label_map import read_label_map
from data_prep.runtime.command_line import EXIT_DONE, ArgumentParser, UsageError, positive_int, run_command
from train.loop.learning_rate_scaling import scale_to_batch_size
from train.loop.processor import prepare_tensorflow
from train.loop.strategies import AUTO, STRATEGIES
from train.pipeline import pipeline_from

DEFAULT_CHECKPOINT_EVERY_N = 1000


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = ArgumentParser(
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
    parser.add_argument(
        "--strategy",
        choices=STRATEGIES,
        default=AUTO,
        help="how to use several devices; auto: several machines where TF_CONFIG names them, all GPUs of this one, or "
        "its CPU",
    )
    parser.add_argument(
        "--virtual_devices",
        type=positive_int,
        metavar="N",
        help="split the CPU into N devices, to try training on several without having them",
    )
    parser.add_argument("--seed", type=int, help="makes batches and initial weights repeatable")
    parser.add_argument("--checkpoint_dir", help="not here: evaluating is a command of its own, train.evaluate")
    arguments = parser.parse_args(argv)
    if arguments.checkpoint_dir:
        raise UsageError(
            "--checkpoint_dir evaluated in model_main_tf2.py; here that is: python -m train.evaluate "
            f"--pipeline_config_path {arguments.pipeline_config_path} --checkpoint_dir {arguments.checkpoint_dir}"
        )
    pipeline = pipeline_from(arguments)
    for note in pipeline.notes:
        print(f"note: {note}")
    if arguments.scale_learning_rate_to_batch_size:
        config, words = scale_to_batch_size(pipeline.config, arguments.scale_learning_rate_to_batch_size)
        pipeline = dataclasses.replace(pipeline, config=config)
        print(words)
    if arguments.map_classes and not pipeline.train_config.fine_tune_checkpoint:
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
    )
    try:
        train(pipeline, options)
    except TrainingStopped as stopped:
        return stopped.exit_code
    return EXIT_DONE


if __name__ == "__main__":
    # One of several workers would otherwise wait up to half a minute for a thread that watches the others.
    run_command(main, leaves_at_once=True)
