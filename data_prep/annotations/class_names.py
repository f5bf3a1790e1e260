"""Class names beside annotations: a YAML with `names`, or a text with a class a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from data_prep.annotations.source_image import check_label, shown
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.input_files import read_text
from data_prep.runtime.ledger import RejectedError

MAX_NAMES_BYTES = 4 * 1024 * 1024
MAX_CLASSES = 100_000
MAX_YAML_FILES = 20  # in one folder, that are looked into for names,
MAX_SEARCHED_BYTES = 256 * 1024  # of each: a YAML of megabytes takes minutes
CLASS_FILES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names", "classes.names")
YAML_SUFFIXES = (".yaml", ".yml")


def read_class_names(path: Path) -> tuple[dict[int, str], bool]:
    """Returns the class names by their number, from 0, and whether label files hold keypoints.

    Raises:
        UsageError: The file holds no class names, or one twice.
    """
    has_keypoints = False
    if path.suffix.lower() in YAML_SUFFIXES:
        content = read_yaml(path)
        names, has_keypoints = _names_of_yaml(path, content), "kpt_shape" in content
    else:
        lines = _read_text(path).strip("\n").splitlines()
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


def read_yaml(path: Path) -> dict[Any, Any]:
    """Returns what a YAML holds; an empty dictionary where that is no mapping.

    Raises:
        UsageError: The file cannot be read, is too large, or is not YAML of plain values.
    """
    try:
        content = yaml.safe_load(_read_text(path))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        problem = " ".join(str(error).split())[:200]
        raise UsageError(f"{path}: not YAML: {problem}") from error
    return content if isinstance(content, dict) else {}


def _names_of_yaml(path: Path, content: dict[Any, Any]) -> dict[int, str]:
    names = content.get("names")
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
    return by_number


def find_class_names(path: Path) -> Path:
    """Returns the file of class names of a folder.

    Looked for in the folder and then in the two above it are `CLASS_FILES`, then the only YAML that has `names`.

    Raises:
        UsageError: There is none, or there are several to choose from.
    """
    folder = path.resolve()
    for place in (folder, *folder.parents[:2]):
        for name in CLASS_FILES:
            if (place / name).is_file():
                return place / name
        found = [file for file in _yaml_files(place) if _has_names(file)]
        if len(found) > 1:
            listed = ", ".join(file.name for file in found[:5]) + ", ..." * (len(found) > 5)
            raise UsageError(f"{place}: class names are in {listed}; say which by --class_names_path")
        if found:
            return found[0]
    raise UsageError(
        f"{path}: no {', '.join(CLASS_FILES[:4])} or other YAML with 'names' in it or the two folders above; give one "
        "by --class_names_path"
    )


def _yaml_files(folder: Path) -> list[Path]:
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in YAML_SUFFIXES and path.is_file())
    except OSError:  # a folder above that may not be listed
        return []
    return files[:MAX_YAML_FILES]


def _has_names(path: Path) -> bool:
    try:
        if path.stat().st_size > MAX_SEARCHED_BYTES or "names" not in _read_text(path):
            return False
        return isinstance(read_yaml(path).get("names"), dict | list)
    except (OSError, UsageError):  # somebody else's
        return False


def _read_text(path: Path) -> str:
    return read_text(path, "list of classes", max_bytes=MAX_NAMES_BYTES)
