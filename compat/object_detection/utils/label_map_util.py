"""Label maps as the API reads them: the message, its classes by id, and its ids by name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import text_format

from data_prep.formats.label_map import parse_label_map
from data_prep.runtime.command_line import UsageError
from object_detection.absent_modules import absent_names
from object_detection.protos import string_int_label_map_pb2  # type: ignore[attr-defined]

__getattr__ = absent_names(
    __name__,
    {
        "get_keypoint_label_map_dict": "only boxes are detected here",
    },
)

_FREQUENCIES = {"FREQUENT": "f", "COMMON": "c", "RARE": "r"}


def create_category_index(categories: Iterable[Mapping[str, Any]]) -> dict[int, Any]:
    """Categories by their `id`."""
    return {category["id"]: category for category in categories}


def get_label_map_hierarchy_lut(
    label_map_path_or_proto: Any, include_identity: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Which classes are above which, and below which.

    Args:
        label_map_path_or_proto: A `StringIntLabelMap`, or its path.
        include_identity: Whether each class is above and below itself.

    Returns:
        Ancestors and descendants, float64 [max_id, max_id] each; a row a class, from id 1, with 1 for each of them.
    """
    is_path = isinstance(label_map_path_or_proto, str | os.PathLike)
    items = (load_labelmap(label_map_path_or_proto) if is_path else label_map_path_or_proto).item
    size = max(item.id for item in items)
    ancestors, descendants = np.zeros((size, size)), np.zeros((size, size))
    for item in items:
        ancestors[item.id - 1, [class_id - 1 for class_id in item.ancestor_ids]] = 1
        descendants[item.id - 1, [class_id - 1 for class_id in item.descendant_ids]] = 1
    if include_identity:
        ancestors += np.eye(size)
        descendants += np.eye(size)
    return ancestors, descendants


def get_max_label_map_index(label_map: Any) -> int:
    """The largest id of a `StringIntLabelMap`."""
    return max(item.id for item in label_map.item)


def convert_label_map_to_categories(
    label_map: Any, max_num_classes: int, use_display_name: bool = True
) -> list[dict[str, Any]]:
    """Classes as dictionaries with `id` and `name`.

    Args:
        label_map: A `StringIntLabelMap`; None for `category_1` to `category_N`.
        max_num_classes: The largest id that is taken; ids begin with 1.
        use_display_name: Whether `display_name` comes before `name`, where there is one.

    Returns:
        In the label map's order; of several items with one id the first.
    """
    if not label_map:
        return [{"id": number, "name": f"category_{number}"} for number in range(1, max_num_classes + 1)]
    categories: dict[int, dict[str, Any]] = {}
    for item in label_map.item:
        if not 1 <= item.id <= max_num_classes or item.id in categories:
            continue
        shown = use_display_name and item.HasField("display_name")
        category = {"id": item.id, "name": item.display_name if shown else item.name}
        if item.HasField("frequency"):
            name = string_int_label_map_pb2.LVISFrequency.Name(item.frequency)
            if name in _FREQUENCIES:
                category["frequency"] = _FREQUENCIES[name]
        if item.HasField("instance_count"):
            category["instance_count"] = item.instance_count
        if item.keypoints:
            category["keypoints"] = {keypoint.label: keypoint.id for keypoint in item.keypoints}
        categories[item.id] = category
    return list(categories.values())


def load_labelmap(path: str | os.PathLike[str]) -> Any:
    """Reads a label map.

    Args:
        path: Of a `StringIntLabelMap` in protobuf's text format.

    Returns:
        The message.

    Raises:
        google.protobuf.text_format.ParseError: It is no label map; the message names the file and the line.
        ValueError: An id is negative, or 0 and not `background`'s.
    """
    with tf.io.gfile.GFile(os.fspath(path), "rb") as file:
        text = file.read().decode("utf-8-sig")
    label_map = string_int_label_map_pb2.StringIntLabelMap()
    try:
        text_format.Merge(text, label_map)
    except text_format.ParseError as error:
        raise text_format.ParseError(_explained(text, str(path), error)) from None
    _require_ids(label_map)
    return label_map


def get_label_map_dict(
    label_map_path_or_proto: Any, use_display_name: bool = False, fill_in_gaps_and_background: bool = False
) -> dict[str, int]:
    """Ids by name.

    Args:
        label_map_path_or_proto: A path, or a `StringIntLabelMap`.
        use_display_name: Whether names are `display_name`s.
        fill_in_gaps_and_background: Whether id 0 is `background`, and ids that are left out have their number for name.

    Raises:
        ValueError: As `load_labelmap`.
    """
    label_map = label_map_path_or_proto
    if isinstance(label_map, (str, os.PathLike)):
        label_map = load_labelmap(label_map)
    _require_ids(label_map)
    ids = {item.display_name if use_display_name else item.name: item.id for item in label_map.item}
    if fill_in_gaps_and_background:
        taken = set(ids.values())
        if 0 not in taken:
            ids["background"] = 0
        ids |= {str(number): number for number in range(1, max(taken)) if number not in taken}
    return ids


def create_categories_from_labelmap(label_map_path: str, use_display_name: bool = True) -> list[dict[str, Any]]:
    """Classes of a label map's file; see `convert_label_map_to_categories`."""
    label_map = load_labelmap(label_map_path)
    return convert_label_map_to_categories(label_map, get_max_label_map_index(label_map), use_display_name)


def create_category_index_from_labelmap(label_map_path: str, use_display_name: bool = True) -> dict[int, Any]:
    """Classes of a label map's file by id: `{1: {"id": 1, "name": "dog"}, ...}`, as drawing functions take them."""
    return create_category_index(create_categories_from_labelmap(label_map_path, use_display_name))


def create_class_agnostic_category_index() -> dict[int, Any]:
    """One class, `object`."""
    return {1: {"id": 1, "name": "object"}}


def _explained(text: str, path: str, error: Exception) -> str:
    """What is wrong with a label map and where; protobuf's words where this project has none."""
    try:
        parse_label_map(text, path)
    except UsageError as explained:
        return str(explained)
    return f"{path}:{error}"


def _require_ids(label_map: Any) -> None:
    for item in label_map.item:
        if item.id < 0:
            raise ValueError(f"the id of {item.name or item.display_name} is {item.id}; ids begin with 1")
        if item.id == 0 and "background" not in (item.name, item.display_name):
            raise ValueError(f"{item.name or item.display_name} has the id 0, which is background's; ids begin with 1")
