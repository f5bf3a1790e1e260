"""Flags that say what an evaluation finds out beside its averages."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from data_prep.runtime.command_line import UsageError, fraction, number_above_zero
from train.evaluation.page.report import DEFAULT_MEGABYTES, ReportOptions
from train.metrics.operating_points import Criterion


@dataclasses.dataclass(frozen=True)
class StudyOptions:
    """What is asked for.

    Attributes:
        detections_path: Where detections go, in COCO's format of results; None: nowhere.
        thresholds_path: Where the classes' thresholds go; None: nowhere.
        criterion: What these are chosen for, or a file of thresholds that were chosen elsewhere; None: for the best F1,
            or what the evaluated model has baked in.
        min_score_cut: The score from which detections count in a second set of averages; None: there is none.
        report: The page to look at; None: there is none.
    """

    detections_path: Path | None = None
    thresholds_path: Path | None = None
    criterion: Criterion | Path | None = None
    min_score_cut: float | None = None
    report: ReportOptions | None = None


def add_study_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `StudyOptions`."""
    group = parser.add_argument_group("what to find out beside the averages")
    group.add_argument(
        "--detections_path",
        type=Path,
        metavar="D.json",
        help="write the detections there in COCO's format of results, and the ground truth beside them as "
        "D.ground_truth.json",
    )
    group.add_argument(
        "--operating_point",
        type=_criterion_or_file,
        metavar="f1|precision=P|recall=R|T.json",
        help="what each class's threshold is chosen for: the best F1, or a precision or recall to reach; or a file of "
        "thresholds that were chosen elsewhere, to measure them here (default: those that a SavedModel was exported "
        "with, else f1)",
    )
    group.add_argument(
        "--thresholds_path",
        type=Path,
        metavar="T.json",
        help="write the classes' thresholds there, for export_saved_model and export_tflite --thresholds",
    )
    group.add_argument(
        "--min_score_cut",
        type=fraction,
        metavar="SCORE",
        help="measure the metrics sets a second time, on detections from this score on",
    )
    group.add_argument(
        "--report_path",
        type=Path,
        metavar="R.html",
        help="write a page there to look through the images and their mistakes with: one file, opened from disk",
    )
    group.add_argument(
        "--report_megabytes",
        type=number_above_zero,
        default=DEFAULT_MEGABYTES,
        metavar="MB",
        help="of all thumbnails in the page; where this is too little for all images, the worst ones are shown",
    )
    group.add_argument(
        "--image_directory",
        type=Path,
        help="with --report_path and --ground_truth_path: the folder of the images, for the thumbnails",
    )


def study_options(arguments: argparse.Namespace) -> StudyOptions:
    """Returns what the flags of `add_study_arguments` say.

    Raises:
        UsageError: A file is not called as its format is.
    """
    path = arguments.detections_path
    if path is not None and path.suffix.lower() != ".json":
        raise UsageError(f"--detections_path {path}: a file of COCO's results ends in .json")
    return StudyOptions(
        path, arguments.thresholds_path, arguments.operating_point, arguments.min_score_cut, _report_options(arguments)
    )


def _report_options(arguments: argparse.Namespace) -> ReportOptions | None:
    path, images = arguments.report_path, arguments.image_directory
    if images is not None and (path is None or arguments.ground_truth_path is None):
        raise UsageError("--image_directory goes with --report_path and --ground_truth_path: records hold their images")
    if images is not None and not images.is_dir():
        raise UsageError(f"--image_directory {images} is no folder")
    if path is None:
        return None
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--report_path {path}: a page ends in .html")
    if path.is_dir():
        raise UsageError(f"--report_path {path} is a folder")
    return ReportOptions(path, arguments.report_megabytes, images)


def _criterion_or_file(text: str) -> Criterion | Path:
    return Path(text) if text.endswith(".json") else criterion_of_text(text)


def criterion_of_text(text: str) -> Criterion:
    """Reads what a threshold is chosen for; for `add_argument(type=criterion_of_text)`."""
    try:
        return Criterion.of_text(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is none of f1, precision=0.9, recall=0.8 and a file called *.json"
        ) from error
