"""Values that make no sense, one at a time, in every field of every message that a pipeline config can hold."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from configs.schema import pipeline_file
from configs.schema.descriptors import is_map, is_repeated, message_descriptor
from configs.settings.declaration import Settings
from configs.settings.documentation import places_of
from configs.settings.pipeline import PipelineSettings

CONFIGS = Path(pipeline_file.__file__).parents[1]
_BASES = {
    "ssd": pipeline_file.read_pipeline_config(CONFIGS / "ssd_resnet50_v1_fpn_640.config"),
    "faster_rcnn": pipeline_file.read_pipeline_config(CONFIGS / "faster_rcnn_resnet50_v1_640.config"),
}

_HUGE = 3.0e38
_FLOATS = (-1.0, 0.0, 2.0, _HUGE, -_HUGE, math.nan, math.inf, -math.inf)
_BY_KIND: dict[int, tuple[Any, ...]] = {
    FieldDescriptor.CPPTYPE_FLOAT: _FLOATS,
    FieldDescriptor.CPPTYPE_DOUBLE: _FLOATS,
    FieldDescriptor.CPPTYPE_INT32: (-1, 0, 2, 2**31 - 1, -(2**31)),
    FieldDescriptor.CPPTYPE_INT64: (-1, 0, 2, 2**63 - 1, -(2**63)),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2, 2**64 - 1),
    FieldDescriptor.CPPTYPE_BOOL: (False, True),
    FieldDescriptor.CPPTYPE_STRING: ("", "(", "no such thing", "../up"),
}
_LENGTHS = (0, 1, 2, 5)
# What a message must have beside the field that is tried, so that the value alone decides.
_MUST_HAVE = {
    "AdamOptimizer": "learning_rate { constant_learning_rate { } }",
    "RMSPropOptimizer": "learning_rate { constant_learning_rate { } }",
    "ManualStepLearningRate": "schedule { step: 10 learning_rate: 0.1 }",
    "LearningRateSchedule": "step: 20 learning_rate: 0.1",
    "OneCycleLearningRate": "total_steps: 100",
    "PolynomialDecayLearningRate": "total_steps: 100",
    "LearningRateMultiplier": 'pattern: "."',
}


@dataclasses.dataclass(frozen=True)
class Trial:
    """A config in which one field has an odd value.

    Attributes:
        settings: Of the message that holds the field.
        field: The field.
        path: Its path from the root.
        value: What it is given; for a list, all of it.
        config: The whole config.
        message: The message in it that holds the field.
    """

    settings: type[Settings]
    field: FieldDescriptor
    path: str
    value: Any
    config: Any
    message: Message

    @property
    def is_not_finite(self) -> bool:
        """Whether the value, or one in the list, is no finite number."""
        values = self.value if isinstance(self.value, list) else [self.value]
        return any(isinstance(value, float) and not math.isfinite(value) for value in values)


def trials(*, below: str = "") -> Iterator[Trial]:
    """Tries every scalar field, and every list at several lengths, of every message that has settings.

    Args:
        below: Only of messages at or below this field, such as `train_config.optimizer`.
    """
    for settings, places in places_of(PipelineSettings).items():
        wanted = [place for place in places if ".".join(place).startswith(below)]
        for field in message_descriptor(settings.message_name).fields:
            for value in _values(field) if wanted else ():
                yield _trial(settings, wanted[0], field, value)


def _values(field: FieldDescriptor) -> Iterator[Any]:
    if is_map(field):
        value = field.message_type.fields_by_name["value"]
        if value.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
            yield from ({}, *({"a": number} for number in _FLOATS))
        elif value.message_type is None:
            yield from ({}, {"": ""}, {"a": ","})
    elif field.message_type is not None:
        yield from ([None] * length for length in _LENGTHS if is_repeated(field))
    else:
        singles = _BY_KIND.get(field.cpp_type, ())
        if field.enum_type is not None:
            singles = tuple(field.enum_type.values_by_number)
        if not is_repeated(field):
            yield from singles
        else:
            yield from ([single] * length for single in singles for length in _LENGTHS[1:])
            yield []


def _trial(settings: type[Settings], place: tuple[str, ...], field: FieldDescriptor, value: Any) -> Trial:
    base = _BASES["faster_rcnn" if place[:2] == ("model", "faster_rcnn") else "ssd"]
    config: Any = type(base)()
    config.CopyFrom(base)
    message, path = _reach(config, place)
    name = field.name
    if is_map(field):
        getattr(message, name).clear()
        getattr(message, name).update(value)
    elif is_repeated(field):
        elements: Any = getattr(message, name)
        del elements[:]
        for element in value:
            elements.add() if element is None else elements.append(element)
    else:
        setattr(message, name, value)
    return Trial(settings, field, f"{path}.{name}" if path else name, value, config, message)


def _reach(message: Any, place: tuple[str, ...]) -> tuple[Any, str]:
    """The message at a place, made if it is not there, and its path; of a list the last element, a new one."""
    path: list[str] = []
    for name in place:
        field = message.DESCRIPTOR.fields_by_name[name]
        value = getattr(message, name)
        if is_map(field):
            is_text = field.message_type.fields_by_name["key"].cpp_type == FieldDescriptor.CPPTYPE_STRING
            message = value["a" if is_text else 1]
            path.append(f"{name}[{chr(34) + 'a' + chr(34) if is_text else 1}]")
        elif is_repeated(field):
            path.append(f"{name}[{len(value)}]")
            message = value.add()
        else:
            path.append(name)
            message = value
            message.SetInParent()
        if not message.ListFields():
            text_format.Merge(_MUST_HAVE.get(message.DESCRIPTOR.name, ""), message)
    return message, ".".join(path)
