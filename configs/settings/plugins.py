"""The registry of plugins: parts of somebody's own, which `--plugin MODULE` registers and `extensions` names.

A plugin's module says what there is, and where its code is, once for each part:

    register_augmentation("fog", settings=FogSettings, function="my_shop.fog:add_fog")

The settings are a frozen dataclass of numbers, flags and texts, made of what the config writes and checked where it is
made. The function's module is imported when a command needs it, since it is what needs TensorFlow.

A plugin is code that runs; nothing that a config names is ever imported.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import math
import sys
import traceback
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.schema.problem import Problem
from configs.settings.declaration import Settings, mapped
from configs.settings.values import scalar
from data_prep.runtime.command_line import UsageError

FLAG = "--plugin"
AUGMENTATION, FEATURE_EXTRACTOR, CLASSIFICATION_LOSS, METRIC = (
    *("augmentation", "feature_extractor"),
    *("classification_loss", "metric"),
)
# What a field of a part's settings may be, and the field of `PluginPart` that it is read from.
_SOURCES: Mapping[type, str] = {float: "numbers", int: "numbers", bool: "numbers", str: "texts"}


@dataclasses.dataclass(frozen=True)
class Registered:
    """A part that a plugin has registered.

    Attributes:
        settings: A frozen dataclass.
        function: What carries it out, or where that is: `my_shop.fog:add_fog`.
        types: Of the settings' fields, by name: float, int, bool or str.
    """

    settings: type[Any]
    function: Callable[..., Any] | str
    types: Mapping[str, type]


# By the field of `extensions` that names parts of a kind: the parts, by name.
_REGISTERED: dict[str, dict[str, Registered]] = {
    kind: {} for kind in (AUGMENTATION, FEATURE_EXTRACTOR, CLASSIFICATION_LOSS, METRIC)
}

# ------------------------------------------------------------------------------------------------- for plugins to call


def register_augmentation(name: str, *, settings: type[Any], function: Callable[..., Any] | str) -> None:
    """Registers an augmentation of training images, for `extensions.augmentation`.

    Args:
        name: As configs write it.
        settings: A frozen dataclass whose fields are float, int, bool or str.
        function: Takes an image (float32 [H, W, 3], 0..255), its ground truth (`train.inputs.ground_truth`), a seed
            ([2] integers) and the settings; returns the first two. Or its place, `module:name`.

    Raises:
        ValueError: Another part has the name, or the settings cannot be read from a config.
    """
    _register(AUGMENTATION, name, settings, function)


def register_feature_extractor(name: str, *, settings: type[Any], function: Callable[..., Any] | str) -> None:
    """Registers an SSD's feature extractor, for `extensions.feature_extractor` with the type `ssd_plugin_fpn`.

    Args:
        name: As configs write it.
        settings: A frozen dataclass whose fields are float, int, bool or str.
        function: Takes the settings of `model.ssd.feature_extractor` and the part's own; returns a `tf_keras.Model`
            from images ([B, H, W, 3] of any size, -1..1) to a list of feature maps, one for each level from
            `fpn.min_level` to `fpn.max_level`; at level n, a cell is 2**n pixels. Or its place, `module:name`.

    Raises:
        ValueError: Another part has the name, or the settings cannot be read from a config.
    """
    _register(FEATURE_EXTRACTOR, name, settings, function)


def register_classification_loss(name: str, *, settings: type[Any], function: Callable[..., Any] | str) -> None:
    """Registers a loss of an SSD's class logits, for `extensions.classification_loss`.

    Args:
        name: As configs write it.
        settings: A frozen dataclass whose fields are float, int, bool or str.
        function: Takes logits, targets and weights (float32 [B, A, classes] each) and the settings; returns the loss of
            each anchor, weighted and summed over classes (float32 [B, A]). Or its place, `module:name`.

    Raises:
        ValueError: Another part has the name, or the settings cannot be read from a config.
    """
    _register(CLASSIFICATION_LOSS, name, settings, function)


def register_metric(name: str, *, settings: type[Any], function: Callable[..., Any] | str) -> None:
    """Registers a metric of evaluations, for `extensions.metric`.

    Args:
        name: As configs write it; what is measured is called `NAME/...` in the evaluation's metrics.
        settings: A frozen dataclass whose fields are float, int, bool or str.
        function: Takes the classes' names by label map id, and the settings; returns a
            `train.metrics.measured_image.Metric`. A class with such a constructor is one. Or its place, `module:name`.

    Raises:
        ValueError: Another part has the name, or the settings cannot be read from a config.
    """
    _register(METRIC, name, settings, function)


def _register(kind: str, name: str, settings: type[Any], function: Callable[..., Any] | str) -> None:
    if not name or "/" in name:
        raise ValueError(f"{name!r} is no name of a part: use letters, digits and underscores")
    if not dataclasses.is_dataclass(settings):
        raise ValueError(f"the settings of {kind} {name!r} are {settings!r}; use a frozen dataclass")
    hints = typing.get_type_hints(settings)
    types = {field.name: hints[field.name] for field in dataclasses.fields(settings) if field.init}
    for field, field_type in types.items():
        if field_type not in _SOURCES:
            raise ValueError(f"{settings.__name__}.{field} is of {field_type}; use float, int, bool or str")
    if isinstance(function, str) and function.count(":") != 1:
        raise ValueError(f"{function!r} names no function; write module:name")
    part = Registered(settings, function, types)
    if _REGISTERED[kind].setdefault(name, part) != part:
        raise ValueError(f"two parts are registered as {kind} {name!r}; give one another name")


# ------------------------------------------------------------------------------------------------------------ loading


def add_plugin_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the flag that names plugins; parsing it imports them, before any config is read."""
    parser.add_argument(
        FLAG,
        action="append",
        default=[],
        type=load_plugin,
        metavar="MODULE",
        help="a Python module of your own, such as my_shop.parts, that registers parts which the config's extensions "
        "name. It is imported, so its code runs with all that you may do: name only modules that you trust. More than "
        "once for several; docs/extending.md shows how to write one",
    )


def load_plugin(module: str) -> str:
    """Imports a plugin, which registers its parts; for `add_argument(type=load_plugin)`.

    Args:
        module: Its dotted name, as it can be imported from the current directory.

    Returns:
        The same name.

    Raises:
        ArgumentTypeError: It cannot be imported, or imports TensorFlow; in one line, with the place where it failed.
    """
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    had_tensorflow = "tensorflow" in sys.modules
    try:
        importlib.import_module(module)
    except Exception as error:
        raise argparse.ArgumentTypeError(f"{module} cannot be imported: {_explain(error)}") from error
    if "tensorflow" in sys.modules and not had_tensorflow:
        raise argparse.ArgumentTypeError(
            f"{module} imports TensorFlow, which commands must set up first, and which reading a config does without; "
            "move what needs it to a module of its own, and register it as function='module:name'"
        )
    return module


def _explain(error: Exception) -> str:
    """An error in a line, with the last line of somebody else's code that it came from."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and not frame.filename.startswith("<frozen")
    ]
    # The import system's own frames are no place to look at.
    frames = [frame for frame in frames if Path(frame.filename).parent.name != "importlib"]
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    reason = " ".join(str(error).split()) or "failed"
    return f"{type(error).__name__}: {reason}{place}"


# -------------------------------------------------------------------------------------------------------- in a config


@dataclasses.dataclass(frozen=True, kw_only=True)
class PluginPart(Settings, message="PluginPart"):
    """A part that a plugin registers, and its settings.

    Attributes:
        name: As it is registered.
        numbers, texts: Its settings by name, of the fields that are numbers or flags, and of those that are texts.
    """

    name: str = scalar()
    numbers: dict[str, float] = mapped()
    texts: dict[str, str] = mapped()

    def problems(self) -> Iterator[Problem]:
        """See `Settings.problems`."""
        for key, value in self.numbers.items():
            if not math.isfinite(value):
                yield Problem(f'numbers["{key}"]', f"{value} is no finite number", "write one that is")

    def problems_as(self, kind: str) -> Iterator[Problem]:
        """Yields why there is no part of a kind with this name and these settings, with paths from this message."""
        registered = _REGISTERED[kind].get(self.name)
        if registered is None:
            given = f'"{self.name}" is no registered {kind.replace("_", " ")}' if self.name else "is not set"
            names = ", ".join(sorted(_REGISTERED[kind]))
            known = f"use one of {names}, or " if names else ""
            yield Problem("name", given, f"{known}name the module that registers it: {FLAG} MODULE")
            return
        found = [*self._odd_values(registered.types), *self._missing(registered)]
        yield from found
        if not found:
            try:
                self._make(registered)
            except ValueError as error:
                yield self._refused(registered, error)

    def own_settings(self, kind: str) -> Any:
        """The settings of the part with this name, which has no problems."""
        return self._make(_REGISTERED[kind][self.name])

    def function(self, kind: str) -> Callable[..., Any]:
        """What carries the part out, imported if need be.

        Raises:
            UsageError: It is not where the plugin says.
        """
        function = _REGISTERED[kind][self.name].function
        if not isinstance(function, str):
            return function
        module, _, name = function.partition(":")
        try:
            found: Callable[..., Any] = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, SyntaxError) as error:
            raise UsageError(f"{kind} {self.name!r}: {function} cannot be imported: {_explain(error)}") from error
        return found

    def _make(self, registered: Registered) -> Any:
        written = {**self.numbers, **self.texts}
        return registered.settings(**{name: registered.types[name](value) for name, value in written.items()})

    def _odd_values(self, types: Mapping[str, type]) -> Iterator[Problem]:
        """Yields a problem for each value that is no field's, or of another type than its field."""
        for source, values in (("numbers", self.numbers), ("texts", self.texts)):
            names = [name for name, field_type in types.items() if _SOURCES[field_type] == source]
            for name, value in values.items():
                path = f'{source}["{name}"]'
                if name not in names:
                    other = _SOURCES[types[name]] if name in types else ""
                    instead = f"use one of {', '.join(names)}" if names else "delete it"
                    instead = f"write it into {other}" if other else instead
                    yield Problem(path, f'"{self.name}" has no such setting among its {source}', instead)
                elif types[name] is bool and value not in (0.0, 1.0):
                    yield Problem(path, f"{value:g} is no flag", "use 0 or 1")
                elif types[name] is int and not float(value).is_integer():
                    yield Problem(path, f"{value:g} is no whole number", "use one that is")

    def _missing(self, registered: Registered) -> Iterator[Problem]:
        for field in dataclasses.fields(registered.settings):
            has_default = not (field.default is field.default_factory is dataclasses.MISSING)
            if not field.init or has_default or field.name in self.numbers or field.name in self.texts:
                continue
            source = _SOURCES[registered.types[field.name]]
            value = "..." if source == "numbers" else '"..."'
            instead = f'write {source} {{ key: "{field.name}" value: {value} }}'
            yield Problem(f'{source}["{field.name}"]', "is not set", instead)

    def _refused(self, registered: Registered, error: ValueError) -> Problem:
        """What the settings themselves refuse; of the field whose name the message begins with, if it does."""
        reason = " ".join(str(error).split()) or "is refused"
        name, _, rest = reason.partition(" ")
        field_type = registered.types.get(name.rstrip(":"))
        if field_type is None:
            return Problem("", reason, f'see {registered.settings.__name__}, the settings of "{self.name}"')
        value = {**self.numbers, **self.texts}.get(name.rstrip(":"), "unset")
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        return Problem(f'{_SOURCES[field_type]}["{name.rstrip(":")}"]', f"{shown} {rest}", "use one that is")


def list_problems(kind: str, parts: Sequence[PluginPart]) -> Iterator[Problem]:
    """Yields what is wrong with a list of parts of one kind, with paths from the message that holds the list."""
    for index, part in enumerate(parts):
        for problem in part.problems_as(kind):
            yield problem.below(f"{kind}[{index}]")


def problems_of(kind: str, part: PluginPart | None) -> Iterator[Problem]:
    """Yields what is wrong with a part, with paths from the message that holds it; nothing where it is not written."""
    for problem in part.problems_as(kind) if part is not None else ():
        yield problem.below(kind)
