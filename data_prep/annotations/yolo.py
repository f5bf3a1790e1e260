"""YOLO's text: one file an image, `class x_centre y_centre width height` a line, relative; classes count from 0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from data_prep.annotations.image_folder import all_images
from data_prep.annotations.image_ids import stem_of
from data_prep.annotations.label_text import read_label_lines
from data_prep.annotations.source_image import (
    Reject,
    SourceBox,
    SourceImage,
    SourceSet,
    check_label,
    read_number,
    shown,
)
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.ledger import RejectedError

MAX_NAMES_BYTES = 4 * 1024 * 1024
MAX_CLASSES = 100_000
CLASS_FILES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names", "classes.names")


def read_yolo(path: Path, *, class_names_path: Path | None, image_directory: Path | None, reject: Reject) -> SourceSet:
    """Reads a folder of label files.

    A sixth number in a line is a confidence; an odd number of seven or more (or those of a segmentation set) is a class
    and a polygon, whose bounds are the box. Where `kpt_shape` in the YAML says that keypoints follow, they are left
    out. An image whose file is empty has no boxes, and so has one without a file.

    Args:
        path: The folder; folders in it are read as well.
        class_names_path: A data.yaml with `names`, or a text with a class a line; None looks for one of `CLASS_FILES`
            in the folder and the two above it.
        image_directory: Holds the images in the same folders; None lists only images that have a label file.
        reject: Takes what cannot be used.

    Raises:
        UsageError: The folder has no label files, or the classes cannot be found.
    """
    if not path.is_dir():
        raise UsageError(f"{path} is no folder; YOLO has one text file a picture in a folder")
    names_path = class_names_path or find_class_names(path)
    names, has_keypoints = read_class_names(names_path)
    files = {
        file.relative_to(path).with_suffix("").as_posix(): file
        for file in path.rglob("*.txt")
        if file.name not in CLASS_FILES and file.resolve() != names_path.resolve()
    }
    if not files:
        raise UsageError(f"{path}: no label files (*.txt) in it")
    files_: dict[str, str] = {}
    for name in sorted(all_images(image_directory)) if image_directory is not None else ():
        image = PurePosixPath(name)
        files_.setdefault(str(image.with_name(stem_of(image.name))), name)
    class_ids = {name: number + 1 for number, name in sorted(names.items())}
    class_remark = "class 0 has id 1, and so on"
    remarks = [f"{len(names)} class names from {names_path}"]
    wheres = {file: stem for stem, file in files.items()}
    files = _by_image(files, files_)
    unlabelled = files_.keys() - files.keys()
    if unlabelled:
        remarks.append(f"{len(unlabelled)} pictures have no label file: pictures without boxes, as YOLO takes them")
    images = _images(files, files_, wheres, names, has_keypoints, reject)
    return SourceSet(images, class_ids, class_remark, remarks)


def _by_image(files: Mapping[str, Path], images: Mapping[str, str]) -> dict[str, Path]:
    """Returns the label files by their image's name without suffix, or by their own where no image is theirs.

    Labels and images may lie in folders of other names: `labels/a.txt` beside `images/a.jpg`, as YOLO's tools have it,
    or an image that no label file has but this one of its name.
    """
    alone: dict[str, list[str]] = {}
    for image in sorted(images.keys() - files.keys()):
        alone.setdefault(PurePosixPath(image).name, []).append(image)
    paired = {stem: file for stem, file in files.items() if stem in images}
    for stem, file in sorted(files.items()):
        candidates = [image for image in alone.get(PurePosixPath(stem).name, ()) if image not in paired]
        beside = [image for image in candidates if _apart(image) == _apart(stem)]
        match = next((found[0] for found in (beside, candidates) if len(found) == 1), stem)
        paired.setdefault(stem if stem in images else match, file)
    return paired


def _apart(stem: str) -> list[str]:
    """Returns a path without the folders by which YOLO's tools tell labels from images."""
    return [part for part in PurePosixPath(stem).parts if part not in ("images", "labels")]


def read_class_names(path: Path) -> tuple[dict[int, str], bool]:
    """Returns the class names by their number, from 0, and whether label files hold keypoints.

    Raises:
        UsageError: The file holds no class names, or one twice.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_NAMES_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text (byte {error.start})") from error
    if len(content) > MAX_NAMES_BYTES:
        raise UsageError(f"{path}: over {MAX_NAMES_BYTES // 2**20} MiB, so not a list of classes")
    has_keypoints = False
    if path.suffix.lower() in (".yaml", ".yml"):
        names, has_keypoints = _names_of_yaml(path, text)
    else:
        lines = text.strip("\n").splitlines()
        names = {number: line.strip() for number, line in enumerate(lines)}
    if not names or len(names) > MAX_CLASSES:
        raise UsageError(f"{path}: {len(names)} class names; 1 to {MAX_CLASSES} are taken")
    seen: dict[str, int] = {}
    for number, name in names.items():
        if not name:
            raise UsageError(f"{path}: class {number} has an empty name")
        try:
            check_label(name)
        except RejectedError as error:
            raise UsageError(f"{path}: class {number} is {error.detail}, which is no name of a class") from error
        if seen.setdefault(name, number) != number:
            raise UsageError(f"{path}: classes {seen[name]} and {number} are both called {name!r}; rename one")
    return names, has_keypoints


def _names_of_yaml(path: Path, text: str) -> tuple[dict[int, str], bool]:
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        problem = " ".join(str(error).split())[:200]
        raise UsageError(f"{path}: not YAML: {problem}") from error
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict):
        raise UsageError(f"{path}: no 'names': a list of class names, or a mapping from class numbers")
    by_number: dict[int, str] = {}
    for number, name in names.items():
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < MAX_CLASSES:
            raise UsageError(f"{path}: names: {shown(number)} is no class number from 0")
        if isinstance(name, bool) or not isinstance(name, str | int | float):
            raise UsageError(f"{path}: names: class {number} must be a text (in quotes?), not {shown(name)}")
        by_number[number] = str(name).strip()
    return by_number, "kpt_shape" in content


def find_class_names(path: Path) -> Path:
    """Returns the first of `CLASS_FILES` in the folder `path` or the two above it.

    Raises:
        UsageError: There is none.
    """
    folder = path.resolve()
    for place in (folder, *folder.parents[:2]):
        for name in CLASS_FILES:
            if (place / name).is_file():
                return place / name
    raise UsageError(
        f"{path}: no {', '.join(CLASS_FILES[:4])} in it or the two folders above; give one by --class_names_path"
    )


def _images(
    files: Mapping[str, Path],
    images: Mapping[str, str],
    wheres: Mapping[Path, str],
    names: Mapping[int, str],
    has_keypoints: bool,
    reject: Reject,
) -> Iterator[SourceImage]:
    for stem in sorted(files.keys() | images.keys()):
        boxes: list[SourceBox] = []
        num_rejected = 0
        where = f"{wheres[files[stem]] if stem in files else stem}.txt"
        if stem in files:
            try:
                for box in _boxes(where, files[stem], names, has_keypoints, reject):
                    if box is None:
                        num_rejected += 1
                    else:
                        boxes.append(box)
            except RejectedError as error:
                reject(where, error.reason, error.detail)
                continue
        yield SourceImage(
            where,
            (images.get(stem, stem),),
            is_relative=True,
            boxes=tuple(boxes),
            num_rejected=num_rejected,
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
