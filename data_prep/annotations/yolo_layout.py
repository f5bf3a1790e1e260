"""Where YOLO's label files and images lie: a folder of labels, or the folders that an Ultralytics YAML names.

The YAML has `path`, the root, and `train`, `val` and `test`, each a folder of images, a text that lists images, or
several of these; an image's labels are at its path with the last folder `images` called `labels`, as `.txt`:
https://docs.ultralytics.com/datasets/detect/#ultralytics-yolo-format. Roboflow's says `../train/images` for a folder
beside the YAML; both readings are tried.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from data_prep.annotations.class_names import CLASS_FILES, YAML_SUFFIXES, read_yaml
from data_prep.annotations.image_folder import all_images
from data_prep.annotations.image_ids import stem_of
from data_prep.annotations.image_list import read_list_lines
from data_prep.annotations.source_image import shown
from data_prep.annotations.source_splits import chosen_splits
from data_prep.images.image_file import SUFFIXES
from data_prep.runtime.command_line import UsageError, printable

SPLITS = ("train", "val", "test", "minival")

_IMAGES, _LABELS = "images", "labels"


@dataclass(frozen=True)
class LabelledFolder:
    """Images and label files.

    Attributes:
        root: The folder of label files.
        files: The label files, by the name of their image without suffix, with `/` between folders; by their own where
            no image is theirs.
        images: The images' names, likewise.
        directory: The folder that the images' names begin in; None where no image is known.
        prefix: What stands before a label file's name in messages.
    """

    root: Path
    files: Mapping[str, Path]
    images: Mapping[str, str]
    directory: Path | None = None
    prefix: str = ""

    def where(self, stem: str) -> str:
        """Returns what the label file of an image is called in messages."""
        file = self.files.get(stem)
        if file is None:
            return f"{self.prefix}{stem}.txt"
        return f"{self.prefix}{file.relative_to(self.root).as_posix()}" if file.is_relative_to(self.root) else str(file)


def labels_folder(path: Path, image_directory: Path | None, *, except_file: Path) -> LabelledFolder:
    """Returns what a folder of label files has.

    Args:
        path: The folder, or one with `images` and `labels` in it.
        image_directory: Holds the images in the same folders; None takes those of `images`.
        except_file: A text that is no label file.
    """
    directory = None
    if (path / _LABELS).is_dir() and (path / _IMAGES).is_dir():
        path, directory = path / _LABELS, path / _IMAGES
    files = {
        file.relative_to(path).with_suffix("").as_posix(): file
        for file in path.rglob("*.txt")
        if file.name not in CLASS_FILES and file.resolve() != except_file.resolve()
    }
    place = image_directory or directory
    images = _by_stem(sorted(all_images(place))) if place is not None else {}
    return LabelledFolder(path, _by_image(files, images), images, directory if image_directory is None else None)


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
    return [part for part in PurePosixPath(stem).parts if part not in (_IMAGES, _LABELS)]


def data_yaml_of(path: Path, names_path: Path) -> Path | None:
    """Returns the data YAML by which a data set is to be read; None for a folder of label files.

    Args:
        path: A YAML, or a folder; one that holds a YAML with splits is the root of a data set, whose splits would all
            be taken as one otherwise.
        names_path: The file with its class names.
    """
    if not path.is_dir():
        return path
    if names_path.suffix.lower() not in YAML_SUFFIXES or names_path.resolve().parent != path.resolve():
        return None
    content = read_yaml(names_path)
    values = [value for split in SPLITS for value in _values(content, split)]
    bases = (_root(names_path, content), path)
    are_there = (_is_there(place) for value in values if isinstance(value, str) for place in _candidates(bases, value))
    return names_path if any(are_there) else None


def data_yaml_folders(
    path: Path, *, splits: Sequence[str] | None, image_directory: Path | None
) -> list[LabelledFolder]:
    """Returns what the splits of a data YAML have.

    Args:
        path: The YAML.
        splits: Those to take where it has several.
        image_directory: Holds the images instead of the folders that the YAML names.

    Raises:
        UsageError: It has no splits, or one that is not there.
    """
    folders = []
    for place in split_places(path, splits):
        directory, names = _listed_images(path, place) if place.is_file() else (place, sorted(all_images(place)))
        images = _by_stem(names)
        labels = {stem: _label_file(directory / name) for stem, name in images.items()}
        files = {stem: file for stem, file in labels.items() if file.is_file()}
        root = labels_of(directory)
        if place.is_dir():  # label files of images that are not there are to be missed, and not passed over
            others = {file.relative_to(root).with_suffix("").as_posix(): file for file in root.rglob("*.txt")}
            files |= {stem: file for stem, file in others.items() if stem not in files and file.name not in CLASS_FILES}
        prefix = f"{place.parent.name}/{place.name}: "
        folders.append(LabelledFolder(root, files, images, directory if image_directory is None else None, prefix))
    return folders


def labels_of(directory: Path) -> Path:
    """Returns the folder of the labels of a folder of images."""
    return _label_file(directory / "any.jpg").parent


def split_places(path: Path, splits: Sequence[str] | None) -> list[Path]:
    """Returns the folders and lists of images that the splits of a data YAML name.

    Raises:
        UsageError: It has no splits, or one that is not there.
    """
    content = read_yaml(path)
    found = [split for split in SPLITS if content.get(split)]
    if not found:
        raise UsageError(f"{path}: names neither of {', '.join(SPLITS)}; give the folder of label files instead")
    root = _root(path, content)
    places: list[Path] = []
    for split in chosen_splits(found, splits, path):
        places += [_place(path, root, split, value) for value in _values(content, split)]
    return list(dict.fromkeys(places))


def _root(path: Path, content: Mapping[Any, Any]) -> Path:
    """Returns the root that the YAML's paths begin in: its own folder, where `path` is missing or another machine's."""
    value = content.get("path")
    if not isinstance(value, str) or not value.strip():
        return path.parent
    root = path.parent / value
    return root if _is_dir(root) else path.parent


def _values(content: Mapping[Any, Any], split: str) -> list[Any]:
    value = content.get(split)
    return value if isinstance(value, list) else [value] if value else []


def _candidates(bases: Sequence[Path], value: str) -> list[Path]:
    """Returns where the folder or list that a YAML names may be, without following links, as Ultralytics has it."""
    parts = dict.fromkeys((value, value.removeprefix("../")))
    return [Path(os.path.normpath(base / part)) for base in bases for part in parts]


def _place(path: Path, root: Path, split: str, value: Any) -> Path:
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{path}: {split}: must be a folder or a text file, not {shown(value)}")
    tried = _candidates((root, path.parent), value)
    for place in tried:
        if _is_dir(place):
            if place == place.parent or path.resolve().parent.parent.is_relative_to(place.resolve()):
                raise UsageError(f"{path}: {split}: {place} is a folder above the YAML's own; all in it would be read")
            return place
        if place.suffix.lower() == ".txt" and place.is_file():
            return place
    raise UsageError(f"{path}: {split}: neither a folder nor a list of images: {printable(str(tried[0]), 300)}")


def _listed_images(path: Path, list_path: Path) -> tuple[Path, list[str]]:
    """Returns the folder that all images of a list are in, and their names in it.

    Raises:
        UsageError: One lies outside of the YAML's and the list's folders and of the root.
    """
    root = _root(path, read_yaml(path))
    bases = [Path(os.path.abspath(base)) for base in (list_path.parent, root, path.parent)]  # noqa: PTH100
    files = []
    for number, line in enumerate(read_list_lines(list_path), start=1):
        if not line:
            continue
        candidates = [Path(os.path.normpath(base / line)) for base in bases]
        inside = [file for file in candidates if any(file.is_relative_to(base) for base in bases)]
        if not inside or Path(line).suffix.lower() not in SUFFIXES or not line.isprintable():
            shown_line = printable(line, 100)
            raise UsageError(
                f"{list_path}:{number}: {shown_line!r} is no image in the folder of the list or the data set"
            )
        files.append(next((file for file in inside if file.is_file()), inside[0]))
    if not files:
        raise UsageError(f"{list_path}: the list names no image")
    directory = Path(os.path.commonpath([file.parent for file in files]))
    return directory, [file.relative_to(directory).as_posix() for file in files]


def _label_file(image: Path) -> Path:
    """Returns where the labels of an image are: beside it, unless a folder of its path is called `images`."""
    parts = list(image.parts)
    for number in range(len(parts) - 2, -1, -1):
        if parts[number] == _IMAGES:
            parts[number] = _LABELS
            break
    return Path(*parts[:-1], stem_of(parts[-1]) + ".txt")


def _by_stem(names: Sequence[str]) -> dict[str, str]:
    by_stem: dict[str, str] = {}
    for name in names:
        image = PurePosixPath(name)
        by_stem.setdefault(str(image.with_name(stem_of(image.name))), name)
    return by_stem


def _is_there(path: Path) -> bool:
    return _is_dir(path) or (path.suffix.lower() == ".txt" and path.is_file())


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name too long, or with NUL
        return False
