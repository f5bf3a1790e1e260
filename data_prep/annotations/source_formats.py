"""The table of the formats that are read: who writes each, its reader, and which flags are its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from data_prep.annotations.coco import read_coco
from data_prep.annotations.csv_columns import COLUMNS
from data_prep.annotations.fiftyone import DATA_FOLDER, LABELS_FILE, SAMPLES_FILE, read_fiftyone_labels
from data_prep.annotations.fiftyone_open_images import BOXES_FILE, is_zoo_folder, read_fiftyone_open_images
from data_prep.annotations.flat_csv import read_flat_csv
from data_prep.annotations.oidv4_toolkit import read_oidv4_toolkit
from data_prep.annotations.pascal_voc import read_pascal_voc
from data_prep.annotations.predictions import read_predictions
from data_prep.annotations.source_image import Reject, SourceSet
from data_prep.annotations.tfds import read_tfds
from data_prep.annotations.yolo import names_file, read_yolo
from data_prep.annotations.yolo_layout import data_yaml_of, labels_of, split_places
from data_prep.runtime.command_line import UsageError

Reader = Callable[[Path, Path | None, Any, Reject], SourceSet]
"""Takes a file or folder of annotations, the folder of its images if one is given, the flags of the table, and what
takes what cannot be used."""


def _nothing_more(path: Path, flags: Any) -> list[Path]:
    return []


@dataclass(frozen=True)
class SourceFormat:
    """A format.

    Attributes:
        description: Who writes it, and what its path is, for the help.
        read: Its reader.
        takes: Whether its path is a file, a folder, or may be either.
        suffixes: Of the files of a folder that the reader reads, in small letters; for the stamp.
        flags: The names of flags that only some formats have, of those that this one has.
        has_images: Whether the images may lie in the same folder, or file, so that no other has to be given.
        others: Returns the files and folders that are read beside a path, by the flags; for the stamp.
    """

    description: str
    read: Reader
    takes: Literal["file", "folder", "either"]
    suffixes: frozenset[str] = frozenset()
    flags: tuple[str, ...] = ()
    has_images: bool = False
    others: Callable[[Path, Any], list[Path]] = _nothing_more


def _coco(path: Path, images: Path | None, flags: Any, reject: Reject) -> SourceSet:
    return read_coco(path, keep_category_ids=flags.keep_category_ids, reject=reject)


def _pascal_voc(path: Path, images: Path | None, flags: Any, reject: Reject) -> SourceSet:
    return read_pascal_voc(path, first_pixel=int(flags.one_based_pixels), reject=reject)


def _yolo(path: Path, images: Path | None, flags: Any, reject: Reject) -> SourceSet:
    return read_yolo(
        path, class_names_path=flags.class_names_path, image_directory=images, splits=flags.splits, reject=reject
    )


def _of_yolo(path: Path, flags: Any) -> list[Path]:
    names_path = names_file(path, flags.class_names_path)
    described_by = data_yaml_of(path, names_path)
    if described_by is None:
        return [names_path]
    places = split_places(described_by, flags.splits)
    return [names_path, *places, *(labels_of(place) for place in places if place.is_dir())]


def _tfds(path: Path, images: Path | None, flags: Any, reject: Reject) -> SourceSet:
    return read_tfds(path, splits=flags.splits, image_directory=images, reject=reject)


def _csv(path: Path, images: Path | None, flags: Any, reject: Reject) -> SourceSet:
    return read_flat_csv(
        path,
        coordinates=flags.coordinates or "auto",
        first_pixel=int(flags.one_based_pixels),
        columns=asked_columns(flags),
        without_header=flags.no_header,
        reject=reject,
    )


def _predictions(path: Path, images: Path | None, flags: Any, reject: Reject) -> SourceSet:
    return read_predictions(path, reject)


def asked_columns(flags: Any) -> dict[str, str]:
    """Returns what the flags call the columns of a CSV, by the names of `csv_columns.COLUMNS`."""
    asked = {column: getattr(flags, f"{column}_column") for column in COLUMNS}
    return {column: name for column, name in asked.items() if name is not None}


def _oidv4_toolkit(path: Path, images: Path | None, flags: Any, reject: Reject) -> SourceSet:
    return read_oidv4_toolkit(path, splits=flags.splits, image_directory=images, reject=reject)


def _fiftyone(path: Path, images: Path | None, flags: Any, reject: Reject) -> SourceSet:
    if path.is_dir() and is_zoo_folder(path):
        return read_fiftyone_open_images(path, splits=flags.splits, image_directory=images, reject=reject)
    file = path / LABELS_FILE if path.is_dir() else path
    if file.name == SAMPLES_FILE or (not file.is_file() and (path / SAMPLES_FILE).is_file()):
        raise UsageError(
            f"{path}: {SAMPLES_FILE} is FiftyOne's dump of a whole data set, of any fields; export the field with the "
            "boxes as fo.types.FiftyOneImageDetectionDataset"
        )
    if not file.is_file():
        raise UsageError(f"{path}: neither {LABELS_FILE} nor SPLIT/{BOXES_FILE.as_posix()} in it")
    return read_fiftyone_labels(file, image_directory=images, reject=reject)


def _of_fiftyone(path: Path, flags: Any) -> list[Path]:
    return [] if path.is_dir() or not (data := path.parent / DATA_FOLDER).is_dir() else [data]


FORMATS: Mapping[str, SourceFormat] = {
    "coco": SourceFormat("instances_*.json", _coco, "file", flags=("keep_category_ids",)),
    "pascal_voc": SourceFormat(
        "a folder of XML files", _pascal_voc, "folder", frozenset({".xml"}), flags=("one_based_pixels",)
    ),
    "yolo": SourceFormat(
        "a folder of text files beside data.yaml or classes.txt, or an Ultralytics YAML with path, train and val",
        _yolo,
        "either",
        frozenset({".txt"}),
        flags=("class_names_path", "splits"),
        has_images=True,
        others=_of_yolo,
    ),
    "csv": SourceFormat(
        "filename,width,height,class,xmin,ymin,xmax,ymax, in any order, sizes may be missing; see --file_column",
        _csv,
        "file",
        flags=("coordinates", "one_based_pixels", "no_header", *(f"{column}_column" for column in COLUMNS)),
    ),
    "predictions": SourceFormat(
        "predictions.jsonl of serving.predict_folder, or what serving.client --json prints", _predictions, "file"
    ),
    "oidv4_toolkit": SourceFormat(
        "Dataset, Dataset/SPLIT or a class's folder of the OIDv4 ToolKit, with its Label folders",
        _oidv4_toolkit,
        "folder",
        frozenset({".txt"}),
        flags=("splits",),
        has_images=True,
    ),
    "fiftyone": SourceFormat(
        "labels.json or its folder (FiftyOneImageDetectionDataset), or open-images-v7 as FiftyOne's zoo downloads it",
        _fiftyone,
        "either",
        frozenset({".json", ".csv"}),
        flags=("splits",),
        has_images=True,
        others=_of_fiftyone,
    ),
    "tfds": SourceFormat(
        "a folder NAME/CONFIG/VERSION that TensorFlow Datasets has prepared; its images come out of the records",
        _tfds,
        "folder",
        frozenset({".json", ".txt", ".tfrecord"}),
        flags=("splits",),
        has_images=True,
    ),
}
