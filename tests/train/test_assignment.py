import numpy as np
import tensorflow as tf

from train.models.assignment import IGNORED, UNMATCHED, ArgmaxMatcher, assign, pairwise_iou, sample_balanced
from train.models.box_coders import FasterRcnnBoxCoder

SIMILARITY = tf.constant([[[0.2, 0.3, 0.5, 0.7, 0.9], [0.1, 0.2, 0.35, 0.75, 0.1]]])


def slow_iou(a, b):
    height = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    width = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - height * width
    return height * width / union if union else 0.0


def test_pairwise_iou_equals_the_definition():
    random = np.random.default_rng(0)
    boxes, others = (np.sort(random.uniform(0, 9, (n, 2, 2)), axis=1).reshape(n, 4) for n in (5, 7))
    boxes[0] = 0
    expected = [[slow_iou(a, b) for b in others] for a in boxes]
    np.testing.assert_allclose(pairwise_iou(tf.constant(boxes), tf.constant(others)), expected, atol=1e-12)


def match(valid=(True, True), **changes):
    arguments = {"matched_threshold": 0.7, "unmatched_threshold": 0.3, **changes}
    return ArgmaxMatcher(**arguments).match(SIMILARITY, tf.constant([valid])).numpy()[0].tolist()


def test_thresholds_divide_into_unmatched_ignored_and_matched():
    assert match() == [UNMATCHED, IGNORED, IGNORED, 1, 0]


def test_negatives_above_the_lower_threshold_swaps_the_two_kinds():
    assert match(negatives_lower_than_unmatched=False) == [IGNORED, UNMATCHED, UNMATCHED, 1, 0]


def test_every_ground_truth_is_sure_of_an_anchor_when_forced():
    assert match(matched_threshold=0.95, unmatched_threshold=0.95) == [UNMATCHED] * 5
    forced = match(matched_threshold=0.95, unmatched_threshold=0.95, force_match_for_each_row=True)
    assert forced == [UNMATCHED, UNMATCHED, UNMATCHED, 1, 0]


def test_the_first_of_two_ground_truths_gets_an_anchor_that_both_want():
    similarity = tf.constant([[[0.1, 0.4], [0.1, 0.45]]])
    matcher = ArgmaxMatcher(0.5, 0.5, force_match_for_each_row=True)
    assert matcher.match(similarity, tf.constant([[True, True]])).numpy().tolist() == [[UNMATCHED, 0]]


def test_padding_matches_nothing_and_an_empty_picture_is_all_background():
    assert match(valid=(True, False)) == [UNMATCHED, IGNORED, IGNORED, 0, 0]
    assert match(valid=(False, False), force_match_for_each_row=True) == [UNMATCHED] * 5
    assert match(valid=(False, False), matched_threshold=None, unmatched_threshold=None) == [UNMATCHED] * 5


def test_targets_carry_weights_and_ignored_anchors_weigh_nothing():
    targets = assign(
        matches=tf.constant([[UNMATCHED, IGNORED, 1, 0]]),
        groundtruth_boxes=tf.constant([[[0.0, 0, 1, 1], [2.0, 2, 3, 3]]]),
        groundtruth_classes=tf.constant([[7, 9]]),
        groundtruth_weights=tf.constant([[0.5, 1.0]]),
    )
    assert targets.classes.numpy().tolist() == [[0, 0, 9, 7]]
    assert targets.class_weights.numpy().tolist() == [[1.0, 0.0, 1.0, 0.5]]
    assert targets.box_weights.numpy().tolist() == [[0.0, 0.0, 1.0, 0.5]]
    assert targets.boxes.numpy()[0, 2].tolist() == [2, 2, 3, 3]


def test_sampling_draws_at_most_the_share_of_positives_and_fills_up_with_negatives():
    positive = tf.constant([[True] * 6 + [False] * 20, [True] + [False] * 25])
    eligible = tf.constant([[True] * 25 + [False]] * 2)
    drawn = sample_balanced(positive, eligible, batch_size=8, positive_fraction=0.5).numpy()
    assert drawn.sum(axis=1).tolist() == [8, 8]
    assert (drawn & positive.numpy()).sum(axis=1).tolist() == [4, 1]
    assert not drawn[:, 25].any()


def test_the_box_coder_is_its_own_inverse_and_equals_the_papers_equation():
    coder = FasterRcnnBoxCoder(10.0, 10.0, 5.0, 5.0)
    anchors, boxes = tf.constant([[10.0, 10, 30, 50]]), tf.constant([[12.0, 20, 52, 40]])
    codes = coder.encode(boxes, anchors)
    expected = [10 * (32 - 20) / 20, 10 * (30 - 30) / 40, 5 * np.log(40 / 20), 5 * np.log(20 / 40)]
    np.testing.assert_allclose(codes.numpy()[0], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(coder.decode(codes, anchors), boxes, rtol=1e-5)
