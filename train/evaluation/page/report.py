"""The page of an evaluation: collects its images while it runs, then writes one HTML file that opens from disk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.annotations.image_ids import image_id_of, safe_parts
from data_prep.images.image_file import ImageError, find_image
from data_prep.pages.page_file import page_pieces, script_json
from data_prep.runtime.atomic_files import atomic_path, remove_leftovers
from data_prep.runtime.ledger import RejectedError
from train.evaluation.detected_image import DetectedImage
from train.evaluation.page.box_columns import box_columns, boxes_as_json
from train.evaluation.page.thumbnail_store import ThumbnailStore
from train.metrics.box_matches import BoxMatches
from train.metrics.coco_boxes import Boxes, BoxList
from train.metrics.image_losses import f1_losses
from train.metrics.measured_image import MeasuredImage
from train.metrics.operating_points import OperatingPoint
from train.metrics.tide import Mistake, TideErrors

DEFAULT_MEGABYTES = 32.0
_ASSETS = Path(__file__).resolve().parent / "assets"
# In this order: a later one uses what the earlier ones define.
_SCRIPTS = ("data.js", "counts.js", "curves.js", "tables.js", "selection.js", "gallery.js", "viewer.js", "main.js")
_MAX_NAME = 300  # characters of a class's name, which may be a megabyte long
_USUAL_SCORE = 0.5
# What the page says at its head, if it was measured.
_HEADLINES = (
    "DetectionBoxes_Precision/mAP",
    "DetectionBoxes_Precision/mAP@.50IOU",
    "PascalBoxes_Precision/mAP@0.5IOU",
    "OpenImagesV2_Precision/mAP@0.5IOU",
    "OpenImagesDetectionChallenge_Precision/mAP@0.5IOU",
    "DetectionBoxes_Recall/AR@100",
    "Calibration/ExpectedCalibrationError",
)


@dataclass(frozen=True)
class ReportOptions:
    """How the page is to be.

    Attributes:
        path: The file.
        max_thumbnail_megabytes: Of all thumbnails in it together.
        image_directory: Holds the images of a COCO ground truth, which has none in it; None: there are none to show.
    """

    path: Path
    max_thumbnail_megabytes: float = DEFAULT_MEGABYTES
    image_directory: Path | None = None


@dataclass(frozen=True)
class Findings:
    """What an evaluation found out, for the page.

    Attributes:
        matches: Detections and objects.
        errors: Of the same.
        costs: What each kind of mistake costs of the AP, 0..1.
        metrics: By name.
        points: The operating point chosen for each class, by label map id.
        one_threshold: That chosen for all classes.
        criterion: What they were chosen for.
    """

    matches: BoxMatches
    errors: TideErrors
    costs: Mapping[Mistake, float]
    metrics: Mapping[str, float]
    points: Mapping[int, OperatingPoint]
    one_threshold: float
    criterion: str


class EvaluationReport:
    """Is shown each image of an evaluation, then writes the page. What it keeps of an image are a few numbers."""

    def __init__(self, options: ReportOptions, file_names: Mapping[str, str]) -> None:
        """Starts empty.

        Args:
            options: How the page is to be.
            file_names: The images' file names by id, where they are known.
        """
        self._options = options
        self._file_names = file_names
        self._store = ThumbnailStore(options.path.parent, int(options.max_thumbnail_megabytes * 1e6))
        self._ids: list[str] = []
        self._sizes: list[tuple[int, int]] = []
        self._regions = BoxList()
        self._num_unreadable = 0

    def add(self, detected: DetectedImage, measured: MeasuredImage) -> None:
        """Takes one image."""
        is_region = measured.groundtruth_is_crowd | measured.groundtruth_group_of
        regions, classes = measured.groundtruth_boxes[is_region], measured.groundtruth_classes[is_region]
        self._regions.append(Boxes(len(self._ids), regions, classes))
        self._sizes.append(detected.original_shape)
        if detected.image.size:
            self._ids.append(detected.source_id)
            self._store.add_pixels(detected.image, detected.original_shape)
            return
        # A COCO file's: `import_annotations` names an image after its file, and so do the lists that the page saves.
        name = self._file_names.get(detected.source_id, "")
        try:
            self._ids.append(image_id_of(name) if name else detected.source_id)
        except RejectedError:
            self._ids.append(detected.source_id)
        self._add_file(name)

    def _add_file(self, name: str) -> None:
        folder = self._options.image_directory
        if folder is None:
            self._store.add_none()
            return
        try:
            path = folder.joinpath(*safe_parts(name))
            found = path if path.is_file() else find_image(folder, path.stem)
            if found is None:
                raise ImageError("missing", name)
            self._store.add_file(found)
        except RejectedError:
            self._store.add_none()
            self._num_unreadable += 1

    def write(self, findings: Findings, *, source: str) -> str:
        """Writes the page, whole or not at all.

        Args:
            findings: About the images that were added.
            source: What was evaluated.

        Returns:
            A sentence about the file: its size, and which images are shown.
        """
        path = self._options.path
        heights, widths = np.array(self._sizes, np.int64).reshape(-1, 2).T
        columns = box_columns(findings.matches, findings.errors)
        threshold = findings.one_threshold if math.isfinite(findings.one_threshold) else _USUAL_SCORE
        losses = f1_losses(findings.matches, dict.fromkeys(findings.matches.names, threshold))
        kept = self._store.choose(np.argsort(-losses, kind="stable").tolist())
        class_rows = {class_id: row for row, class_id in enumerate(findings.matches.names)}
        data: dict[str, Any] = {
            "title": f"Evaluation of {source}",
            "source": source,
            "ids": self._ids,
            "numShown": len(kept),
            "thumbnailSide": self._store.side,
            "thumbnailMegabytes": self._options.max_thumbnail_megabytes,
            "heights": heights.tolist(),
            "widths": widths.tolist(),
            "threshold": threshold,
            "criterion": findings.criterion,
            "classes": [
                {"name": name[:_MAX_NAME], "threshold": _finite(findings.points[class_id].threshold)}
                for class_id, name in findings.matches.names.items()
            ],
            "metrics": {name: _finite(findings.metrics[name]) for name in _HEADLINES if name in findings.metrics},
            "costs": [_finite(findings.costs[kind]) for kind in Mistake],
            "kinds": [kind.name.lower() for kind in Mistake],
            "regions": boxes_as_json(self._regions.all(), class_rows, heights, widths),
            **columns.as_json(class_rows, heights, widths),
        }
        contents = {"DATA": script_json(data), "THUMBNAILS": self._store.texts(kept)}
        remove_leftovers(path)
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(page_pieces(_ASSETS, _SCRIPTS, title=data["title"], contents=contents))
        self._store.close()
        return self._sentence(len(kept))

    def _sentence(self, num_shown: int) -> str:
        count, path = len(self._ids), self._options.path
        text = f"page written to {path}, {path.stat().st_size / 1e6:.1f} MB, with {num_shown} of {count} images"
        if self._options.image_directory is None and not num_shown:
            return text + "; the boxes alone: --image_directory names the folder of the images"
        if num_shown < count - self._num_unreadable:
            budget = f"{self._options.max_thumbnail_megabytes:g} MB of thumbnails"
            text += f", the worst ones: {budget} are in it, --report_megabytes sets another number"
        if self._num_unreadable:
            text += f"; {self._num_unreadable} not found in {self._options.image_directory}, or not readable"
        return text


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
