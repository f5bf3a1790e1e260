"""Operations on `BoxList`s: areas and overlaps, windows, choices, coordinates. `scope` is taken and means nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf

from object_detection.absent_modules import absent_names
from object_detection.core.box_list import BoxList

_OWN = "there is no such function here; boxes.get() and TensorFlow do it"
__getattr__ = absent_names(
    __name__,
    dict.fromkeys(
        ("refine_boxes", "refine_boxes_multi_class", "box_voting", "select_random_box", "sample_boxes_by_jittering"),
        _OWN,
    ),
)


class SortOrder:
    """The orders of `sort_by_field`."""

    ascend = 1
    descend = 2


def _like(boxlist: BoxList, boxes: Any) -> BoxList:
    """Other boxes with the same fields."""
    new = BoxList(boxes)
    for field in boxlist.get_extra_fields():
        new.add_field(field, boxlist.get_field(field))
    return new


def _twice(y: Any, x: Any) -> Any:
    """float32 [4]: y x y x."""
    sides = tf.stack([tf.cast(y, tf.float32), tf.cast(x, tf.float32)])
    return tf.concat([sides, sides], axis=0)


def area(boxlist: BoxList, scope: str | None = None) -> Any:
    """Areas, [N]."""
    height, width = height_width(boxlist, scope)
    return height * width


def height_width(boxlist: BoxList, scope: str | None = None) -> tuple[Any, Any]:
    """Heights and widths, each [N]."""
    _, _, height, width = boxlist.get_center_coordinates_and_sizes(scope)
    return height, width


def scale(boxlist: BoxList, y_scale: Any, x_scale: Any, scope: str | None = None) -> BoxList:
    """Multiplies y and x of all corners."""
    del scope
    return _like(boxlist, boxlist.get() * _twice(y_scale, x_scale))


def scale_height_width(boxlist: BoxList, y_scale: Any, x_scale: Any, scope: str | None = None) -> BoxList:
    """Multiplies heights and widths; centres stay."""
    ycenter, xcenter, height, width = boxlist.get_center_coordinates_and_sizes(scope)
    half_height, half_width = y_scale * height / 2, x_scale * width / 2
    corners = [ycenter - half_height, xcenter - half_width, ycenter + half_height, xcenter + half_width]
    return _like(boxlist, tf.stack(corners, axis=1))


def clip_to_window(
    boxlist: BoxList, window: Any, filter_nonoverlapping: bool = True, scope: str | None = None
) -> BoxList:
    """Clips to `window`, [ymin, xmin, ymax, xmax], and leaves out boxes without area then, unless told not to."""
    window = tf.cast(tf.convert_to_tensor(window), tf.float32)
    low, high = tf.tile(window[:2], [2]), tf.tile(window[2:], [2])
    clipped = _like(boxlist, tf.clip_by_value(boxlist.get(), low, high))
    return boolean_mask(clipped, area(clipped, scope) > 0) if filter_nonoverlapping else clipped


def _kept(boxlist: BoxList, keep: Any) -> tuple[BoxList, Any]:
    indices = tf.where(keep)[:, 0]
    return gather(boxlist, indices), indices


def prune_outside_window(boxlist: BoxList, window: Any, scope: str | None = None) -> tuple[BoxList, Any]:
    """Leaves out boxes that reach beyond `window`; returns also the int64 indices of those that stay."""
    del scope
    window, boxes = tf.cast(tf.convert_to_tensor(window), tf.float32), boxlist.get()
    inside = tf.concat([boxes[:, :2] >= window[:2], boxes[:, 2:] <= window[2:]], axis=1)
    return _kept(boxlist, tf.reduce_all(inside, axis=1))


def prune_completely_outside_window(boxlist: BoxList, window: Any, scope: str | None = None) -> tuple[BoxList, Any]:
    """Leaves out boxes that have no part in `window`; returns also the int64 indices of those that stay."""
    del scope
    window, boxes = tf.cast(tf.convert_to_tensor(window), tf.float32), boxlist.get()
    touching = tf.concat([boxes[:, :2] < window[2:], boxes[:, 2:] > window[:2]], axis=1)
    return _kept(boxlist, tf.reduce_all(touching, axis=1))


def _common_area(boxes1: Any, boxes2: Any) -> Any:
    sides = tf.minimum(boxes1[..., 2:], boxes2[..., 2:]) - tf.maximum(boxes1[..., :2], boxes2[..., :2])
    return tf.reduce_prod(tf.maximum(sides, 0.0), axis=-1)


def intersection(boxlist1: BoxList, boxlist2: BoxList, scope: str | None = None) -> Any:
    """Common areas of all pairs, [N, M]."""
    del scope
    return _common_area(boxlist1.get()[:, tf.newaxis], boxlist2.get()[tf.newaxis])


def matched_intersection(boxlist1: BoxList, boxlist2: BoxList, scope: str | None = None) -> Any:
    """Common areas row by row, [N]."""
    del scope
    return _common_area(boxlist1.get(), boxlist2.get())


def iou(boxlist1: BoxList, boxlist2: BoxList, scope: str | None = None) -> Any:
    """Intersection over union of all pairs, [N, M]; 0 where nothing is common."""
    common = intersection(boxlist1, boxlist2, scope)
    return tf.math.divide_no_nan(common, area(boxlist1)[:, tf.newaxis] + area(boxlist2)[tf.newaxis] - common)


def matched_iou(boxlist1: BoxList, boxlist2: BoxList, scope: str | None = None) -> Any:
    """Intersection over union row by row, [N]."""
    common = matched_intersection(boxlist1, boxlist2, scope)
    return tf.math.divide_no_nan(common, area(boxlist1) + area(boxlist2) - common)


def ioa(boxlist1: BoxList, boxlist2: BoxList, scope: str | None = None) -> Any:
    """Intersection over the area of the second of all pairs, [N, M]."""
    return intersection(boxlist1, boxlist2, scope) / area(boxlist2)[tf.newaxis]


def prune_non_overlapping_boxes(
    boxlist1: BoxList, boxlist2: BoxList, min_overlap: float = 0.0, scope: str | None = None
) -> tuple[BoxList, Any]:
    """Keeps the first's boxes of which a share from `min_overlap` lies in one of the second; with their indices."""
    return _kept(boxlist1, tf.reduce_max(ioa(boxlist2, boxlist1, scope), axis=0) >= min_overlap)


def prune_small_boxes(boxlist: BoxList, min_side: Any, scope: str | None = None) -> BoxList:
    """Keeps boxes whose height and width are at least `min_side`."""
    height, width = height_width(boxlist, scope)
    return boolean_mask(boxlist, tf.minimum(height, width) >= min_side)


def change_coordinate_frame(boxlist: BoxList, window: Any, scope: str | None = None) -> BoxList:
    """Coordinates in which `window`, [ymin, xmin, ymax, xmax], is 0, 0, 1, 1."""
    window = tf.cast(tf.convert_to_tensor(window), tf.float32)
    moved = _like(boxlist, boxlist.get() - tf.tile(window[:2], [2]))
    return scale(moved, 1.0 / (window[2] - window[0]), 1.0 / (window[3] - window[1]), scope)


def _chosen_fields(boxlist: BoxList, fields: Iterable[str] | None) -> list[str]:
    return boxlist.get_extra_fields() if fields is None else [field for field in fields if field != "boxes"]


def boolean_mask(
    boxlist: BoxList,
    indicator: Any,
    fields: Iterable[str] | None = None,
    scope: str | None = None,
    use_static_shapes: bool = False,
    indicator_sum: int | None = None,
) -> BoxList:
    """Keeps the rows where `indicator`, bool [N], holds.

    Args:
        boxlist: Boxes.
        indicator: What to keep.
        fields: Names of the fields to take along; all by default.
        scope: Means nothing.
        use_static_shapes: Means nothing: the number of rows follows the indicator.
        indicator_sum: Means nothing.

    Raises:
        ValueError: `indicator` is not bool [N], or there is no such field.
    """
    del scope, use_static_shapes, indicator_sum
    indicator = tf.convert_to_tensor(indicator)
    if indicator.shape.rank != 1 or indicator.dtype != tf.bool:
        raise ValueError(f"indicator is {indicator.dtype.name} {indicator.shape}, and must be bool [N]")
    return gather(boxlist, tf.where(indicator)[:, 0], _chosen_fields(boxlist, fields))


def gather(
    boxlist: BoxList,
    indices: Any,
    fields: Iterable[str] | None = None,
    scope: str | None = None,
    use_static_shapes: bool = False,
) -> BoxList:
    """Rows by number.

    Args:
        boxlist: Boxes.
        indices: int32 or int64 [M].
        fields: Names of the fields to take along; all by default.
        scope: Means nothing.
        use_static_shapes: Means nothing.

    Raises:
        ValueError: `indices` are no such tensor, or there is no such field.
    """
    del scope, use_static_shapes
    indices = tf.convert_to_tensor(indices)
    if indices.shape.rank != 1 or indices.dtype not in (tf.int32, tf.int64):
        raise ValueError(f"indices are {indices.dtype.name} {indices.shape}, and must be int32 or int64 [M]")
    chosen = BoxList(tf.gather(boxlist.get(), indices))
    for field in _chosen_fields(boxlist, fields):
        chosen.add_field(field, tf.gather(boxlist.get_field(field), indices))
    return chosen


def concatenate(boxlists: Sequence[BoxList], fields: Iterable[str] | None = None, scope: str | None = None) -> BoxList:
    """All rows of several, with the first's fields or those that are named.

    Raises:
        ValueError: There are none, or one lacks a field.
    """
    del scope
    if not isinstance(boxlists, list) or not boxlists or not all(isinstance(one, BoxList) for one in boxlists):
        raise ValueError("boxlists must be a list of BoxLists, at least one")
    joined = BoxList(tf.concat([one.get() for one in boxlists], axis=0))
    for field in _chosen_fields(boxlists[0], fields):
        joined.add_field(field, tf.concat([one.get_field(field) for one in boxlists], axis=0))
    return joined


def sort_by_field(boxlist: BoxList, field: str, order: int = SortOrder.descend, scope: str | None = None) -> BoxList:
    """Sorts by a field [N].

    Raises:
        ValueError: There is no such field, it is not [N], or the order is unknown.
    """
    del scope
    if order not in (SortOrder.ascend, SortOrder.descend):
        raise ValueError("the order must be SortOrder.ascend or SortOrder.descend")
    values = boxlist.get_field(field)
    if values.shape.rank != 1:
        raise ValueError(f"the field {field} has the shape {values.shape}, and must be [N]")
    direction = "DESCENDING" if order == SortOrder.descend else "ASCENDING"
    return gather(boxlist, tf.argsort(values, direction=direction, stable=True))


def visualize_boxes_in_image(image: Any, boxlist: BoxList, normalized: bool = False, scope: str | None = None) -> Any:
    """Draws thin boxes on an image tensor [height, width, 3]; coordinates are pixels unless `normalized`."""
    if not normalized:
        shape = tf.cast(tf.shape(image), tf.float32)
        boxlist = scale(boxlist, 1.0 / shape[0], 1.0 / shape[1], scope)
    drawn = tf.compat.v1.image.draw_bounding_boxes(image[tf.newaxis], boxlist.get()[tf.newaxis])
    return drawn[0]


def filter_field_value_equals(boxlist: BoxList, field: str, value: Any, scope: str | None = None) -> BoxList:
    """Keeps rows whose field has this value."""
    del scope
    return boolean_mask(boxlist, tf.reshape(boxlist.get_field(field) == value, [-1]))


def filter_greater_than(boxlist: BoxList, thresh: float, scope: str | None = None) -> BoxList:
    """Keeps boxes whose `scores` are above `thresh`."""
    del scope
    return boolean_mask(boxlist, tf.reshape(boxlist.get_field("scores") > thresh, [-1]))


def non_max_suppression(boxlist: BoxList, thresh: float, max_output_size: int, scope: str | None = None) -> BoxList:
    """Keeps the best boxes by `scores`, of one class, that overlap no better one by an IoU above `thresh`.

    Raises:
        ValueError: `thresh` is not from 0 to 1, or there are no scores.
    """
    del scope
    if not 0 <= thresh <= 1:
        raise ValueError(f"thresh is {thresh}, and must be from 0 to 1")
    scores = boxlist.get_field("scores")
    return gather(boxlist, tf.image.non_max_suppression(boxlist.get(), scores, max_output_size, iou_threshold=thresh))


def to_normalized_coordinates(
    boxlist: BoxList, height: Any, width: Any, check_range: bool = True, scope: str | None = None
) -> BoxList:
    """From pixels to 0..1; with `check_range`, boxes that are in 0..1 already end in an InvalidArgumentError."""
    if check_range:
        tf.debugging.assert_greater(tf.reduce_max(boxlist.get()), 1.01, "the boxes are in 0..1 already")
    return scale(boxlist, 1.0 / tf.cast(height, tf.float32), 1.0 / tf.cast(width, tf.float32), scope)


def to_absolute_coordinates(
    boxlist: BoxList,
    height: Any,
    width: Any,
    check_range: bool = True,
    maximum_normalized_coordinate: float = 1.1,
    scope: str | None = None,
) -> BoxList:
    """From 0..1 to pixels; with `check_range`, boxes in pixels already end in an InvalidArgumentError."""
    if check_range:
        largest = tf.reduce_max(boxlist.get())
        tf.debugging.assert_less_equal(largest, maximum_normalized_coordinate, "the boxes are in pixels already")
    return scale(boxlist, height, width, scope)


def pad_or_clip_box_list(boxlist: BoxList, num_boxes: int, scope: str | None = None) -> BoxList:
    """The first `num_boxes` rows, with rows of zeros where there are fewer."""
    del scope

    def resized(values: Any) -> Any:
        kept = values[:num_boxes]
        padding = [[0, num_boxes - tf.shape(kept)[0]], *[[0, 0]] * (values.shape.rank - 1)]
        padded = tf.pad(kept, padding)
        return tf.ensure_shape(padded, [num_boxes, *values.shape[1:]])

    new = BoxList(resized(boxlist.get()))
    for field in boxlist.get_extra_fields():
        new.add_field(field, resized(boxlist.get_field(field)))
    return new
