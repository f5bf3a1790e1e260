"""Version folders BASE/1, BASE/2, ..., in which TensorFlow Serving finds a model's versions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from data_prep.runtime.command_line import UserError

SAVED_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt")
MAX_VERSION = 2**63 - 1  # TensorFlow Serving keeps a version in an int64
_MODEL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_VERSION_NAME = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True)
class VersionFolder:
    """A complete version.

    Attributes:
        version: Its number.
        path: The folder that holds `saved_model.pb`.
    """

    version: int
    path: Path


def find_version_folders(base_path: Path) -> list[VersionFolder]:
    """Returns the versions in `base_path`, newest first; none if the folder is missing or cannot be read.

    A folder without `saved_model.pb` is still being written and is left out.
    """
    try:
        paths = sorted(base_path.iterdir())
    except OSError:
        return []
    found: dict[int, VersionFolder] = {}
    for path in paths:
        if not _VERSION_NAME.fullmatch(path.name) or int(path.name) > MAX_VERSION:
            continue
        if any((path / name).is_file() for name in SAVED_MODEL_FILES):
            found.setdefault(int(path.name), VersionFolder(int(path.name), path))
    return [found[version] for version in sorted(found, reverse=True)]


def fingerprint(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Returns names, sizes and times of a version's files: while it stays the same, loading ends the same way."""
    entries = []
    for file in sorted(path.rglob("*")):
        try:
            status = file.stat()
        except OSError:  # removed while we look
            continue
        entries.append((str(file.relative_to(path)), status.st_size, status.st_mtime_ns))
    return tuple(entries)


def check_model_name(model_name: str) -> str:
    """Returns `model_name` if it can be part of a path and of a URL, as TensorFlow Serving uses it.

    Raises:
        UserError: It cannot.
    """
    if not _MODEL_NAME.fullmatch(model_name):
        raise UserError(f"model name {model_name!r}: use letters, digits, '_', '-' and '.', at most 128")
    return model_name


def check_base_path(base_path: Path) -> list[VersionFolder]:
    """Returns the versions in `base_path`, newest first.

    Raises:
        UserError: There is no such folder, or no version in it; the message says what to do.
    """
    if not base_path.is_dir():
        raise UserError(f"there is no folder {base_path}; export a model to it with --model_base_path")
    folders = find_version_folders(base_path)
    if folders:
        return folders
    if any((base_path / name).is_file() for name in SAVED_MODEL_FILES):
        raise UserError(f"{base_path} is itself a SavedModel; move it into a version folder, {base_path / '1'}")
    raise UserError(f"{base_path} has no version folder with a saved_model.pb, such as {base_path / '1'}")
