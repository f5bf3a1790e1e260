"""The second stage's sampling, targets and losses, against a slow and obvious version of the same."""

import numpy as np
import pytest
import tensorflow as tf

from tests.small_models import faster_rcnn_settings
from train.models.detector import GroundTruth
from train.models.proposals import Proposals
from train.models.second_stage import assign_proposals, detections_of, sample_proposals, second_stage_losses

NUM_CLASSES = 3


def faster_rcnn(text: str):
    return faster_rcnn_settings(f"num_classes: {NUM_CLASSES} {text}")


def ground_truth(boxes, classes, weights, class_targets=None) -> GroundTruth:
    return GroundTruth(
        boxes=tf.constant(boxes, tf.float32),
        classes=tf.constant(classes, tf.int32),
        weights=tf.constant(weights, tf.float32),
        valid=tf.constant(classes) > 0,
        class_targets=None if class_targets is None else tf.constant(class_targets, tf.float32),
    )


def proposals_of(boxes, counts) -> Proposals:
    boxes = np.array(boxes, np.float32)
    exists = np.arange(boxes.shape[1]) < np.array(counts)[:, np.newaxis]
    return Proposals(
        boxes=tf.constant(boxes * exists[..., np.newaxis]),
        scores=tf.constant(exists * np.linspace(1, 0.5, boxes.shape[1]), tf.float32),
        count=tf.constant(counts, tf.int32),
    )


def random_batch(seed: int, num_proposals: int = 12):
    """Two images: the first has three objects, one of them of weight 0; the second has one, and fewer proposals."""
    random = np.random.default_rng(seed)
    truth_boxes = np.array(
        [[[0, 0, 40, 40], [50, 50, 90, 100], [10, 60, 30, 90]], [[20, 20, 60, 80], [0, 0, 0, 0], [0, 0, 0, 0]]],
        np.float32,
    )
    truth = ground_truth(truth_boxes, [[1, 3, 2], [2, 0, 0]], [[1.0, 0.5, 0.0], [1.0, 0.0, 0.0]])
    near = truth_boxes[:, random.integers(0, 3, num_proposals)] + random.normal(0, 6, (2, num_proposals, 4))
    near[1, :, :] = truth_boxes[1, :1] + random.normal(0, 12, (num_proposals, 4))
    near[..., 2:] = np.maximum(near[..., 2:], near[..., :2] + 2)
    return truth, proposals_of(near, [num_proposals, num_proposals - 4])


def slow_iou(one, other):
    height = max(min(one[2], other[2]) - max(one[0], other[0]), 0)
    width = max(min(one[3], other[3]) - max(one[1], other[1]), 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return height * width / (sum(areas) - height * width)


def slow_code(box, anchor):
    (ah, aw), (bh, bw) = [(b[2] - b[0], b[3] - b[1]) for b in (anchor, box)]
    (ay, ax), (by, bx) = [((b[0] + b[2]) / 2, (b[1] + b[3]) / 2) for b in (anchor, box)]
    return np.array([10 * (by - ay) / ah, 10 * (bx - ax) / aw, 5 * np.log(bh / ah), 5 * np.log(bw / aw)])


def slow_losses(truth, proposals, logits, codes):
    """Softmax and smooth L1 of each proposal that is none of the padding, by image, over their number."""
    boxes, classes, weights = truth.boxes.numpy(), truth.classes.numpy(), truth.weights.numpy()
    by_image = []
    for image in range(len(boxes)):
        classification = location = 0.0
        count = int(proposals.count[image])
        for row in range(count):
            box = proposals.boxes.numpy()[image, row]
            overlaps = [slow_iou(box, boxes[image, i]) if classes[image, i] else -1.0 for i in range(len(boxes[image]))]
            best = int(np.argmax(overlaps))
            target, weight = (classes[image, best], weights[image, best]) if overlaps[best] >= 0.5 else (0, 1.0)
            row_logits = logits[image, row].astype(np.float64)
            classification += weight * (np.log(np.sum(np.exp(row_logits))) - row_logits[target])
            if target:
                code = codes[image, row, target - 1 if codes.shape[2] > 1 else 0]
                error = np.abs(code - slow_code(boxes[image, best], box))
                location += weight * np.sum(np.where(error < 1, error**2 / 2, error - 0.5))
        by_image.append((classification / max(count, 1), location / max(count, 1)))
    return np.mean(by_image, axis=0)


@pytest.mark.parametrize("num_boxes", [1, NUM_CLASSES])
def test_losses_are_those_of_the_slow_version(num_boxes):
    random = np.random.default_rng(7)
    for seed in range(5):
        truth, proposals = random_batch(seed)
        logits = random.normal(size=(2, 12, NUM_CLASSES + 1)).astype(np.float32)
        codes = random.normal(size=(2, 12, num_boxes, 4)).astype(np.float32)
        model = faster_rcnn("second_stage_classification_loss_weight: 2.0 second_stage_localization_loss_weight: 3.0")
        losses = second_stage_losses(tf.constant(logits), tf.constant(codes), proposals, truth, model)
        classification, location = slow_losses(truth, proposals, logits, codes)
        np.testing.assert_allclose(losses["Loss/BoxClassifierLoss/classification_loss"], 2 * classification, rtol=1e-4)
        np.testing.assert_allclose(losses["Loss/BoxClassifierLoss/localization_loss"], 3 * location, rtol=1e-4)


def test_padding_and_objects_of_weight_0_pass_no_gradient():
    truth, proposals = random_batch(1)
    logits = tf.Variable(tf.random.stateless_normal([2, 12, NUM_CLASSES + 1], [1, 2]))
    codes = tf.Variable(tf.random.stateless_normal([2, 12, 1, 4], [3, 4]))
    with tf.GradientTape() as tape:
        total = tf.add_n(list(second_stage_losses(logits, codes, proposals, truth, faster_rcnn("")).values()))
    by_logits, by_codes = (
        np.abs(gradient).sum(axis=(2, 3)[: gradient.shape.rank - 2])
        for gradient in tape.gradient(total, [logits, codes])
    )
    targets = assign_proposals(proposals.boxes, truth, NUM_CLASSES)
    weightless = np.logical_and(targets.positive, targets.class_weights.numpy() == 0)
    assert weightless[0].any()
    assert not by_logits[1, 8:].any() and not by_codes[1, 8:].any()
    assert not by_logits[weightless].any() and not by_codes[weightless].any()
    assert by_logits[0][~weightless[0]].all()


def test_an_image_without_proposals_costs_nothing():
    truth, proposals = random_batch(2)
    empty = Proposals(tf.zeros_like(proposals.boxes), proposals.scores, tf.constant([0, 0]))
    losses = second_stage_losses(tf.ones([2, 12, 4]), tf.ones([2, 12, 1, 4]), empty, truth, faster_rcnn(""))
    assert {float(loss) for loss in losses.values()} == {0.0}


def test_a_half_is_enough_to_match_and_less_is_background():
    truth = ground_truth([[[0, 0, 10, 10]]], [[2]], [[1.0]])
    boxes = tf.constant([[[0, 0, 10, 5], [0, 0, 10, 4.99], [0, 0, 10, 10]]], tf.float32)
    targets = assign_proposals(boxes, truth, NUM_CLASSES)
    np.testing.assert_array_equal(targets.positive[0], [True, False, True])
    np.testing.assert_array_equal(targets.classes[0], [[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 1, 0]])
    np.testing.assert_allclose(targets.box_codes[0, 0], [0, 5, 0, 5 * np.log(2)], atol=1e-5)
    np.testing.assert_array_equal(targets.box_codes[0, 1], 0)


def test_merged_boxes_teach_all_their_classes():
    truth = ground_truth([[[0, 0, 10, 10]]], [[1]], [[1.0]], class_targets=[[[1, 0, 1]]])
    targets = assign_proposals(tf.constant([[[0, 0, 10, 9], [20, 20, 30, 30]]], tf.float32), truth, NUM_CLASSES)
    np.testing.assert_array_equal(targets.classes[0], [[0, 1, 0, 1], [1, 0, 0, 0]])
    # With a sigmoid for each class, both are wanted: confident logits for both cost nothing.
    model = faster_rcnn("second_stage_classification_loss { weighted_sigmoid {} }")
    logits = tf.constant([[[-20.0, 20, -20, 20], [20, -20, -20, -20]]])
    proposals = proposals_of([[[0, 0, 10, 9], [20, 20, 30, 30]]], [2])
    losses = second_stage_losses(logits, tf.zeros([1, 2, 1, 4]), proposals, truth, model)
    assert float(losses["Loss/BoxClassifierLoss/classification_loss"]) < 1e-6


def test_ground_truth_is_in_pixels_and_cut_to_the_fullest_image():
    labels = {
        "groundtruth_boxes": tf.constant([[[0.5, 0.25, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]], [[0.0] * 4] * 3]),
        "groundtruth_classes": tf.constant([[2, 1, 0], [0, 0, 0]]),
        "groundtruth_weights": tf.constant([[1.0, 0.5, 0], [0, 0, 0]]),
        "groundtruth_class_targets": tf.constant([[[0.0, 1, 1], [1, 0, 0], [0, 0, 0]], [[0.0] * 3] * 3]),
    }
    for shape in ((100, 200), tuple(tf.unstack(tf.constant([100, 200])))):
        truth = GroundTruth.from_labels(labels, shape)
        np.testing.assert_array_equal(truth.boxes[0], [[50, 50, 100, 200], [0, 0, 100, 200]])
        np.testing.assert_array_equal(truth.class_targets[0], [[0, 1, 1], [1, 0, 0]])
        np.testing.assert_array_equal(truth.valid, [[True, True], [False, False]])
    del labels["groundtruth_class_targets"]
    assert GroundTruth.from_labels(labels, (100, 200)).class_targets is None


def test_sampling_takes_a_quarter_of_positives_and_none_of_the_padding():
    model = faster_rcnn("second_stage_batch_size: 8 second_stage_balance_fraction: 0.25 first_stage_max_proposals: 40")
    truth = ground_truth([[[0, 0, 50, 50]], [[0, 0, 50, 50]]], [[1], [1]], [[1.0], [0.0]])
    boxes = np.tile(np.array([[0, 0, 50, 45]], np.float32), (2, 40, 1))
    boxes[:, 10:] = [60, 60, 90, 90]
    proposals = proposals_of(boxes, [30, 14])
    drawn = {tuple(np.array(sample_proposals(proposals, truth, model).scores[0]).round(3)) for _ in range(5)}
    assert len(drawn) > 1, "drawn by chance"
    sampled = sample_proposals(proposals, truth, model)
    np.testing.assert_array_equal(sampled.count, [8, 4])
    positive = assign_proposals(sampled.boxes, truth, NUM_CLASSES).positive.numpy()
    assert positive[0].sum() == 2
    # In the second image the ten that match weigh nothing, so that four are left.
    np.testing.assert_array_equal(sampled.boxes[1, :4], boxes[1, 10:14])
    assert not sampled.boxes[1, 4:].numpy().any()
    assert (np.diff(sampled.scores[0]) <= 0).all()


def test_positives_that_are_missing_are_made_up_for_by_negatives():
    model = faster_rcnn("second_stage_batch_size: 8 first_stage_max_proposals: 20")
    truth = ground_truth([[[0, 0, 50, 50]]], [[1]], [[1.0]])
    boxes = np.full((1, 20, 4), [60, 60, 90, 90], np.float32)
    boxes[:, 0] = [0, 0, 50, 50]
    assert int(sample_proposals(proposals_of(boxes, [20]), truth, model).count[0]) == 8


def test_the_miner_keeps_the_hardest_and_drops_what_overlaps_them():
    model = faster_rcnn("hard_example_miner { num_hard_examples: 1 iou_threshold: 0.7 loss_type: CLASSIFICATION }")
    truth = ground_truth([[[0, 0, 10, 10]], [[0, 0, 10, 10]]], [[1], [1]], [[1.0], [1.0]])
    boxes = [[[0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 50, 50]]] * 2
    logits = np.zeros((2, 3, 4), np.float32)
    logits[:, 1, 1] = 5.0  # the second proposal is background and taken for class 1
    logits[:, 2, 1] = 9.0  # the third even more so, but in the second image it is padding
    proposals = proposals_of(boxes, [3, 2])
    losses = second_stage_losses(tf.constant(logits), tf.zeros([2, 3, 1, 4]), proposals, truth, model)
    third, second = (np.log(np.exp(x) + 3) for x in (9.0, 5.0))
    expected = third / (2 * 3) + second / (2 * 2)
    np.testing.assert_allclose(losses["Loss/BoxClassifierLoss/classification_loss"], expected, rtol=1e-5)
    assert float(losses["Loss/BoxClassifierLoss/localization_loss"]) == 0.0


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("", np.log(np.exp(2.0) + 3)),
        ("weighted_softmax { logit_scale: 2.0 }", np.log(np.exp(1.0) + 3)),
        ("weighted_sigmoid {}", np.log1p(np.exp(2.0)) + 3 * np.log(2)),
        (
            "weighted_sigmoid_focal { gamma: 2.0 alpha: 0.25 }",
            0.75 * np.log1p(np.exp(2.0)) / (1 + np.exp(-2.0)) ** 2 + (0.25 + 2 * 0.75) / 4 * np.log(2),
        ),
    ],
)
def test_every_classification_loss(loss, expected):
    model = faster_rcnn(f"second_stage_classification_loss {{ {loss} }}")
    truth = ground_truth([[[0, 0, 10, 10]]], [[3]], [[1.0]])
    proposals = proposals_of([[[50, 50, 60, 60]]], [1])
    logits = tf.constant([[[0.0, 0.0, 0.0, 2.0]]])  # background taken for class 3
    losses = second_stage_losses(logits, tf.zeros([1, 1, 1, 4]), proposals, truth, model)
    np.testing.assert_allclose(losses["Loss/BoxClassifierLoss/classification_loss"], expected, rtol=1e-5)


def test_detections_leave_out_padding_and_background():
    model = faster_rcnn("""second_stage_post_processing {
        score_converter: IDENTITY
        batch_non_max_suppression { max_detections_per_class: 5 max_total_detections: 5 iou_threshold: 0.5 }
    }""")
    proposals = proposals_of([[[0, 0, 50, 100], [50, 50, 120, 100], [0, 0, 10, 10]]], [2])
    logits = tf.constant([[[9.0, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 2.0], [0.0, 8.0, 8.0, 8.0]]])
    found = detections_of(logits, tf.zeros([1, 3, 1, 4]), proposals, tf.constant([[100, 200, 3]]), model)
    np.testing.assert_array_equal(found["num_detections"], [2])
    np.testing.assert_array_equal(found["detection_classes"][0, :2], [3, 1])
    np.testing.assert_allclose(found["detection_boxes"][0, :2], [[0.5, 0.25, 1, 0.5], [0, 0, 0.5, 0.5]])
