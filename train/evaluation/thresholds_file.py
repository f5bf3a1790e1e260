"""thresholds.json: the score from which detections of each class count, for whoever ships a model.

    {"operating_point": "f1", "source": "exported", "num_images": 30, "iou_threshold": 0.5,
     "threshold_interval": {"confidence": 0.95, "num_resamples": 1000}, "few_objects": 20,
     "classes": [{"id": 1, "name": "Bed", "threshold": 0.41, "threshold_interval": [0.3, 0.62], "num_objects": 16,
                  "has_few_objects": true, "precision": 0.94, "recall": 0.94, "f1": 0.94}, ...]}

A detection counts where its score is at least its class's threshold. Ids and names are the label map's, so that a
reader can tell another label map. The threshold is null where no score gives what was asked for, or where a class has
no objects to tell by: then no detection of the class counts, as in the figures. The interval is that of a bootstrap
over images; an end is null where no score gave what was asked for. Of this a reader needs ids, names and thresholds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.formats.json_array import read_json
from data_prep.runtime.atomic_files import write_json
from data_prep.runtime.command_line import UsageError
from train.metrics.bootstrap import CONFIDENCE, NUM_RESAMPLES
from train.metrics.box_matches import IOU_THRESHOLD
from train.metrics.measured_image import unique_names
from train.metrics.operating_points import OperatingPoint
from train.metrics.threshold_intervals import Interval

THRESHOLDS_NAME = "thresholds.json"  # as exports have it: beside the model, and in a SavedModel's assets/
FEW_OBJECTS = 20  # fewer say little of where a threshold should be
MAX_BYTES = 16 * 1024**2  # 10,000 classes have 3 MB


@dataclasses.dataclass(frozen=True)
class ClassThresholds:
    """Thresholds of all classes of a label map.

    Attributes:
        path: The file.
        operating_point: What they were chosen for, in the file's words.
        by_class: By label map id, 0..1, or infinite where no detection counts.
        names: Of the classes, by id.
    """

    path: Path
    operating_point: str
    by_class: Mapping[int, float]
    names: Mapping[int, str]

    def as_float32(self, highest_id: int) -> np.ndarray:
        """Returns them by label map id, float32 [highest_id + 1] or more, infinite where there is no class.

        A score of float32 is below the threshold there exactly where it is below the file's: rounded, a threshold
        between two scores that are next to each other could let the lower one through.
        """
        exact = np.full(max(highest_id, *self.by_class) + 1, math.inf)
        exact[list(self.by_class)] = list(self.by_class.values())
        rounded = exact.astype(np.float32)
        return np.where(rounded < exact, np.nextafter(rounded, np.float32(math.inf)), rounded)

    def summary(self) -> str:
        """A line for people."""
        found = [value for value in self.by_class.values() if math.isfinite(value)]
        none = [self.names[class_id] for class_id, value in self.by_class.items() if math.isinf(value)]
        words = f"thresholds of {self.path}"
        if self.operating_point:
            words += f", for {self.operating_point}"
        if found:
            words += f": {min(found):.3f} to {max(found):.3f} for {len(found)} classes"
        if none:
            shown = ", ".join(none[:10]) + (f" and {len(none) - 10} more" if len(none) > 10 else "")
            words += f"; null, so that none is detected: {shown}"
        return words


def read_thresholds(path: Path, names_by_id: Mapping[int, str]) -> ClassThresholds:
    """Reads the file, and checks that it is of this label map.

    Args:
        path: The file.
        names_by_id: Class names by label map id.

    Raises:
        UsageError: It cannot be read, is not such a file, or has other classes than the label map, or a threshold that
            is not from 0 to 1.
    """
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is not a plain file")
    if path.is_file() and path.stat().st_size > MAX_BYTES:
        raise UsageError(f"{path}: larger than {MAX_BYTES >> 20} MiB, so it holds no thresholds")
    content = read_json(path)
    classes = content.get("classes") if isinstance(content, dict) else None
    if not isinstance(classes, list):
        raise UsageError(f"{path}: no list of classes; give a file that train.evaluate --thresholds_path wrote")
    names, thresholds = unique_names(names_by_id), dict[int, float]()
    for number, entry in enumerate(classes):
        where = f"{path}: classes[{number}]"
        class_id, name, threshold = _read_class(entry, where)
        if class_id in thresholds:
            raise UsageError(f"{where}: a second entry of id {class_id}; remove one")
        if names.get(class_id) != name:
            theirs = f"{class_id} is {names[class_id]!r}" if class_id in names else f"there is no id {class_id}"
            raise UsageError(
                f"{where}: id {class_id} is {name!r}, but in the label map {theirs}: these are thresholds of another "
                "label map"
            )
        thresholds[class_id] = threshold
    if missing := [f"{class_id} {name!r}" for class_id, name in names.items() if class_id not in thresholds]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UsageError(f"{path}: no threshold for id {missing[0]}{more}; add it, null for none to be detected")
    point = content.get("operating_point")
    return ClassThresholds(path, point if isinstance(point, str) else "", thresholds, names)


def _read_class(entry: Any, where: str) -> tuple[int, str, float]:
    """Returns id, name and threshold."""
    if not isinstance(entry, dict) or (lacking := {"id", "name", "threshold"}.difference(entry)):
        what = min(lacking) if isinstance(entry, dict) else "id, name and threshold"
        raise UsageError(f"{where}: has no {what}")
    class_id, name, threshold = entry["id"], entry["name"], entry["threshold"]
    if not isinstance(class_id, int) or isinstance(class_id, bool) or not isinstance(name, str):
        raise UsageError(f"{where}: id must be a whole number, and name a text")
    if threshold is None:
        return class_id, name, math.inf
    if not isinstance(threshold, int | float) or isinstance(threshold, bool) or not 0 <= threshold <= 1:
        shown = f"{threshold!r:.40}"
        raise UsageError(f"{where}: threshold {shown} of {name!r} is not a number from 0 to 1; null lets none through")
    return class_id, name, float(threshold)


def write_thresholds(
    path: Path,
    points: Mapping[int, OperatingPoint],
    intervals: Mapping[int, Interval],
    names_by_id: Mapping[int, str],
    *,
    operating_point: str,
    source: str,
    num_images: int,
) -> None:
    """Writes the file, whole or not at all.

    Args:
        path: The file.
        points: By label map id; an infinite threshold is one that was not found.
        intervals: Of the thresholds, by label map id; none of those that were not chosen here.
        names_by_id: Class names by label map id.
        operating_point: What the thresholds were chosen for.
        source: What was evaluated.
        num_images: On how many images.
    """
    classes: list[dict[str, Any]] = []
    for class_id, point in points.items():
        is_found = math.isfinite(point.threshold)
        figures = {"precision": point.precision, "recall": point.recall, "f1": point.f1}
        entry: dict[str, Any] = {"id": class_id, "name": names_by_id[class_id]}
        entry["threshold"] = point.threshold if is_found else None
        if class_id in intervals:
            entry["threshold_interval"] = list(map(_finite, intervals[class_id]))
        entry["num_objects"] = point.num_objects
        entry["has_few_objects"] = point.num_objects < FEW_OBJECTS
        classes.append({**entry, **{name: _finite(value) if is_found else None for name, value in figures.items()}})
    head: dict[str, Any] = {"operating_point": operating_point, "source": source, "num_images": num_images}
    head["iou_threshold"] = IOU_THRESHOLD
    if intervals:
        head["threshold_interval"] = {"confidence": CONFIDENCE, "num_resamples": NUM_RESAMPLES}
    write_json(path, {**head, "few_objects": FEW_OBJECTS, "classes": classes}, indent=1)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
