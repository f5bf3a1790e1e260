"""The folders of the OIDv4 ToolKit and its forks: `SPLIT/CLASS/ID.jpg` and `SPLIT/CLASS/Label/ID.txt`.

A line of a label file is the class, xmin, ymin, xmax and ymax in pixels; a class may have blanks in its name. A folder
of several classes (`Apple_Orange`, of `--multiclasses 1`) has lines of all of them. An image that has several classes
is in the folder of each that was asked for, each with the boxes of that class alone: they are united here.

The layout: https://github.com/EscVM/OIDv4_ToolKit#annotations and its `modules/downloader.py`, which appends to label
files that are there, so that a download done twice has every line twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from data_prep.annotations.image_folder import find_image_file
from data_prep.annotations.label_text import read_label_lines
from data_prep.annotations.source_image import Reject, SourceBox, SourceImage, SourceSet, read_number
from data_prep.annotations.source_splits import chosen_splits
from data_prep.images.image_file import SUFFIXES
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.ledger import RejectedError

LABEL_FOLDERS = ("Label", "Labels")  # as it writes, and as its page says
DATASET_FOLDER = "Dataset"

_EDGES = ("xmin", "ymin", "xmax", "ymax")


def read_oidv4_toolkit(
    path: Path, *, splits: Sequence[str] | None, image_directory: Path | None, reject: Reject
) -> SourceSet:
    """Reads the folder of a data set, of a split, or of a class.

    A line that an image has twice is taken once, and counted. An image without a label file is rejected: the toolkit
    fetches only images that have a box.

    Args:
        path: `OID`, `Dataset`, `Dataset/train` or `Dataset/train/Apple`.
        splits: Those to take where it holds several.
        image_directory: Holds the images; None takes them from the class folders.
        reject: Takes what cannot be used.

    Raises:
        UsageError: There are no `Label` folders, or several splits to choose from.
    """
    root = path / DATASET_FOLDER if (path / DATASET_FOLDER).is_dir() else path
    by_split: dict[str, list[Path]] = {}  # label folders
    for pattern in ("", "*/", "*/*/"):
        for name in LABEL_FOLDERS:
            for folder in sorted(root.glob(pattern + name)):
                if folder.is_dir():
                    split = folder.parent.parent.name if pattern == "*/*/" else ""
                    by_split.setdefault(split, []).append(folder)
    if not by_split:
        raise UsageError(
            f"{path}: no folders called {LABEL_FOLDERS[0]}; the toolkit makes CLASS/{LABEL_FOLDERS[0]}/ID.txt"
        )
    folders = [folder for split in chosen_splits(by_split, splits, root) for folder in by_split[split]]
    files: dict[str, list[Path]] = {}  # label files by the image's id
    unlabelled: dict[str, Path] = {}
    for folder in folders:
        labelled = {file.stem: file for file in sorted(folder.glob("*.txt"))}
        for image_id, file in labelled.items():
            files.setdefault(image_id, []).append(file)
        for image in sorted(folder.parent.iterdir()):
            if image.suffix.lower() in SUFFIXES and image.stem not in labelled:
                unlabelled.setdefault(image.stem, image)
    source = SourceSet(iter(()), None)
    source.images = _images(root, files, image_directory is None, source, reject)
    for image_id in sorted(unlabelled.keys() - files.keys()):
        file = unlabelled[image_id]
        where = file.relative_to(root).as_posix()
        reject(where, "no label file", f"no {file.parent.name}/{LABEL_FOLDERS[0]}/{image_id}.txt")
    return source


def _images(
    root: Path, files: dict[str, list[Path]], has_images: bool, source: SourceSet, reject: Reject
) -> Iterator[SourceImage]:
    num_repeated = num_united = 0
    for image_id in sorted(files):
        boxes: list[SourceBox] = []
        num_rejected = num_read = 0
        seen: set[tuple[str, ...]] = set()
        for file in files[image_id]:
            name = file.relative_to(root).as_posix()
            try:
                lines = list(read_label_lines(file))
            except RejectedError as error:
                reject(name, error.reason, error.detail)
                num_rejected += 1
                continue
            num_read += 1
            for number, words in lines:
                if tuple(words) in seen:
                    num_repeated += 1
                    continue
                seen.add(tuple(words))
                try:
                    boxes.append(_box(f"{name}:{number}", words))
                except RejectedError as error:
                    reject(f"{name}:{number}", error.reason, error.detail)
                    num_rejected += 1
        if not num_read:
            continue
        num_united += num_read > 1
        folders = [file.parent.parent for file in files[image_id]]
        yield SourceImage(
            files[image_id][0].relative_to(root).as_posix(),
            (f"{image_id}.jpg",),
            is_relative=False,
            boxes=tuple(boxes),
            num_rejected=num_rejected,
            directory=next((f for f in folders if find_image_file(f, f"{image_id}.jpg")), folders[0])
            if has_images
            else None,
        )
    if num_united:
        source.remarks.append(f"{num_united} images are in the folders of several classes: their boxes are united")
    if num_repeated:
        source.remarks.append(f"{num_repeated} lines that their image has twice are taken once")


def _box(where: str, words: Sequence[str]) -> SourceBox:
    if len(words) < 5:
        raise RejectedError("wrong number of cells", f"{len(words)} in the line, not class, {', '.join(_EDGES)}")
    xmin, ymin, xmax, ymax = (read_number(word, edge) for word, edge in zip(words[-4:], _EDGES, strict=True))
    return SourceBox(where, " ".join(words[:-4]), xmin, ymin, xmax, ymax)
