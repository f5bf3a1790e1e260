"""Flags that say what an evaluation measures on: every nth example, or the training's input."""

from __future__ import annotations

import argparse
import dataclasses

from data_prep.runtime.absl_flags import BooleanFlag
from data_prep.runtime.command_line import UsageError, positive_int
from train.pipeline import Pipeline

# As model_main.py called it; the results' folder is named so.
TRAINING_DATA = "training_data"


def add_evaluation_input_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `--sample_1_of_n_eval_examples` and its like, as the API's `model_main_tf2.py` has them."""
    group = parser.add_argument_group("what an evaluation measures on")
    group.add_argument(
        "--sample_1_of_n_eval_examples",
        type=positive_int,
        metavar="N",
        help="evaluate on every Nth example; by default eval_input_reader.sample_1_of_n_examples",
    )
    group.add_argument(
        "--eval_on_train_data",
        "--eval_training_data",
        action=BooleanFlag,
        default=False,
        help=f"evaluate on train_input_reader, without augmentation; results go to eval/{TRAINING_DATA}",
    )
    group.add_argument(
        "--sample_1_of_n_eval_on_train_examples",
        type=positive_int,
        default=5,
        metavar="N",
        help="with --eval_on_train_data: on every Nth example",
    )
    group.add_argument(
        "--class_hierarchy_path",
        metavar="H.json",
        help="Open Images' hierarchy: ground truth and detections are also of the classes above theirs, as in its "
        "challenge; by default extensions.class_hierarchy_path",
    )


def with_evaluation_input(pipeline: Pipeline, arguments: argparse.Namespace) -> Pipeline:
    """Returns the pipeline that measures on what the flags say.

    Args:
        pipeline: As its config has it.
        arguments: Of a parser with `add_evaluation_input_arguments`.

    Raises:
        UsageError: The training's input is asked for, and the config has none.
    """
    config = type(pipeline.config)()
    config.CopyFrom(pipeline.config)
    if arguments.eval_on_train_data:
        if not config.HasField("train_input_reader"):
            raise UsageError("--eval_on_train_data: the config has no train_input_reader")
        del config.eval_input_reader[:]
        reader = config.eval_input_reader.add()
        reader.CopyFrom(config.train_input_reader)
        reader.name, reader.shuffle = TRAINING_DATA, False
        reader.sample_1_of_n_examples = arguments.sample_1_of_n_eval_on_train_examples
    elif arguments.sample_1_of_n_eval_examples:
        for reader in config.eval_input_reader:
            reader.sample_1_of_n_examples = arguments.sample_1_of_n_eval_examples
    elif not arguments.class_hierarchy_path:
        return pipeline
    if arguments.class_hierarchy_path:
        config.extensions.class_hierarchy_path = arguments.class_hierarchy_path
    return dataclasses.replace(pipeline, config=config)
