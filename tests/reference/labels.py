"""Stored ground truth as a batch's labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from train.models.detector import Labels


def labels_of(arrays: Mapping[str, np.ndarray], true_image_shapes: tf.Tensor) -> Labels:
    """The ground truth of a batch, every box of weight 1.

    Args:
        arrays: With `gt/boxes_I`, ymin xmin ymax xmax in 0..1, and `gt/class_index_I`, from 0.
        true_image_shapes: int32 [N, 3].
    """
    counts = [len(arrays[f"gt/class_index_{row}"]) for row in range(len(true_image_shapes))]
    boxes = np.zeros((len(counts), max(counts), 4), np.float32)
    classes = np.zeros((len(counts), max(counts)), np.int32)
    for row, count in enumerate(counts):
        boxes[row, :count] = arrays[f"gt/boxes_{row}"]
        classes[row, :count] = arrays[f"gt/class_index_{row}"] + 1
    return {
        "groundtruth_boxes": tf.constant(boxes),
        "groundtruth_classes": tf.constant(classes),
        "groundtruth_weights": tf.constant((classes > 0).astype(np.float32)),
        "true_image_shape": true_image_shapes,
    }
