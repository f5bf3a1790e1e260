"""Post-processing against a slow version of what the API does, box by box, and against small cases by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from configs.schema.descriptors import message_class
from configs.settings.post_processing import BatchNonMaxSuppression, PostProcessing
from configs.settings.reading import read_settings, read_settings_text
from train.models import post_processing
from train.models.post_processing import batch_non_max_suppression, convert_scores, scores_from_logits


def nms_config(**fields):
    message = message_class("BatchNonMaxSuppression")(
        **{
            "max_detections_per_class": 4,
            "max_total_detections": 4,
            "iou_threshold": 0.5,
            "score_threshold": 0.1,
            **fields,
        }
    )
    return read_settings(BatchNonMaxSuppression, message)


def iou(a, b) -> float:
    height = min(a[2], b[2]) - max(a[0], b[0])
    width = min(a[3], b[3]) - max(a[1], b[1])
    if height <= 0 or width <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return height * width / (sum(areas) - height * width)


def slow_nms(boxes, scores, size: int, config) -> list[tuple[int, float]]:
    """Indices and scores of the boxes that one class keeps."""
    left = {i: float(score) for i, score in enumerate(scores) if score > config.score_threshold}
    kept: list[tuple[int, float]] = []
    is_soft = config.soft_nms_sigma > 0 and not config.use_hard_nms
    while left and len(kept) < size:
        best = max(left, key=lambda i: left[i])
        kept.append((best, left.pop(best)))
        for i in list(left):
            overlap = iou(boxes[i], boxes[best])
            if is_soft:
                left[i] *= np.exp(-(overlap**2) / (2 * config.soft_nms_sigma))
                if left[i] <= config.score_threshold:
                    del left[i]
            elif overlap > config.iou_threshold:
                del left[i]
    return kept


def slow_detections(boxes, scores, true_shape, config) -> list[tuple[float, int, tuple[float, ...]]]:
    """Scores, classes from 1 and boxes in 0..1 of one image."""
    num_classes = scores.shape[1]
    found = []
    if config.use_class_agnostic_nms:
        classes = scores.argmax(axis=1)
        own = [boxes[i, c if boxes.shape[1] > 1 else 0] for i, c in enumerate(classes)]
        kept = slow_nms(own, scores.max(axis=1), config.max_total_detections, config)
        found = [(score, int(classes[i]), own[i]) for i, score in kept]
    else:
        for c in range(num_classes):
            own = boxes[:, c if boxes.shape[1] > 1 else 0]
            for i, score in slow_nms(own, scores[:, c], config.max_detections_per_class, config):
                found.append((score, c, own[i]))
    height, width = true_shape[:2]
    clipped = []
    for score, c, box in sorted(found, key=lambda row: -row[0]):
        ymin, xmin, ymax, xmax = np.clip(box, 0, [height, width, height, width])
        if ymax > ymin and xmax > xmin:
            clipped.append((score, c + 1, (ymin / height, xmin / width, ymax / height, xmax / width)))
    return clipped[: config.max_total_detections]


@pytest.mark.parametrize("own_boxes", [False, True], ids=["a box an anchor", "a box a class"])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"max_detections_per_class": 2, "max_total_detections": 30},
        {"max_detections_per_class": 40, "max_total_detections": 300},
        {"soft_nms_sigma": 0.3, "max_total_detections": 25},
        {"soft_nms_sigma": 0.3, "use_hard_nms": True},
        {"use_class_agnostic_nms": True, "max_total_detections": 12},
        {"use_class_agnostic_nms": True, "soft_nms_sigma": 0.5, "max_total_detections": 12},
        {"use_static_shapes": True, "use_partitioned_nms": True, "use_combined_nms": True, "use_cpu_nms": True},
    ],
    ids=lambda fields: ",".join(fields) or "hard",
)
def test_detections_are_those_of_the_slow_version(fields, own_boxes):
    config = nms_config(**fields)
    random = np.random.default_rng(7)
    corners = random.uniform(-30, 110, [2, 40, 3 if own_boxes else 1, 2])
    boxes = np.concatenate([corners, corners + random.uniform(5, 60, corners.shape)], axis=-1).astype(np.float32)
    scores = random.uniform(0, 1, [2, 40, 3]).astype(np.float32)
    shapes = np.array([[100, 80, 3], [60, 100, 3]], np.int32)
    found = batch_non_max_suppression(tf.constant(boxes), tf.constant(scores), tf.constant(shapes), config)
    for n in range(2):
        expected = slow_detections(boxes[n], scores[n], shapes[n], config)
        count = int(found["num_detections"][n])
        assert count == len(expected) > 0
        np.testing.assert_allclose(found["detection_scores"][n, :count], [row[0] for row in expected], rtol=1e-4)
        assert found["detection_classes"][n, :count].numpy().tolist() == [row[1] for row in expected]
        np.testing.assert_allclose(found["detection_boxes"][n, :count], [row[2] for row in expected], atol=1e-5)
        for name in ("detection_boxes", "detection_scores", "detection_classes"):
            assert found[name].shape[1] == config.max_total_detections
            assert not found[name][n, count:].numpy().any()


def test_overlapping_boxes_of_a_class_are_suppressed_and_of_another_are_not():
    boxes = tf.constant([[[0.0, 0, 50, 50], [0, 0, 50, 52], [10, 60, 40, 120]]])[:, :, tf.newaxis]
    scores = tf.constant([[[0.9, 0.3], [0.8, 0.2], [0.05, 0.7]]])
    found = batch_non_max_suppression(boxes, scores, tf.constant([[100, 100, 3]]), nms_config())
    assert found["num_detections"].numpy().tolist() == [3.0]
    np.testing.assert_allclose(found["detection_scores"][0], [0.9, 0.7, 0.3, 0], rtol=1e-6)
    assert found["detection_classes"].numpy()[0].tolist() == [1.0, 2.0, 2.0, 0.0]
    # Normalised to the image without padding, clipped to it, zeros beyond the last.
    np.testing.assert_allclose(found["detection_boxes"][0, 1], [0.1, 0.6, 0.4, 1.0])
    assert not found["detection_boxes"].numpy()[0, 3].any()


def test_what_lies_in_the_padding_takes_no_place_of_the_total():
    boxes = tf.constant([[[60.0, 0, 90, 50], [0, 0, 40, 40], [5, 50, 50, 90]]])[:, :, tf.newaxis]
    scores = tf.constant([[[0.9, 0.0], [0.8, 0.0], [0.0, 0.7]]])
    config = nms_config(max_detections_per_class=2, max_total_detections=2)
    found = batch_non_max_suppression(boxes, scores, tf.constant([[60, 100, 3]]), config)
    np.testing.assert_allclose(found["detection_scores"], [[0.8, 0.7]])
    assert found["num_detections"].numpy() == [2.0]


@pytest.mark.parametrize("changes_frame", [True, False])
def test_without_a_change_of_frame_boxes_stay_relative_to_the_padded_input(changes_frame):
    boxes = tf.constant([[[[10.0, 20, 80, 200]]]])
    config = nms_config(change_coordinate_frame=changes_frame)
    arguments = (boxes, tf.constant([[[0.9]]]), tf.constant([[50, 100, 3]]), config)
    framed = [0.2, 0.2, 1.0, 1.0]
    padded = [0.1, 0.1, 0.5, 0.5]
    found = batch_non_max_suppression(*arguments, input_shape=(100, 200))
    np.testing.assert_allclose(found["detection_boxes"][0, 0], framed if changes_frame else padded)
    np.testing.assert_allclose(batch_non_max_suppression(*arguments)["detection_boxes"][0, 0], framed)


def traced(config):
    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, 1, 4]),
            tf.TensorSpec([None, None, 2]),
            tf.TensorSpec([None, 3], tf.int32),
        ]
    )
    def run(boxes, scores, shapes):
        return batch_non_max_suppression(boxes, scores, shapes, config)

    return run


def test_a_graph_of_any_number_of_boxes_gives_the_same():
    random = np.random.default_rng(1)
    for config in (nms_config(), nms_config(soft_nms_sigma=0.5), nms_config(use_class_agnostic_nms=True)):
        run = traced(config)
        for num_boxes in (2, 9):
            corners = random.uniform(0, 50, [1, num_boxes, 1, 2])
            boxes = tf.constant(np.concatenate([corners, corners + 20], axis=-1), tf.float32)
            scores = tf.constant(random.uniform(size=[1, num_boxes, 2]), tf.float32)
            shapes = tf.constant([[70, 70, 3]])
            expected = batch_non_max_suppression(boxes, scores, shapes, config)
            for name, value in run(boxes, scores, shapes).items():
                np.testing.assert_allclose(value, expected[name], atol=1e-6)


def test_score_converters():
    logits = tf.constant([[2.0, 0.0, -2.0]])
    np.testing.assert_allclose(convert_scores(logits, "SIGMOID"), tf.sigmoid(logits))
    np.testing.assert_allclose(convert_scores(logits, "SOFTMAX", logit_scale=2.0), tf.nn.softmax(logits / 2))
    np.testing.assert_allclose(convert_scores(logits, "IDENTITY", logit_scale=4.0), logits / 4)


def test_scores_are_converted_before_calibration_but_logits_are_scaled_before_conversion():
    def processing_with(calibration):
        return read_settings_text(PostProcessing, f"score_converter: SIGMOID logit_scale: 2.0 {calibration}")

    processing = processing_with("")
    logits = tf.constant([[2.0, -1.0]])
    np.testing.assert_allclose(scores_from_logits(logits, processing), tf.sigmoid(logits / 2))

    processing = processing_with("calibration_config { temperature_scaling_calibration { scaler: 4.0 } }")
    np.testing.assert_allclose(scores_from_logits(logits, processing), tf.sigmoid(logits / 8), rtol=1e-6)

    pairs = " ".join(f"x_y_pair {{ x: {x} y: {y} }}" for x, y in ((0.0, 0.0), (0.5, 0.2), (1.0, 1.0)))
    processing = processing_with(f"calibration_config {{ function_approximation {{ x_y_pairs {{ {pairs} }} }} }}")
    converted = tf.sigmoid(logits / 2).numpy()[0]
    expected = np.interp(converted, [0, 0.5, 1], [0, 0.2, 1])
    np.testing.assert_allclose(scores_from_logits(logits, processing)[0], expected, rtol=1e-6)


@pytest.mark.parametrize("own_boxes", [False, True])
@pytest.mark.parametrize("fields", [{}, {"soft_nms_sigma": 0.4}, {"use_class_agnostic_nms": True}])
def test_detections_say_which_row_they_are(own_boxes, fields):
    random = np.random.default_rng(5)
    corners = random.uniform(0, 60, (2, 30, 3 if own_boxes else 1, 2))
    boxes = np.concatenate([corners, corners + random.uniform(5, 40, corners.shape)], axis=-1).astype(np.float32)
    scores = random.uniform(0, 1, (2, 30, 3)).astype(np.float32)
    found = batch_non_max_suppression(
        boxes, scores, tf.constant([[200, 200, 3]] * 2), nms_config(**fields), with_anchors=True
    )
    assert found["detection_anchor_indices"].shape == (2, 4)
    for image in range(2):
        assert found["num_detections"][image] > 0
        for row in range(int(found["num_detections"][image])):
            anchor = int(found["detection_anchor_indices"][image, row])
            class_index = int(found["detection_classes"][image, row]) - 1
            box = boxes[image, anchor, class_index if own_boxes else 0]
            np.testing.assert_allclose(found["detection_boxes"][image, row] * 200, box, rtol=1e-5)
            if "soft_nms_sigma" not in fields:
                assert found["detection_scores"][image, row] == scores[image, anchor, class_index]


def crowded(num_objects: int, *, num_anchors: int = 400, num_classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [A, 1, 4] around so many centres, the stronger the nearer, and scores [A, K]."""
    random = np.random.default_rng(num_objects)
    of_object = random.integers(0, num_objects, num_anchors)
    shift = random.uniform(0, 4, [num_anchors, 2])
    corners = np.stack([of_object % 8 * 40, of_object // 8 * 40], axis=-1) + shift
    boxes = np.concatenate([corners, corners + 30], axis=-1).astype(np.float32)
    scores = random.uniform(0.2, 0.9, [num_anchors, num_classes]) * np.exp(-shift.sum(axis=-1, keepdims=True) / 8)
    return boxes[:, np.newaxis], scores.astype(np.float32)


@pytest.mark.parametrize(
    ("objects", "fields", "looked_at"),
    [
        ((60, 60), {}, [40]),
        ((60, 60), {"use_class_agnostic_nms": True}, [40]),
        ((1, 1), {}, [40, 400]),  # the strongest lie on each other, and are not enough
        ((60, 1), {}, [40, 400]),  # of one image of the two
        ((1, 1), {"score_threshold": 0.8}, [40]),  # no other anchor passes
        ((1, 60), {"use_class_agnostic_nms": True}, [40, 400]),
    ],
)
def test_few_anchors_are_looked_at_first_and_give_what_all_of_them_do(monkeypatch, objects, fields, looked_at):
    boxes, scores = (np.stack(values) for values in zip(*map(crowded, objects), strict=True))
    config = nms_config(**{"max_detections_per_class": 4, "max_total_detections": 4, **fields})
    shape = tf.constant([[320, 320, 3]] * 2)
    monkeypatch.setattr(post_processing, "_ANCHORS_A_DETECTION", len(scores[0]))
    of_all = batch_non_max_suppression(boxes, scores, shape, config, with_anchors=True)
    monkeypatch.undo()
    seen, suppress = [], post_processing._suppress

    def spy(boxes, scores, settings):
        seen.append(boxes.shape[1])
        return suppress(boxes, scores, settings)

    monkeypatch.setattr(post_processing, "_suppress", spy)
    found = batch_non_max_suppression(boxes, scores, shape, config, with_anchors=True)
    assert seen == looked_at
    assert of_all["num_detections"].numpy().min() > 0
    for name, expected in of_all.items():
        np.testing.assert_array_equal(found[name], expected, err_msg=name)
