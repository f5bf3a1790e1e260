"""YOLO's text: one file an image, `class x_centre y_centre width height` a line, relative; classes count from 0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.annotations.class_names import YAML_SUFFIXES, find_class_names, read_class_names
from data_prep.annotations.label_text import read_label_lines
from data_prep.annotations.source_image import Reject, SourceBox, SourceImage, SourceSet, read_number, shown
from data_prep.annotations.yolo_layout import LabelledFolder, data_yaml_folders, data_yaml_of, labels_folder
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.ledger import RejectedError


def read_yolo(
    path: Path,
    *,
    class_names_path: Path | None,
    image_directory: Path | None,
    splits: Sequence[str] | None = None,
    reject: Reject,
) -> SourceSet:
    """Reads a folder of label files, or the data set that an Ultralytics YAML describes.

    A sixth number in a line is a confidence; an odd number of seven or more (or those of a segmentation set) is a class
    and a polygon, whose bounds are the box. Where `kpt_shape` in the YAML says that keypoints follow, they are left
    out. An image whose file is empty has no boxes, and so has one without a file.

    Args:
        path: The folder, folders in which are read as well, or one that holds `images` and `labels`; or a YAML with
            `train`, `val` or `test`, or the folder that holds it.
        class_names_path: A YAML with `names`, or a text with a class a line; None takes that of `find_class_names`.
        image_directory: Holds the images in the same folders; None lists only images that have a label file, or that
            the YAML or a folder `images` has.
        splits: Those of a YAML to take where it has several.
        reject: Takes what cannot be used.

    Raises:
        UsageError: The folder has no label files, or the classes cannot be found.
    """
    names_path = names_file(path, class_names_path)
    names, has_keypoints = read_class_names(names_path)
    described_by = data_yaml_of(path, names_path)
    if described_by is not None:
        folders = data_yaml_folders(described_by, splits=splits, image_directory=image_directory)
    elif splits is not None:
        raise UsageError(f"{path}: --splits are those of a YAML with train, val or test, which it has not")
    else:
        folders = [labels_folder(path, image_directory, except_file=names_path)]
    if not any(folder.files for folder in folders):
        raise UsageError(f"{path}: no label files (*.txt) in {'it' if path.is_dir() else 'the folders that it names'}")
    class_ids = {name: number + 1 for number, name in sorted(names.items())}
    remarks = [f"{len(names)} class names from {names_path}"]
    if num_unlabelled := sum(len(folder.images.keys() - folder.files.keys()) for folder in folders):
        remarks.append(f"{num_unlabelled} images have no label file: images without boxes, as YOLO takes them")
    images = (image for folder in folders for image in _images(folder, names, has_keypoints, reject))
    return SourceSet(images, class_ids, "class 0 has id 1, and so on", remarks)


def names_file(path: Path, class_names_path: Path | None) -> Path:
    """Returns the file with the class names of what `read_yolo` is given.

    Raises:
        UsageError: There is none.
    """
    if class_names_path is not None:
        return class_names_path
    if path.is_dir():
        return find_class_names(path)
    if path.suffix.lower() not in YAML_SUFFIXES:
        raise UsageError(f"{path} is neither a folder of label files nor a YAML that names such folders")
    return path


def _images(
    folder: LabelledFolder, names: Mapping[int, str], has_keypoints: bool, reject: Reject
) -> Iterator[SourceImage]:
    for stem in sorted(folder.files.keys() | folder.images.keys()):
        boxes: list[SourceBox] = []
        num_rejected = 0
        where = folder.where(stem)
        if stem in folder.files:
            try:
                for box in _boxes(where, folder.files[stem], names, has_keypoints, reject):
                    if box is None:
                        num_rejected += 1
                    else:
                        boxes.append(box)
            except RejectedError as error:
                reject(where, error.reason, error.detail)
                continue
        yield SourceImage(
            where,
            (folder.images.get(stem, stem),),
            is_relative=True,
            boxes=tuple(boxes),
            num_rejected=num_rejected,
            directory=folder.directory,
        )


def _boxes(
    file: str, path: Path, names: Mapping[int, str], has_keypoints: bool, reject: Reject
) -> Iterator[SourceBox | None]:
    """Yields the box of each line, None for one that is rejected."""
    for number, words in read_label_lines(path):
        where = f"{file}:{number}"
        try:
            yield _box(where, words, names, has_keypoints)
        except RejectedError as error:
            reject(where, error.reason, error.detail)
            yield None


def _box(where: str, words: Sequence[str], names: Mapping[int, str], has_keypoints: bool) -> SourceBox:
    class_number = read_number(words[0], "class")
    if class_number not in names:
        raise RejectedError("unknown class number", f"{shown(words[0])}, known are 0..{max(names)}")
    label = names[int(class_number)]
    is_polygon = not has_keypoints and len(words) >= 7 and len(words) % 2 == 1
    if not (is_polygon or len(words) in (5, 6) or (has_keypoints and len(words) > 5)):
        raise RejectedError("wrong number of cells", f"{len(words)} in the line, not class, x, y, width, height")
    if is_polygon:
        numbers = [read_number(word, "a point") for word in words[1:]]
        xs, ys = numbers[0::2], numbers[1::2]
        return SourceBox(where, label, min(xs), min(ys), max(xs), max(ys))
    x, y, width, height = (read_number(word, name) for word, name in zip(words[1:5], _CELLS, strict=True))
    extra: dict[str, Any] = {}
    if len(words) == 6:
        extra["confidence"] = read_number(words[5], "confidence")
        if not 0 <= extra["confidence"] <= 1:
            raise RejectedError("bad confidence", f"{extra['confidence']}, outside 0..1")
    return SourceBox(where, label, x - width / 2, y - height / 2, x + width / 2, y + height / 2, extra)


_CELLS = ("x_centre", "y_centre", "width", "height")
