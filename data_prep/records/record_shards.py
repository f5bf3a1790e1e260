"""Writer of one shard of TFRecords from its points and images, or the finding that it need not be written again."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_prep.cleaning.validation_log import FileVersion, ValidatedImages, version_of
from data_prep.formats.tf_example import box_areas, make_example
from data_prep.images.image_file import ImageError, find_image, read_image_file
from data_prep.records.manifest import ShardEntry
from data_prep.records.point_index import PointIndex
from data_prep.records.record_files import RecordWriter
from data_prep.records.record_images import record_image
from data_prep.records.record_policies import (
    UNKNOWN_IMAGE_LABELS,
    WITHOUT_BOXES,
    ChosenBoxes,
    RecordPolicies,
    choose_boxes,
    keeps_without_boxes,
)
from data_prep.records.shard_report import ShardReport
from data_prep.runtime.atomic_files import write_json

ENTRY_SUFFIX = ".json"
UNFINISHED_SUFFIX = ".unfinished"

# Part of every fingerprint: to be counted up when the same input is to give other bytes.
_RECORDS_VERSION = 3


@dataclass(frozen=True)
class ShardTask:
    """Inputs of one shard.

    Attributes:
        path: The file to write.
        points: Its images, in the order in which they are written.
        image_directory: Holds ID.jpg or the like.
        label_ids: The label map: ids by label. Annotations of other labels are left out.
        policies: What of an image's annotations goes into its record.
        known: Entries of shards of this name that are there already, whole.
    """

    path: Path
    points: PointIndex
    image_directory: Path
    label_ids: Mapping[str, int]
    policies: RecordPolicies = field(default_factory=RecordPolicies)
    known: tuple[ShardEntry, ...] = ()


@dataclass(frozen=True)
class ShardOutcome:
    """Result of a task.

    Attributes:
        entry: The shard, as the manifest names it.
        is_written: Whether it was written now; otherwise a known one is just what would have been written.
    """

    entry: ShardEntry
    is_written: bool


def make_shard(task: ShardTask) -> Generator[int, None, ShardOutcome]:
    """Writes a shard, unless a known one is what would be written; yields how many images each step did.

    The file appears whole, and after it, beside it, its entry: where both are, the shard is finished.

    Raises:
        OSError: The file cannot be written.
    """
    if task.known:
        fingerprint = fingerprint_of(task)
        for known in task.known:
            if known.fingerprint == fingerprint:
                yield known.report.num_points
                return ShardOutcome(known, is_written=False)
    entry_path = task.path.with_name(task.path.name + ENTRY_SUFFIX)
    entry_path.unlink(missing_ok=True)  # of an interrupted run's shard, which is about to be replaced
    entry = yield from write_shard(task)
    write_json(entry_path, entry.as_json())
    return ShardOutcome(entry, is_written=True)


def write_shard(task: ShardTask) -> Generator[int, None, ShardEntry]:
    """Writes a shard's file; yields 1 for each image and returns the shard's entry.

    Raises:
        OSError: The file cannot be written.
    """
    report = ShardReport()
    fingerprint = _Fingerprint(task)
    unfinished = task.path.with_name(task.path.name + UNFINISHED_SUFFIX)
    with RecordWriter(unfinished) as writer, ValidatedImages(task.image_directory) as sound:
        for text in task.points.texts():
            point = json.loads(text)
            image = find_image(task.image_directory, point["id"])
            version = None if image is None else version_of(image)  # before it is read, as it may change meanwhile
            fingerprint.add(text, point, version)
            is_sound = version is not None and sound.has(point["id"], version)
            report.num_points += 1
            try:
                record = example_of_image(
                    point,
                    functools.partial(_read_image, image, point["id"], task.image_directory),
                    task.label_ids,
                    report,
                    policies=task.policies,
                    is_sound=is_sound,
                )
            except ImageError as error:
                report.rejected.append((point["id"], error.reason, error.detail))
            else:
                if record is not None:
                    writer.write(record)
            yield 1
    report.num_bytes = unfinished.stat().st_size
    unfinished.replace(task.path)
    return ShardEntry(task.path.name, fingerprint.hexdigest(), report)


def fingerprint_of(task: ShardTask) -> str:
    """Returns a hash of all that decides a shard's bytes.

    That is its points, the ids of the labels in them, the rules, and for each image the file's name, size and time of
    change: an image that changes and keeps both is not seen.
    """
    fingerprint = _Fingerprint(task)
    for text in task.points.texts():
        point = json.loads(text)
        image = find_image(task.image_directory, point["id"])
        fingerprint.add(text, point, None if image is None else version_of(image))
    return fingerprint.hexdigest()


class _Fingerprint:
    def __init__(self, task: ShardTask) -> None:
        self._label_ids = task.label_ids
        self._labels: set[str] = set()
        self._digest = hashlib.blake2b(digest_size=16)
        self._digest.update(f"{_RECORDS_VERSION} {json.dumps(task.policies.as_json(), sort_keys=True)}\n".encode())

    def add(self, text: bytes, point: Mapping[str, Any], image: FileVersion | None) -> None:
        self._labels.update(annotation["label"] for annotation in point["annotations"])
        self._labels.update(entry["label"] for entry in point.get("image_labels", ()))
        self._digest.update(text)
        if image is None:
            self._digest.update(b" missing\n")
            return
        self._digest.update(f" {image.name} {image.size} {image.mtime_ns}\n".encode())

    def hexdigest(self) -> str:
        ids = {label: self._label_ids.get(label) for label in sorted(self._labels)}
        self._digest.update(json.dumps(ids).encode())
        return self._digest.hexdigest()


def _read_image(image: Path | None, image_id: str, image_directory: Path) -> bytes:
    if image is None:
        raise ImageError("missing", f"no {image_id}.jpg (.png, ...) in {image_directory}")
    return read_image_file(image)


def example_of_image(
    point: Mapping[str, Any],
    read_image: Callable[[], bytes],
    label_ids: Mapping[str, int],
    report: ShardReport,
    *,
    policies: RecordPolicies | None = None,
    is_sound: bool = False,
) -> bytes | None:
    """Makes the record of one image.

    JPEGs and PNGs of 8-bit RGB or grey go in as they are; any other image is encoded anew. Boxes are cut to the
    image. A box around a group keeps its `group_of` and is no crowd, as in the Object Detection API's own Open Images
    records, unless the rules say otherwise, or its `is_crowd` does, which COCO's annotations come with. Pascal VOC's
    `is_difficult` becomes `difficult`, and `segment_area` the object's area in place of its box's. Verified labels go
    to `image/class/*`, those that say a class is not there as well: evaluation needs both.

    Args:
        point: The image, as in points.json.
        read_image: Returns the image's file; called only when it is needed.
        label_ids: Ids by label.
        report: What is written is counted there, and boxes without area at float32 are rejected.
        policies: The rules; by default all is kept.
        is_sound: Whether `validate_images` has read this very file to its end, so that it need not be done again.

    Returns:
        A serialised `tf.train.Example`; None where the rules leave the image out.

    Raises:
        ImageError: The image is missing or does not decode.
    """
    policies = policies or RecordPolicies()
    image_id = point["id"]
    chosen = choose_boxes(point["annotations"], label_ids, policies)
    if not chosen.annotations and not keeps_without_boxes(image_id, policies):
        report.left_out[WITHOUT_BOXES] += 1
        _count_left_out(chosen.left_out, chosen.without_area, image_id, report)
        return None
    image = record_image(read_image(), decode=policies.image_check == "whole" and not is_sound)
    _count_left_out(chosen.left_out, chosen.without_area, image_id, report)
    labels = [annotation["label"] for annotation in chosen.annotations]
    verified = [entry for entry in point.get("image_labels", ()) if entry["label"] in label_ids]
    group_of = [annotation.get("is_group_of", False) for annotation in chosen.annotations]
    is_crowd = [annotation.get("is_crowd", False) for annotation in chosen.annotations]
    if policies.group_of == "crowd":
        is_crowd = [crowd or group for crowd, group in zip(is_crowd, group_of, strict=True)]
    record = make_example(
        encoded_image=image.content,
        image_format=image.format.lower(),
        source_id=image_id,
        filename=f"{image_id}.{'png' if image.format == 'PNG' else 'jpg'}",
        height=image.height,
        width=image.width,
        boxes_ymin_xmin_ymax_xmax=chosen.boxes_ymin_xmin_ymax_xmax,
        class_labels=[label_ids[label] for label in labels],
        class_texts=labels,
        is_crowd=is_crowd,
        difficult=[annotation.get("is_difficult", False) for annotation in chosen.annotations],
        truncated=[annotation.get("is_truncated", False) for annotation in chosen.annotations],
        occluded=[annotation.get("is_occluded", False) for annotation in chosen.annotations],
        group_of=group_of,
        depiction=[annotation.get("is_depiction", False) for annotation in chosen.annotations],
        areas=_areas(chosen, image.height, image.width),
        image_class_labels=[label_ids[entry["label"]] for entry in verified] if "image_labels" in point else None,
        image_class_texts=[entry["label"] for entry in verified] if "image_labels" in point else None,
    )
    report.num_images += 1
    report.num_images_without_boxes += not labels
    report.boxes_by_label.update(labels)
    report.images_by_label.update(set(labels))
    for entry in verified:
        (report.verified_present if entry["confidence"] > 0 else report.verified_absent)[entry["label"]] += 1
    if unknown := len(point.get("image_labels", ())) - len(verified):
        report.left_out[UNKNOWN_IMAGE_LABELS] += unknown
    return record


def _areas(chosen: ChosenBoxes, height: int, width: int) -> list[float]:
    """Returns the objects' areas in pixels: of what they cover where that is known, else of their boxes."""
    areas = box_areas(chosen.boxes_ymin_xmin_ymax_xmax, height, width).tolist()
    return [
        annotation["segment_area"] * height * width if "segment_area" in annotation else area
        for annotation, area in zip(chosen.annotations, areas, strict=True)
    ]


def _count_left_out(
    left_out: Mapping[str, int], without_area: Iterable[Mapping[str, Any]], image_id: str, report: ShardReport
) -> None:
    report.left_out.update(left_out)
    for annotation in without_area:
        coordinates = ", ".join(f"{key} {annotation[key]}" for key in ("x0", "x1", "y0", "y1"))
        report.rejected.append((f"{image_id} {annotation['label']}", "box without area", coordinates))
