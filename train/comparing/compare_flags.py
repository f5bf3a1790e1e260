"""Flags that say when a detector counts as better than another."""

from __future__ import annotations

import argparse
import math

from data_prep.runtime.command_line import UsageError, fraction, int_from_zero, positive_int
from train.comparing.compare_options import FIGURES, CompareOptions


def add_compare_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `CompareOptions`."""
    group = parser.add_argument_group("when a detector counts as better")
    defaults = CompareOptions()
    group.add_argument("--metric", choices=FIGURES, default=defaults.metric, help="the figure that decides")
    group.add_argument(
        "--min_gain",
        type=_number,
        default=defaults.min_gain,
        metavar="GAIN",
        help="how much better it must be; below 0, how much worse it may be",
    )
    group.add_argument(
        "--confidence",
        type=fraction,
        default=defaults.confidence,
        help="in what share of the resamples it must be, and how much of them intervals hold",
    )
    group.add_argument(
        "--resamples", type=positive_int, default=defaults.resamples, help="how often images are drawn anew"
    )
    group.add_argument("--seed", type=int_from_zero, default=defaults.seed, help="of the draws")


def compare_options(arguments: argparse.Namespace) -> CompareOptions:
    """Returns what the flags of `add_compare_arguments` say.

    Raises:
        UsageError: The confidence is none.
    """
    if not 0.0 < arguments.confidence < 1.0:
        raise UsageError(f"--confidence {arguments.confidence:g}: more than 0 and less than 1")
    return CompareOptions(
        arguments.metric, arguments.min_gain, arguments.confidence, arguments.resamples, arguments.seed
    )


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number")
    return value
