"""Measuring on an evaluation input's records one by one: an exported SavedModel, or detections that are there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from data_prep.runtime.command_line import UsageError
from train.evaluation.detected_image import DetectedImage, ImageObserver
from train.evaluation.evaluator import EvaluationResult, measure_input, valid_detections
from train.evaluation.given_detections import ImageBoxes
from train.inputs.class_labels import VerifiedLabelReader
from train.inputs.decode import DecodedRecord, RecordDecoder
from train.inputs.label_expansion import label_expansion
from train.inputs.left_out import LeftOut, count_record
from train.inputs.record_errors import explained_records
from train.inputs.record_order import read_records
from train.loop.processor import batch_norm_apart
from train.pipeline import Pipeline

SAVED_MODEL_INPUT = "input_tensor"

# Takes an encoded image and its record; returns `boxes`, `scores` and `classes` as `DetectedImage` has them.
_Ask = Callable[[tf.Tensor, DecodedRecord], Mapping[str, np.ndarray]]


def evaluate_saved_model(
    pipeline: Pipeline, saved_model_dir: str, *, reader_index: int = 0, observers: Sequence[ImageObserver] = ()
) -> EvaluationResult:
    """Evaluates an exported SavedModel on the same input, image by image, as a client would ask it.

    Args:
        pipeline: Its `eval_input_reader` says what to evaluate on.
        saved_model_dir: The folder with `saved_model.pb`, or one with `saved_model/` inside.
        reader_index: Which `eval_input_reader`.
        observers: They are shown each image.

    Raises:
        UsageError: There is no SavedModel, or its signature is not a detector's.
    """
    folder = Path(saved_model_dir)
    if not (folder / "saved_model.pb").is_file():
        folder = folder / "saved_model"
    if not (folder / "saved_model.pb").is_file():
        raise UsageError(f"{saved_model_dir} has no saved_model.pb; give the folder that the exporter wrote")
    loaded = tf.saved_model.load(str(folder))
    signature = loaded.signatures.get("serving_default")
    if signature is None:
        raise UsageError(f"{folder} has no signature serving_default")
    inputs = signature.structured_input_signature[1]
    if list(inputs) != [SAVED_MODEL_INPUT]:
        raise UsageError(f"{folder}: the input must be {SAVED_MODEL_INPUT}, but is {', '.join(inputs)}")
    dtype = inputs[SAVED_MODEL_INPUT].dtype

    def ask(encoded: tf.Tensor, decoded: DecodedRecord) -> dict[str, np.ndarray]:
        pixels = encoded if dtype == tf.string else tf.cast(decoded.image, dtype)
        outputs = signature(**{SAVED_MODEL_INPUT: pixels[tf.newaxis]})
        return valid_detections({name: value.numpy()[0] for name, value in outputs.items()})

    return _measure_records(pipeline, ask, reader_index, observers)


def evaluate_given(
    pipeline: Pipeline,
    detections: Mapping[str, ImageBoxes],
    *,
    reader_index: int = 0,
    observers: Sequence[ImageObserver] = (),
) -> EvaluationResult:
    """Evaluates detections that are there already on the same input.

    Args:
        pipeline: Its `eval_input_reader` says what to evaluate on.
        detections: By the records' ids; in an image without any, nothing was found.
        reader_index: Which `eval_input_reader`.
        observers: They are shown each image.
    """

    def look_up(_: tf.Tensor, decoded: DecodedRecord) -> dict[str, np.ndarray]:
        height, width = decoded.image.shape[:2]
        return detections.get(_text(decoded.source_id), ImageBoxes()).as_arrays(height, width)

    return _measure_records(pipeline, look_up, reader_index, observers)


def _measure_records(
    pipeline: Pipeline, ask: _Ask, reader_index: int, observers: Sequence[ImageObserver]
) -> EvaluationResult:
    left_out = LeftOut.of_evaluation(pipeline.settings, reader_index)
    with batch_norm_apart(), explained_records(pipeline.settings.eval_input_reader[reader_index]):
        result = measure_input(pipeline, _ask_about_records(pipeline, ask, reader_index, left_out), observers)
    return dataclasses.replace(result, left_out=tuple(left_out.sentences()))


def _ask_about_records(pipeline: Pipeline, ask: _Ask, reader_index: int, left_out: LeftOut) -> Iterator[DetectedImage]:
    reader = pipeline.settings.eval_input_reader[reader_index]
    is_strict = pipeline.settings.extensions.strict_records
    label_map, num_classes = pipeline.label_map, pipeline.settings.model.num_classes
    expansion = label_expansion(reader, label_map, num_classes)
    decode = RecordDecoder(label_map, num_classes, is_strict=is_strict, expansion=expansion)

    def read(record: tf.Tensor, index: tf.Tensor) -> tuple[tf.Tensor, Any, tf.Tensor]:
        encoded = tf.io.parse_single_example(record, {"image/encoded": tf.io.FixedLenFeature((), tf.string)})
        return encoded["image/encoded"], decode(record, index), read_verified_labels(record)

    read_verified_labels = VerifiedLabelReader(label_map, num_classes, expansion=expansion)
    where = f"eval_input_reader[{reader_index}]"
    records = read_records(reader, where, num_epochs=1)
    examples = tf.data.Dataset.zip((records, tf.data.Dataset.counter())).map(read).prefetch(2)
    for encoded, decoded, verified in examples:
        image = decoded.image.numpy()
        truth = {name.removeprefix("groundtruth_"): value.numpy() for name, value in decoded.ground_truth.items()}
        left_out.add(count_record(decoded), decoded.unusable_box.numpy())
        yield DetectedImage(
            source_id=_text(decoded.source_id),
            image=image,
            groundtruth=truth,
            detections=ask(encoded, decoded),
            original_shape=image.shape[:2],
            verified_class_ids=verified.numpy(),
        )


def _text(value: tf.Tensor) -> str:
    return value.numpy().decode("utf-8", "replace")
