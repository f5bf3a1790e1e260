"""The check that TensorFlow Lite models detect what their checkpoint detects."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from configs.settings.post_processing import BatchNonMaxSuppression
from export.agreement import Agreement, agree
from export.comparison import MAX_SCORE_DIFFERENCE, Differences, Outputs, compare_detections
from export.image_inputs import batch_reader
from export.parity_images import SampleImage
from export.tflite.comparison import RawDifferences, compare_before_nms
from export.tflite.graph import NmsOptions, without_weak_scores
from export.tflite.report import ModelCheck
from export.tflite.requirements import FLOAT
from export.tflite.runtime import TfliteDetector
from train.evaluation.tflite_model import detections_in_image
from train.models.post_processing import batch_non_max_suppression
from train.models.ssd import SsdDetector
from train.models.ssd_targets import ClassSlots


@dataclasses.dataclass(frozen=True)
class Expected:
    """The checkpoint's outputs for an image.

    Attributes:
        name: Of the image, for words.
        size: Its height and width in pixels, as it was sent.
        pixels: float32 [1, height, width, 3], RGB 0..255, resized and padded.
        normalized: The same as the network takes it.
        input_in_image: float32 [4], by which boxes in 0..1 of the input are multiplied to be in 0..1 of the image.
        raw_boxes: float32 [A, 4], ymin xmin ymax xmax in 0..1 of the input.
        raw_scores: float32 [A, classes], 0 where below the class's threshold.
        close_calls: bool [A, classes], scores so near their class's threshold that rounding decides on which side.
        own: Its detections, after the NMS of the config.
        alike: Its detections after an NMS like the operator's.
    """

    name: str
    size: tuple[int, int]
    pixels: np.ndarray
    normalized: np.ndarray
    input_in_image: np.ndarray
    raw_boxes: np.ndarray
    raw_scores: np.ndarray
    close_calls: np.ndarray
    own: Outputs
    alike: Outputs


def ask_checkpoint(detector: SsdDetector, nms: NmsOptions, images: Sequence[SampleImage]) -> list[Expected]:
    """Runs the checkpoint's network on images.

    Raises:
        UserError: An image does not decode.
    """
    read = batch_reader("image_tensor", detector.settings.image_resizer)
    slots = ClassSlots.from_settings(detector.settings)
    sides = tf.constant([*detector.input_shape, *detector.input_shape], tf.float32)
    # Without thresholds no score is near one.
    num_classes = slots.num_slots - int(slots.has_background)
    thresholds = tf.constant((nms.class_thresholds or [np.inf] * num_classes)[:num_classes], tf.float32)
    own, alike = _nms_settings(detector.settings.post_processing.batch_non_max_suppression, nms)

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8)])
    @tf.autograph.experimental.do_not_convert
    def ask(image: tf.Tensor) -> dict[str, Any]:
        pixels, true_shape = read(image)
        detections = detector.detect_with_raw(pixels, true_shape)
        boxes, all_scores = detections["raw_detection_boxes"], detections["raw_detection_scores"]
        scores = slots.without_background(without_weak_scores(all_scores, nms, slots))
        margins = tf.abs(slots.without_background(all_scores) - thresholds)
        own_found, alike_found = (
            batch_non_max_suppression((boxes * sides)[:, :, tf.newaxis], scores, true_shape, nms)
            for nms in (own, alike)
        )
        true_sides = tf.cast(true_shape[0, :2], tf.float32)
        return {
            "pixels": pixels,
            "normalized": detector.preprocess(pixels, true_shape),
            "input_in_image": sides / tf.concat([true_sides, true_sides], axis=0),
            "raw_boxes": boxes[0],
            "raw_scores": scores[0],
            "close_calls": margins[0] <= MAX_SCORE_DIFFERENCE,
            "own": _first(own_found, nms.max_detections),
            "alike": _first(alike_found, nms.max_detections),
        }

    expected = []
    for named_image in images:
        array = named_image.pixels()
        answers = tf.nest.map_structure(lambda value: value.numpy(), ask(array[np.newaxis]))
        expected.append(Expected(name=named_image.name, size=array.shape[:2], **answers))
    return expected


def _nms_settings(
    settings: BatchNonMaxSuppression, nms: NmsOptions
) -> tuple[BatchNonMaxSuppression, BatchNonMaxSuppression]:
    """Settings of two NMS: the config's, and one that does what the operator does."""
    own = dataclasses.replace(
        settings,
        # Boxes are compared in the image's frame, whichever the config gives them in.
        change_coordinate_frame=True,
        score_threshold=nms.score_threshold,  # the config's, or the least of the classes'
        # Never fewer than of one class; the operator's number is cut off afterwards.
        max_total_detections=max(settings.max_detections_per_class, nms.max_detections),
    )
    alike = dataclasses.replace(
        own,
        use_class_agnostic_nms=not nms.use_regular_nms,
        max_detections_per_class=nms.detections_per_class,
        max_total_detections=nms.max_detections,
    )
    return own, alike


def _first(detections: dict[str, tf.Tensor], rows: int) -> dict[str, tf.Tensor]:
    """The detections of the first image, as many rows of them."""
    count = tf.minimum(detections["num_detections"][0], float(rows))
    found = {name: value[0, :rows] for name, value in detections.items() if name != "num_detections"}
    return {**found, "num_detections": count}


def check_model(
    path: Path, quantization: str, detector: SsdDetector, expected: Sequence[Expected], *, min_score: float
) -> ModelCheck:
    """Runs a model on the same images and compares.

    Args:
        path: The `.tflite` file.
        quantization: How it was made.
        detector: The checkpoint's.
        expected: As `ask_checkpoint` returns it.
        min_score: What detections count from in `agreement`, and boxes before the NMS.
    """
    model = TfliteDetector(path)
    slots = ClassSlots.from_settings(detector.settings)
    before, alike, agreement = RawDifferences(), Differences(), Agreement()
    seconds: list[float] = []
    for named_image in expected:
        image = _as_input(model, named_image)
        if not seconds:
            model.detect(image)  # what is set up at the first image is no part of any image's time
        answers, taken = model.detect(image)
        seconds.append(taken)
        codes, scores, anchors = model.before_nms(image)
        scores = np.where(named_image.close_calls, named_image.raw_scores, slots.without_background(scores))
        found = _decode(detector, codes, anchors), scores
        in_pixels = named_image.input_in_image * np.array([*named_image.size, *named_image.size], np.float32)
        before += compare_before_nms(in_pixels, (named_image.raw_boxes, named_image.raw_scores), found, min_score)
        detections = _in_image(answers, named_image.input_in_image)
        if quantization == FLOAT:
            alike += compare_detections(
                named_image.name, named_image.size, named_image.alike, detections, exported_name="TensorFlow Lite model"
            )
        agreement += agree(named_image.size, named_image.own, detections, min_score)
    return ModelCheck(
        quantization=quantization,
        file_name=path.name,
        num_bytes=path.stat().st_size,
        milliseconds=1000.0 * float(np.median(seconds)),
        before_suppression=before,
        alike=alike if quantization == FLOAT else None,
        agreement=agreement,
    )


def _as_input(model: TfliteDetector, image: Expected) -> np.ndarray:
    if model.input_type == np.uint8:
        return np.clip(np.rint(image.pixels), 0, 255).astype(np.uint8)
    return image.normalized


def _decode(detector: SsdDetector, codes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Boxes float32 [A, 4], ymin xmin ymax xmax in 0..1 of the input, by the anchors that are in the model."""
    centers, sides = anchors[:, :2], anchors[:, 2:]
    corners = np.concatenate([centers - sides / 2.0, centers + sides / 2.0], axis=1)
    return np.asarray(detector.box_coder.decode(tf.constant(codes), tf.constant(corners)))


def _in_image(found: Outputs, input_in_image: np.ndarray) -> Outputs:
    """Detections as the checkpoint gives them: clipped to the image, ids from 1, zeros where there is none."""
    rows = detections_in_image(found, input_in_image)
    count = len(rows["detection_scores"])
    missing = len(found["detection_scores"]) - count
    padded = {name: np.pad(rows[name], [(0, missing)] + [(0, 0)] * (rows[name].ndim - 1)) for name in rows}
    return {**padded, "num_detections": np.array(count, np.float32)}
