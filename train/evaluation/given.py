"""Evaluation of detections that somebody made, on the config's records or on a COCO file, without a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from configs.settings.evaluation import EvalConfig
from configs.settings.pipeline import PipelineSettings
from configs.settings.reading import read_settings_text
from data_prep.runtime.command_line import UserError, printable
from data_prep.runtime.ledger import Ledger
from train.evaluation.coco_ground_truth import read_coco_ground_truth
from train.evaluation.evaluator import EvaluationResult, measure_images
from train.evaluation.given_detections import UNKNOWN_CLASS, ImageBoxes, read_given_detections
from train.evaluation.image_matching import match_images
from train.evaluation.record_evaluation import GivenDetections, evaluate_detector
from train.evaluation.record_names import read_record_names
from train.evaluation.study import EvaluationStudy
from train.metrics.class_hierarchy import read_class_hierarchy
from train.pipeline import Pipeline

NO_DETECTIONS = "image without detections"
_SHOWN = 3

# Makes a study of how to measure, the classes' names by id, and the images' file names by id.
MakeStudy = Callable[[EvalConfig, Mapping[int, str], Mapping[str, str]], EvaluationStudy]


def evaluate_on_records(
    pipeline: Pipeline, path: Path, make_study: MakeStudy, ledger: Ledger, *, reader_index: int = 0
) -> tuple[EvaluationResult, EvaluationStudy]:
    """Evaluates a file of detections on the records of an `eval_input_reader`.

    Args:
        pipeline: Whose label map has the classes.
        path: What `given_detections` reads.
        make_study: Of the evaluation.
        ledger: Takes what cannot be used of the file.
        reader_index: Which `eval_input_reader`.

    Raises:
        UsageError: The file is no file of detections, or there are no records.
        UserError: None of its images is among the records.
    """
    reader, where = pipeline.settings.eval_input_reader[reader_index], f"eval_input_reader[{reader_index}]"
    class_ids = {name: item.id for item in pipeline.label_map for name in (item.name, item.display_name) if name}
    file_names = read_record_names(reader, where)
    found = read_matched_detections(path, class_ids, file_names, ledger)
    study = make_study(pipeline.settings.eval_config, pipeline.names_by_id, file_names)
    return evaluate_detector(pipeline, GivenDetections(found), reader_index=reader_index, observers=[study]), study


def evaluate_on_coco(
    settings: PipelineSettings | None,
    ground_truth: Path,
    path: Path,
    make_study: MakeStudy,
    ledger: Ledger,
    *,
    class_hierarchy_path: str = "",
) -> tuple[EvaluationResult, EvaluationStudy]:
    """Evaluates a file of detections on the ground truth of a COCO file, whose categories are the classes.

    Args:
        settings: Whose `eval_config` says how, and whose plugins measure too; None takes COCO's metrics.
        ground_truth: Such as `instances_val2017.json`.
        path: What `given_detections` reads.
        make_study: Of the evaluation.
        ledger: Takes what cannot be used of both files.
        class_hierarchy_path: Of a hierarchy whose labels the categories' names are; empty: there is none.

    Raises:
        UsageError: A file is not what it must be.
        UserError: None of the detections' images is in the ground truth.
    """
    truth = read_coco_ground_truth(ground_truth, ledger.reject)
    class_ids = {name: class_id for class_id, name in truth.names_by_id.items()}
    found = read_matched_detections(path, class_ids, truth.file_names, ledger)
    default = read_settings_text(EvalConfig, "")
    eval_config = dataclasses.replace(settings.eval_config if settings else default, num_visualizations=0)  # no pixels
    study = make_study(eval_config, truth.names_by_id, truth.file_names)
    plugins = settings.extensions.metric if settings else ()
    hierarchy = read_class_hierarchy(class_hierarchy_path, truth.names_by_id) if class_hierarchy_path else None
    images = truth.detected_images(found)
    return measure_images(eval_config, truth.names_by_id, images, plugins, [study], hierarchy), study


def read_matched_detections(
    path: Path, class_ids: Mapping[str, int], file_names: Mapping[str, str], ledger: Ledger
) -> dict[str, ImageBoxes]:
    """Returns the detections by the ids of the ground truth, and says what did not match.

    Args:
        path: What `given_detections` reads.
        class_ids: Label map ids by each name that a class has.
        file_names: Of the images of the ground truth, by id; empty where there is none.
        ledger: Takes what cannot be used of the file.

    Raises:
        UsageError: The file is no file of detections.
        UserError: It has no detection that can be used, or none of its images is in the ground truth.
    """
    if not file_names:
        raise UserError(f"no images to measure {path} on: the evaluation input holds no records")
    given = read_given_detections(path, class_ids, ledger.reject)
    matches = match_images(given, file_names)
    if not any(boxes.rows for boxes in given.values()):
        problem = f"no detection can be used: {ledger.summary()}" if ledger.total else "no detections"
        if ledger.total and set(ledger.counts) == {UNKNOWN_CLASS}:
            known = ", ".join(printable(name, 80) for name in list(class_ids)[:_SHOWN])
            problem += f"; they are of another label map than this one, which has {known}, ..."
        raise UserError(f"{path}: {problem}")
    if not matches.references:
        theirs, ours = (", ".join(printable(name, 80) for name in list(some)[:_SHOWN]) for some in (given, file_names))
        problem = "none of its images is in the ground truth"
        raise UserError(f"{path}: {problem}; its images: {theirs}; those of the ground truth: {ours or 'none'}")
    for reference, reason in matches.unmatched.items():
        ledger.reject(reference, reason, f"{len(given[reference].rows)} detections")
    without = [source_id for source_id in file_names if source_id not in matches.references]
    for source_id in without:
        ledger.note(source_id, NO_DETECTIONS)
    num_detections = sum(len(given[reference].rows) for reference in matches.references.values())
    print(f"{path}: {num_detections} detections in {len(matches.references)} of {len(file_names)} images")
    left_out = {NO_DETECTIONS: without}
    for reference, reason in matches.unmatched.items():
        left_out.setdefault(reason, []).append(reference)
    for title, names in left_out.items():
        if names:
            shown = ", ".join(printable(name, 80) for name in names[:_SHOWN])
            print(f"  {len(names)} x {title}: {shown}{', ...' * (len(names) > _SHOWN)}")
    return {source_id: given[reference] for source_id, reference in matches.references.items()}
