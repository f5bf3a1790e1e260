"""Open Images' class hierarchy: which classes are kinds of which (`bbox_labels_600_hierarchy.json` and its like)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_prep.formats.json_array import read_json
from data_prep.runtime.command_line import UsageError

MAX_BYTES = 64 * 1024 * 1024  # the hierarchy of all 600 classes takes 0.1 MB
_NAME, _KINDS, _PARTS = "LabelName", "Subcategory", "Part"


class Hierarchy:
    """Kinds of classes: a Bed is a kind of Furniture. Parts (a Human nose of a Person) are no kinds."""

    def __init__(self, children: Mapping[str, list[str]]) -> None:
        """Takes the kinds of each label, in order; a label may be a kind of several."""
        self._children = children

    def __contains__(self, label: object) -> bool:
        """Tells whether the hierarchy knows `label`."""
        return label in self._children

    def descendants(self, label: str) -> list[str]:
        """Returns the kinds of `label`, their kinds and so on, each once, without itself.

        The order is the file's, depth first: Furniture, then its Bed and the beds' kinds, then its Chair. A label that
        the hierarchy does not know has none.
        """
        found: dict[str, None] = {}
        waiting = list(reversed(self._children.get(label, [])))
        while waiting:
            child = waiting.pop()
            if child != label and child not in found:
                found[child] = None
                waiting += reversed(self._children.get(child, []))
        return list(found)


def read_hierarchy(path: str | os.PathLike[str]) -> Hierarchy:
    """Reads a hierarchy: nested `{"LabelName": ..., "Subcategory": [...], "Part": [...]}`.

    Raises:
        UsageError: The file is missing, too large, not JSON, or not of this shape; with the label it is in.
    """
    source = Path(path)
    try:
        size = source.stat().st_size
    except OSError as error:
        raise UsageError(f"{source}: {error.strerror or error}") from error
    if size > MAX_BYTES:
        raise UsageError(f"{source}: larger than {MAX_BYTES // 2**20} MiB, so not a class hierarchy")
    children: dict[str, list[str]] = {}
    waiting: list[tuple[Any, str]] = [(read_json(source), "the outermost object")]
    while waiting:
        node, where = waiting.pop()
        if not isinstance(node, dict) or not isinstance(node.get(_NAME), str) or not node[_NAME]:
            raise UsageError(f"{source}: {where} is no object with a {_NAME}; is this a class hierarchy?")
        label = node[_NAME]
        kinds, parts = (node.get(key, []) for key in (_KINDS, _PARTS))
        if not isinstance(kinds, list) or not isinstance(parts, list):
            raise UsageError(f"{source}: {_KINDS} and {_PARTS} of {label[:80]} must be arrays")
        waiting += [(child, f"what is in {_KINDS} or {_PARTS} of {label[:80]}") for child in (*kinds, *parts)]
        known = children.setdefault(label, [])
        names = [child.get(_NAME) for child in kinds if isinstance(child, dict)]
        known += [name for name in dict.fromkeys(names) if isinstance(name, str) and name not in known]
    return Hierarchy(children)
