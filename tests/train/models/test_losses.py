"""Losses, against hand-computed cases and slow versions that look at one number at a time."""

import math

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from configs.schema.descriptors import message_class
from configs.settings.declaration import SettingsError
from configs.settings.losses import CLASSIFICATION_LOSSES, LOCALIZATION_LOSSES
from configs.settings.reading import read_choice
from train.models.losses import classification_loss, giou_loss, iou_loss, localization_loss, smooth_l1


def localization_of(text):
    message = message_class("LocalizationLoss")()
    return read_choice(LOCALIZATION_LOSSES, text_format.Parse(text, message), "localization_loss")


def classification_of(text):
    message = message_class("ClassificationLoss")()
    return read_choice(CLASSIFICATION_LOSSES, text_format.Parse(text, message), "classification_loss")


def tensors(*arrays):
    return (None if array is None else tf.constant(array, tf.float32) for array in arrays)


def localization(text, codes, targets, weights=None):
    settings = localization_of(text)
    return localization_loss(
        settings, *(None if x is None else tf.constant(x, tf.float32) for x in (codes, targets, weights))
    )


def classification(text, logits, targets, weights=None):
    settings = classification_of(text)
    return classification_loss(
        settings, *(None if x is None else tf.constant(x, tf.float32) for x in (logits, targets, weights))
    )


# ---------------------------------------------------------------------------------------------------- localisation


def test_smooth_l1_is_a_parabola_up_to_delta_and_a_line_beyond():
    codes, targets = tf.constant([[0.0, 0.5, 2.0, -3.0]]), tf.zeros([1, 4])
    expected = 0.5 * 0.5**2 + (2.0 - 0.5) + (3.0 - 0.5)
    np.testing.assert_allclose(smooth_l1(codes, targets, delta=1.0), [expected])
    np.testing.assert_allclose(smooth_l1(codes, targets, delta=0.1), [0.1 * (0.45 + 1.95 + 2.95)], rtol=1e-6)


def slow_smooth_l1(code, target, weight, delta=2.0):
    errors = [abs(c - t) for c, t in zip(code, target, strict=True)]
    return weight * sum(0.5 * e**2 if e <= delta else delta * (e - 0.5 * delta) for e in errors)


def slow_l2(code, target, weight):
    return 0.5 * sum((weight * (c - t)) ** 2 for c, t in zip(code, target, strict=True))


def slow_l1(code, target, weight):
    return weight * sum(abs(c - t) for c, t in zip(code, target, strict=True))


@pytest.mark.parametrize(
    ("text", "slow"),
    [
        ("weighted_smooth_l1 { delta: 2.0 }", slow_smooth_l1),
        ("weighted_l2 {}", slow_l2),
        ("l1_localization_loss {}", slow_l1),
    ],
)
@pytest.mark.parametrize("code_size", [4, 3])
def test_losses_of_codes_equal_the_slow_ones(text, slow, code_size):
    random = np.random.default_rng(0)
    codes, targets = random.normal(0, 3, (2, 2, 5, code_size))
    weights = random.uniform(0, 1, (2, 5))
    expected = [
        [slow(*row) for row in zip(c, t, w, strict=True)] for c, t, w in zip(codes, targets, weights, strict=True)
    ]
    np.testing.assert_allclose(localization(text, codes, targets, weights), expected, rtol=1e-4)


def test_without_weights_every_anchor_counts_once():
    np.testing.assert_allclose(localization("weighted_l2 {}", [[1.0, 2, 0, 0]], np.zeros((1, 4))), [2.5])


def test_a_weight_counts_squared_in_l2_only():
    codes, targets = [[[2.0, 0, 0, 0]]], np.zeros((1, 1, 4))
    assert localization("weighted_l2 {}", codes, targets, [[0.5]]).numpy().tolist() == [[0.5]]
    assert localization("l1_localization_loss {}", codes, targets, [[0.5]]).numpy().tolist() == [[1.0]]


@pytest.mark.parametrize(
    ("box", "target", "iou", "giou"),
    [
        ([0, 0, 2, 2], [0, 0, 2, 2], 1, 1),
        ([0, 0, 2, 2], [1, 1, 3, 3], 1 / 7, 1 / 7 - 2 / 9),
        ([0, 0, 1, 1], [2, 2, 3, 3], 0, -7 / 9),
        ([0, 0, 1, 1], [0, 1, 1, 2], 0, 0),  # side by side
        ([0, 0, 0, 0], [0, 0, 0, 0], 0, 0),
        ([0, 0, 2, 2], [1, 1, 1, 1], 0, 0),  # a point inside
    ],
)
def test_overlap_losses_of_boxes(box, target, iou, giou):
    boxes, targets = (tf.constant([b], tf.float32) for b in (box, target))
    np.testing.assert_allclose(iou_loss(boxes, targets), [1 - iou], atol=1e-6)
    np.testing.assert_allclose(giou_loss(boxes, targets), [1 - giou], atol=1e-6)


@pytest.mark.parametrize("text", ["weighted_iou {}", "weighted_giou {}"])
def test_overlap_losses_are_weighted_and_pull_boxes_together(text):
    settings = localization_of(text)
    boxes, targets = tf.constant([[[0.0, 0, 2, 2], [0, 0, 0, 0]]]), tf.constant([[[1.0, 1, 3, 3], [0, 0, 0, 0]]])
    with tf.GradientTape() as tape:
        tape.watch(boxes)
        loss = localization_loss(settings, boxes, targets, tf.constant([[0.5, 0.0]]))
    gradient = tape.gradient(loss, boxes).numpy()
    np.testing.assert_allclose(loss, localization_loss(settings, boxes, targets) * [[0.5, 0.0]])
    assert np.isfinite(gradient).all()
    assert (gradient[0, 0, 2:] < 0).all()  # larger maxima lower the loss


@pytest.mark.parametrize("text", ["weighted_iou {}", "weighted_giou {}"])
def test_overlap_losses_of_reversed_boxes_are_finite(text):
    random = np.random.default_rng(0)
    codes, targets = random.normal(0, 1, (2, 1, 50, 4))
    assert np.isfinite(localization(text, codes, targets)).all()


# -------------------------------------------------------------------------------------------------- classification


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def cross_entropy(logit, target):
    return -(target * math.log(sigmoid(logit)) + (1 - target) * math.log(1 - sigmoid(logit)))


def slow_sigmoid(logits, targets, weights):
    return sum(w * cross_entropy(x, t) for x, t, w in zip(logits, targets, weights, strict=True))


def slow_focal(logits, targets, weights, alpha=0.25, gamma=1.5):
    total = 0.0
    for x, t, w in zip(logits, targets, weights, strict=True):
        truth = sigmoid(x) if t else 1 - sigmoid(x)
        total += w * (alpha if t else 1 - alpha) * (1 - truth) ** gamma * -math.log(truth)
    return total


def slow_focal_without_alpha(logits, targets, weights):
    total = 0.0
    for x, t, w in zip(logits, targets, weights, strict=True):
        truth = sigmoid(x) if t else 1 - sigmoid(x)
        total += w * (1 - truth) ** 2 * -math.log(truth)
    return total


def slow_softmax(logits, targets, weights, scale=2.0):
    exponentials = np.exp(np.asarray(logits) / scale)
    return -sum(targets * np.log(exponentials / exponentials.sum())) * np.mean(weights)


def slow_logits_softmax(logits, targets, weights, scale=2.0):
    exponentials = np.exp(np.asarray(targets) / scale)
    return slow_softmax(logits, exponentials / exponentials.sum(), weights, scale)


def slow_bootstrap(logits, targets, weights):
    mixed = [0.8 * t + 0.2 * sigmoid(x) for x, t in zip(logits, targets, strict=True)]
    return slow_sigmoid(logits, mixed, weights)


def slow_hard_bootstrap(logits, targets, weights):
    mixed = [0.8 * t + 0.2 * (sigmoid(x) > 0.5) for x, t in zip(logits, targets, strict=True)]
    return slow_sigmoid(logits, mixed, weights)


CLASSIFICATION = [
    ("weighted_sigmoid {}", slow_sigmoid),
    ("weighted_sigmoid_focal { alpha: 0.25 gamma: 1.5 }", slow_focal),
    ("weighted_sigmoid_focal {}", slow_focal_without_alpha),
    ("weighted_softmax { logit_scale: 2.0 }", slow_softmax),
    ("weighted_logits_softmax { logit_scale: 2.0 }", slow_logits_softmax),
    ("bootstrapped_sigmoid { alpha: 0.8 }", slow_bootstrap),
    ("bootstrapped_sigmoid { alpha: 0.8 hard_bootstrap: true }", slow_hard_bootstrap),
]


@pytest.mark.parametrize(("text", "slow"), CLASSIFICATION)
@pytest.mark.parametrize("weights_by_class", [False, True])
def test_classification_losses_equal_the_slow_ones(text, slow, weights_by_class):
    random = np.random.default_rng(1)
    logits = random.normal(0, 2, (2, 4, 3))
    targets = np.eye(3)[random.integers(0, 3, (2, 4))]
    targets[0, 0] = 0  # background as zeros
    weights = random.uniform(0, 1, (2, 4, 3 if weights_by_class else 1))
    expected = [
        [slow(x, t, np.broadcast_to(w, 3)) for x, t, w in zip(*rows, strict=True)]
        for rows in zip(logits, targets, weights, strict=True)
    ]
    np.testing.assert_allclose(classification(text, logits, targets, weights), expected, rtol=1e-4, atol=1e-6)
    ones = [[slow(x, t, np.ones(3)) for x, t in zip(*rows, strict=True)] for rows in zip(logits, targets, strict=True)]
    np.testing.assert_allclose(classification(text, logits, targets), ones, rtol=1e-4, atol=1e-6)


def test_focal_loss_equals_the_papers_equation():
    # One true and two false classes.
    expected = slow_focal([2.0, -1.0, 0.3], [1, 0, 0], [1, 1, 1], gamma=2.0)
    found = classification("weighted_sigmoid_focal { alpha: 0.25 gamma: 2.0 }", [[2.0, -1.0, 0.3]], [[1.0, 0, 0]])
    np.testing.assert_allclose(found, [expected], rtol=1e-5)


@pytest.mark.parametrize("text", ["alpha: 0.25 gamma: 2.0", "alpha: 0.3 gamma: 1.5", "gamma: 2.0", "gamma: 0.0"])
@pytest.mark.parametrize("columns", [1, 6])
def test_the_written_gradient_of_focal_loss_is_the_one_of_its_equation(text, columns):
    random = np.random.default_rng(0)
    logits, weights = tf.constant(random.normal(0, 5, (200, 6))), tf.constant(random.uniform(0, 1, (200, columns)))
    targets = tf.constant(np.concatenate([random.integers(0, 2, (100, 6)), random.uniform(0, 1, (100, 6))]))
    chosen = classification_of(f"weighted_sigmoid_focal {{ {text} }}")
    with tf.GradientTape() as tape:
        tape.watch(logits)
        truth = targets * tf.sigmoid(logits) + (1 - targets) * (1 - tf.sigmoid(logits))
        expected = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits) * (1 - truth) ** chosen.gamma
        if chosen.alpha is not None:
            expected *= targets * chosen.alpha + (1 - targets) * (1 - chosen.alpha)
        expected = tf.reduce_sum(expected * weights, axis=-1)
    expected_gradient = tape.gradient(expected, logits)
    variable = tf.Variable(tf.cast(logits, tf.float32))
    with tf.GradientTape() as tape:
        found = classification_loss(chosen, variable, tf.cast(targets, tf.float32), tf.cast(weights, tf.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(tape.gradient(found, variable), expected_gradient, rtol=1e-4, atol=1e-5)


def test_the_gradient_of_focal_loss_is_finite_where_nothing_is_missed_or_all_is():
    variable = tf.Variable([[200.0, -200.0, 200.0, -200.0]])
    settings = classification_of("weighted_sigmoid_focal { alpha: 0.25 gamma: 0.5 }")
    with tf.GradientTape() as tape:
        loss = classification_loss(settings, variable, tf.constant([[1.0, 0.0, 0.0, 1.0]]))
    np.testing.assert_allclose(tape.gradient(loss, variable), [[0.0, 0.0, 0.75, -0.25]], atol=1e-6)


def test_a_softmax_of_zeros_as_background_costs_nothing():
    assert classification("weighted_softmax {}", [[3.0, -1.0]], [[0.0, 0.0]]).numpy().tolist() == [0.0]


def test_soft_bootstrapping_passes_gradients_through_its_own_predictions():
    logits, alpha = 0.5, 0.7
    settings = classification_of(f"bootstrapped_sigmoid {{ alpha: {alpha} }}")
    variable = tf.Variable([[logits]])
    with tf.GradientTape() as tape:
        loss = classification_loss(settings, variable, tf.constant([[1.0]]))
    p = sigmoid(logits)
    mixed = alpha + (1 - alpha) * p
    expected = p - mixed - logits * (1 - alpha) * p * (1 - p)
    np.testing.assert_allclose(tape.gradient(loss, variable), [[expected]], rtol=1e-4)


@pytest.mark.parametrize("text", [text for text, _ in CLASSIFICATION])
def test_extreme_logits_have_finite_losses_and_gradients(text):
    settings = classification_of(text)
    variable = tf.Variable([[80.0, -80.0, 0.0]])
    with tf.GradientTape() as tape:
        loss = classification_loss(settings, variable, tf.constant([[0.0, 1.0, 0.0]]))
    assert np.isfinite(loss).all() and np.isfinite(tape.gradient(loss, variable)).all()


@pytest.mark.parametrize(
    ("compute", "text", "message"),
    [
        (classification, "", "classification_loss: is not set"),
        (
            classification,
            "weighted_dice_classification_loss {}",
            "weighted_dice_classification_loss: it goes with CenterNet",
        ),
        (localization, "", "localization_loss: is not set"),
    ],
)
def test_what_is_not_there_is_refused(compute, text, message):
    with pytest.raises(SettingsError, match=message):
        compute(text, [[0.0] * 4], [[0.0] * 4])
