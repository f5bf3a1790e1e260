"""Measuring a detector on an evaluation input: from a checkpoint's network, or from an exported SavedModel."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from data_prep.command_line import UsageError, UserError
from data_prep.progress import progress
from train.inputs.decode import RecordDecoder
from train.inputs.reader import build_evaluation_dataset
from train.inputs.records import read_records
from train.metrics.coco import CocoEvaluator
from train.metrics.report import metrics_table, write_metrics_json
from train.models.detector import Detector
from train.pipeline import Pipeline
from train.summaries import evaluation_picture, write_pictures
from train.trainer import REGULARIZATION_LOSS, TOTAL_LOSS

DEFAULT_BATCH_SIZE = 8
SAVED_MODEL_INPUT = "input_tensor"
METRICS_FILE = "metrics.json"


@dataclasses.dataclass(frozen=True)
class DetectedImage:
    """One image of the evaluation input with what is there and what was found.

    Attributes:
        source_id: The record's id.
        image: uint8 or float32 [H, W, 3], RGB 0..255, to draw on.
        groundtruth: `boxes` float32 [N, 4] ymin xmin ymax xmax in 0..1 of `image`, `classes`, `is_crowd`, `area`, [N].
        detections: `boxes` float32 [D, 4] ymin xmin ymax xmax in 0..1 of `image`, `scores`, `classes`, [D].
        original_shape: Height and width of the picture in the record, in pixels.
    """

    source_id: str
    image: np.ndarray
    groundtruth: Mapping[str, np.ndarray]
    detections: Mapping[str, np.ndarray]
    original_shape: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class EvaluationResult:
    """What an evaluation found.

    Attributes:
        metrics: By the Object Detection API's names.
        groundtruth_counts: Boxes by class name.
        pictures: uint8 [H, W, 3] each: ground truth beside detections.
        num_images: How many images were evaluated.
    """

    metrics: dict[str, float]
    groundtruth_counts: dict[str, int]
    pictures: list[np.ndarray]
    num_images: int

    def table(self, max_classes: int | None = 40) -> str:
        """The metrics for a terminal."""
        return metrics_table(self.metrics, self.groundtruth_counts, max_classes=max_classes)

    def write(self, eval_dir: Path, *, step: int, source: str) -> None:
        """Writes JSON (the newest, and one a step) and TensorBoard scalars and pictures.

        Args:
            eval_dir: Made if missing.
            step: The training step of what was evaluated.
            source: What was evaluated, for the JSON.
        """
        extra = {"step": step, "source": source, "num_images": self.num_images}
        for name in (METRICS_FILE, f"metrics-{step}.json"):
            write_metrics_json(eval_dir / name, self.metrics, extra)
        writer = tf.summary.create_file_writer(str(eval_dir))
        with writer.as_default():
            for name, value in self.metrics.items():
                if np.isfinite(value):
                    tf.summary.scalar(name, value, step=step)
            write_pictures("detections", self.pictures, step=step)
        writer.close()


class CheckpointEvaluator:
    """Evaluates a detector's network as it stands; keeps its traced graph from one evaluation to the next."""

    def __init__(self, pipeline: Pipeline, detector: Detector, *, reader_index: int = 0) -> None:
        """Prepares an evaluation.

        Args:
            pipeline: Its `eval_config` and `eval_input_reader` say what to evaluate on.
            detector: Whose network is measured.
            reader_index: Which `eval_input_reader`.
        """
        self._pipeline = pipeline
        self._detector = detector
        batch_size = pipeline.config.eval_config.batch_size
        if not pipeline.config.eval_config.HasField("batch_size"):
            batch_size = DEFAULT_BATCH_SIZE
        self._dataset = build_evaluation_dataset(pipeline.config, reader_index=reader_index, batch_size=batch_size)
        self._losses: dict[str, list[float]] = {}

        # Traced anew for a smaller last batch: Model Garden's sampler needs to know how many images it has.
        @tf.function
        def step(images: tf.Tensor, labels: Mapping[str, tf.Tensor]) -> tuple[Any, Any]:
            losses = detector.compute_losses(images, labels, training=False)
            return detector.detect(images, labels["true_image_shape"]), losses

        self._step = step

    def evaluate(self) -> EvaluationResult:
        """Goes once over the input."""
        self._losses = {}
        result = _measure(self._pipeline, self._detected_images())
        losses = {name: float(np.mean(values)) for name, values in self._losses.items()}
        regularization = float(self._detector.regularization_loss())
        losses[REGULARIZATION_LOSS] = regularization
        losses[TOTAL_LOSS] = sum(losses.values())
        return dataclasses.replace(result, metrics={**result.metrics, **losses})

    def _detected_images(self) -> Iterator[DetectedImage]:
        for images, labels in self._dataset:
            detections, losses = self._step(images, labels)
            for name, value in losses.items():
                self._losses.setdefault(name, []).append(float(value))
            detections = {name: value.numpy() for name, value in detections.items()}
            yield from _unbatch(images.numpy(), {name: value.numpy() for name, value in labels.items()}, detections)


def evaluate_saved_model(pipeline: Pipeline, saved_model_dir: str, *, reader_index: int = 0) -> EvaluationResult:
    """Evaluates an exported SavedModel on the same input, picture by picture, as a client would ask it.

    Args:
        pipeline: Its `eval_input_reader` says what to evaluate on.
        saved_model_dir: The folder with `saved_model.pb`, or one with `saved_model/` inside.
        reader_index: Which `eval_input_reader`.

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
    return _measure(pipeline, _ask_saved_model(pipeline, signature, dtype, reader_index))


def _ask_saved_model(
    pipeline: Pipeline, signature: Callable[..., Any], dtype: tf.DType, reader_index: int
) -> Iterator[DetectedImage]:
    reader = pipeline.config.eval_input_reader[reader_index]
    decode = RecordDecoder(pipeline.label_map, pipeline.model.num_classes)

    def read(record: tf.Tensor, index: tf.Tensor) -> tuple[tf.Tensor, Any]:
        encoded = tf.io.parse_single_example(record, {"image/encoded": tf.io.FixedLenFeature((), tf.string)})
        return encoded["image/encoded"], decode(record, index)

    records = read_records(reader, f"eval_input_reader[{reader_index}]", num_epochs=1, seed=0)
    examples = tf.data.Dataset.zip((records, tf.data.Dataset.counter())).map(read).prefetch(2)
    for encoded, decoded in examples:
        pixels = encoded if dtype == tf.string else tf.cast(decoded.image, dtype)
        outputs = signature(**{SAVED_MODEL_INPUT: pixels[tf.newaxis]})
        image = decoded.image.numpy()
        truth = {name.removeprefix("groundtruth_"): value.numpy() for name, value in decoded.ground_truth.items()}
        yield DetectedImage(
            source_id=decoded.source_id.numpy().decode("utf-8", "replace"),
            image=image,
            groundtruth=truth,
            detections=_valid_detections({name: value.numpy()[0] for name, value in outputs.items()}),
            original_shape=image.shape[:2],
        )


def _unbatch(
    images: np.ndarray, labels: Mapping[str, np.ndarray], detections: Mapping[str, np.ndarray]
) -> Iterator[DetectedImage]:
    padded = np.array([images.shape[1], images.shape[2]] * 2, np.float32)
    for row, image in enumerate(images):
        count = labels["num_groundtruth_boxes"][row]
        height, width = labels["true_image_shape"][row][:2]
        truth = {name: labels[f"groundtruth_{name}"][row][:count] for name in ("boxes", "classes", "is_crowd", "area")}
        truth["boxes"] = truth["boxes"] * padded / np.array([height, width, height, width], np.float32)
        original_height, original_width = labels["original_image_shape"][row][:2]
        yield DetectedImage(
            source_id=labels["source_id"][row].decode("utf-8", "replace"),
            image=image[:height, :width],
            groundtruth=truth,
            detections=_valid_detections({name: value[row] for name, value in detections.items()}),
            original_shape=(int(original_height), int(original_width)),
        )


def _valid_detections(outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    count = int(outputs["num_detections"])
    return {name: outputs[f"detection_{name}"][:count] for name in ("boxes", "scores", "classes")}


def _measure(pipeline: Pipeline, images: Iterator[DetectedImage]) -> EvaluationResult:
    eval_config = pipeline.config.eval_config
    evaluator = CocoEvaluator(pipeline.names_by_id)
    pictures: list[np.ndarray] = []
    limit = eval_config.num_examples if eval_config.HasField("num_examples") else 0
    started = time.monotonic()
    for detected in progress(images, description="evaluating", unit="image"):
        if limit and evaluator.num_images >= limit:
            break
        sides = np.array(detected.original_shape * 2, np.float32)
        evaluator.add(
            detected.source_id,
            groundtruth_boxes=detected.groundtruth["boxes"] * sides,
            groundtruth_classes=detected.groundtruth["classes"],
            groundtruth_is_crowd=detected.groundtruth["is_crowd"],
            groundtruth_area=detected.groundtruth["area"],
            detection_boxes=detected.detections["boxes"] * sides,
            detection_scores=detected.detections["scores"],
            detection_classes=detected.detections["classes"],
        )
        if len(pictures) < eval_config.num_visualizations:
            pictures.append(_draw(pipeline, detected))
    if not evaluator.num_images:
        raise UserError("the evaluation input holds no records; is eval_input_reader's input_path the right one?")
    seconds = time.monotonic() - started
    metrics = {**evaluator.evaluate(), "images_per_second": evaluator.num_images / seconds}
    return EvaluationResult(metrics, evaluator.groundtruth_counts(), pictures, evaluator.num_images)


def _draw(pipeline: Pipeline, detected: DetectedImage) -> np.ndarray:
    eval_config = pipeline.config.eval_config
    sides = np.array(detected.image.shape[:2] * 2, np.float32)
    return evaluation_picture(
        detected.image,
        groundtruth_boxes=detected.groundtruth["boxes"] * sides,
        groundtruth_classes=detected.groundtruth["classes"],
        detection_boxes=detected.detections["boxes"] * sides,
        detection_classes=detected.detections["classes"],
        detection_scores=detected.detections["scores"],
        names_by_id=pipeline.names_by_id,
        min_score=eval_config.min_score_threshold,
        max_boxes=eval_config.max_num_boxes_to_visualize,
    )
