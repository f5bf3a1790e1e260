"""A Faster R-CNN, stage by stage, beside the stored values.

The second stage gets the stored proposals: a pair of nearly equal ones that changed places would move all that follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tests.reference.folder import ReferenceFolder
from tests.reference.inference import (
    Arrays,
    compare_detections,
    compare_maps,
    compare_preprocessed,
    compare_sampled,
    compare_trunk,
    resized,
)
from tests.reference.labels import labels_of
from tests.reference.verdict import FEATURES, LOSS, ROUNDING, Comparison, exactly, of_range, of_values, worst
from train.models.detector import GroundTruth
from train.models.faster_rcnn import FasterRcnnDetector
from train.models.first_stage import BOX_CODER, InputAnchors, assign_anchors, first_stage_losses, propose_regions
from train.models.proposals import Proposals, clip_to_image
from train.models.second_stage import assign_proposals, detections_of, second_stage_losses

# Of 300 proposals, and of the detections that come of them, this share is the same after rounding otherwise.
_SAME_PROPOSALS = 0.97
_DECODED = 1.5e-3


def compare_inference(detector: FasterRcnnDetector, folder: ReferenceFolder, batch: str) -> Iterator[Comparison]:
    """Compares what is computed of one batch of images."""
    arrays = folder.arrays[batch]
    settings = detector.settings
    images, true_shapes = resized(folder, batch, settings.image_resizer)
    normalized = detector.preprocess(images, true_shapes)
    yield compare_preprocessed(normalized, true_shapes, arrays)
    yield from compare_trunk(detector.network.backbone, normalized, arrays)
    maps, logits, codes, anchors, input_shape = detector.first_stage(images, true_shapes, training=False)
    yield compare_maps("feature_maps", maps, arrays)
    shared = [detector.network.rpn_head.shared_features(feature_map, False) for feature_map in maps]
    yield compare_maps("rpn_box_predictor_features", shared, arrays)
    if "anchors" in arrays:
        yield of_range("anchors", anchors.boxes.numpy(), arrays["anchors"], ROUNDING)
    for stage, values, name in (
        ("RPN box encodings", codes, "rpn_box_encodings"),
        ("RPN objectness logits", logits, "rpn_objectness_predictions_with_background"),
    ):
        found = np.take_along_axis(values.numpy(), arrays["anchor_index"][..., np.newaxis], axis=1)
        yield of_range(stage, found, arrays[name], FEATURES)
    yield _compare_proposals(propose_regions(logits, codes, anchors, true_shapes, settings), arrays, input_shape)

    proposals = stored_proposals(arrays)
    crops = detector.cropper.crop(maps, proposals.boxes, input_shape)
    flat = tf.reshape(crops, [-1, *crops.shape[2:]])
    yield compare_maps_as("RoI features", "roi_features", flat, arrays)
    features = detector.network.box_classifier_features(flat, training=False)
    yield compare_maps_as("box classifier features", "box_classifier_features", features, arrays)
    shape = crops.shape[:2]
    class_logits, box_codes = (
        tf.reshape(values, [*shape, *values.shape[1:]])
        for values in detector.network.detection_head[0](features, training=False)
    )
    stored = arrays["class_predictions_with_background"]
    yield of_range("class logits", class_logits.numpy().reshape(stored.shape), stored, FEATURES)
    yield _compare_codes(box_codes.numpy(), arrays)
    yield _compare_raw_boxes(class_logits, box_codes, proposals, true_shapes, arrays)
    fed: Mapping[str, Any] = detections_of(class_logits, box_codes, proposals, true_shapes, settings)
    yield _renamed("detections of the stored proposals", compare_detections(fed, arrays))
    detections = detector.detect(images, true_shapes)
    yield compare_detections(detections, arrays, least_share=_SAME_PROPOSALS)


def compare_losses(detector: FasterRcnnDetector, folder: ReferenceFolder) -> Iterator[Comparison]:
    """Compares targets and losses of the batch that has ground truth."""
    arrays, report, settings = folder.arrays["batch"], folder.report, detector.settings
    images, true_shapes = resized(folder, "batch", settings.image_resizer)
    maps, logits, codes, anchors, input_shape = detector.first_stage(images, true_shapes, training=False)
    truth = GroundTruth.from_labels(labels_of(arrays, true_shapes), input_shape)
    yield _compare_anchor_targets(anchors, truth, arrays)
    proposals = stored_proposals(arrays)
    yield _compare_proposal_targets(proposals, truth, settings.num_classes, arrays)

    class_logits, box_codes = detector.second_stage(maps, proposals, input_shape, training=False)
    losses = {
        **first_stage_losses(logits, codes, anchors, truth, settings),
        **second_stage_losses(class_logits, box_codes, proposals, truth, settings),
    }
    expected = {name: value for name, value in report["loss_inference_mode"].items() if not isinstance(value, dict)}
    yield of_values("losses, but objectness", [losses[name] for name in expected], expected.values(), LOSS)
    yield _compare_objectness(logits, anchors, truth, report["rpn_objectness_cross_entropy_per_image"])


def deterministic_losses(detector: FasterRcnnDetector, folder: ReferenceFolder) -> Callable[[], dict[str, tf.Tensor]]:
    """The losses in inference mode, of the stored proposals, without that of objectness, which samples at random."""
    arrays, settings = folder.arrays["batch"], detector.settings
    images, true_shapes = resized(folder, "batch", settings.image_resizer)
    proposals = stored_proposals(arrays)

    def losses() -> dict[str, tf.Tensor]:
        maps, logits, codes, anchors, input_shape = detector.first_stage(images, true_shapes, training=False)
        truth = GroundTruth.from_labels(labels_of(arrays, true_shapes), input_shape)
        class_logits, box_codes = detector.second_stage(maps, proposals, input_shape, training=False)
        found = first_stage_losses(logits, codes, anchors, truth, settings)
        found |= second_stage_losses(class_logits, box_codes, proposals, truth, settings)
        return {name: value for name, value in found.items() if "objectness" not in name}

    return losses


def stored_proposals(arrays: Arrays) -> Proposals:
    """The reference's proposals."""
    return Proposals(*(tf.constant(arrays[key]) for key in ("proposal_boxes", "proposal_scores", "num_proposals")))


def compare_maps_as(stage: str, name: str, tensor: tf.Tensor, arrays: Arrays) -> Comparison:
    """Compares one sampled tensor, whose stored shape may have more axes of length 1."""
    shape = arrays[f"{name}/shape"]
    found = tensor.numpy()
    if found.size == np.prod(shape):
        found = found.reshape(shape)
    return _renamed(stage, compare_sampled(name, found, arrays))


def _renamed(stage: str, comparison: Comparison) -> Comparison:
    return worst(stage, [comparison])


def _compare_proposals(found: Proposals, arrays: Arrays, input_shape: Any) -> Comparison:
    """Compares proposals as sets: nearly equal scores may change places."""
    boxes, scores = found.boxes.numpy(), found.scores.numpy()
    pixels = float(max(input_shape)) * _DECODED
    missing, differences = 0, [0.0]
    count = int(arrays["num_proposals"].sum())
    for row, number in enumerate(arrays["num_proposals"]):
        free = np.arange(boxes.shape[1]) < int(found.count[row])
        for rank in range(number):
            apart = np.abs(boxes[row] - arrays["proposal_boxes"][row][rank]).max(axis=-1)
            score = np.abs(scores[row] - arrays["proposal_scores"][row][rank])
            near = free & (apart <= pixels) & (score <= 2e-3)
            if not near.any():
                missing += 1
                continue
            best = int(np.argmin(np.where(near, apart, np.inf)))
            free[best] = False
            differences.append(float(apart[best]))
    note = f"{count - missing} of {count} found; pixels"
    relative = max(differences) / float(max(input_shape))
    return Comparison("proposals", max(differences), relative, 1 - missing / count >= _SAME_PROPOSALS, note)


def _compare_codes(codes: np.ndarray, arrays: Arrays) -> Comparison:
    """Compares box encodings: all of them, or with a box a class, some rows."""
    flat = codes.reshape(-1, *codes.shape[2:])
    if "refined_box_encodings" in arrays:
        return of_range("box encodings", flat, arrays["refined_box_encodings"], FEATURES)
    rows, values = arrays["refined_box_encodings/row"], arrays["refined_box_encodings/value"]
    return of_range("box encodings", flat[rows], values, FEATURES)


def _compare_raw_boxes(
    logits: tf.Tensor, codes: tf.Tensor, proposals: Proposals, true_shapes: tf.Tensor, arrays: Arrays
) -> Comparison:
    """Compares each proposal's box, of its likeliest class where classes have boxes of their own."""
    if codes.shape[2] > 1:
        likeliest = tf.argmax(logits[..., 1:], axis=-1)
        codes = tf.gather(codes, likeliest[..., tf.newaxis], axis=2, batch_dims=2)
    boxes = clip_to_image(BOX_CODER.decode(codes[:, :, 0], proposals.boxes), true_shapes).numpy()
    sides = np.tile(true_shapes.numpy()[:, np.newaxis, :2], 2)
    return of_range("raw boxes", boxes / sides, arrays["post/raw_detection_boxes"], _DECODED)


def _compare_positives(
    stage: str, prefix: str, positive: np.ndarray, ignored: np.ndarray, values: dict[str, np.ndarray], arrays: Arrays
) -> tuple[Comparison, np.ndarray | None]:
    """Compares the positives' places, box targets and weights; returns the stored rows in the order found too."""
    stored = np.stack([arrays[f"{prefix}/image"], arrays[f"{prefix}/anchor"]], axis=1)
    order = np.lexsort(stored.T[::-1])
    places = np.argwhere(positive)
    if not np.array_equal(places, stored[order]):
        note = f"{len(places)} positives, {len(stored)} stored"
        return Comparison(stage, np.inf, np.inf, False, note), None
    counts = np.stack([positive.sum(1), (~positive & ~ignored).sum(1), ignored.sum(1)], axis=1)
    rows = [
        of_range("", values["box_targets"][positive], arrays[f"{prefix}/box_targets"][order], 5 * ROUNDING),
        exactly("", values["box_weights"][positive], arrays[f"{prefix}/box_weights"][order]),
        exactly("", values["box_weights"][~positive].sum(keepdims=True), np.zeros(1)),
        exactly("", counts, arrays[f"{prefix}/counts_positive_negative_ignored"]),
    ]
    return worst(stage, rows, f"{len(places)} positives"), order


def _compare_anchor_targets(anchors: InputAnchors, truth: GroundTruth, arrays: Arrays) -> Comparison:
    targets = assign_anchors(anchors, truth)
    codes = BOX_CODER.encode(targets.boxes, anchors.boxes[tf.newaxis]).numpy()
    found, _ = _compare_positives(
        "RPN targets",
        "target/rpn",
        targets.positive.numpy(),
        targets.class_weights.numpy() == 0,
        {"box_targets": codes, "box_weights": targets.box_weights.numpy()},
        arrays,
    )
    return found


def _compare_proposal_targets(proposals: Proposals, truth: GroundTruth, num_classes: int, arrays: Arrays) -> Comparison:
    targets = assign_proposals(proposals.boxes, truth, num_classes)
    positive, classes = targets.positive.numpy(), targets.classes.numpy()
    stage, prefix = "box classifier targets", "target/box_classifier"
    found, order = _compare_positives(
        stage,
        prefix,
        positive,
        targets.class_weights.numpy() == 0,
        {"box_targets": targets.box_codes.numpy(), "box_weights": targets.box_weights.numpy()},
        arrays,
    )
    if order is None:
        return found
    rows = [
        exactly("", classes[positive].argmax(-1), arrays[f"{prefix}/class_index"][order]),
        exactly("", classes[positive].sum(-1), arrays[f"{prefix}/class_sum"][order]),
        exactly("", classes[~positive][:, 0], np.ones((~positive).sum())),
    ]
    return worst(stage, [found, *rows])


def _compare_objectness(logits: tf.Tensor, anchors: InputAnchors, truth: GroundTruth, expected: Any) -> Comparison:
    """Compares the cross-entropy of every anchor before any is drawn, as means over positives and negatives."""
    targets = assign_anchors(anchors, truth)
    positive = targets.positive.numpy()
    negative = ~positive & (targets.class_weights.numpy() > 0)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(targets.positive, tf.int32), logits).numpy()
    found, stored = [], []
    for name, chosen in (("mean_over_positives", positive), ("mean_over_negatives", negative)):
        found += [losses[row][chosen[row]].mean() for row in range(len(losses))]
        stored += expected[name]
    return of_values("RPN objectness cross-entropy", found, stored, LOSS)
