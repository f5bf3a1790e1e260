"""Flags that a command takes only to pass them on: the words that the step's own command line needs to have them."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from data_prep.runtime.command_line import ArgumentParser


class PassingParser(ArgumentParser):
    """A parser that remembers which flags are passed on, and to what."""

    def __init__(self, *, description: str, example: str) -> None:
        self._actions_passed: dict[str, list[argparse.Action]] = {}
        self._passing: tuple[str, ...] = ()
        super().__init__(description=description, example=example)

    @contextlib.contextmanager
    def passing_to(self, *steps: str) -> Iterator[None]:
        """Marks the flags that are added within: each of `steps` gets them."""
        self._passing = steps
        try:
            yield
        finally:
            self._passing = ()

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        """Adds a flag, as `argparse` does, and remembers for which steps it is."""
        action = super().add_argument(*names, **options)
        for step in self._passing:
            self._actions_passed.setdefault(step, []).append(action)
        return action

    def words_for(self, step: str, flags: argparse.Namespace, without: Collection[str] = ()) -> list[str]:
        """Returns the command line words of the flags that are passed to a step and are not at their default.

        Args:
            step: As `passing_to` had it.
            flags: As they were parsed.
            without: Names of flags that the step gets otherwise.
        """
        actions = [action for action in self._actions_passed.get(step, ()) if action.dest not in without]
        return [word for action in actions for word in _words(action, getattr(flags, action.dest))]


def _words(action: argparse.Action, value: Any) -> Iterable[str]:
    default = action.default
    if isinstance(default, str) and callable(action.type):
        default = action.type(default)  # as argparse takes it where the flag is not given
    if value is None or value == default:
        return []
    flag = f"--{action.dest}"
    if action.nargs == 0:
        return [flag]
    if not isinstance(value, list):
        return [flag, str(value)]
    return [flag, *map(str, value)] if action.nargs else [word for one in value for word in (flag, str(one))]
