"""Pages about the pipeline config, made of the settings and of the comments in pipeline.proto."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from google.protobuf.descriptor import FieldDescriptor

from configs.schema.descriptors import PROTO_PATH, is_map, is_repeated, message_descriptor, short_name
from configs.settings.api_flags import SCRIPTS, HonouredFlag, IdleFlag
from configs.settings.declaration import Choice, Mapped, Nested, Settings, declared_names, fields_of
from configs.settings.evaluation import OLDER_METRICS_SETS
from configs.settings.networks import TF1_EQUALS, TF1_WITHOUT_EQUAL
from configs.settings.pipeline import PipelineSettings
from configs.settings.values import Scalar
from configs.views.leaves import written

TEMPLATE_PATH = Path(__file__).with_name("migration_template.md")

_COMMAND = "python -m configs.document"
_PARTS = "configs.settings"
_TITLES = {"ssd": "SSD", "faster_rcnn": "Faster R-CNN", "post_processing": "Post-processing"}
_GENERATED = f"<!-- Written by {_COMMAND}; edit what it reads, not this. -->"
_TYPES = {
    FieldDescriptor.CPPTYPE_FLOAT: "number",
    FieldDescriptor.CPPTYPE_DOUBLE: "number",
    FieldDescriptor.CPPTYPE_INT32: "whole number",
    FieldDescriptor.CPPTYPE_INT64: "whole number",
    FieldDescriptor.CPPTYPE_UINT32: "whole number from 0",
    FieldDescriptor.CPPTYPE_UINT64: "whole number from 0",
    FieldDescriptor.CPPTYPE_BOOL: "flag",
    FieldDescriptor.CPPTYPE_STRING: "text",
}
_CONFIG_INTRODUCTION = """\
Every message and field of a `pipeline.config` that training here reads: what it may be, its default, and what it means.
The text format, the names and the defaults are those of the Object Detection API's `TrainEvalPipelineConfig`; what the
API never had is in `extensions`. A value that cannot be honoured is refused by its path:

    python -m configs.check pipeline.config         what is wrong with a config, and what to know about it
    python -m configs.migrate pipeline.config --output new.config
                                                    the same from TensorFlow 1, rewritten for TensorFlow 2
    python -m configs.show pipeline.config          its text with every default, and what it does in plain words
    python -m configs.plot_schedule pipeline.config its learning rate, drawn

Numbers must be finite everywhere. In a table, *refused* is a field that cannot be honoured: set to anything but its
default, it stops a run. *No effect* is one that changes nothing here, which is said and is no error."""


def config_page() -> str:
    """The page about every message and field: a section a part, a table a message."""
    places = places_of(PipelineSettings)
    by_part: dict[str, list[type[Settings]]] = {}
    for settings in places:
        by_part.setdefault(settings.__module__, []).append(settings)
    lines = [_GENERATED, "# The pipeline config", "", _CONFIG_INTRODUCTION]
    parts = {module: _title(module) for module in by_part}
    lines += ["", " · ".join(f"[{title}](#{_anchor(title)})" for title in parts.values())]
    for module, messages in by_part.items():
        about = _about(inspect.getdoc(importlib.import_module(module)) or "")
        lines += ["", f"## {parts[module]}", "", about]
        without_fields = [settings for settings in messages if not message_descriptor(settings.message_name).fields]
        for settings in messages:
            if settings not in without_fields:
                lines += ["", *_message_lines(settings, places[settings])]
        if without_fields:
            lines += ["", "Without fields, such as `name { }`:", ""]
            lines += [f"- {_heading(settings, places[settings])}" for settings in without_fields]
    return "\n".join(lines) + "\n"


def migration_page() -> str:
    """The page for people who come from the Object Detection API."""
    page = TEMPLATE_PATH.read_text(encoding="utf-8")
    for name, rows in {
        "tensorflow_1_networks": _table(("there", "here"), _quoted(TF1_EQUALS.items())),
        "absent_networks": _table(("there", "the nearest that is here"), _quoted(TF1_WITHOUT_EQUAL.items())),
        "older_metrics_sets": _table(("there", "here"), _quoted(OLDER_METRICS_SETS.items())),
        "flags": _table(("script", "flags", "here"), _flag_rows()),
        "refused": _table(("field", "why", "instead"), _refused_rows()),
        "restricted": _table(("field", "honoured", "why"), _restricted_rows()),
        "no_effect": _table(("field", "why"), _no_effect_rows()),
    }.items():
        page = page.replace(f"{{{name}}}", "\n".join(rows))
    return f"{_GENERATED}\n{page}"


def messages_below(settings: type[Settings]) -> Iterator[tuple[tuple[str, ...], type[Settings]]]:
    """Yields the messages that a message holds: the fields that lead there (two through a oneof), and the settings."""
    for name, spec in fields_of(settings).items():
        if isinstance(spec, Nested):
            yield (name,), spec.settings
        elif isinstance(spec, Choice):
            for alternative, chosen in spec.alternatives.items():
                yield ((alternative,) if spec.inline else (name, alternative)), chosen
        elif isinstance(spec, Mapped) and spec.settings is not None:
            yield (name,), spec.settings


def places_of(root: type[Settings]) -> dict[type[Settings], tuple[tuple[str, ...], ...]]:
    """Lists the messages that can be reached from one.

    Args:
        root: Settings of that one.

    Returns:
        For each settings class, the root's first and each before those that it holds, the fields that lead there from
        the root: one tuple a way.
    """
    places: dict[type[Settings], list[tuple[str, ...]]] = {}

    def visit(settings: type[Settings], path: tuple[str, ...]) -> None:
        places.setdefault(settings, []).append(path)
        for names, found in messages_below(settings):
            visit(found, (*path, *names))

    visit(root, ())
    return {settings: tuple(paths) for settings, paths in places.items()}


@functools.cache
def comments() -> dict[tuple[str, str], str]:
    """Comments in pipeline.proto about fields, by message type and field."""
    found: dict[tuple[str, str], str] = {}
    messages: list[str] = []
    above: list[str] = []
    for line in PROTO_PATH.read_text(encoding="utf-8").splitlines():
        text, _, comment = (part.strip() for part in line.partition("//"))
        opened = re.fullmatch(r"(message|enum|oneof) (\w+) \{", text)
        field = re.match(r"(?:(?:optional|repeated) )?(?:map<[^>]*>|[\w.]+) (\w+) = \d+", text)
        if opened:
            messages.append(opened[2] if opened[1] == "message" else "")
        elif text == "}":
            messages.pop()
        elif field and messages:
            name = ".".join(filter(None, messages))
            said = " ".join([*above, comment]).strip()
            if said:
                found[name, field[1]] = said
        above = [*above, comment] if comment and not text else []
    return found


def _message_lines(settings: type[Settings], places: Sequence[tuple[str, ...]]) -> Iterator[str]:
    yield _heading(settings, places)
    yield ""
    yield from _table(("field", "type", "default", "may be", "meaning"), _field_rows(settings))


def _heading(settings: type[Settings], places: Sequence[tuple[str, ...]]) -> str:
    more = f" and {len(places) - 1} other place{'s' if len(places) > 2 else ''}" if len(places) > 1 else ""
    where = f" in `{'.'.join(places[0])}`{more}" if places[0] else ""
    return f"**`{settings.message_name}`**{where}: {_about(inspect.getdoc(settings) or '')}"


def _field_rows(settings: type[Settings]) -> Iterator[tuple[str, ...]]:
    read = declared_names(settings)
    fields = message_descriptor(settings.message_name).fields
    specs = fields_of(settings)
    for field in [*(one for one in fields if one.name in read), *(one for one in fields if one.name not in read)]:
        spec = specs.get(field.name)
        may_be = spec.describe() if spec is not None else ""
        if field.containing_oneof is not None and spec is None:
            choice = specs[field.containing_oneof.name]
            assert isinstance(choice, Choice)
            may_be = f"refused: {'; '.join(choice.refused[field.name])}" if field.name in choice.refused else ""
        if field.name in settings.refused:
            may_be = f"refused: {'; '.join(settings.refused[field.name])}"
        elif field.name in settings.no_effect:
            may_be = f"no effect: {settings.no_effect[field.name]}"
        elif not may_be and field.enum_type is not None:
            may_be = ", ".join(value.name for value in field.enum_type.values)
        name = settings.message_name
        yield f"`{field.name}`", _type(field), _default(field), may_be, comments().get((name, field.name), "")


def _type(field: FieldDescriptor) -> str:
    if is_map(field):
        value = field.message_type.fields_by_name["value"]
        return f"map to {_type(value)}"
    if field.message_type is not None:
        kind = f"`{short_name(field.message_type)}`"
    else:
        kind = "name" if field.enum_type is not None else _TYPES[field.cpp_type]
    return f"list of {kind}" if is_repeated(field) else kind


def _default(field: FieldDescriptor) -> str:
    if field.message_type is not None or is_repeated(field):
        return ""
    return f"`{written(field, field.default_value)}`"


def _flag_rows() -> Iterator[tuple[str, ...]]:
    for script in SCRIPTS:
        names: dict[str, list[str]] = {}
        for flag in script.flags:
            if isinstance(flag, HonouredFlag):
                here = flag.here
            else:
                here = f"{'no effect' if isinstance(flag, IdleFlag) else 'refused'}: {flag.reason}"
            names.setdefault(here, []).append(f"`--{flag.name}`")
        for here, flags in names.items():
            yield f"`{script.name}`", ", ".join(flags), here


def _refused_rows() -> Iterator[tuple[str, ...]]:
    for settings, places in places_of(PipelineSettings).items():
        for name, (reason, instead) in settings.refused.items():
            yield _path(places[0], name), reason, instead
        for name, spec in fields_of(settings).items():
            if isinstance(spec, Choice):
                for alternative, (reason, instead) in spec.refused.items():
                    yield _path(places[0], alternative if spec.inline else f"{name}.{alternative}"), reason, instead


def _restricted_rows() -> Iterator[tuple[str, ...]]:
    for settings, places in places_of(PipelineSettings).items():
        for name, spec in fields_of(settings).items():
            if isinstance(spec, Scalar) and spec.only:
                yield _path(places[0], name), spec.describe(), spec.reason


def _no_effect_rows() -> Iterator[tuple[str, ...]]:
    for settings, places in places_of(PipelineSettings).items():
        for name, reason in settings.no_effect.items():
            yield _path(places[0], name), reason


def _path(place: tuple[str, ...], name: str) -> str:
    return f"`{'.'.join([*place, name])}`"


def _quoted(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, ...]]:
    return (tuple(f"`{name}`" for name in pair) for pair in pairs)


def _table(head: Sequence[str], rows: Iterator[tuple[str, ...]]) -> list[str]:
    """A Markdown table without the columns that are empty in all rows."""
    cells = [tuple(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in rows]
    if not cells:
        return ["None."]
    used = [index for index in range(len(head)) if any(row[index] for row in cells)]
    lines = [[head[index] for index in used], ["---"] * len(used), *([row[index] for index in used] for row in cells)]
    return [f"| {' | '.join(line)} |" for line in lines]


def _title(module: str) -> str:
    parts = module.removeprefix(f"{_PARTS}.").split(".")
    return _TITLES.get(parts[-1], ": ".join(parts).replace("_", " ").capitalize())


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-").replace(":", "")


def _about(docstring: str) -> str:
    """The first paragraph of a docstring, without a module's "Settings of `Message` and below:"."""
    about = " ".join(docstring.split("\n\n", maxsplit=1)[0].split())
    about = re.sub(r"^Settings of [^:]*: ", "", about)
    return about[:1].upper() + about[1:]
