"""The schema as protobuf sees it: message classes made from the checked-in descriptor set.

The descriptor set is data, so that it outlives protobuf versions, which generated `_pb2` modules do not. It is loaded
into a pool of its own: a process that also imports the Object Detection API's package has no clash of names.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

PACKAGE = "object_detection.protos"
ROOT_MESSAGE = "TrainEvalPipelineConfig"
PROTO_PATH = Path(__file__).with_name("pipeline.proto")
DESCRIPTOR_SET_PATH = Path(__file__).with_name("pipeline.pb")


@functools.cache
def schema_pool() -> descriptor_pool.DescriptorPool:
    """The pool that holds the schema, and nothing else."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTOR_SET_PATH.read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def message_descriptor(name: str) -> Descriptor:
    """The descriptor of a message type.

    Args:
        name: With or without the package: `object_detection.protos.Ssd`, `Ssd`, `CenterNet.ObjectDetection`.

    Raises:
        KeyError: No such message.
    """
    full_name = name if name.startswith(PACKAGE + ".") else f"{PACKAGE}.{name}"
    return schema_pool().FindMessageTypeByName(full_name)


def message_class(name: str) -> type[Message]:
    """The class of a message type; the same class at every call.

    Args:
        name: With or without the package: `object_detection.protos.Ssd`, `Ssd`, `CenterNet.ObjectDetection`.

    Raises:
        KeyError: No such message.
    """
    return message_factory.GetMessageClass(message_descriptor(name))


def short_name(descriptor: Any) -> str:
    """The name of a message or enum type without the package."""
    return descriptor.full_name.removeprefix(PACKAGE + ".")


def is_repeated(field: FieldDescriptor) -> bool:
    """Whether a field holds a list or a map; `label` says so in protobuf 5, `is_repeated` from 6 on."""
    repeated = getattr(field, "is_repeated", None)
    return field.label == FieldDescriptor.LABEL_REPEATED if repeated is None else bool(repeated)


def is_map(field: FieldDescriptor) -> bool:
    """Whether a field is a map."""
    return field.message_type is not None and field.message_type.GetOptions().map_entry


@functools.cache
def paths_by_field_name() -> dict[str, tuple[str, ...]]:
    """For each field name, the paths from the root at which a field of that name stands; lists have no index."""
    paths: dict[str, list[str]] = {}

    def visit(descriptor: Descriptor, prefix: str) -> None:
        for field in descriptor.fields:
            paths.setdefault(field.name, []).append(prefix + field.name)
            if field.message_type is not None and not is_map(field):
                visit(field.message_type, f"{prefix}{field.name}.")

    visit(message_descriptor(ROOT_MESSAGE), "")
    return {name: tuple(found) for name, found in paths.items()}
