"""Sorting of images into folders by their best class: copies under safe names, which can be stopped at any time.

What was decided stands in `.sorted.jsonl` of the target folder, a line an image, written before the copy is made. So
a run that was killed goes on with the very copy it was at, nothing is copied twice, and an image that a person has
moved to a better folder since then stays where it was put.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.formats.earlier_names import value_of
from data_prep.runtime.atomic_files import TEMPORARY_PREFIX, atomic_path, naming_full_disk
from data_prep.runtime.command_line import UserError
from data_prep.runtime.ledger import Ledger
from serving.client_library.detections import ImageDetections

JOURNAL_NAME = ".sorted.jsonl"
DEFAULT_OTHER = "other"
MAX_NAME_BYTES = 80

_NOT_IN_A_NAME = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]+')
# What Windows takes for devices, with any suffix.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)


@dataclass
class SortCounts:
    """Counts of the images, by result.

    Attributes:
        copied: Copied by this run, by folder.
        there: How many an earlier run had copied.
    """

    copied: Counter[str] = field(default_factory=Counter)
    there: int = 0


def safe_folder_name(name: str) -> str:
    """Returns a name that Linux, macOS and Windows all take for one folder, as near to `name` as can be.

    Separators, control characters and what Windows forbids become `_`; dots and spaces at the ends go; device names
    such as `con` get a `_`; it has at most 80 bytes. A name of which nothing is left is `class`.
    """
    name = unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode("utf-8"))
    name = "".join(letter if letter.isprintable() else "_" for letter in _NOT_IN_A_NAME.sub("_", name))
    name = name.encode("utf-8")[:MAX_NAME_BYTES].decode("utf-8", "ignore").strip(" ._")
    if _DEVICE.fullmatch(name):
        name = f"_{name}"
    return name or "class"


def folder_names(classes: Mapping[int, str], other: str = DEFAULT_OTHER) -> dict[int, str]:
    """Returns a folder for each class, no two the same, upper and lower case being the same to some systems.

    Args:
        classes: Class id -> name.
        other: The folder that no class may have.

    Returns:
        Class id -> folder; classes whose folders would be one have their ids added.
    """
    names = {class_id: safe_folder_name(name) for class_id, name in classes.items()}
    taken = Counter(name.casefold() for name in names.values())
    taken[other.casefold()] += 1
    return {class_id: f"{name}-{class_id}" if taken[name.casefold()] > 1 else name for class_id, name in names.items()}


def best_class(result: ImageDetections, min_score: float) -> int | None:
    """Returns the class id of the best-scored detection, None where none has `min_score`; of equals the largest box."""

    def rank(position: int) -> tuple[float, float]:
        box = result.detections[position].box_pixels
        return result.detections[position].score, (box.ymax - box.ymin) * (box.xmax - box.xmin)

    enough = [position for position, found in enumerate(result.detections) if found.score >= min_score]
    return result.detections[max(enough, key=rank)].class_id if enough else None


class ImageSorter:
    """Copies the images of one folder into folders of classes."""

    def __init__(
        self, source: Path, target: Path, classes: Mapping[int, str], *, min_score: float, other: str = DEFAULT_OTHER
    ) -> None:
        """Reads what earlier runs have copied, and finishes the copy that was cut off.

        Args:
            source: What the images' names are relative to.
            target: The folder of the folders; it is made.
            classes: Class id -> name, of all classes that may come.
            min_score: An image whose best detection is below it goes to `other`.
            other: The folder of images without a class.

        Raises:
            UserError: The journal in `target` is broken.
        """
        self._source = source
        self._target = target
        self._min_score = min_score
        self._other = safe_folder_name(other)
        self._folders = folder_names(classes, self._other)
        self._journal_path = target / JOURNAL_NAME
        self._interrupted = False  # whether the last copy may not have been made
        target.mkdir(parents=True, exist_ok=True)
        self._targets = self._read_journal()
        self._taken = {copy.casefold() for copy in self._targets.values()}
        self._finish_last_copy()

    def sort(self, results: Iterable[ImageDetections], ledger: Ledger) -> SortCounts:
        """Copies the images that are not sorted yet; their times of change are kept.

        Args:
            results: Answered images.
            ledger: Gets those that cannot be copied.
        """
        counts = SortCounts()
        with naming_full_disk(self._journal_path), self._journal_path.open("ab") as journal:
            for result in results:
                if result.image in self._targets:
                    counts.there += 1
                    continue
                source = self._source / result.image
                if not source.is_file():
                    ledger.reject(result.image, "cannot be copied", "the file is not there any more")
                    continue
                class_id = best_class(result, self._min_score)
                folder = self._other if class_id is None else self._folders[class_id]
                copy = self._free_name(folder, Path(result.image).name)
                journal.write(json.dumps({"image": result.image, "copy": copy}).encode("ascii") + b"\n")
                journal.flush()
                self._targets[result.image] = copy
                self._taken.add(copy.casefold())
                self._copy(source, copy)
                counts.copied[folder] += 1
            if counts.copied:
                journal.write(json.dumps({"complete": len(self._targets)}).encode("ascii") + b"\n")
        return counts

    def _copy(self, source: Path, copy: str) -> None:
        with atomic_path(self._target / copy) as temporary:
            shutil.copyfile(source, temporary)
            state = source.stat()
            os.utime(temporary, ns=(state.st_atime_ns, state.st_mtime_ns))

    def _free_name(self, folder: str, name: str) -> str:
        """Returns FOLDER/NAME, with a number where another image, or anyone else's file, has that name."""
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 - Path.suffix takes `.jpg` for a stem
        number, copy = 1, f"{folder}/{name}"
        while copy.casefold() in self._taken or os.path.lexists(self._target / copy):
            number += 1
            copy = f"{folder}/{stem}-{number}{suffix}"
        return copy

    def _read_journal(self) -> dict[str, str]:
        """Returns the copy of each image, in the journal's order, and cuts off a torn last line."""
        if not self._journal_path.exists():
            return {}
        content = self._journal_path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(self._journal_path, len(whole))
        targets: dict[str, str] = {}
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                entry = json.loads(line)
                self._interrupted = "complete" not in entry
                if not self._interrupted:
                    continue
                targets[str(value_of(entry, "image"))] = _checked(str(entry["copy"]))
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(f"{self._journal_path}, line {number}: {error}; remove the line") from error
        return targets

    def _finish_last_copy(self) -> None:
        """Makes the copy that the journal's last line promises; what was half written is removed."""
        if not self._interrupted:
            return
        image, copy = next(reversed(self._targets.items()))
        folder = (self._target / copy).parent
        for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
            leftover.unlink()
        source = self._source / image
        if not (self._target / copy).exists() and source.is_file():
            self._copy(source, copy)


def _checked(copy: str) -> str:
    """Returns `FOLDER/NAME` as it is; the journal may have come from anywhere."""
    parts = copy.split("/")
    if len(parts) != 2 or any(part in ("", ".", "..") or "\\" in part for part in parts):
        raise ValueError(f"{copy!r} is no FOLDER/NAME")
    return copy
