"""Thresholds of the classes in an exported graph: weaker detections are taken out, and the rest move up.

Twice: as the graph does it, and by hand on one image's arrays, for the comparison with the checkpoint.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from export.comparison import MAX_SCORE_DIFFERENCE, Outputs
from train.evaluation.thresholds_file import ClassThresholds
from train.models.detector import Detector

DETECTION_THRESHOLDS = "detection_thresholds"
# Where a model's settings have the last NMS.
_POST_PROCESSING = ("second_stage_post_processing", "post_processing")
# What has a row a detection; `raw_...` has one an anchor.
_OF_DETECTIONS = (
    "detection_boxes",
    "detection_scores",
    "detection_classes",
    "detection_multiclass_scores",
    "detection_anchor_indices",
)


@contextlib.contextmanager
def nms_from(detector: Detector, thresholds: ClassThresholds | None) -> Iterator[None]:
    """Lets a detector's NMS, within a `with`, leave out what scores less than every class's threshold.

    What scores less suppresses nothing that scores more, so that `with_thresholds` gives the same, and the NMS has less
    to do.

    Args:
        detector: It has its own settings again afterwards.
        thresholds: Of all classes; None changes nothing.
    """
    own = detector.settings
    place = next((name for name in _POST_PROCESSING if hasattr(own, name)), None)
    if thresholds is not None and place is not None:
        processing = getattr(own, place)
        nms = processing.batch_non_max_suppression
        least = np.float32(min(thresholds.by_class.values(), default=0.0))
        # A score has to exceed the NMS's threshold, and to reach its class's.
        below = float(np.nextafter(np.minimum(least, np.float32(2.0)), np.float32(-1.0)))
        nms = dataclasses.replace(nms, score_threshold=max(nms.score_threshold, below))
        detector.settings = dataclasses.replace(
            own, **{place: dataclasses.replace(processing, batch_non_max_suppression=nms)}
        )
    try:
        yield
    finally:
        detector.settings = own


def with_thresholds(found: dict[str, tf.Tensor], thresholds: ClassThresholds, num_classes: int) -> dict[str, tf.Tensor]:
    """Takes out detections below their class's threshold.

    Args:
        found: What `Detector.detect_with_raw` returns: tensors [B, D, ...], zeros beyond `num_detections`.
        thresholds: Of all classes.
        num_classes: The highest label map id that a detection can have.

    Returns:
        The same with as many rows, the kept ones first in their order and zeros after them; `num_detections` counts
        them, and `detection_thresholds`, float32 [B, D], is the threshold of each one's class. What is of anchors and
        not of detections stays.
    """
    scores = found["detection_scores"]
    rows = tf.shape(scores)[1]
    by_class = tf.constant(thresholds.as_float32(num_classes))
    least = tf.gather(by_class, tf.cast(found["detection_classes"], tf.int32))
    is_kept = tf.sequence_mask(tf.cast(found["num_detections"], tf.int32), rows) & (scores >= least)
    order = tf.argsort(tf.cast(~is_kept, tf.int32), stable=True)
    count = tf.reduce_sum(tf.cast(is_kept, tf.int32), axis=1)
    is_row = tf.sequence_mask(count, rows)

    def moved_up(values: tf.Tensor) -> tf.Tensor:
        values = tf.gather(values, order, batch_dims=1)
        mask = is_row if values.shape.rank == 2 else is_row[..., tf.newaxis]
        return tf.where(mask, values, tf.zeros_like(values))

    kept = {name: moved_up(found[name]) for name in _OF_DETECTIONS if name in found}
    return {**found, **kept, "num_detections": tf.cast(count, tf.float32), DETECTION_THRESHOLDS: moved_up(least)}


def applied_to(found: Outputs, thresholds: ClassThresholds) -> dict[str, np.ndarray]:
    """One image's detections, those below their class's threshold taken out, by the file's own numbers."""
    return _rows_where(found, found["detection_scores"] - _least(found, thresholds) >= 0)


def comparable(
    expected: Outputs, exported: Outputs, thresholds: ClassThresholds
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Makes two lists of detections of an image alike, of which a graph has applied thresholds to the second alone.

    What scores so nearly its threshold that rounding decides on which side it is, is left out of both.

    Args:
        expected: All detections, to which the thresholds are applied here, with the file's own numbers.
        exported: The graph's.
        thresholds: Of all classes.
    """
    margins = expected["detection_scores"] - _least(expected, thresholds)
    others = exported["detection_scores"] - _least(exported, thresholds)
    return (
        _rows_where(expected, margins > MAX_SCORE_DIFFERENCE),
        _rows_where(exported, np.abs(others) > MAX_SCORE_DIFFERENCE),
    )


def below_thresholds(found: Outputs, thresholds: ClassThresholds) -> list[str]:
    """Names, in words, one image's detections below their thresholds."""
    least = _least(found, thresholds)
    return [
        f"class {found['detection_classes'][row]:.0f} with score {found['detection_scores'][row]:.6f}, and its "
        f"threshold is {least[row]:g}"
        for row in range(int(found["num_detections"]))
        if not found["detection_scores"][row] >= least[row]
    ]


def _least(found: Outputs, thresholds: ClassThresholds) -> np.ndarray:
    """The threshold of each row's class, float64 [D]."""
    return np.array([thresholds.by_class.get(int(class_id), np.inf) for class_id in found["detection_classes"]])


def _rows_where(found: Outputs, mask: np.ndarray) -> dict[str, np.ndarray]:
    """One image's detections for which `mask`, bool [D], holds, and zeros in the rows that are left."""
    chosen = np.flatnonzero(mask & (np.arange(len(mask)) < int(found["num_detections"])))
    rows = {name: np.zeros_like(found[name]) for name in _OF_DETECTIONS if name in found}
    for name, values in rows.items():
        values[: len(chosen)] = found[name][chosen]
    return {**found, **rows, "num_detections": np.array(len(chosen), np.float32)}
