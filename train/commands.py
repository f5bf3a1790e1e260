"""Flags and start-up that commands on a pipeline config have in common, in this room and those that build on it."""

from data_prep.runtime.command_line import (
    EXIT_DONE,
    ArgumentParser,
    UsageError,
    UserError,
    positive_int,
    run_command,
)
from data_prep.runtime.quiet_tensorflow import quiet_tensorflow
from train.pipeline import Pipeline, add_pipeline_arguments, pipeline_from

__all__ = [
    "EXIT_DONE",
    "ArgumentParser",
    "Pipeline",
    "UsageError",
    "UserError",
    "add_pipeline_arguments",
    "pipeline_from",
    "positive_int",
    "quiet_tensorflow",
    "run_command",
]
