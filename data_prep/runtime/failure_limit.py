"""The limit of `--max_failures`: how many inputs, or what share of them, may be rejected before the exit code is 3."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from data_prep.runtime.command_line import EXIT_DONE, EXIT_TOO_MANY_REJECTED, ArgumentParser

_NUMBER = re.compile(r"-?[0-9]{1,18}")
_PERCENT = re.compile(r"([0-9]{1,3}|[0-9]{0,3}\.[0-9]{1,9})%")


@dataclass(frozen=True)
class Loss:
    """How much of something was lost.

    Attributes:
        what: Its name, such as `boxes`.
        lost: How many were rejected, or could not be used.
        of: How many there were.
    """

    what: str
    lost: int
    of: int


@dataclass(frozen=True)
class FailureLimit:
    """How much may be rejected.

    Attributes:
        number: At most so many entries of the ledger; None for any number.
        percent: At most such a share of anything that a command counts, in percent; None for any share.
    """

    number: int | None = None
    percent: float | None = None

    def __str__(self) -> str:
        if self.percent is None:
            return str(self.number)
        share = f"{self.percent:g}%"
        return share if self.number is None else f"{share} or {self.number}, whichever is smaller"

    def exit_code(self, rejected: int, losses: Iterable[Loss]) -> int:
        """Returns 0, or 3 when more was rejected than may be; a share that is exceeded is told on standard error.

        Args:
            rejected: Entries of the ledger.
            losses: What shares are held against, each for itself: a few images can hold most of the boxes.
        """
        if self.number is not None and rejected > self.number:
            return EXIT_TOO_MANY_REJECTED
        for loss in losses:
            if self.percent is not None and loss.lost * 100.0 > self.percent * loss.of:
                print(
                    f"{loss.lost} of {loss.of} {loss.what} were lost: more than --max_failures ({self})",
                    file=sys.stderr,
                )
                return EXIT_TOO_MANY_REJECTED
        return EXIT_DONE


def failure_limit(text: str) -> FailureLimit:
    """Reads a whole number, or a share such as `5%`; for `add_argument(type=failure_limit)`."""
    if _NUMBER.fullmatch(text):
        return FailureLimit(number=int(text))
    if (match := _PERCENT.fullmatch(text)) and float(match[1]) <= 100.0:
        return FailureLimit(percent=float(match[1]))
    raise argparse.ArgumentTypeError(f"{text!r} is neither a whole number nor a share such as 5%")


def add_max_failures_flag(parser: ArgumentParser, default: FailureLimit, use: str) -> None:
    """Adds `--max_failures`.

    Args:
        parser: A command's parser.
        default: What is allowed without the flag.
        use: What it does, for the help; it begins with `more`.
    """
    parser.add_argument(
        "--max_failures",
        type=failure_limit,
        default=default,
        metavar="NUMBER|SHARE",
        help=f"{use}; a number, or a share such as 5%%",
    )
