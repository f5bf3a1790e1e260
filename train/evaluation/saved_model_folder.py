"""Where the SavedModel lies that a path means."""

from __future__ import annotations

import re
from pathlib import Path

_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt")
_VERSION = re.compile(r"[0-9]{1,19}")


def find_saved_model(path: str | Path) -> Path | None:
    """Returns the folder with `saved_model.pb` that a path means, or None where there is none.

    That is the folder itself, `saved_model` in it, as the exporter writes it, or the newest version of a base folder
    such as TensorFlow Serving serves (`BASE/3`); a version that has no `saved_model.pb` yet does not count.
    """
    folder = Path(path)
    versions: list[Path] = []
    if folder.is_dir():
        versions = [one for one in folder.iterdir() if _VERSION.fullmatch(one.name)]
    places = (folder, folder / "saved_model", *sorted(versions, key=lambda one: -int(one.name)))
    return next((place for place in places if any((place / name).is_file() for name in _MODEL_FILES)), None)
