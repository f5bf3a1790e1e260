"""Open Images as FiftyOne's zoo downloads it: `SPLIT/data/ID.jpg`, `SPLIT/labels/detections.csv`, `SPLIT/metadata`.

`detections.csv` is Open Images' own file, with the boxes of all images of the split, most of which were not downloaded;
`metadata/classes.csv` names the classes: https://docs.voxel51.com/dataset_zoo/datasets/open_images_v7.html.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from data_prep.annotations.image_folder import all_images
from data_prep.annotations.image_ids import stem_of
from data_prep.annotations.source_image import Reject, SourceBox, SourceImage, SourceSet, read_number, shown
from data_prep.annotations.source_splits import chosen_splits
from data_prep.formats.points import FLAGS
from data_prep.metadata.csv_frames import LINE, read_frames
from data_prep.metadata.open_images import (
    BOX_FLAG_COLUMNS,
    BOX_OPTIONAL_COLUMNS,
    BOX_REQUIRED_COLUMNS,
    read_class_descriptions,
)
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.ledger import RejectedError

BOXES_FILE = Path("labels", "detections.csv")
CLASSES_FILE = Path("metadata", "classes.csv")
DATA_FOLDER = "data"

_TRUE, _FALSE = ("1", "1.0"), ("", "0", "0.0", "-1", "-1.0")  # -1: Open Images' unknown


def is_zoo_folder(path: Path) -> bool:
    """Tells whether a folder is one that the zoo has downloaded, or a split of it."""
    return bool(_splits(path))


def read_fiftyone_open_images(
    path: Path, *, splits: Sequence[str] | None, image_directory: Path | None, reject: Reject
) -> SourceSet:
    """Reads the boxes of the images that were downloaded.

    Images of which detections.csv has no row are left out and counted: nobody has drawn boxes on them. Classes are
    called by their names, as FiftyOne does.

    Args:
        path: The folder `open-images-v7`, or a split of it.
        splits: Those to take where it holds several.
        image_directory: Holds the images; None takes `data`.
        reject: Takes what cannot be used.

    Raises:
        UsageError: A file is missing, lacks a column, or no image is there.
        UserError: A file is damaged.
    """
    found = _splits(path)
    folders = [found[name] for name in chosen_splits(found, splits, path)]
    names = read_class_descriptions(folders[0] / CLASSES_FILE)
    for folder in folders[1:]:
        names |= read_class_descriptions(folder / CLASSES_FILE)
    # By its name alone a class would be united with another of that name.
    counts = Counter(names.values())
    called = {label: f"{name} ({label})" if counts[name] > 1 else name for label, name in names.items()}
    source = SourceSet(iter(()), None)
    source.images = (
        image
        for folder in folders
        for image in _images(folder, called, image_directory or folder / DATA_FOLDER, source, reject)
    )
    return source


def _splits(path: Path) -> dict[str, Path]:
    if (path / BOXES_FILE).is_file():
        return {path.name: path}
    return {file.parent.parent.name: file.parent.parent for file in sorted(path.glob(f"*/{BOXES_FILE.as_posix()}"))}


def _images(
    folder: Path, names: dict[str, str], directory: Path, source: SourceSet, reject: Reject
) -> Iterator[SourceImage]:
    files = {stem_of(Path(name).name): name for name in sorted(all_images(directory))}
    if not files:
        raise UsageError(f"{directory}: no images in it, so there is nothing to read boxes of")
    path = folder / BOXES_FILE
    ids = list(files)
    boxes: dict[str, list[SourceBox]] = {}
    num_rejected: dict[str, int] = {}
    where = f"{folder.name}/{BOXES_FILE.as_posix()}"

    def keep(cells: pl.Series) -> pl.Series:
        return cells.is_in(ids)

    frames = read_frames(
        path,
        required=BOX_REQUIRED_COLUMNS,
        optional=BOX_OPTIONAL_COLUMNS,
        key="ImageID",
        keep=keep,
        on_bad_row=lambda line, reason, detail: reject(f"{where}:{line}", reason, detail),
        description="reading boxes",
    )
    num_rows = 0
    for rows, frame in frames:
        num_rows += rows
        for row in frame.iter_rows(named=True):
            of_image = boxes.setdefault(row["ImageID"], [])
            try:
                of_image.append(_box(f"{where}:{row[LINE]}", row, names))
            except RejectedError as error:
                reject(f"{where}:{row[LINE]}", error.reason, error.detail)
                num_rejected[row["ImageID"]] = num_rejected.get(row["ImageID"], 0) + 1
    of_these = sum(map(len, boxes.values())) + sum(num_rejected.values())
    source.remarks.append(
        f"{folder.name}: {of_these} of {num_rows} boxes are of the {len(files)} images in {directory.name}"
    )
    if num_bare := len(files.keys() - boxes.keys()):
        source.remarks.append(f"{folder.name}: {num_bare} images left out on which nobody has drawn boxes")
    for image_id, of_image in boxes.items():
        yield SourceImage(
            f"{where} ({image_id})",
            (files[image_id],),
            is_relative=True,
            boxes=tuple(of_image),
            num_rejected=num_rejected.get(image_id, 0),
            directory=directory,
        )


def _box(where: str, row: dict[str, str], names: dict[str, str]) -> SourceBox:
    label = row["LabelName"].strip()
    if label not in names:
        raise RejectedError("unknown class", f"{shown(label)} is not in {CLASSES_FILE.as_posix()}")
    xmin, xmax, ymin, ymax = (read_number(row[edge].strip(), edge) for edge in ("XMin", "XMax", "YMin", "YMax"))
    extra = {}
    for flag, column in zip(FLAGS, BOX_FLAG_COLUMNS, strict=True):
        if row[column] not in (*_TRUE, *_FALSE):
            raise RejectedError("bad flag", f"{column} is {shown(row[column])}, not 0, 1 or -1")
        if row[column] in _TRUE:
            extra[flag] = True
    return SourceBox(where, names[label], xmin, ymin, xmax, ymax, extra)
