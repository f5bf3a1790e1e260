"""YOLO's text: labels/SPLIT/ID.txt, the list of images SPLIT.txt, and data.yaml with the class names."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import yaml

from data_prep.annotation_export.exported_image import ExportedBox, ExportedClasses, ExportedImage
from data_prep.annotation_export.output_folder import OutputFolder
from data_prep.annotations.class_names import CLASS_FILES, read_class_names
from data_prep.runtime.atomic_files import atomic_path, remove_leftovers, write_text
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.ledger import RejectedError

UNITS: Final = 10**8  # of a side: read again, an edge is off by a hundred-millionth of it
HELD_FLAGS: Final[frozenset[str]] = frozenset()

_DATA_FILE: Final = "data.yaml"


@contextlib.contextmanager
def yolo_writer(
    directory: Path, split: str, classes: ExportedClasses, image_directory: Path
) -> Iterator[Callable[[ExportedImage], None]]:
    """Yields a function that writes an image's label file.

    Classes count from 0 in the order of their ids. An image without boxes has an empty file. When the block ends well
    the list of images and `data.yaml` are written; splits that `data.yaml` names already stay in it.

    Args:
        directory: The data set's folder; that of its other splits too.
        split: The name of this part, such as `train`.
        classes: The classes.
        image_directory: Where the images are, for the list.

    Raises:
        UsageError: `data.yaml` is there with other classes.
        OSError: A file cannot be written.
    """
    data_path, list_path = directory / _DATA_FILE, directory / f"{split}.txt"
    splits = _splits_of(data_path, classes)
    numbers = {class_id: number for number, (class_id, _) in enumerate(classes)}
    # A path that begins with a dot is taken from the list's own folder, others from wherever the trainer is started.
    inside = image_directory.resolve().is_relative_to(directory.resolve())
    start = f"./{image_directory.resolve().relative_to(directory.resolve()).as_posix()}" if inside else ""
    folder = OutputFolder(directory / "labels" / split)
    remove_leftovers(list_path, data_path)
    with atomic_path(list_path) as temporary, temporary.open("w", encoding="utf-8") as image_list:

        def write(image: ExportedImage) -> None:
            name = f"{image.image_id}.txt"
            if name in CLASS_FILES:
                raise RejectedError("unsafe image name", f"readers take {name} for a list of classes")
            lines = "".join(f"{numbers[box.class_id]} {_cells(box)}\n" for box in image.boxes)
            folder.write(name, lines.encode("ascii"))
            image_list.write(f"{start or image_directory.resolve().as_posix()}/{image.file_name}\n")

        yield write
    names = {number: name for number, (_, name) in enumerate(classes)}
    paths = dict.fromkeys([*splits, split])
    content = {**{name: f"{name}.txt" for name in paths}, "nc": len(names), "names": names}
    write_text(data_path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _splits_of(path: Path, classes: ExportedClasses) -> list[str]:
    """Returns the splits that a data.yaml of ours names; raises UsageError where it has other classes."""
    if not path.exists():
        return []
    if read_class_names(path)[0] != {number: name for number, (_, name) in enumerate(classes)}:
        raise UsageError(f"{path} is there already, with other classes; give each data set a folder of its own")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [key for key, value in content.items() if value == f"{key}.txt"]


def _cells(box: ExportedBox) -> str:
    x, width = _centre_and_length(box.xmin, box.xmax)
    y, height = _centre_and_length(box.ymin, box.ymax)
    return f"{x} {y} {width} {height}"


def _centre_and_length(low: float, high: float) -> tuple[str, str]:
    """Returns centre and length of what goes from `low` to `high`, shares of a side; read again, it is within 0..1."""
    centre, length = round((low + high) / 2 * UNITS), max(round((high - low) * UNITS), 1)
    centre = min(max(centre, 1), UNITS - 1)
    length = min(length, 2 * centre, 2 * (UNITS - centre))
    while centre / UNITS + length / UNITS / 2 > 1:
        length -= 1
    return f"{centre / UNITS:.8f}", f"{length / UNITS:.8f}"
