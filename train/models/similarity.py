"""Similarities of ground truth boxes and anchors, for matchers, as the API's core/region_similarity_calculator.py.

All boxes are ymin, xmin, ymax, xmax. Ground truth is float32 [..., M, 4], anchors are float32 [..., A, 4] in the same
units, and leading axes broadcast.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from configs.settings import matching

# Of ground truth boxes, anchors and ground truth scores, float32 [..., M, A].
Similarity = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


def pairwise_iou(boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """Intersection over union of every pair, float32 [..., M, A] in 0..1; 0 where both boxes are empty."""
    intersection = _pairwise_intersection(boxes, anchors)
    union = _area(boxes)[..., :, tf.newaxis] + _area(anchors)[..., tf.newaxis, :] - intersection
    return tf.math.divide_no_nan(intersection, union)


def pairwise_ioa(boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """Intersection over the anchor's area of every pair, float32 [..., M, A] in 0..1; 0 where the anchor is empty."""
    return tf.math.divide_no_nan(_pairwise_intersection(boxes, anchors), _area(anchors)[..., tf.newaxis, :])


def negative_squared_distance(boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """Minus the squared distance of every pair, as points in four dimensions; float32 [..., M, A], at most 0."""
    difference = boxes[..., :, tf.newaxis, :] - anchors[..., tf.newaxis, :, :]
    return -tf.reduce_sum(tf.square(difference), axis=-1)


def thresholded_iou(boxes: tf.Tensor, anchors: tf.Tensor, scores: tf.Tensor, iou_threshold: float) -> tf.Tensor:
    """A ground truth's score where its intersection over union with an anchor exceeds a threshold, else 0.

    Args:
        boxes: Ground truth.
        anchors: Anchors.
        scores: float32 [..., M], of the ground truth.
        iou_threshold: 0..1.

    Returns:
        float32 [..., M, A].
    """
    return tf.where(pairwise_iou(boxes, anchors) > iou_threshold, scores[..., :, tf.newaxis], 0.0)


def build_similarity(settings: matching.Similarity) -> Similarity:
    """Builds the similarity of settings.

    Returns:
        A function of ground truth boxes [..., M, 4], anchors [..., A, 4] and ground truth scores [..., M], which only
        a thresholded similarity looks at. Distances depend on the unit of the boxes: the API's SSD compares boxes in
        0..1 of the input.
    """
    match settings:
        case matching.IouSimilarity():
            return lambda boxes, anchors, scores: pairwise_iou(boxes, anchors)
        case matching.IoaSimilarity():
            return lambda boxes, anchors, scores: pairwise_ioa(boxes, anchors)
        case matching.NegSqDistSimilarity():
            return lambda boxes, anchors, scores: negative_squared_distance(boxes, anchors)
        case matching.ThresholdedIouSimilarity(iou_threshold=threshold):
            return lambda boxes, anchors, scores: thresholded_iou(boxes, anchors, scores, threshold)


def _area(boxes: tf.Tensor) -> tf.Tensor:
    return tf.reduce_prod(boxes[..., 2:] - boxes[..., :2], axis=-1)


def _pairwise_intersection(boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    # One coordinate at a time, so that anchors are the innermost axis: broadcasting corners of two numbers took
    # TensorFlow several times as long.
    ymin, xmin, ymax, xmax = tf.unstack(boxes[..., :, tf.newaxis, :], axis=-1)
    anchor_ymin, anchor_xmin, anchor_ymax, anchor_xmax = tf.unstack(anchors[..., tf.newaxis, :, :], axis=-1)
    height = tf.minimum(ymax, anchor_ymax) - tf.maximum(ymin, anchor_ymin)
    width = tf.minimum(xmax, anchor_xmax) - tf.maximum(xmin, anchor_xmin)
    return tf.maximum(height, 0.0) * tf.maximum(width, 0.0)
