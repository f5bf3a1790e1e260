"""Specs of scalar fields and of lists of them: the values that a field may have.

`probability: float = number(at_least=0.0, at_most=1.0)` in a settings class is such a spec; see
`configs.settings.declaration` for fields that are messages.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec

from configs.schema.problem import Problem

SPEC = "spec"  # of a dataclass field, in its metadata
_Arguments = ParamSpec("_Arguments")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
    """A spec of a field: the values that it may have."""

    def check(self, value: Any) -> Iterator[Problem]:
        """Yields what is wrong with a value; paths go on behind the field's name (`[2]`, or nothing)."""
        yield from ()

    def path(self, name: str, value: Any) -> str:
        """The field's path from its message."""
        del value
        return name

    def describe(self) -> str:
        """The values that are honoured, in a few words; empty where all of the schema's type are."""
        return ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scalar(Spec):
    """A number, a flag, a text or an enum's value (its name, a str).

    Attributes:
        only: The values that are honoured, where they can be listed; they hold for a default too.
        reason: Why no others are.
        instead: What to write instead; made from the bounds or from `only` where it is empty.
        optional: Whether a field that is not set is None, where that means something else than any value.
    """

    only: tuple[Any, ...] = ()
    reason: str = ""
    instead: str = ""
    optional: bool = False

    def check(self, value: Any) -> Iterator[Problem]:
        """See `Spec.check`."""
        if self.only and value not in self.only:
            reason = f"{as_text(value)} cannot be honoured" + (f": {self.reason}" if self.reason else "")
            yield Problem("", reason, self.instead or f"use {' or '.join(map(as_text, self.only))}")

    def describe(self) -> str:
        """See `Spec.describe`."""
        return " or ".join(map(as_text, self.only))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Number(Scalar):
    """A number within bounds; a float must be finite.

    `reason` stands behind the value: "0" + " images make no batch".

    Attributes:
        at_least: The smallest, itself allowed.
        above: What it must be greater than.
        at_most: The largest, itself allowed.
        below: What it must be less than.
    """

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None

    def check(self, value: Any) -> Iterator[Problem]:
        """See `Spec.check`."""
        if not math.isfinite(value):
            yield Problem("", f"{value} is no finite number", "write one that is")
        elif not self._holds(value):
            reason = self.reason or f"must be {self.describe()}"
            yield Problem("", f"{as_text(value)} {reason}", self.instead or "use one that is")
        else:
            yield from super().check(value)

    def _holds(self, value: float) -> bool:
        return (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )

    def describe(self) -> str:
        """See `Spec.describe`."""
        bounds = [
            f"{word} {as_text(bound)}"
            for word, bound in (
                ("at least", self.at_least),
                ("above", self.above),
                ("at most", self.at_most),
                ("below", self.below),
            )
            if bound is not None
        ]
        return " and ".join(bounds) or super().describe()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Items(Spec):
    """A list of scalars, read as a tuple.

    Attributes:
        each: What each may be.
        lengths: The lengths that are allowed; empty: any.
        at_least_one: Whether the list may not be empty.
        reason: Why another length is wrong.
        instead: What to write instead.
    """

    each: Scalar = dataclasses.field(default_factory=Scalar, kw_only=False)
    lengths: tuple[int, ...] = ()
    at_least_one: bool = False
    reason: str = ""
    instead: str = ""

    def check(self, value: Any) -> Iterator[Problem]:
        """See `Spec.check`."""
        if self.at_least_one and not value:
            yield Problem("", self.reason or "is empty", self.instead or "give one or more")
        elif self.lengths and len(value) not in self.lengths:
            allowed = " or ".join(map(str, self.lengths))
            yield Problem("", self.reason or f"{len(value)} values", self.instead or f"give {allowed}")
        for index, element in enumerate(value):
            for problem in self.each.check(element):
                yield Problem(f"[{index}]{problem.path}", problem.reason, problem.use_instead)

    def describe(self) -> str:
        """See `Spec.describe`."""
        each = self.each.describe()
        count = " or ".join(map(str, self.lengths)) or ("one or more" if self.at_least_one else "any number")
        return f"{count}, each {each}" if each else count


def declared(spec: Spec) -> Any:
    """An attribute of a settings class that may be what `spec` says."""
    return dataclasses.field(metadata={SPEC: spec})


def attribute(spec: Callable[_Arguments, Spec]) -> Callable[_Arguments, Any]:
    """The function that declares an attribute by a spec of one class, with that class' arguments."""

    def declare(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> Any:
        return declared(spec(*args, **kwargs))

    return declare


scalar = attribute(Scalar)
number = attribute(Number)
items = attribute(Items)


def as_text(value: Any) -> str:
    """A value as text format writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)
