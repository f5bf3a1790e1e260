"""Flags that say what an evaluation finds out beside its averages."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from data_prep.runtime.command_line import UsageError


@dataclasses.dataclass(frozen=True)
class StudyOptions:
    """What is asked for.

    Attributes:
        detections_path: Where detections go, in COCO's format of results; None: nowhere.
    """

    detections_path: Path | None = None


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


def study_options(arguments: argparse.Namespace) -> StudyOptions:
    """Returns what the flags of `add_study_arguments` say.

    Raises:
        UsageError: A file is not called as its format is.
    """
    path = arguments.detections_path
    if path is not None and path.suffix.lower() != ".json":
        raise UsageError(f"--detections_path {path}: a file of COCO's results ends in .json")
    return StudyOptions(path)
