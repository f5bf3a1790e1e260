"""Box geometry in NumPy. Boxes are float arrays [N, 4] ordered ymin, xmin, ymax, xmax, in pixels or relative (0..1)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.floating[Any]]


def as_boxes(boxes: ArrayLike) -> FloatArray:
    """Returns `boxes` as a float array [N, 4], ymin xmin ymax xmax; an empty sequence becomes [0, 4].

    Float arrays keep their type, everything else becomes float64.

    Raises:
        ValueError: The shape is not [N, 4].
    """
    array = np.asarray(boxes)
    if not np.issubdtype(array.dtype, np.floating):
        array = array.astype(np.float64)
    if array.size == 0 and array.ndim <= 2:
        return array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"boxes must have the shape [N, 4] (ymin, xmin, ymax, xmax), not {list(array.shape)}")
    return array


def area(boxes: ArrayLike) -> FloatArray:
    """Returns the areas [N] of `boxes` [N, 4] (ymin xmin ymax xmax), 0 for a reversed box."""
    array = as_boxes(boxes)
    heights = np.maximum(array[:, 2] - array[:, 0], 0)
    widths = np.maximum(array[:, 3] - array[:, 1], 0)
    return heights * widths


def intersection(boxes_a: ArrayLike, boxes_b: ArrayLike) -> FloatArray:
    """Returns the areas [N, M] shared by each of `boxes_a` [N, 4] and `boxes_b` [M, 4] (ymin xmin ymax xmax)."""
    a = as_boxes(boxes_a)[:, np.newaxis, :]
    b = as_boxes(boxes_b)[np.newaxis, :, :]
    heights = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0])
    widths = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1])
    return np.maximum(heights, 0) * np.maximum(widths, 0)


def iou(boxes_a: ArrayLike, boxes_b: ArrayLike) -> FloatArray:
    """Returns the intersection over union [N, M], 0..1, of `boxes_a` [N, 4] and `boxes_b` [M, 4] (ymin xmin ymax xmax).

    Two boxes without area have an IoU of 0, not NaN.
    """
    shared = intersection(boxes_a, boxes_b)
    union = area(boxes_a)[:, np.newaxis] + area(boxes_b)[np.newaxis, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def clip(boxes: ArrayLike, window: ArrayLike) -> FloatArray:
    """Returns `boxes` [N, 4] cut to `window` [4]; both ymin xmin ymax xmax, in the same unit.

    A box outside the window loses its area (`is_valid` then tells), it is not removed.
    """
    array = as_boxes(boxes)
    ymin, xmin, ymax, xmax = np.asarray(window, array.dtype)
    return np.clip(array, np.stack([ymin, xmin, ymin, xmin]), np.stack([ymax, xmax, ymax, xmax]))


def is_valid(boxes: ArrayLike) -> NDArray[np.bool_]:
    """Returns [N], true for `boxes` [N, 4] (ymin xmin ymax xmax) that are finite with ymin < ymax and xmin < xmax."""
    array = as_boxes(boxes)
    return np.isfinite(array).all(axis=1) & (array[:, 0] < array[:, 2]) & (array[:, 1] < array[:, 3])
