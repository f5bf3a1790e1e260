"""Settings of messages: their base class, and specs of the fields that are messages.

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class RandomHorizontalFlip(Settings, message="RandomHorizontalFlip"):
        probability: float = number(at_least=0.0, at_most=1.0)

An attribute has its field's name in the schema, where its default stands too; what the function says is what values it
may have: `number`, `scalar` and `items` of `configs.settings.values`, `nested`, `choice` and `mapped` here.
`Settings.refused` and `Settings.no_effect` name the other fields of the message, so that every field of it is in one
of three places. `configs.settings.reading` makes settings of messages.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeGuard, TypeVar

from configs.schema.problem import Note, Problem, TrainingProblem
from configs.settings.values import SPEC, Scalar, Spec, as_text, attribute
from data_prep.runtime.command_line import UsageError

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
        problems = [remark for remark in remarks if is_refusal(remark)]
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
            spec, value = specs[name], getattr(self, name)
            problems = list(spec.check(value)) if value is not None else []
            # A default that cannot be honoured is said to be one.
            unset = self.unset(name) if isinstance(spec, Scalar) else ""
            for problem in problems:
                found.append(Problem(f"{name}{problem.path}", f"{unset}{problem.reason}", problem.use_instead))
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
            reason = f"{as_text(high)} is below {smaller}, which is {self.unset(smaller)}{as_text(low)}"
            yield Problem(larger, reason, "use a larger one, or write both")
        else:
            yield Problem(smaller, f"{as_text(low)} is above {larger}, {as_text(high)}", "use a smaller one")

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
class Nested(Spec):
    """A message with settings of its own, or a list of such, read as a tuple.

    Attributes:
        settings: Their class.
        repeated: Whether the field is a list.
        required: What to write where the message is not set, or the list is empty, if that is an error.
        optional: Whether a message that is not set is None; else its defaults are read.
    """

    settings: type[Settings] = dataclasses.field(kw_only=False)
    repeated: bool = False
    required: str = ""
    optional: bool = False


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
    """A map, read as a dictionary.

    Attributes:
        settings: Of each value; None for a map of scalars.
    """

    settings: type[Settings] | None = dataclasses.field(default=None, kw_only=False)


def is_refusal(remark: Problem | Note) -> TypeGuard[Problem]:
    """Whether a remark says that a message makes no settings: a problem, and not one of training alone."""
    return isinstance(remark, Problem) and not isinstance(remark, TrainingProblem)


nested = attribute(Nested)
choice = attribute(Choice)
mapped = attribute(Mapped)


def between(*fields: str) -> Callable[[_Check], _Check]:
    """Marks a method of settings that says what is to be said of some fields together.

    It is asked as soon as these fields are sound, whatever the others are; `Settings.problems` and `notes` only where
    all are.
    """

    def mark(method: _Check) -> _Check:
        setattr(method, _BETWEEN, fields)
        return method

    return mark


def fields_of(settings: type[Settings]) -> dict[str, Spec]:
    """The declared fields of a settings class, by name, in their order."""
    return {field.name: field.metadata[SPEC] for field in dataclasses.fields(settings) if SPEC in field.metadata}


def declared_names(settings: type[Settings]) -> set[str]:
    """The names of a message's fields that its settings read: alternatives of a oneof among other fields too."""
    names: set[str] = set()
    for name, spec in fields_of(settings).items():
        names |= {*spec.alternatives, *spec.refused} if isinstance(spec, Choice) and spec.inline else {name}
    return names
