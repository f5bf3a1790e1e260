"""`BoxList`: boxes and what belongs to each, such as scores and classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

_BOXES = "boxes"


class BoxList:
    """N boxes, float32 [N, 4] as ymin xmin ymax xmax, with fields of N rows each.

    Attributes:
        data: The boxes and the fields by name.
    """

    def __init__(self, boxes: Any) -> None:
        """Holds boxes.

        Args:
            boxes: A float32 tensor [N, 4].

        Raises:
            ValueError: It has another shape, or another type.
        """
        if boxes.dtype != tf.float32:
            raise ValueError(f"boxes are {boxes.dtype.name}, and must be float32")
        self.data: dict[str, Any] = {}
        self.set(boxes)

    def num_boxes(self) -> Any:
        """N as an int32 scalar."""
        return tf.shape(self.get())[0]

    def num_boxes_static(self) -> int | None:
        """N where the shape says it."""
        return self.get().shape[0]

    def get_all_fields(self) -> Iterable[str]:
        """Names of all fields, the boxes' too."""
        return self.data.keys()

    def get_extra_fields(self) -> list[str]:
        """Names of all fields but the boxes'."""
        return [name for name in self.data if name != _BOXES]

    def add_field(self, field: str, field_data: Any) -> None:
        """Sets a field, new or not."""
        self.data[field] = field_data

    def has_field(self, field: str) -> bool:
        """Whether there is such a field."""
        return field in self.data

    def get(self) -> Any:
        """The boxes, float32 [N, 4]."""
        return self.data[_BOXES]

    def set(self, boxes: Any) -> None:
        """Replaces the boxes.

        Raises:
            ValueError: They are not [N, 4].
        """
        if boxes.shape.rank != 2 or boxes.shape[1] != 4:
            raise ValueError(f"boxes have the shape {boxes.shape}, and must be [N, 4]")
        self.data[_BOXES] = boxes

    def get_field(self, field: str) -> Any:
        """A field's tensor.

        Raises:
            ValueError: There is no such field.
        """
        if field not in self.data:
            raise ValueError(f"there is no field {field}; there are {', '.join(self.data)}")
        return self.data[field]

    def set_field(self, field: str, value: Any) -> None:
        """Replaces a field that is there.

        Raises:
            ValueError: There is no such field.
        """
        self.get_field(field)
        self.data[field] = value

    def get_center_coordinates_and_sizes(self, scope: str | None = None) -> list[Any]:
        """Centres and sizes: [ycenter, xcenter, height, width], each [N]."""
        del scope
        ymin, xmin, ymax, xmax = tf.unstack(self.get(), axis=1)
        height, width = ymax - ymin, xmax - xmin
        return [ymin + height / 2, xmin + width / 2, height, width]

    def transpose_coordinates(self, scope: str | None = None) -> None:
        """Swaps y and x in place."""
        del scope
        self.set(tf.gather(self.get(), [1, 0, 3, 2], axis=1))

    def as_tensor_dict(self, fields: Iterable[str] | None = None) -> dict[str, Any]:
        """Some fields, or all, by name.

        Raises:
            ValueError: There is no such field.
        """
        return {field: self.get_field(field) for field in (self.get_all_fields() if fields is None else fields)}
