"""Faster R-CNN's first stage: anchors within an input, proposals, sampling and losses."""

import numpy as np
import tensorflow as tf

from tests.small_models import faster_rcnn_settings
from train.models.detector import GroundTruth
from train.models.first_stage import BOX_CODER, InputAnchors, assign_anchors, first_stage_losses, propose_regions

ANCHORS = tf.constant(
    [[0, 0, 40, 40], [0, 50, 40, 90], [50, 0, 90, 40], [70, 70, 110, 110], [110, 110, 150, 150]], tf.float32
)


def faster_rcnn(text: str = ""):
    return faster_rcnn_settings(f"number_of_stages: 1 {text}")


def ground_truth(boxes, weights) -> GroundTruth:
    return GroundTruth(
        boxes=tf.constant([boxes], tf.float32),
        classes=tf.ones([1, len(boxes)], tf.int32),
        weights=tf.constant([weights], tf.float32),
        valid=tf.ones([1, len(boxes)], tf.bool),
    )


def test_training_prunes_anchors_that_leave_the_input_and_inference_clips_them():
    pruned = InputAnchors.within(ANCHORS, (100, 100), prune=True)
    np.testing.assert_array_equal(pruned.boxes, ANCHORS)
    np.testing.assert_array_equal(pruned.usable, [True, True, True, False, False])
    clipped = InputAnchors.within(ANCHORS, (100, 100), prune=False)
    np.testing.assert_array_equal(clipped.boxes[3], [70, 70, 100, 100])
    np.testing.assert_array_equal(clipped.usable, [True, True, True, True, False])


def test_proposals_meet_unclipped_then_are_clipped_to_the_image_without_padding():
    anchors = InputAnchors.within(ANCHORS, (100, 100), prune=False)
    boxes = tf.constant([[0, 0, 40, 40], [1, 0, 41, 40], [50, 0, 120, 40], [85, 85, 95, 95], [0, 0, 1, 1]], tf.float32)
    codes = BOX_CODER.encode(boxes, anchors.boxes)[tf.newaxis]
    scores = np.array([0.9, 0.8, 0.7, 0.99, 0.999])
    logits = tf.constant(np.stack([np.zeros(5), np.log(scores / (1 - scores))], axis=-1)[np.newaxis], tf.float32)
    model = faster_rcnn("first_stage_max_proposals: 4 first_stage_nms_score_threshold: 0.1")
    found = propose_regions(logits, codes, anchors, tf.constant([[80, 60, 3]]), model)
    # The first suppresses the second; what the image's 80x60 leaves nothing of is dropped, as is an unusable anchor.
    np.testing.assert_array_equal(found.count, [2])
    np.testing.assert_allclose(found.boxes[0], [[0, 0, 40, 40], [50, 0, 80, 40], [0] * 4, [0] * 4], atol=1e-3)
    np.testing.assert_allclose(found.scores[0], [0.9, 0.7, 0, 0], atol=1e-5)


def test_objectness_must_exceed_its_threshold():
    anchors = InputAnchors.within(ANCHORS, (200, 200), prune=False)
    logits = tf.constant([[[0.0, 1.0], [0.0, -1.0], [0.0, 2.0], [0.0, 0.0], [1.0, 0.0]]])
    model = faster_rcnn("first_stage_nms_score_threshold: 0.5")
    assert int(propose_regions(logits, tf.zeros([1, 5, 4]), anchors, tf.constant([[200, 200, 3]]), model).count) == 2


def test_every_object_that_weighs_something_is_sure_of_an_anchor():
    anchors = InputAnchors.within(ANCHORS, (200, 200), prune=True)
    # No anchor overlaps any of them by 0.7.
    boxes = [[0, 50, 40, 70], [50, 20, 90, 60]]
    targets = assign_anchors(anchors, ground_truth(boxes, [1.0, 1.0]))
    np.testing.assert_array_equal(targets.positive[0], [False, True, True, False, False])
    targets = assign_anchors(anchors, ground_truth(boxes, [1.0, 0.0]))
    np.testing.assert_array_equal(targets.positive[0], [False, True, False, False, False])


def test_losses_by_hand():
    anchors = InputAnchors.within(ANCHORS, (100, 100), prune=True)
    # The first object is the first anchor, with half the weight; the second one weighs nothing, and its anchor is out.
    truth = ground_truth([[0, 0, 40, 40], [0, 50, 40, 90]], [0.5, 0.0])
    logits = tf.constant([[[0.0, 1.0], [0.0, 2.0], [0.0, 3.0], [0.0, 4.0], [0.0, 5.0]]])
    codes = tf.constant([[[0.5, 0, 2, 0]] * 5])
    model = faster_rcnn("first_stage_localization_loss_weight: 2.0 first_stage_objectness_loss_weight: 3.0")
    losses = first_stage_losses(logits, codes, anchors, truth, model)
    objectness = (np.log(1 + np.exp(-1.0)) + np.log(1 + np.exp(3.0))) / 2
    np.testing.assert_allclose(losses["Loss/RPNLoss/objectness_loss"], 3 * objectness, rtol=1e-5)
    location = 0.5 * (0.5**2 / 2 + 1.5) / 2
    np.testing.assert_allclose(losses["Loss/RPNLoss/localization_loss"], 2 * location, rtol=1e-5)


def test_the_minibatch_has_its_size_and_its_share_of_positives():
    boxes = tf.tile(tf.constant([[0, 0, 40, 40], [60, 60, 90, 90]], tf.float32), [40, 1])  # 40 of each
    anchors = InputAnchors.within(boxes, (100, 100), prune=True)
    truth = ground_truth([[0, 0, 40, 40]], [1.0])
    # Each drawn positive costs log(1 + e^20), each negative nothing.
    logits = tf.tile(tf.constant([[[20.0, 0.0]]]), [1, 80, 1])
    model = faster_rcnn("first_stage_minibatch_size: 20 first_stage_positive_balance_fraction: 0.25")
    loss = first_stage_losses(logits, tf.zeros([1, 80, 4]), anchors, truth, model)["Loss/RPNLoss/objectness_loss"]
    np.testing.assert_allclose(loss, 20.0 * 5 / 20, rtol=1e-5)
