from types import SimpleNamespace

import numpy as np
import tensorflow as tf

from train.models.post_processing import batch_non_max_suppression, convert_scores

CONFIG = SimpleNamespace(max_detections_per_class=5, max_total_detections=4, iou_threshold=0.5, score_threshold=0.1)


def test_overlapping_boxes_of_a_class_are_suppressed_and_of_another_are_not():
    boxes = tf.constant([[[0.0, 0, 50, 50], [0, 0, 50, 52], [10, 60, 40, 120]]])[:, :, tf.newaxis]
    scores = tf.constant([[[0.9, 0.3], [0.8, 0.2], [0.05, 0.7]]])
    found = batch_non_max_suppression(boxes, scores, tf.constant([[100, 100, 3]]), CONFIG)
    assert found["num_detections"].numpy().tolist() == [3.0]
    np.testing.assert_allclose(found["detection_scores"][0], [0.9, 0.7, 0.3, 0], rtol=1e-6)
    assert found["detection_classes"].numpy()[0].tolist() == [1.0, 2.0, 2.0, 0.0]
    # Normalised to the picture without padding, clipped to it, zeros beyond the last.
    np.testing.assert_allclose(found["detection_boxes"][0, 1], [0.1, 0.6, 0.4, 1.0])
    assert not found["detection_boxes"].numpy()[0, 3].any()


def test_score_converters():
    logits = tf.constant([[2.0, 0.0, -2.0]])
    np.testing.assert_allclose(convert_scores(logits, "SIGMOID"), tf.sigmoid(logits))
    np.testing.assert_allclose(convert_scores(logits, "SOFTMAX", logit_scale=2.0), tf.nn.softmax(logits / 2))
    np.testing.assert_allclose(convert_scores(logits, "IDENTITY"), logits)
