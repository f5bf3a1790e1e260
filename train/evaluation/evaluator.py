"""Measuring a checkpoint's network on an evaluation input, and what every evaluation has in common."""

from __future__ import annotations

import dataclasses
import enum
import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from configs.settings.evaluation import EvalConfig
from configs.settings.plugins import PluginPart
from data_prep.runtime.command_line import UserError
from data_prep.runtime.progress import progress
from train.evaluation.detected_image import DetectedImage, ImageObserver
from train.evaluation.summary_images import EvaluationImages
from train.evaluation.worst_images import WorstImages
from train.inputs.class_labels import VERIFIED_CLASS_IDS
from train.inputs.left_out import LeftOut, count_batch, first_unusable
from train.inputs.reader import build_evaluation_dataset
from train.inputs.record_errors import explained_records
from train.loop.processor import batch_norm_apart
from train.loop.step import REGULARIZATION_LOSS, TOTAL_LOSS
from train.metrics.box_collection import BoxCollection
from train.metrics.class_hierarchy import ClassHierarchy, read_class_hierarchy
from train.metrics.coco import BY_CATEGORY
from train.metrics.report import metrics_table, write_metrics_json
from train.metrics.sets import MetricSets
from train.models.detector import Detector
from train.pipeline import Pipeline
from train.tracking.recorder import Recorder

DEFAULT_BATCH_SIZE = 8
METRICS_FILE = "metrics.json"
_GROUNDTRUTH = ("boxes", "classes", "is_crowd", "difficult", "group_of", "area")


class ByCategory(enum.Enum):
    """Which of COCO's metrics of each class are there to watch."""

    NONE = "none"
    MEAN = "the average precision"
    ALL = "all"

    @classmethod
    def of(cls, eval_config: EvalConfig) -> ByCategory:
        """What `eval_config.include_metrics_per_category` says; unset, the average precision of each class is there."""
        if eval_config.include_metrics_per_category:
            return cls.ALL
        return cls.NONE if "include_metrics_per_category" in eval_config.written else cls.MEAN

    def wants(self, name: str) -> bool:
        """Whether a metric, of a class or not, is among them."""
        if self is ByCategory.ALL or not name.startswith(BY_CATEGORY):
            return True
        return self is ByCategory.MEAN and name.startswith(f"{BY_CATEGORY}/")


@dataclasses.dataclass(frozen=True)
class EvaluationResult:
    """Result of an evaluation.

    Attributes:
        metrics: By the Object Detection API's names.
        groundtruth_counts: Boxes by class name; empty with `eval_config.ignore_groundtruth`.
        images: uint8 [H, W, 3] each: ground truth beside detections.
        num_images: How many images were evaluated.
        coco_by_category: Which of COCO's metrics of each class are there to watch; the table and the JSON have all.
        left_out: Sentences about ground truth that was not measured against, because batches leave it out.
        boxes: Ground truth and detections, for what follows from them; None with `eval_config.ignore_groundtruth`.
        worst: The images that may cost most of F1; None with `eval_config.ignore_groundtruth`.
        graph: The `tf.Graph` of the evaluation's step, where it is to be shown and was not yet.
    """

    metrics: dict[str, float]
    groundtruth_counts: dict[str, int]
    images: list[np.ndarray]
    num_images: int
    coco_by_category: ByCategory
    left_out: tuple[str, ...] = ()
    boxes: BoxCollection | None = None
    worst: WorstImages | None = None
    graph: Any = None

    def table(self, max_classes: int | None = 40) -> str:
        """The metrics for a terminal, and what they leave out."""
        table = metrics_table(self.metrics, self.groundtruth_counts, max_classes=max_classes)
        return "\n".join([table, *self.left_out])

    def write(self, eval_dir: Path, *, step: int, source: str) -> None:
        """Writes JSON: the newest, and one a step.

        Args:
            eval_dir: Made if missing.
            step: The training step of what was evaluated.
            source: What was evaluated, for the JSON.
        """
        extra = {"step": step, "source": source, "num_images": self.num_images}
        for name in (METRICS_FILE, f"metrics-{step}.json"):
            write_metrics_json(eval_dir / name, self.metrics, extra)

    def record(self, recorder: Recorder, folder: str, *, step: int) -> None:
        """Gives the metrics, the images and, once, the graph to what the run is watched with.

        Args:
            recorder: Of the run.
            folder: Theirs, such as `eval`.
            step: The training step of what was evaluated.
        """
        wanted = {name: value for name, value in self.metrics.items() if self.coco_by_category.wants(name)}
        recorder.scalars(folder, wanted, step)
        recorder.images(folder, "detections", self.images, step)
        if self.graph is not None:
            recorder.graph(folder, self.graph)
        recorder.flush()


def evaluation_folder(pipeline: Pipeline, reader_index: int) -> Path:
    """Returns where an input's results go, relative to the model's folder: `eval`, and there the reader's `name`.

    As in the API's `model_lib_v2.py`, so that TensorBoard tells several inputs apart.
    """
    return Path("eval") / pipeline.settings.eval_input_reader[reader_index].name


class CheckpointEvaluator:
    """Evaluates a detector's network as it stands; keeps its traced graph from one evaluation to the next.

    Attributes:
        folder: Where results go, relative to the model's folder.
        seconds: What each batch of the last run took an image, without reading it.
    """

    def __init__(self, pipeline: Pipeline, detector: Detector, *, reader_index: int = 0) -> None:
        """Prepares an evaluation.

        Args:
            pipeline: Its `eval_config` and `eval_input_reader` say what to evaluate on.
            detector: Whose network is measured.
            reader_index: Which `eval_input_reader`.
        """
        self._pipeline = pipeline
        self._detector = detector
        eval_config = pipeline.settings.eval_config
        batch_size = eval_config.batch_size
        if "batch_size" not in eval_config.written:
            # Images of sizes of their own would be padded to the largest of their batch.
            batch_size = 1 if None in detector.input_shape else DEFAULT_BATCH_SIZE
        self._dataset = build_evaluation_dataset(pipeline.settings, reader_index=reader_index, batch_size=batch_size)
        self._losses: dict[str, list[float]] = {}
        self.seconds: list[float] = []
        self._has_losses = eval_config.has_losses
        self.folder = evaluation_folder(pipeline, reader_index)
        _class_hierarchy(pipeline)
        _measuring(
            eval_config, pipeline.names_by_id, pipeline.settings.extensions.metric
        )  # whose mistakes in the config are better told before the training than after

        @tf.autograph.experimental.do_not_convert  # nothing to convert, which takes TensorFlow long to find out
        def step(images: tf.Tensor, labels: Mapping[str, tf.Tensor]) -> tuple[Any, Any]:
            if self._has_losses:
                return detector.detect_and_compute_losses(images, labels)
            return detector.detect(images, labels["true_image_shape"]), {}

        # Traced anew for a smaller last batch: Model Garden's sampler needs to know how many images it has. Not for
        # each size of images, where sizes differ.
        @functools.cache
        def step_for(num_images: int) -> Any:
            def with_batch(spec: tf.TensorSpec) -> tf.TensorSpec:
                return tf.TensorSpec([num_images, *spec.shape[1:]], spec.dtype)

            return tf.function(step, input_signature=tf.nest.map_structure(with_batch, self._dataset.element_spec))

        self._step_for = step_for
        self._reader_index = reader_index
        self._graph: Any = None
        self._shows_graph = eval_config.save_graph

    def evaluate(self, observers: Sequence[ImageObserver] = ()) -> EvaluationResult:
        """Goes once over the input, and shows the observers each image.

        Losses are among the metrics unless `eval_config.use_dummy_loss_in_eval` or `ignore_groundtruth` is set: a
        number that stands for nothing is not reported.
        """
        self._losses = {}
        left_out = LeftOut.of_evaluation(self._pipeline.settings, self._reader_index)
        with batch_norm_apart(), explained_records(self._pipeline.settings.eval_input_reader[self._reader_index]):
            result = measure_input(self._pipeline, self._detected_images(left_out), observers)
        result = dataclasses.replace(result, left_out=tuple(left_out.sentences()), graph=self._take_graph())
        if not self._has_losses:
            return result
        losses = {name: float(np.mean(values)) for name, values in self._losses.items()}
        train_config = self._pipeline.settings.train_config
        if train_config is None or train_config.add_regularization_loss:
            losses[REGULARIZATION_LOSS] = float(self._detector.regularization_loss())
        losses[TOTAL_LOSS] = sum(losses.values())
        return dataclasses.replace(result, metrics={**result.metrics, **losses})

    def detected_images(self) -> Iterator[DetectedImage]:
        """Goes once over the input, and measures nothing."""
        left_out = LeftOut.of_evaluation(self._pipeline.settings, self._reader_index)
        with batch_norm_apart(), explained_records(self._pipeline.settings.eval_input_reader[self._reader_index]):
            yield from self._detected_images(left_out)

    def _take_graph(self) -> Any:
        """The graph of the step, the first time that it is asked for, where `eval_config.save_graph` is set."""
        graph, self._graph, self._shows_graph = self._graph, None, False
        return graph

    def _detected_images(self, left_out: LeftOut) -> Iterator[DetectedImage]:
        self.seconds = []
        for images, labels in self._dataset:
            step = self._step_for(images.shape[0])
            start = time.perf_counter()
            detections, losses = step(images, labels)
            if self._shows_graph and self._graph is None:
                self._graph = step.get_concrete_function().graph  # which the call has traced
            left_out.add(count_batch(labels), first_unusable(labels).numpy())
            for name, value in losses.items():
                self._losses.setdefault(name, []).append(float(value))
            detections = {name: value.numpy() for name, value in detections.items()}
            self.seconds.append((time.perf_counter() - start) / images.shape[0])
            yield from _unbatch(images.numpy(), {name: value.numpy() for name, value in labels.items()}, detections)


def _unbatch(
    images: np.ndarray, labels: Mapping[str, np.ndarray], detections: Mapping[str, np.ndarray]
) -> Iterator[DetectedImage]:
    padded = np.array([images.shape[1], images.shape[2]] * 2, np.float32)
    for row, image in enumerate(images):
        count = labels["num_groundtruth_boxes"][row]
        height, width = labels["true_image_shape"][row][:2]
        truth = {name: labels[f"groundtruth_{name}"][row][:count] for name in _GROUNDTRUTH}
        truth["boxes"] = truth["boxes"] * padded / np.array([height, width, height, width], np.float32)
        original_height, original_width = labels["original_image_shape"][row][:2]
        yield DetectedImage(
            source_id=labels["source_id"][row].decode("utf-8", "replace"),
            image=image[:height, :width],
            groundtruth=truth,
            detections=valid_detections({name: value[row] for name, value in detections.items()}),
            original_shape=(int(original_height), int(original_width)),
            verified_class_ids=labels[VERIFIED_CLASS_IDS][row],
        )


def valid_detections(outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the detections of one image's outputs that are some, as `DetectedImage` has them."""
    count = int(outputs["num_detections"])
    return {name: outputs[f"detection_{name}"][:count] for name in ("boxes", "scores", "classes")}


def _measuring(
    eval_config: EvalConfig, names_by_id: Mapping[int, str], plugins: Sequence[PluginPart]
) -> tuple[MetricSets, EvaluationImages]:
    return MetricSets(eval_config, names_by_id, plugins), EvaluationImages(eval_config, names_by_id)


def measure_input(
    pipeline: Pipeline, images: Iterator[DetectedImage], observers: Sequence[ImageObserver]
) -> EvaluationResult:
    """Measures images as the pipeline says, with its plugins' metrics too; see `measure_images`."""
    settings, hierarchy = pipeline.settings, _class_hierarchy(pipeline)
    return measure_images(
        settings.eval_config, pipeline.names_by_id, images, settings.extensions.metric, observers, hierarchy
    )


def _class_hierarchy(pipeline: Pipeline) -> ClassHierarchy | None:
    """What `extensions.class_hierarchy_path` names; None without it."""
    path = pipeline.settings.extensions.class_hierarchy_path
    return read_class_hierarchy(path, {item.id: item.name for item in pipeline.label_map}) if path else None


def measure_images(
    eval_config: EvalConfig,
    names_by_id: Mapping[int, str],
    images: Iterator[DetectedImage],
    plugins: Sequence[PluginPart] = (),
    observers: Sequence[ImageObserver] = (),
    hierarchy: ClassHierarchy | None = None,
) -> EvaluationResult:
    """Measures images.

    Args:
        eval_config: Says how.
        names_by_id: Class names by label map id.
        images: With ground truth and detections.
        plugins: Metrics to measure beside the config's.
        observers: They are shown each image.
        hierarchy: Ground truth and detections are also of the classes above theirs; None: only of their own.

    Raises:
        UserError: There are no images, or ground truth or detections that cannot be measured.
    """
    metric_sets, summary_images = _measuring(eval_config, names_by_id, plugins)
    worst = None if eval_config.ignore_groundtruth else WorstImages(eval_config, names_by_id)
    limit = eval_config.max_images
    started = time.monotonic()
    for detected in progress(images, description="evaluating", unit="image"):
        if limit and metric_sets.num_images >= limit:
            break
        measured = detected.measured()
        if hierarchy is not None:
            measured = hierarchy.expanded(measured)
        metric_sets.add(measured)
        summary_images.add(detected)
        if worst is not None:
            worst.add(detected, measured)
        for observer in observers:
            observer.add(detected, measured)
    if not metric_sets.num_images:
        raise UserError("the evaluation input holds no records; is eval_input_reader's input_path the right one?")
    seconds = time.monotonic() - started
    return EvaluationResult(
        metrics={**metric_sets.evaluate(), "images_per_second": metric_sets.num_images / seconds},
        groundtruth_counts=metric_sets.groundtruth_counts(),
        images=summary_images.drawn,
        num_images=metric_sets.num_images,
        coco_by_category=ByCategory.of(eval_config),
        boxes=metric_sets.boxes,
        worst=worst,
    )
