"""An image's ground truth as tensors, and operations on it.

Boxes are [ymin, xmin, ymax, xmax] relative to the image (0..1) throughout.
"""

from __future__ import annotations

from typing import TypeAlias

import tensorflow as tf

BOXES = "groundtruth_boxes"
CLASSES = "groundtruth_classes"
WEIGHTS = "groundtruth_weights"
IS_CROWD = "groundtruth_is_crowd"
DIFFICULT = "groundtruth_difficult"
GROUP_OF = "groundtruth_group_of"
AREA = "groundtruth_area"
# float32 [N, num_classes], 1 for each class that a box has and 0 for the others; column 0 is label map id 1. In batches
# only where boxes are merged: elsewhere `groundtruth_classes` says it all.
CLASS_TARGETS = "groundtruth_class_targets"
# How finely coordinates are compared, as in the API's `utils/ops.py`, `merge_boxes_with_multiple_labels`.
_BINS = 10000

# One image's objects: float32 [N, 4] boxes, int32 [N] classes (label map ids), float32 [N] weights, bool [N] flags,
# float32 [N] area in pixels of the original image. All have the same N and stay in the same order.
GroundTruth: TypeAlias = dict[str, tf.Tensor]

DTYPES: dict[str, tf.DType] = {
    BOXES: tf.float32,
    CLASSES: tf.int32,
    WEIGHTS: tf.float32,
    IS_CROWD: tf.bool,
    DIFFICULT: tf.bool,
    GROUP_OF: tf.bool,
    AREA: tf.float32,
}


def with_boxes(ground_truth: GroundTruth, boxes: tf.Tensor) -> GroundTruth:
    """Returns the same objects at other places.

    Args:
        ground_truth: N objects.
        boxes: float32 [N, 4], ymin xmin ymax xmax.
    """
    return {**ground_truth, BOXES: boxes}


def keep(ground_truth: GroundTruth, mask: tf.Tensor) -> GroundTruth:
    """Returns the objects where `mask` (bool [N]) holds: boxes, classes, weights and flags together."""
    indices = tf.where(mask)[:, 0]
    return {name: tf.gather(values, indices) for name, values in ground_truth.items()}


def first(ground_truth: GroundTruth, count: int) -> GroundTruth:
    """Returns the first `count` objects, or all when there are fewer."""
    return {name: values[:count] for name, values in ground_truth.items()}


def box_area(boxes: tf.Tensor) -> tf.Tensor:
    """Returns the area, float32 [N], of boxes [N, 4]; 0 for a reversed one."""
    sides = tf.maximum(boxes[:, 2:] - boxes[:, :2], 0.0)
    return sides[:, 0] * sides[:, 1]


def clip_to_window(boxes: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
    """Returns boxes [N, 4] cut off at `window`, float32 [4]; both ymin xmin ymax xmax in one coordinate system."""
    low = tf.concat([window[:2], window[:2]], axis=0)
    high = tf.concat([window[2:], window[2:]], axis=0)
    return tf.clip_by_value(boxes, low, high)


def share_inside(boxes: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
    """Returns which share of each box's area lies inside the window, float32 [N] from 0 to 1."""
    return tf.math.divide_no_nan(box_area(clip_to_window(boxes, window)), box_area(boxes))


def relative_to_window(boxes: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
    """Returns the boxes in a coordinate system in which `window` is 0, 0, 1, 1.

    Args:
        boxes: float32 [N, 4], ymin xmin ymax xmax.
        window: float32 [4], ymin xmin ymax xmax in the boxes' coordinate system; may reach beyond the image.
    """
    origin = tf.concat([window[:2], window[:2]], axis=0)
    size = window[2:] - window[:2]
    return (boxes - origin) / tf.concat([size, size], axis=0)


def merge_equal_boxes(ground_truth: GroundTruth, num_classes: int) -> GroundTruth:
    """Merges boxes whose coordinates agree to 1/10000 of the image.

    Weight, area and flags are those of the first of the boxes that became one (the API left these lists unmerged, so
    that they no longer fitted the boxes).

    Args:
        ground_truth: N objects, boxes ymin xmin ymax xmax in 0..1.
        num_classes: The largest label map id.

    Returns:
        At most N objects in the order in which their places first come, with `CLASS_TARGETS`; their classes are those
        of the first box.
    """
    places = tf.cast(ground_truth[BOXES] * (_BINS - 1), tf.int64)
    powers = tf.constant([1, _BINS, _BINS**2, _BINS**3], tf.int64)
    unique, group_of_box = tf.unique(tf.reduce_sum(places * powers, axis=1))
    count = tf.size(unique)
    first_of_group = tf.math.unsorted_segment_min(tf.range(tf.size(group_of_box)), group_of_box, count)
    one_hot = tf.one_hot(ground_truth[CLASSES] - 1, num_classes)
    merged = {name: tf.gather(values, first_of_group) for name, values in ground_truth.items()}
    merged[CLASS_TARGETS] = tf.reshape(tf.math.unsorted_segment_max(one_hot, group_of_box, count), [count, num_classes])
    return merged
