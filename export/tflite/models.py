"""Writing TensorFlow Lite models: converted, finished with metadata, and compared with their checkpoint."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from configs.settings.resizers import KeepAspectRatioResizer
from data_prep.formats.shard_names import find_shards
from data_prep.runtime.atomic_files import write_bytes, write_json
from data_prep.runtime.command_line import UsageError
from export.parity_images import (
    MAX_IMAGES,
    SampleImage,
    generated_images,
    read_images,
    read_record_images,
)
from export.tflite.check import ask_checkpoint, check_model
from export.tflite.conversion import convert, representative_inputs
from export.tflite.file import finish
from export.tflite.graph import NmsOptions, Normalization, frozen_predictions, write_graph
from export.tflite.metadata import PADDED, STRETCHED, InputMeaning, label_rows, metadata_table
from export.tflite.report import TfliteReport
from export.tflite.requirements import FULL_INTEGER
from train.evaluation.tflite_model import LABELS_NAME
from train.evaluation.thresholds_file import THRESHOLDS_NAME, ClassThresholds
from train.models.detector import Detector
from train.models.ssd import SsdDetector
from train.pipeline import Pipeline

REPORT_NAME = "tflite_report.json"
SAVED_MODEL_NAME = "saved_model"


def write_models(
    folder: Path,
    *,
    pipeline: Pipeline,
    detector: Detector,
    nms: NmsOptions,
    quantizations: Sequence[str],
    check_images: Sequence[SampleImage],
    representative: Sequence[SampleImage] = (),
    min_score: float,
    also_saved_model: bool = False,
    thresholds: ClassThresholds | None = None,
) -> TfliteReport:
    """Writes models of a detector, and a report of how far they are from it, which nobody has judged yet.

    Args:
        folder: Gets the models and `tflite_report.json`.
        pipeline: What the detector was built from.
        detector: With the weights to export.
        nms: The NMS at the models' end.
        quantizations: Of `QUANTIZATIONS`, a model each.
        check_images: To compare on.
        representative: From which `full_integer` takes its ranges.
        min_score: What detections count from.
        also_saved_model: Whether the folder gets `saved_model/` too, for a converter of somebody's own.
        thresholds: Of the classes, which detections have to reach: the models, and the folder, get their file too.

    Raises:
        UserError: The model cannot be converted, or an image does not decode.
    """
    if not isinstance(detector, SsdDetector):
        raise TypeError("write_models takes detectors that require_convertible lets through")
    files = {LABELS_NAME: label_rows(pipeline.names_by_id)}
    if thresholds is not None:
        nms = nms.with_thresholds(thresholds, detector.num_classes)
        shutil.copyfile(thresholds.path, folder / THRESHOLDS_NAME)
        files[THRESHOLDS_NAME] = thresholds.path.read_text(encoding="utf-8")
    expected = ask_checkpoint(detector, nms, check_images)
    normalization = Normalization.of_detector(detector)
    predict = frozen_predictions(detector)
    if also_saved_model:
        write_graph(folder / SAVED_MODEL_NAME, detector, predict, nms, as_the_api=True)
    checks = []
    with tempfile.TemporaryDirectory(prefix="tflite-graphs-") as graphs:
        for quantization in quantizations:
            takes_pixels = quantization == FULL_INTEGER
            graph = Path(graphs) / ("pixels" if takes_pixels else "normalized")
            if not graph.exists():
                inside = normalization if takes_pixels else None
                write_graph(graph, detector, predict, nms, normalization=inside)
            inputs = representative_inputs(representative, detector.settings.image_resizer) if takes_pixels else []
            metadata = metadata_table(
                "object detector",
                f"{describe_nms(nms)}; made by quantization {quantization}.",
                _input_meaning(detector, None if takes_pixels else normalization),
            )
            path = folder / f"model_{quantization}.tflite"
            write_bytes(path, finish(convert(graph, quantization, inputs), metadata, files))
            checks.append(check_model(path, quantization, detector, expected, min_score=min_score))
    names = tuple(image.name for image in check_images)
    report = TfliteReport(tuple(checks), names, min_score, describe_nms(nms))
    write_json(folder / REPORT_NAME, report.to_json(), indent=1)
    return report


def check_images_for(paths: Sequence[Path], records: str | None, pipeline: Pipeline) -> list[SampleImage]:
    """Returns images to compare on: these files', of these records, of the evaluation records, or generated ones.

    Raises:
        UserError: What was asked for cannot be read.
    """
    if paths:
        return read_images(paths)
    if records:
        return read_record_images(records, MAX_IMAGES, flag="--check_records")
    readers = pipeline.settings.eval_input_reader
    patterns = list(readers[0].input_paths) if readers else []
    try:
        found = find_shards(patterns) if patterns else []
    except UsageError:  # an export needs no records, and may be made where there are none
        found = []
    if not found:
        return generated_images()
    return read_record_images(",".join(found), MAX_IMAGES, flag="eval_input_reader[0]")


def describe_nms(nms: NmsOptions) -> str:
    """The NMS for people."""
    kind = "class by class" if nms.use_regular_nms else "over all classes at once"
    scores = f"scores from {nms.score_threshold:g}"
    if nms.class_thresholds is not None:
        scores += ", and from each class's threshold"
    return f"{kind}, at most {nms.max_detections} detections, IoU {nms.iou_threshold:g}, {scores}"


def _input_meaning(detector: SsdDetector, normalization: Normalization | None) -> InputMeaning:
    """The pixels that an app must give a model: normalised, or as they are."""
    height, width = detector.input_shape
    if height is None or width is None:
        raise ValueError("a TensorFlow Lite model has an input of one size")
    is_padded = isinstance(detector.settings.image_resizer, KeepAspectRatioResizer)
    mean, deviation = ((0.0,), (1.0,)) if normalization is None else (normalization.mean, normalization.deviation)
    low, high = ([round((value - m) / d, 6) for m, d in zip(mean, deviation, strict=True)] for value in (0.0, 255.0))
    return InputMeaning(
        height=height,
        width=width,
        mean=_short(mean),
        deviation=_short(deviation),
        low=_short(low),
        high=_short(high),
        description=PADDED if is_padded else STRETCHED,
    )


def _short(values: Sequence[float]) -> Sequence[float]:
    """One number where it is the same for all channels."""
    return values[:1] if len(set(values)) == 1 else values
