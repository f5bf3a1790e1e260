"""Boxes with the same coordinates become one with several classes: `train_config.merge_multiple_label_boxes`."""

from __future__ import annotations

import tensorflow as tf

from train.inputs.ground_truth import BOXES, CLASSES, GroundTruth

# float32 [N, num_classes], 1 for each class that a box has and 0 for the others; column 0 is label map id 1. In batches
# only where boxes are merged: elsewhere `groundtruth_classes` says it all.
CLASS_TARGETS = "groundtruth_class_targets"
# How finely coordinates are compared, as in the API's `utils/ops.py`, `merge_boxes_with_multiple_labels`.
_BINS = 10000


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
