"""Similarities, against their definitions written out pair by pair."""

import numpy as np
import pytest
import tensorflow as tf

from configs.schema.pipeline_file import parse_pipeline_config
from configs.settings.declaration import SettingsError
from configs.settings.matching import SIMILARITIES
from configs.settings.reading import read_choice
from train.models.similarity import build_similarity, pairwise_iou


def similarity_of(text):
    text = f"model {{ ssd {{ similarity_calculator {{ {text} }} }} }}"
    message = parse_pipeline_config(text).model.ssd.similarity_calculator
    return build_similarity(read_choice(SIMILARITIES, message, "similarity_calculator"))


def area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def intersection(a, b):
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def slow_iou(a, b, score):
    union = area(a) + area(b) - intersection(a, b)
    return intersection(a, b) / union if union else 0.0


def slow_ioa(a, b, score):
    return intersection(a, b) / area(b) if area(b) else 0.0


def slow_distance(a, b, score):
    return -sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def slow_thresholded(a, b, score):
    return score if slow_iou(a, b, score) > 0.2 else 0.0


@pytest.mark.parametrize(
    ("text", "slow"),
    [
        ("iou_similarity {}", slow_iou),
        ("ioa_similarity {}", slow_ioa),
        ("neg_sq_dist_similarity {}", slow_distance),
        ("thresholded_iou_similarity { iou_threshold: 0.2 }", slow_thresholded),
    ],
)
def test_each_similarity_equals_its_definition(text, slow):
    random = np.random.default_rng(0)
    boxes, anchors = (
        np.sort(random.uniform(0, 1, (2, n, 2, 2)), axis=2).reshape(2, n, 4).astype(np.float32) for n in (5, 7)
    )
    scores = random.uniform(0, 1, (2, 5)).astype(np.float32)
    boxes[0, 0] = anchors[0, 0] = 0
    found = similarity_of(text)(tf.constant(boxes), tf.constant(anchors), tf.constant(scores))
    expected = [
        [[slow(a, b, score) for b in anchors[row]] for a, score in zip(boxes[row], scores[row], strict=True)]
        for row in range(2)
    ]
    assert np.count_nonzero(expected) > 8
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_hand_computed_pairs():
    boxes, anchors = tf.constant([[0.0, 0, 2, 2]]), tf.constant([[1.0, 1, 3, 3], [0, 0, 1, 4], [5, 5, 6, 6]])
    scores = tf.constant([0.7])
    np.testing.assert_allclose(similarity_of("iou_similarity {}")(boxes, anchors, scores), [[1 / 7, 2 / 6, 0]])
    np.testing.assert_allclose(similarity_of("ioa_similarity {}")(boxes, anchors, scores), [[1 / 4, 2 / 4, 0]])
    np.testing.assert_allclose(
        similarity_of("neg_sq_dist_similarity {}")(boxes, anchors, scores), [[-4, -5, -(25 + 25 + 16 + 16)]]
    )
    third = similarity_of("thresholded_iou_similarity { iou_threshold: 0.2 }")
    np.testing.assert_allclose(third(boxes, anchors, scores), [[0, 0.7, 0]])


def test_a_thresholded_iou_must_exceed_the_threshold():
    half = similarity_of("thresholded_iou_similarity {}")
    boxes, anchors = tf.constant([[0.0, 0, 2, 2]]), tf.constant([[0.0, 0, 1, 2], [0, 0, 2, 2]])
    np.testing.assert_allclose(half(boxes, anchors, tf.constant([1.0])), [[0, 1]])


def test_boxes_broadcast_over_a_batch():
    boxes, anchors = tf.random.uniform([3, 2, 4]), tf.random.uniform([1, 5, 4])
    assert pairwise_iou(boxes, anchors).shape == (3, 2, 5)


def test_an_empty_message_is_refused():
    with pytest.raises(SettingsError, match="similarity_calculator: is not set"):
        similarity_of("")
