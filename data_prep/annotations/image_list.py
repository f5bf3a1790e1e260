"""A list of the images to take out of a larger set: VOC's `ImageSets/Main/train.txt`, YOLO's `train.txt`."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

from data_prep.annotations.image_ids import stem_of
from data_prep.metadata.csv_rows import open_text
from data_prep.runtime.command_line import UsageError

MAX_CHARACTERS = 256 * 1024 * 1024


class ImageList:
    """The entries of a list, and which of them were met.

    An entry is a stem, a file name or a path; an image is meant by its whole name, or by its file name with or without
    suffix. VOC's numbers after a stem (-1 where a class is not on the image, 0, 1) are no part of it.
    """

    def __init__(self, lines: Sequence[str]) -> None:
        """Takes the lines of a list."""
        self._entry_of_key: dict[str, str] = {}
        self._unmatched: dict[str, None] = {}
        for line in lines:
            words = line.split()
            if len(words) == 2 and words[1] in ("-1", "0", "1"):
                words.pop()
            if words:
                entry = line.strip() if len(words) > 1 else words[0]
                self._unmatched[entry] = None
                for key in _keys(entry):
                    self._entry_of_key.setdefault(key, entry)

    def includes(self, names: Sequence[str]) -> bool:
        """Tells whether an image of these names is in the list."""
        for name in names:
            for key in _keys(name):
                entry = self._entry_of_key.get(key)
                if entry is not None:
                    self._unmatched.pop(entry, None)
                    return True
        return False

    def __len__(self) -> int:
        """Returns how many entries there are."""
        return len(set(self._entry_of_key.values()))

    @property
    def unmatched(self) -> list[str]:
        """The entries of which no image was seen, in their order."""
        return list(self._unmatched)


def read_image_list(path: Path) -> ImageList:
    """Reads a list, an entry a line.

    Raises:
        UsageError: It is missing, empty or no text.
    """
    images = ImageList(read_list_lines(path))
    if not len(images):
        raise UsageError(f"{path}: the list names no image")
    return images


def read_list_lines(path: Path) -> list[str]:
    """Returns the lines of a list, without blanks around them.

    Raises:
        UsageError: It is missing, damaged, or too large.
    """
    with open_text(path) as file:
        try:
            text = file.read(MAX_CHARACTERS)
        except (EOFError, OSError, zlib.error) as error:
            raise UsageError(f"{path}: damaged: {error}") from error
    if len(text) == MAX_CHARACTERS:
        raise UsageError(f"{path}: over {MAX_CHARACTERS // 2**20} MiB, so not a list of images")
    return [line.strip() for line in text.splitlines()]


def _keys(name: str) -> tuple[str, ...]:
    path = name.replace("\\", "/").removeprefix("./")
    file_name = path.rpartition("/")[2]
    return path, file_name, stem_of(file_name)
