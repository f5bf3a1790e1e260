"""The command line of every command of the project: flags, errors in one line, and exit codes.

Exit codes: 0 done; 1 a failure that a person must look at; 2 bad usage or a bad config; 3 done, but more inputs were
rejected than `--max_failures` allows (the ledger names each).
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from data_prep.runtime.atomic_files import is_full_disk
from data_prep.runtime.url_credentials import without_credentials

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_TOO_MANY_REJECTED = 3
EXIT_INTERRUPTED = 130


class UserError(Exception):
    """A failure that the person at the keyboard can mend: the message says what was wrong, where, and what to do.

    Attributes:
        exit_code: What the command ends with.
    """

    exit_code = EXIT_FAILED


class UsageError(UserError):
    """A flag, a path or a config that cannot be used as given."""

    exit_code = EXIT_USAGE


def printable(text: str, length: int | None = None) -> str:
    """Returns `text`, `length` characters at most, with what cannot be printed or would move the cursor escaped."""
    shown = (
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text[:length]
    )
    return "".join(shown)[:length]


class ArgumentParser(argparse.ArgumentParser):
    """An `argparse` parser that takes `--like_this` and `--like-this`, and shows an example and every default.

    Attributes:
        program: What usage lines call the command; None for the name of its file.
    """

    program: ClassVar[str | None] = None

    def __init__(self, *, description: str, example: str) -> None:
        super().__init__(
            prog=self.program,
            description=description,
            epilog=f"example:\n{example}",
            formatter_class=_HelpFormatter,
            allow_abbrev=False,
        )

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parses `args` (default: the command line's) after writing the dashes inside flags as underscores."""
        words = sys.argv[1:] if args is None else args
        flags_end = list(words).index("--") if "--" in words else len(words)
        words = [*map(_with_underscores, words[:flags_end]), *words[flags_end:]]
        return super().parse_known_args(words, namespace)

    def error(self, message: str) -> NoReturn:
        """Prints `message` in one line and exits with code 2."""
        self.exit(EXIT_USAGE, f"{self.prog}: error: {without_credentials(message)} (--help shows an example)\n")


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of the description and of the example, and shows every default that says something."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default == [] or action.required:
            return action.help
        return super()._get_help_string(action)


def positive_int(text: str) -> int:
    """Reads a whole number from 1; for `add_argument(type=positive_int)`."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1")
    return value


def int_from_zero(text: str) -> int:
    """Reads a whole number from 0; for `add_argument(type=int_from_zero)`."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0")
    return value


def int_between(least: int, most: int, what: str) -> Callable[[str], int]:
    """Returns what reads a whole number from `least` to `most`; for `add_argument(type=int_between(...))`.

    Args:
        least: The smallest that is taken.
        most: The largest.
        what: What the number is, such as `number of pixels`, for the message.
    """

    def read(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not a {what} from {least} to {most}")
        return value

    read.__name__ = what  # argparse names it where the text is no whole number at all
    return read


def number_above_zero(text: str) -> float:
    """Reads a number above 0, infinity aside; for `add_argument(type=number_above_zero)`."""
    value = float(text)
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def fraction(text: str) -> float:
    """Reads a number from 0 to 1; for `add_argument(type=fraction)`."""
    value = float(text)
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 1")
    return value


def run_command(
    main: Callable[[Sequence[str] | None], int],
    arguments: Sequence[str] | None = None,
    *,
    leaves_at_once: bool = False,
) -> NoReturn:
    """Runs `main` and exits with its code, turning a `UserError` into one line on standard error.

    Args:
        main: Takes the command line's words (None: those of the process) and returns an exit code.
        arguments: Passed to `main`.
        leaves_at_once: Whether the process ends, once `main` has returned, without taking apart what it holds, which
            takes Python a tenth of a second where that is millions of rows; for a `main` that leaves no thread, process
            or file behind.
    """
    try:
        code = main(arguments)
        sys.stdout.flush()  # here, where a closed pipe is no failure
        if leaves_at_once:
            sys.stderr.flush()
            os._exit(code)
    except UserError as error:
        print(f"error: {without_credentials(str(error))}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("interrupted; running the same command again goes on from here", file=sys.stderr)
        code = EXIT_INTERRUPTED
    except BrokenPipeError:  # `... | head` closed our output: not a failure, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_DONE
    except OSError as error:
        # A disk that is full, a folder that is a file, rights that are missing: the system's message and the path.
        # Files are named where they are written (`atomic_files.naming_full_disk`); what is printed has no such place.
        name = error.filename or ("standard output" if is_full_disk(error) and not sys.stdout.isatty() else None)
        print(f"error: {f'{name}: ' if name else ''}{error.strerror or error}", file=sys.stderr)
        code = EXIT_FAILED
    sys.exit(code)


def _with_underscores(word: str) -> str:
    if not word.startswith("--"):
        return word
    flag, equals, value = word.partition("=")
    return "--" + flag[2:].replace("-", "_") + equals + value


def require_folder(flag: str, path: Path) -> None:
    """Refuses a path that is no folder.

    Raises:
        UsageError: With the flag and the path.
    """
    if not path.is_dir():
        raise UsageError(f"{flag} {path} is no folder")


def refuse_same_paths(paths: Iterable[tuple[str, Path | None]]) -> None:
    """Refuses two flags that name one file.

    Args:
        paths: Flags and their files; those that are None do not count.

    Raises:
        UsageError: With both flags and the file.
    """
    seen: dict[Path, str] = {}
    for flag, path in paths:
        if path is None:
            continue
        if path.resolve() in seen:
            other = seen[path.resolve()]
            both = f"{flag} names {path} twice" if other == flag else f"{other} and {flag} are the same file, {path}"
            raise UsageError(f"{both}; give each its own")
        seen[path.resolve()] = flag
