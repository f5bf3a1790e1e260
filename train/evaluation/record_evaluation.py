"""Measuring on an evaluation input's records one by one: a model, a server, or detections that are there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from train.evaluation.detected_image import DetectedImage, ImageObserver
from train.evaluation.evaluator import EvaluationResult, measure_input
from train.evaluation.given_detections import ImageBoxes
from train.evaluation.image_detector import ImageDetector
from train.inputs.class_labels import VerifiedLabelReader
from train.inputs.decode import DecodedRecord, RecordDecoder
from train.inputs.label_expansion import label_expansion
from train.inputs.left_out import LeftOut, count_record
from train.inputs.record_errors import explained_records
from train.inputs.record_order import read_records
from train.loop.processor import batch_norm_apart
from train.pipeline import Pipeline


class GivenDetections:
    """Detections that are there already; see `ImageDetector`."""

    def __init__(self, detections: Mapping[str, ImageBoxes]) -> None:
        """Takes them by the records' ids; in an image without any, nothing was found."""
        self._detections = detections

    def detect(self, encoded: tf.Tensor, decoded: DecodedRecord) -> Mapping[str, np.ndarray]:
        """See `ImageDetector.detect`."""
        height, width = decoded.image.shape[:2]
        return self._detections.get(_text(decoded.source_id), ImageBoxes()).as_arrays(height, width)


def evaluate_detector(
    pipeline: Pipeline, detector: ImageDetector, *, reader_index: int = 0, observers: Sequence[ImageObserver] = ()
) -> EvaluationResult:
    """Evaluates what detects in one image at a time on the input that a checkpoint is evaluated on.

    Args:
        pipeline: Its `eval_input_reader` says what to evaluate on.
        detector: Is asked about each image.
        reader_index: Which `eval_input_reader`.
        observers: They are shown each image.
    """
    left_out = LeftOut.of_evaluation(pipeline.settings, reader_index)
    result = measure_input(pipeline, detected_records(pipeline, detector, reader_index, left_out), observers)
    return dataclasses.replace(result, left_out=tuple(left_out.sentences()))


def detected_records(
    pipeline: Pipeline, detector: ImageDetector, reader_index: int, left_out: LeftOut | None = None
) -> Iterator[DetectedImage]:
    """Yields the images of an evaluation input with what a detector finds in them.

    Args:
        pipeline: Its `eval_input_reader` says which.
        detector: Is asked about each.
        reader_index: Which `eval_input_reader`.
        left_out: Is told what ground truth is not measured against.
    """
    reader = pipeline.settings.eval_input_reader[reader_index]
    is_strict = pipeline.settings.extensions.strict_records
    label_map, num_classes = pipeline.label_map, pipeline.settings.model.num_classes
    expansion = label_expansion(reader, label_map, num_classes)
    decode = RecordDecoder(label_map, num_classes, is_strict=is_strict, expansion=expansion)

    def read(record: tf.Tensor, index: tf.Tensor) -> tuple[tf.Tensor, Any, tf.Tensor]:
        encoded = tf.io.parse_single_example(record, {"image/encoded": tf.io.FixedLenFeature((), tf.string)})
        return encoded["image/encoded"], decode(record, index), read_verified_labels(record)

    read_verified_labels = VerifiedLabelReader(label_map, num_classes, expansion=expansion)
    with batch_norm_apart(), explained_records(reader):
        records = read_records(reader, f"eval_input_reader[{reader_index}]", num_epochs=1)
        examples = tf.data.Dataset.zip((records, tf.data.Dataset.counter())).map(read).prefetch(2)
        for encoded, decoded, verified in examples:
            image = decoded.image.numpy()
            truth = {name.removeprefix("groundtruth_"): value.numpy() for name, value in decoded.ground_truth.items()}
            if left_out is not None:
                left_out.add(count_record(decoded), decoded.unusable_box.numpy())
            yield DetectedImage(
                source_id=_text(decoded.source_id),
                image=image,
                groundtruth=truth,
                detections=detector.detect(encoded, decoded),
                original_shape=image.shape[:2],
                verified_class_ids=verified.numpy(),
            )


def _text(value: tf.Tensor) -> str:
    return value.numpy().decode("utf-8", "replace")
