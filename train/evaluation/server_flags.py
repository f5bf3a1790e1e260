"""Flags of an evaluation that name a served model, and what they mean; the connection's are the client's own."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from data_prep.runtime.command_line import ArgumentParser, UsageError, positive_int
from serving.client_library.client_flags import add_channel_flags, connection_of

if TYPE_CHECKING:
    from train.evaluation.served_detector import ServedDetector
    from train.pipeline import Pipeline


def add_server_arguments(parser: ArgumentParser, source: argparse._MutuallyExclusiveGroup) -> None:
    """Adds the flags.

    Args:
        parser: Of the command.
        source: Gets `--server`, which is one of what the command takes.
    """
    source.add_argument("--server", metavar="HOST:PORT", help="a served model, asked over gRPC, with --model_name")
    parser.add_argument("--model_name", help="with --server: what the server calls the model")
    version = parser.add_mutually_exclusive_group()
    version.add_argument(
        "--model_version", type=positive_int, help="with --server: which version; by default the newest"
    )
    version.add_argument("--version_label", help="with --server: which version, by its label, such as stable")
    before = set(_names(parser))
    add_channel_flags(parser)
    own = {"model_version", "version_label", *set(_names(parser)) - before}
    parser.set_defaults(only_with_server=tuple(sorted(own)))


def check_server_arguments(parser: ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuses flags of a server without `--server`.

    Raises:
        UsageError: There are some, or `--model_name` is missing.
    """
    if (arguments.server is None) != (arguments.model_name is None):
        raise UsageError("--server and --model_name go together")
    if arguments.server is not None:
        return
    for name in arguments.only_with_server:
        if getattr(arguments, name) != parser.get_default(name):
            raise UsageError(f"--{name} goes with --server")


def served_detector(arguments: argparse.Namespace, pipeline: Pipeline) -> ServedDetector:
    """Returns the served model that the flags name.

    Args:
        arguments: With those of `add_server_arguments`.
        pipeline: Whose classes it detects.

    Raises:
        UserError: The server has no port, none answers, or it serves no such model, or no detector.
        UsageError: Flags that do not go together, or a file that cannot be read.
    """
    from train.evaluation.served_detector import ServedDetector

    return ServedDetector(
        connection_of(arguments),
        arguments.model_name,
        pipeline,
        model_version=arguments.model_version,
        version_label=arguments.version_label,
    )


def _names(parser: ArgumentParser) -> list[str]:
    return [action.dest for action in parser._actions]
