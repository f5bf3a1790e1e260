"""The ways of writing flags that absl has, for commands that take the flags of scripts built on it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from data_prep.runtime.command_line import ArgumentParser

_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def boolean(text: str) -> bool:
    """Reads true or false as absl does, in any case: `true`, `t`, `1`, `false`, `f`, `0`."""
    if text.lower() not in _BOOLEANS:
        raise argparse.ArgumentTypeError(f"{text} is neither true nor false")
    return _BOOLEANS[text.lower()]


class BooleanFlag(argparse.Action):
    """A flag that is true or false: `--flag`, `--noflag`, `--flag=true`, `--flag=false`, `--flag false`."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        self._negations = [f"--no{flag[2:]}" for flag in option_strings if flag.startswith("--")]
        options = {"nargs": "?", "type": boolean, "metavar": "true|false", **options}
        super().__init__([*option_strings, *self._negations], dest, **options)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Stores what the flag, or its negation, says."""
        is_negation = option_string in self._negations
        if is_negation and values is not None:
            raise argparse.ArgumentError(self, f"{option_string} takes no value")
        setattr(namespace, self.dest, not is_negation if values is None else values)


class AbslArgumentParser(ArgumentParser):
    """A parser that takes flags as absl does: with one dash as with two; `--helpfull` is `--help`."""

    def __init__(self, *, description: str, example: str) -> None:
        super().__init__(description=description, example=example)
        self.add_argument("-?", "--helpshort", "--helpfull", action="help", help=argparse.SUPPRESS)

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parses `args` (default: the command line's) after giving flags that have one dash a second."""
        words = sys.argv[1:] if args is None else args
        flags_end = list(words).index("--") if "--" in words else len(words)
        return super().parse_known_args([*map(self._with_two_dashes, words[:flags_end]), *words[flags_end:]], namespace)

    def _with_two_dashes(self, word: str) -> str:
        flag = word.partition("=")[0].replace("-", "_").removeprefix("_")
        is_long = len(flag) > 1 and f"--{flag}" in self._option_string_actions
        return f"-{word}" if word.startswith("-") and not word.startswith("--") and is_long else word
