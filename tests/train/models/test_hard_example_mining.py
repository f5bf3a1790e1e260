"""Hard example mining, against hand-computed cases and a slow greedy version."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from configs.settings import losses
from configs.settings.reading import read_settings_text
from train.models.hard_example_mining import HardExampleMiner
from train.models.matchers import IGNORED, UNMATCHED

ALL = HardExampleMiner(
    num_hard_examples=None,
    iou_threshold=1.0,
    loss_type="CLASSIFICATION",
    classification_weight=1.0,
    localization_weight=1.0,
    max_negatives_per_positive=None,
    min_negatives_per_image=0,
)


def mine(miner, class_losses, box_losses=None, boxes=None, matches=None, valid=None):
    class_losses = np.atleast_2d(np.array(class_losses, np.float32))
    box_losses = np.zeros_like(class_losses) if box_losses is None else np.atleast_2d(np.array(box_losses, np.float32))
    if boxes is None:
        places = np.arange(class_losses.size, dtype=np.float32).reshape(*class_losses.shape, 1)
        boxes = np.concatenate([places, places, places + 1, places + 1], axis=-1)
    boxes = np.array(boxes, np.float32).reshape(*class_losses.shape, 4)
    found = miner.select(
        tf.constant(class_losses),
        tf.constant(box_losses),
        tf.constant(boxes),
        None if matches is None else tf.constant(np.atleast_2d(np.array(matches, np.int32))),
        None if valid is None else tf.constant(np.atleast_2d(valid)),
    )
    return found.numpy().astype(int).tolist()


def test_the_hardest_examples_are_picked():
    assert mine(dataclasses.replace(ALL, num_hard_examples=2), [1, 5, 3, 4]) == [[0, 1, 0, 1]]


@pytest.mark.parametrize(("threshold", "expected"), [(0.7, [1, 0, 1]), (0.99, [1, 1, 1]), (1.0, [1, 1, 1])])
def test_an_overlapping_example_with_a_lower_loss_is_dropped(threshold, expected):
    boxes = [[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]]
    assert mine(dataclasses.replace(ALL, iou_threshold=threshold), [3, 2, 1], boxes=boxes) == [expected]


@pytest.mark.parametrize(
    ("loss_type", "expected"), [("CLASSIFICATION", [1, 0, 0]), ("LOCALIZATION", [0, 0, 1]), ("BOTH", [0, 1, 0])]
)
def test_the_loss_type_says_what_ranks(loss_type, expected):
    miner = dataclasses.replace(ALL, num_hard_examples=1, loss_type=loss_type, localization_weight=2.0)
    assert mine(miner, [5, 3, 0], [0, 2, 3]) == [expected]


def test_positives_stay_and_negatives_are_cut_to_the_ratio():
    miner = dataclasses.replace(ALL, max_negatives_per_positive=1.5)
    matches = [0, UNMATCHED, UNMATCHED, 1, UNMATCHED, UNMATCHED, UNMATCHED]
    # 2 positives allow 3 negatives: those with the highest losses, wherever the positives rank.
    assert mine(miner, [1, 2, 7, 3, 4, 5, 6], matches=matches) == [[1, 0, 1, 1, 0, 1, 1]]


def test_an_image_without_positives_keeps_the_fewest_negatives():
    miner = dataclasses.replace(ALL, max_negatives_per_positive=3)
    assert mine(miner, [1, 3, 2], matches=[UNMATCHED] * 3) == [[0, 0, 0]]
    at_least_two = dataclasses.replace(miner, min_negatives_per_image=2)
    assert mine(at_least_two, [1, 3, 2], matches=[UNMATCHED] * 3) == [[0, 1, 1]]


def test_the_fewest_negatives_count_only_beside_a_ratio():
    miner = dataclasses.replace(ALL, min_negatives_per_image=1)
    assert mine(miner, [1, 3, 2], matches=[UNMATCHED] * 3) == [[1, 1, 1]]


def test_a_ratio_that_leaves_32_bits_keeps_all_negatives():
    miner = dataclasses.replace(ALL, max_negatives_per_positive=2**31 - 1)
    assert mine(miner, [1, 3, 2], matches=[0, 0, UNMATCHED]) == [[1, 1, 1]]


def test_padding_is_never_picked():
    valid = [True, False, True]
    assert mine(ALL, [1, 9, 2], valid=valid) == [[1, 0, 1]]
    assert mine(dataclasses.replace(ALL, iou_threshold=0.5), [1, 9, 2], valid=valid) == [[1, 0, 1]]


def test_no_gradient_passes_through_the_choice():
    losses = tf.Variable([[1.0, 2.0, 3.0]])
    with tf.GradientTape() as tape:
        picked = dataclasses.replace(ALL, num_hard_examples=2).select(losses, losses, tf.random.uniform([1, 3, 4]))
        total = tf.reduce_sum(picked * losses)
    assert tape.gradient(total, losses).numpy().tolist() == [[0, 1, 1]]


def slow_iou(a, b):
    height, width = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    overlap = max(height, 0) * max(width, 0)
    return overlap / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap)


def slow_mine(miner, class_losses, box_losses, boxes, matches):
    scores = class_losses * miner.classification_weight + box_losses * miner.localization_weight
    kept = []
    for anchor in np.argsort(-scores, kind="stable"):
        if all(slow_iou(boxes[anchor], boxes[other]) <= miner.iou_threshold for other in kept):
            kept.append(anchor)
    kept = kept[: miner.num_hard_examples]
    num_positives = sum(matches[anchor] >= 0 for anchor in kept)
    allowed = max(int(miner.max_negatives_per_positive * num_positives), miner.min_negatives_per_image)
    picked, negatives = np.zeros(len(scores)), 0
    for anchor in kept:
        negatives += matches[anchor] == UNMATCHED
        if matches[anchor] >= 0 or negatives <= allowed:
            picked[anchor] = 1
    return picked


@pytest.mark.parametrize("iou_threshold", [0.3, 0.99, 1.0])
@pytest.mark.parametrize("num_hard_examples", [None, 8])
def test_a_batch_equals_the_slow_version_image_by_image(iou_threshold, num_hard_examples):
    random = np.random.default_rng(0)
    corners = random.uniform(0, 4, (3, 30, 2))
    boxes = np.concatenate([corners, corners + random.uniform(0.5, 3, (3, 30, 2))], axis=-1).astype(np.float32)
    class_losses, box_losses = random.uniform(0, 2, (2, 3, 30)).astype(np.float32)
    matches = random.choice([UNMATCHED, UNMATCHED, UNMATCHED, IGNORED, 0], (3, 30)).astype(np.int32)
    matches[2] = UNMATCHED
    miner = HardExampleMiner(num_hard_examples, iou_threshold, "BOTH", 1.5, 0.5, 2.0, 1)
    found = tf.function(miner.select)(*(tf.constant(x) for x in (class_losses, box_losses, boxes, matches)))
    expected = [slow_mine(miner, *rows) for rows in zip(class_losses, box_losses, boxes, matches, strict=True)]
    np.testing.assert_array_equal(found, expected)


def test_the_settings_are_read_with_the_weights_of_the_losses():
    text = "num_hard_examples: 0 loss_type: LOCALIZATION max_negatives_per_positive: 3"
    settings = read_settings_text(losses.HardExampleMiner, text)
    miner = HardExampleMiner.from_settings(settings, classification_weight=0.5, localization_weight=2.0)
    assert miner == HardExampleMiner(None, pytest.approx(0.7), "LOCALIZATION", 0.5, 2.0, 3, 0)
