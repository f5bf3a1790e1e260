"""Iteration over the fields that are set in a config."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from configs.schema.descriptors import is_map, is_repeated

# What stands in a recipe for what only its user knows.
PLACEHOLDER = "PATH_TO_BE_CONFIGURED"


def set_fields(message: Message) -> Iterator[tuple[str, FieldDescriptor, Any]]:
    """Lists what is set, down to the leaves, in the order of field numbers.

    A field set to its default counts as set. A message that is there but empty, such as `iou_similarity {}`, is a leaf.

    Args:
        message: Any message of the schema.

    Yields:
        The path, such as `train_config.data_augmentation_options[1].random_crop_image.min_area` or
        `eval_config.super_categories["animal"]`; the field; the value: a number, text, or an empty message.
    """
    for path, field, value in children(message):
        if isinstance(value, Message) and value.ListFields():
            for below, leaf, leaf_value in set_fields(value):
                yield f"{path}.{below}", leaf, leaf_value
        else:
            yield path, field, value


def children(message: Message) -> Iterator[tuple[str, FieldDescriptor, Any]]:
    """Lists what is set in a message itself, element by element: name with index or key, field, value."""
    for field, value in message.ListFields():
        if is_map(field):
            for key in sorted(value):
                yield f"{field.name}[{json.dumps(key)}]", field, value[key]
        elif is_repeated(field):
            for index, element in enumerate(value):
                yield f"{field.name}[{index}]", field, element
        else:
            yield field.name, field, value


def unfilled_paths(message: Message) -> list[str]:
    """The paths of text fields that still contain `PATH_TO_BE_CONFIGURED`, in the order of field numbers."""
    return [path for path, _, value in set_fields(message) if isinstance(value, str) and PLACEHOLDER in value]


def is_unfilled(value: Any) -> bool:
    """Whether a text, or anything in a message, still contains `PATH_TO_BE_CONFIGURED`."""
    if isinstance(value, Message):
        return bool(unfilled_paths(value))
    return isinstance(value, str) and PLACEHOLDER in value
