"""Which image of the ground truth an image of somebody's detections is, by its id or its file name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from data_prep.images.image_file import SUFFIXES

NOT_THERE = "image not in the ground truth"
ALREADY_MATCHED = "image of the ground truth that has detections already"


@dataclass
class ImageMatches:
    """Images of detections and of ground truth that are the same.

    Attributes:
        references: What the detections call each image, by its id in the ground truth.
        unmatched: The other images of the detections, with a reason.
    """

    references: dict[str, str] = field(default_factory=dict)
    unmatched: dict[str, str] = field(default_factory=dict)


def match_images(references: Iterable[str], file_names: Mapping[str, str]) -> ImageMatches:
    """Matches images.

    The first of these that fits one image of the ground truth alone counts: the id; the file name with its folders;
    the file name without; the same without its suffix; and that as a number, so that `139` is `000000000139.jpg`.

    Args:
        references: What the detections call their images: ids, or names of files.
        file_names: Of the images of the ground truth, by id; empty where there is none.
    """
    levels = [{source_id: source_id for source_id in file_names}, _unique(file_names, _path)]
    levels += [_unique(file_names, key) for key in (_base, _stem, _number)]
    keys: tuple[Callable[[str], str], ...] = (str, _path, _base, _stem, _number)
    matches = ImageMatches()
    for reference in references:
        found = (level.get(key(reference)) for level, key in zip(levels, keys, strict=True))
        source_id = next((one for one in found if one is not None), None)
        if source_id is None:
            matches.unmatched[reference] = NOT_THERE
        elif matches.references.setdefault(source_id, reference) != reference:
            matches.unmatched[reference] = ALREADY_MATCHED
    return matches


def _unique(file_names: Mapping[str, str], key: Callable[[str], str]) -> dict[str, str]:
    """Returns ids by a key of the id or of the file name, those keys that only one image has."""
    found: dict[str, str | None] = {}
    for source_id, file_name in file_names.items():
        for name in {key(source_id), key(file_name)} - {""}:
            found[name] = source_id if found.get(name, source_id) == source_id else None
    return {name: source_id for name, source_id in found.items() if source_id is not None}


def _path(name: str) -> str:
    return name.replace("\\", "/")


def _base(name: str) -> str:
    return PurePosixPath(_path(name)).name


def _stem(name: str) -> str:
    """The last part of a name without the suffix of an image; dots elsewhere belong to the name."""
    path = PurePosixPath(_base(name))
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def _number(name: str) -> str:
    stem = _stem(name)
    return (stem.lstrip("0") or "0") if stem.isdigit() else ""
