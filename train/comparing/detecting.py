"""Detections of a candidate on the images, computed once and kept as a file, and what the candidate costs."""

from __future__ import annotations

import dataclasses
import itertools
import statistics
from collections.abc import Iterator
from pathlib import Path

from configs.schema.pipeline_file import format_pipeline_config, read_pipeline_config
from configs.settings.pipeline import PipelineSettings
from data_prep.formats.label_map import LABEL_MAP_NAME, read_label_map
from data_prep.formats.shard_names import find_shards
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.ledger import Ledger
from data_prep.runtime.progress import progress
from data_prep.runtime.step_stamp import Step
from train.comparing.candidate import Candidate, Cost, Kind
from train.comparing.compared_images import ComparedImages
from train.evaluation.detected_image import DetectedImage
from train.evaluation.detections_file import DetectionsFile, ground_truth_path, read_detections_file
from train.evaluation.evaluator import CheckpointEvaluator
from train.evaluation.given import read_matched_detections
from train.evaluation.given_detections import ImageBoxes
from train.evaluation.image_detector import ImageDetector, TimedDetector
from train.evaluation.record_evaluation import detected_records
from train.loop.checkpoint_files import restore_trained
from train.loop.devices import set_precision
from train.loop.run_description import CONFIG_NAME
from train.models.build import build_or_explain
from train.models.detector import Detector
from train.models.model_size import parts_of
from train.pipeline import Pipeline

_RULES = "train.compare 1"  # raised when the same candidate would give another file
_BYTES_OF_FLOAT = 4


def detect(
    candidate: Candidate,
    images: ComparedImages,
    pipeline: Pipeline | None,
    output: Path,
    ledger: Ledger,
    *,
    reader_index: int,
) -> tuple[dict[str, ImageBoxes], Cost]:
    """Returns a candidate's detections by the ids of the images, and what it costs.

    A model's are computed and written to `detections_A.json` in COCO's format of results; they are taken as they are
    where an earlier run wrote them of the same files, records and config.

    Args:
        candidate: Whose.
        images: What it is compared on.
        pipeline: What to run a model on; None, where there are no records, is enough for files of detections.
        output: The folder for files.
        ledger: Takes what cannot be used of somebody's file of detections.
        reader_index: Which `eval_input_reader`.

    Raises:
        UsageError: A model without records to run it on; or it is not what it must be.
        UserError: A checkpoint is of another network, or a file of detections of other images.
    """
    if candidate.kind is Kind.DETECTIONS:
        return read_matched_detections(candidate.path, images.class_ids, images.file_names, ledger), Cost()
    if pipeline is None:
        raise UsageError(f"{candidate.name}: a model needs --pipeline_config_path, whose records it is run on")
    path = output / f"detections_{candidate.letter}.json"
    step = _step(candidate, pipeline, reader_index, path)
    notes = step.earlier_notes()
    if notes is None:
        inputs = step.inputs_now()
        print(f"{candidate.letter}: detections of the {candidate.kind.value} {candidate.path}", flush=True)
        notes = dataclasses.asdict(_run(candidate, pipeline, reader_index, path))
        step.write(inputs, notes)
    return read_detections_file(path), Cost(**notes)


def _step(candidate: Candidate, pipeline: Pipeline, reader_index: int, path: Path) -> Step:
    shards = find_shards(list(pipeline.settings.eval_input_reader[reader_index].input_paths))
    files = {str(file): file for file in candidate.files()}
    if (config := _own_config(candidate)) is not None:
        files[str(config)] = config
    records = {f"record {number}": Path(shard) for number, shard in enumerate(shards)}
    flags = {"eval_index": reader_index, "config": format_pipeline_config(pipeline.config)}
    inputs = {**files, **records, "label_map": pipeline.label_map_path}
    return Step(_RULES, flags, inputs, [path, ground_truth_path(path)])


def _run(candidate: Candidate, pipeline: Pipeline, reader_index: int, path: Path) -> Cost:
    limit = pipeline.settings.eval_config.max_images or None
    if candidate.kind is Kind.CHECKPOINT:
        evaluator, detector = _checkpoint_evaluator(candidate, pipeline, reader_index)
        _write(evaluator.detected_images(), limit, pipeline, path)
        num_parameters = sum(part.parameters for part in parts_of(detector.network, []))
        seconds = statistics.median(evaluator.seconds) if evaluator.seconds else None
        milliseconds = None if seconds is None else 1000.0 * seconds
        return Cost(milliseconds, num_parameters * _BYTES_OF_FLOAT / 1e6)
    timed = TimedDetector(_image_detector(candidate, pipeline))
    _write(detected_records(pipeline, timed, reader_index), limit, pipeline, path)
    return Cost(timed.milliseconds, sum(file.stat().st_size for file in candidate.files()) / 1e6)


def _write(images: Iterator[DetectedImage], limit: int | None, pipeline: Pipeline, path: Path) -> None:
    file = DetectionsFile(path, pipeline.names_by_id, {})
    for detected in progress(itertools.islice(images, limit), description="detecting", unit="image"):
        file.add(detected, detected.measured())
    file.write()


def _image_detector(candidate: Candidate, pipeline: Pipeline) -> ImageDetector:
    if candidate.kind is Kind.SAVED_MODEL:
        from train.evaluation.saved_model_detector import SavedModelDetector

        return SavedModelDetector(candidate.path)
    from train.evaluation.tflite_detector import TfliteImageDetector

    return TfliteImageDetector(candidate.path, pipeline)


def _checkpoint_evaluator(
    candidate: Candidate, pipeline: Pipeline, reader_index: int
) -> tuple[CheckpointEvaluator, Detector]:
    """Returns the evaluator of a checkpoint on the pipeline's input, and the detector that it evaluates.

    The network is that of the config beside the checkpoint, where there is one, so that networks that differ can be
    compared; its number of classes must be the pipeline's.
    """
    own = _own_config(candidate)
    config = type(pipeline.config)()
    config.CopyFrom(pipeline.config)
    if own is not None:
        label_map = own.with_name(LABEL_MAP_NAME)
        if label_map.is_file() and read_label_map(label_map).names_by_id() != pipeline.names_by_id:
            raise UsageError(
                f"{candidate.name}: trained on the classes of {label_map}, which are not those of "
                f"{pipeline.label_map_path}"
            )
        config.model.CopyFrom(read_pipeline_config(own).model)
    config.eval_config.use_dummy_loss_in_eval = True  # what losses cost is no part of detecting
    merged = dataclasses.replace(pipeline, config=config)
    settings: PipelineSettings = merged.settings
    set_precision(settings.precision_policy)
    detector = build_or_explain(settings)
    evaluator = CheckpointEvaluator(merged, detector, reader_index=reader_index)
    restore_trained(detector, str(candidate.path), moving_averages=settings.eval_config.use_moving_averages)
    return evaluator, detector


def _own_config(candidate: Candidate) -> Path | None:
    """The pipeline config that lies beside a checkpoint, or above it where an exporter put it into `checkpoint/`."""
    if candidate.kind is not Kind.CHECKPOINT:
        return None
    folder = candidate.path.parent
    places = (folder / CONFIG_NAME, folder.parent / CONFIG_NAME)
    return next((place for place in places[: 2 if folder.name == "checkpoint" else 1] if place.is_file()), None)
