"""An SSD, stage by stage, beside the stored values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tests.reference.folder import ReferenceFolder
from tests.reference.inference import (
    Arrays,
    compare_detections,
    compare_maps,
    compare_preprocessed,
    compare_trunk,
    resized,
)
from tests.reference.labels import labels_of
from tests.reference.verdict import FEATURES, LOSS, ROUNDING, Comparison, exactly, of_range, of_values, worst
from train.models.detector import Labels
from train.models.ssd import SsdDetector

_DECODED = 1.5e-3


def compare_inference(detector: SsdDetector, folder: ReferenceFolder, batch: str) -> Iterator[Comparison]:
    """Compares what is computed of one batch of images."""
    arrays = folder.arrays[batch]
    images, true_shapes = resized(folder, batch, detector.settings.image_resizer)
    normalized = detector.preprocess(images, true_shapes)
    yield compare_preprocessed(normalized, true_shapes, arrays)
    yield from compare_trunk(detector.network.backbone, normalized, arrays)
    maps = detector.network.feature_maps(normalized, training=False)
    yield compare_maps("feature_maps", list(maps.values()), arrays)
    logits, codes, anchors = detector.predict(images, normalized, training=False)
    if "anchors" in arrays:
        yield of_range("anchors", anchors.numpy(), arrays["anchors"], ROUNDING)
    yield of_range("box encodings", _at(codes, arrays), arrays["box_encodings"], FEATURES)
    stored = arrays["class_predictions_with_background"]
    yield of_range("class logits", _at(logits, arrays), stored, FEATURES)
    decoded = detector.box_coder.decode(codes, anchors[tf.newaxis])
    yield of_range("raw boxes", _at(decoded, arrays), arrays["post/raw_detection_boxes"], _DECODED)
    yield compare_detections(detector.detect(images, true_shapes), arrays)


def _at(values: tf.Tensor, arrays: Arrays) -> np.ndarray:
    """The stored anchors' rows of [N, A, numbers]."""
    return np.take_along_axis(values.numpy(), arrays["anchor_index"][..., np.newaxis], axis=1)


def compare_losses(detector: SsdDetector, folder: ReferenceFolder) -> Iterator[Comparison]:
    """Compares targets and losses of the batch that has ground truth."""
    arrays, report = folder.arrays["batch"], folder.report
    images, true_shapes = resized(folder, "batch", detector.settings.image_resizer)
    labels = labels_of(arrays, true_shapes)
    yield _compare_targets(detector, labels, arrays)
    losses = detector.compute_losses(images, labels, training=False)
    expected: dict[str, Any] = report["loss_inference_mode"]
    yield of_values("losses", [losses[name] for name in expected], expected.values(), LOSS)


def _compare_targets(detector: SsdDetector, labels: Labels, arrays: Arrays) -> Comparison:
    targets = detector.assign_targets(labels)
    matches, classes = targets.matches.numpy(), targets.class_targets.numpy()
    positive = matches >= 0
    weights = targets.class_weights.numpy().max(axis=-1)
    stored = np.stack([arrays["target/image"], arrays["target/anchor"]], axis=1)
    order = np.lexsort(stored.T[::-1])
    places = np.argwhere(positive)
    if not np.array_equal(places, stored[order]):
        return Comparison("target assignment", np.inf, np.inf, False, f"{len(places)} positives, {len(stored)} stored")
    counts = np.stack([positive.sum(1), (~positive & (weights > 0)).sum(1), (weights == 0).sum(1)], axis=1)
    rows = [
        exactly("", matches[positive], arrays["target/groundtruth"][order]),
        of_range("", targets.codes.numpy()[positive], arrays["target/box_targets"][order], 5 * ROUNDING),
        exactly("", targets.box_weights.numpy()[positive], arrays["target/box_weights"][order]),
        exactly("", classes[positive].argmax(-1), arrays["target/class_index"][order]),
        exactly("", classes[positive].sum(-1), arrays["target/class_sum"][order]),
        exactly("", targets.box_weights.numpy()[~positive].sum(keepdims=True), np.zeros(1)),
        exactly("", counts, arrays["target/counts_positive_negative_ignored"]),
    ]
    return worst("target assignment", rows, f"{len(places)} positives")
