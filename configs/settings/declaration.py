"""How a message's settings are declared: the base class, and a function for each kind of field.

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class RandomHorizontalFlip(Settings, message="RandomHorizontalFlip"):
        probability: float = number(at_least=0.0, at_most=1.0)

An attribute has its field's name in the schema, where its default stands too; what the function says is what values it
may have. `Settings.refused` and `Settings.no_effect` name the other fields of the message, so that every field of it
is in one of three places. `configs.settings.reading` makes settings of messages.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from configs.schema.problem import Note, Problem
from data_prep.runtime.command_line import UsageError

_SPEC = "spec"
_BETWEEN = "fields_between"
_Own = TypeVar("_Own", bound="Settings")
_Check = TypeVar("_Check", bound=Callable[[Any], Iterator[Problem | Note]])
# The settings of each message type that has some, by the type's name in the schema.
SETTINGS_BY_MESSAGE: dict[str, type[Settings]] = {}


class SettingsError(UsageError):
    """Values of a message that cannot be honoured; a command that does not catch it ends with exit code 2.

    Attributes:
        problems: One for each, with paths from the message that was read.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, problems)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one message.

    Subclasses name their message as a class argument (`message="RandomHorizontalFlip"`).

    Attributes:
        written: The names of the fields that the config sets, whatever their value.
        refused: Why a field cannot be honoured, and what to write instead, by field name. Set to its default, such a
            field changes nothing and is let be.
        no_effect: Why a field changes nothing, by field name.
    """

    written: frozenset[str] = dataclasses.field(default=frozenset(), compare=False, repr=False)
    refused: ClassVar[Mapping[str, tuple[str, str]]] = {}
    no_effect: ClassVar[Mapping[str, str]] = {}
    message_name: ClassVar[str] = ""

    def __init_subclass__(cls, *, message: str = "", **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if message:
            cls.message_name = message
            SETTINGS_BY_MESSAGE[message] = cls

    def __post_init__(self) -> None:
        """Checks each field, and then what they must be together.

        Raises:
            SettingsError: Values that cannot be honoured, with paths from this message.
        """
        remarks = self.remarks(list(fields_of(type(self))))
        problems = [remark for remark in remarks if isinstance(remark, Problem)]
        if problems:
            raise SettingsError(problems)

    def remarks(self, names: Collection[str]) -> list[Problem | Note]:
        """Checks each of some fields, and what they must be together.

        Args:
            names: The fields that could be read; the attributes of others may be missing.

        Returns:
            Problems and notes, with paths from this message.
        """
        specs = fields_of(type(self))
        found: list[Problem | Note] = []
        sound = []
        for name in names:
            problems = list(check_field(name, specs[name], getattr(self, name), is_written=name in self.written))
            found += problems
            if not problems:
                sound.append(name)
        # What fields must be together is only asked of fields that are sound.
        methods = {name: method for cls in reversed(type(self).__mro__) for name, method in vars(cls).items()}
        for method in methods.values():
            fields = getattr(method, _BETWEEN, None)
            if fields is not None and set(fields) <= set(sound):
                found += method(self)
        is_sound = len(sound) == len(specs) and not any(isinstance(remark, Problem) for remark in found)
        if is_sound:
            problems = list(self.problems())
            found += problems or list(self.notes())
        return found

    def problems(self) -> Iterator[Problem]:
        """Yields what the fields contradict each other in, with paths from this message."""
        yield from ()

    def notes(self) -> Iterator[Note]:
        """Yields what is no problem but worth knowing, with paths from this message."""
        yield from ()

    def in_order(self, smaller: str, larger: str) -> Iterator[Problem]:
        """Yields a problem where the first of two fields is greater than the second; of the one that is written."""
        low, high = getattr(self, smaller), getattr(self, larger)
        if low <= high:
            return
        if larger in self.written and smaller not in self.written:
            reason = f"{_written(high)} is below {smaller}, which is {self.unset(smaller)}{_written(low)}"
            yield Problem(larger, reason, "use a larger one, or write both")
        else:
            yield Problem(smaller, f"{_written(low)} is above {larger}, {_written(high)}", "use a smaller one")

    def path_of(self, name: str) -> str:
        """The path of a field from this message: its name, and where it is a choice, the name of what was chosen."""
        spec = fields_of(type(self))[name]
        return spec.path(name, getattr(self, name))

    def with_values(self: _Own, **values: Any) -> _Own:
        """A copy with some fields as if the config had written them so.

        Raises:
            SettingsError: Values that cannot be honoured, with paths from this message.
        """
        return dataclasses.replace(self, **values, written=self.written | set(values))

    def unset(self, name: str) -> str:
        """For the reason of a problem: "unset, which means " where the field is not written, else nothing."""
        return "" if name in self.written else "unset, which means "


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
    """What a field may be."""

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
            reason = f"{_written(value)} cannot be honoured" + (f": {self.reason}" if self.reason else "")
            yield Problem("", reason, self.instead or f"use {' or '.join(map(_written, self.only))}")

    def describe(self) -> str:
        """See `Spec.describe`."""
        return " or ".join(map(_written, self.only))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Number(Scalar):
    """A number within bounds; a float must be finite.

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
            yield Problem("", f"{_written(value)} {reason}", self.instead or "use one that is")
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
            f"{word} {_written(bound)}"
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

    each: Scalar = dataclasses.field(default_factory=Scalar)
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nested(Spec):
    """A message with settings of its own, or a list of such, read as a tuple.

    Attributes:
        settings: Their class.
        repeated: Whether the field is a list.
        required: What to write where the message is not set, for a message that must be; empty: it need not be.
        optional: Whether a message that is not set is None; else its defaults are read.
        at_least_one: For a list, what to write where it is empty; empty: it may be.
    """

    settings: type[Settings]
    repeated: bool = False
    required: str = ""
    optional: bool = False
    at_least_one: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice(Spec):
    """A message that is nothing but a oneof: the settings of the alternative that is set, or a tuple of such.

    Attributes:
        alternatives: The settings of each alternative, by its field's name.
        refused: Why an alternative cannot be honoured, and what to write instead, by its field's name.
        repeated: Whether the field is a list of choices.
        required: What to write where nothing is chosen, where something must be; empty: None stands for nothing.
        optional: Whether a message that is not set is None all the same; `required` is for one that is set and empty.
        missing: What is wrong then.
        inline: Whether the alternatives are fields of the message itself (a oneof among other fields); the attribute
            then has the oneof's name.
    """

    alternatives: Mapping[str, type[Settings]]
    refused: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    repeated: bool = False
    required: str = ""
    optional: bool = False
    missing: str = "is not set"
    inline: bool = False

    def name_of(self, value: Settings | None) -> str:
        """The field's name of the alternative that was read; empty if none was set."""
        return next((field for field, cls in self.alternatives.items() if type(value) is cls), "")

    def path(self, name: str, value: Any) -> str:
        """See `Spec.path`."""
        chosen = self.name_of(value)
        if self.inline:
            return chosen or name
        return f"{name}.{chosen}" if chosen else name

    def without(self, name: str, *, reason: str, instead: str, required: str = "") -> Choice:
        """The same choice where one alternative is refused, and other words where nothing is chosen."""
        return dataclasses.replace(
            self,
            alternatives={field: cls for field, cls in self.alternatives.items() if field != name},
            refused={**self.refused, name: (reason, instead)},
            required=required,
        )

    def describe(self) -> str:
        """See `Spec.describe`."""
        return "one of " + ", ".join(self.alternatives)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mapped(Spec):
    """A map: a dictionary of scalars or of settings.

    Attributes:
        values: What each value may be: a spec of scalars, or a class of settings.
    """

    values: Scalar | type[Settings]

    def check(self, value: Any) -> Iterator[Problem]:
        """See `Spec.check`."""
        if isinstance(self.values, Scalar):
            for key, element in value.items():
                for problem in self.values.check(element):
                    yield Problem(f"[{_key(key)}]{problem.path}", problem.reason, problem.use_instead)


# The functions below stand on the right of an attribute: `probability: float = number(at_least=0.0, at_most=1.0)`.


def number(
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    reason: str = "",
    instead: str = "",
    optional: bool = False,
) -> Any:
    """A finite number within bounds. `reason` stands behind the value: "0" + " images make no batch"."""
    spec = Number(
        at_least=at_least,
        above=above,
        at_most=at_most,
        below=below,
        reason=reason,
        instead=instead,
        optional=optional,
    )
    return declared(spec)


def scalar(*, only: tuple[Any, ...] = (), reason: str = "", instead: str = "") -> Any:
    """A flag, a text or an enum's value (by name): any, or `only` those that are honoured, and the reason for it."""
    return declared(Scalar(only=only, reason=reason, instead=instead))


def items(
    each: Scalar | None = None,
    *,
    lengths: tuple[int, ...] = (),
    at_least_one: bool = False,
    reason: str = "",
    instead: str = "",
) -> Any:
    """A list of scalars, read as a tuple. `each` is such as `Number(above=0.0)`."""
    spec = Items(each=each or Scalar(), lengths=lengths, at_least_one=at_least_one, reason=reason, instead=instead)
    return declared(spec)


def nested(settings: type[Settings], *, required: str = "", optional: bool = False) -> Any:
    """A message: its settings, with its defaults where it is not set (or None with `optional`)."""
    return declared(Nested(settings=settings, required=required, optional=optional))


def nested_list(settings: type[Settings], *, at_least_one: str = "") -> Any:
    """A list of messages: a tuple of their settings."""
    return declared(Nested(settings=settings, repeated=True, at_least_one=at_least_one))


def choice(
    *,
    refused: Mapping[str, tuple[str, str]] | None = None,
    repeated: bool = False,
    required: str = "",
    missing: str = "is not set",
    inline: bool = False,
    **alternatives: type[Settings],
) -> Any:
    """A message that is one oneof: the settings of what is set in it; without, None or a problem if `required`."""
    spec = Choice(
        alternatives=alternatives,
        refused=refused or {},
        repeated=repeated,
        required=required,
        missing=missing,
        inline=inline,
    )
    return declared(spec)


def mapped(values: Scalar | type[Settings]) -> Any:
    """A map, read as a dictionary."""
    return declared(Mapped(values=values))


def between(*fields: str) -> Callable[[_Check], _Check]:
    """Marks a method of settings that says what is to be said of some fields together.

    It is asked as soon as these fields are sound, whatever the others are; `Settings.problems` and `notes` only where
    all are.
    """

    def mark(method: _Check) -> _Check:
        setattr(method, _BETWEEN, fields)
        return method

    return mark


def declared(spec: Spec) -> Any:
    """An attribute of a settings class that may be what `spec` says."""
    return dataclasses.field(metadata={_SPEC: spec})


def fields_of(settings: type[Settings]) -> dict[str, Spec]:
    """The declared fields of a settings class, by name, in their order."""
    return {field.name: field.metadata[_SPEC] for field in dataclasses.fields(settings) if _SPEC in field.metadata}


def declared_names(settings: type[Settings]) -> set[str]:
    """The names of a message's fields that its settings read: alternatives of a oneof among other fields too."""
    names: set[str] = set()
    for name, spec in fields_of(settings).items():
        names |= {*spec.alternatives, *spec.refused} if isinstance(spec, Choice) and spec.inline else {name}
    return names


def check_field(name: str, spec: Spec, value: Any, *, is_written: bool) -> Iterator[Problem]:
    """Yields what is wrong with a field's value, with paths from its message.

    Args:
        name: The field's.
        spec: What it may be.
        value: What it is.
        is_written: Whether the config sets it; a default that cannot be honoured is told to be one.
    """
    if value is None:
        return
    unset = "" if is_written or not isinstance(spec, Scalar) else "unset, which means "
    for problem in spec.check(value):
        yield Problem(f"{name}{problem.path}", f"{unset}{problem.reason}", problem.use_instead)


def _written(value: Any) -> str:
    """A value as text format writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def _key(key: Any) -> str:
    return f'"{key}"' if isinstance(key, str) else str(key)
