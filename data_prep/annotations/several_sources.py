"""Several files or folders of annotations, of one format, read as one set, and what a stamp says of them."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_prep.annotations.source_formats import FORMATS
from data_prep.annotations.source_image import Reject, SourceImage, SourceSet, shown
from data_prep.images.image_file import SUFFIXES
from data_prep.runtime.command_line import UsageError

KEPT_IDS = "classes have the ids of the first file, and those that it lacks follow in the order of the others"


def read_sources(flags: Any, reject: Reject) -> SourceSet:
    """Reads all of `flags.annotations_path` with the reader of `flags.format`, one after the other.

    Classes of a name are one class. A class keeps the id that the first path gives it; those that it lacks follow.

    Args:
        flags: Those of `source_flags`.
        reject: Takes what cannot be used.

    Raises:
        UsageError: The first path is not of this format; a further one raises it when its images are asked for.
    """
    paths: list[Path] = flags.annotations_path
    read = FORMATS[flags.format].read
    directories = _directories(flags)
    if len(paths) == 1:
        return read(paths[0], directories[0], flags, reject)
    prefixes = _prefixes(paths)
    first = read(paths[0], directories[0], flags, _with_prefix(prefixes[0], reject))
    united = SourceSet(iter(()), first.class_ids, first.class_remark)

    def images() -> Iterator[SourceImage]:
        source = first
        for number, (path, directory, prefix) in enumerate(zip(paths, directories, prefixes, strict=True)):
            if number:
                source = read(path, directory, flags, _with_prefix(prefix, reject))
                _add_classes(united, source, path, keeps_ids=bool(flags.keep_category_ids))
            folder = directory if len(flags.image_directory or ()) > 1 else None
            for image in source.images:
                yield _placed(image, prefix, folder)
            united.remarks += [f"{path}: {remark}" for remark in source.remarks]

    united.images = images()
    return united


def source_state(flags: Any) -> tuple[dict[str, Path], dict[str, str]]:
    """Returns what a stamp says of the annotations and images: files, by flag, and the states of folders, by flag."""
    inputs: dict[str, Path] = {}
    folders: dict[str, str] = {}
    source_format = FORMATS[flags.format]
    suffixes = source_format.suffixes | (set(SUFFIXES) if source_format.has_images else set())
    for number, path in enumerate(flags.annotations_path):
        for more, place in enumerate([path, *source_format.others(path, flags)]):
            key = f"annotations_path[{number}][{more}]"
            if place.is_dir():
                folders[key] = f"{place.resolve()} {folder_state(place, suffixes)}"
            else:
                inputs[key] = place
    for number, directory in enumerate(flags.image_directory or ()):
        folders[f"image_directory[{number}]"] = f"{directory.resolve()} {folder_state(directory, SUFFIXES)}"
    return inputs, folders


def folder_state(directory: Path, suffixes: Collection[str]) -> str:
    """Returns a digest of the names, sizes and times of all files below `directory` that have one of `suffixes`.

    Nothing is read: a hundred thousand label files take a second or two.

    Args:
        directory: The folder; one that is missing is an empty one.
        suffixes: In small letters, with the dot; `.tfrecord` is that of `.tfrecord-00000-of-00010` as well.
    """
    lines = []
    for path in directory.rglob("*"):
        if path.suffix.lower().partition("-")[0] in suffixes and path.is_file():
            status = path.stat()
            lines.append(f"{path.relative_to(directory).as_posix()}\0{status.st_size}\0{status.st_mtime_ns}")
    digest = hashlib.sha256()
    for line in sorted(lines):
        digest.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()


def _directories(flags: Any) -> list[Path | None]:
    """Returns the folder of images of each path."""
    directories: list[Path | None] = list(flags.image_directory or [None])
    return directories if len(directories) > 1 else directories * len(flags.annotations_path)


def _prefixes(paths: list[Path]) -> list[str]:
    """Returns what stands before where something is, to tell files of one name, and in folders, apart."""
    are_told_apart = len({path.name for path in paths}) == len(paths)
    return [f"{path}/" if path.is_dir() else "" if are_told_apart else f"{path.parent}/" for path in paths]


def _with_prefix(prefix: str, reject: Reject) -> Reject:
    return (lambda where, reason, detail: reject(prefix + where, reason, detail)) if prefix else reject


def _placed(image: SourceImage, prefix: str, directory: Path | None) -> SourceImage:
    if prefix:
        boxes = tuple(replace(box, where=prefix + box.where) for box in image.boxes)
        image = replace(image, where=prefix + image.where, boxes=boxes)
    return replace(image, directory=directory) if directory is not None else image


def _add_classes(united: SourceSet, source: SourceSet, path: Path, *, keeps_ids: bool) -> None:
    """Adds the classes of a further path.

    Raises:
        UsageError: Ids are to be kept, and those of a class differ.
    """
    if source.class_ids is None or source.class_ids == united.class_ids:
        return
    ids = dict(united.class_ids or {})
    names = {class_id: name for name, class_id in ids.items()}
    for name, class_id in sorted(source.class_ids.items(), key=operator.itemgetter(1)):
        if keeps_ids and (ids.get(name, class_id), names.get(class_id, name)) != (class_id, name):
            before = f"id {ids[name]}" if name in ids else f"{names[class_id]!r}"
            raise UsageError(
                f"{path}: category {shown(name)} has id {class_id}, which is {before} in an earlier file, so that "
                "--keep_category_ids cannot keep both; without it they are matched by their names"
            )
        if name not in ids:
            ids[name] = class_id if keeps_ids else max(ids.values(), default=0) + 1
            names[ids[name]] = name
    united.class_ids = ids
    united.class_remark = (
        f"{len(ids)} {KEPT_IDS}" if not keeps_ids else f"{len(ids)} category ids of all files are kept"
    )
