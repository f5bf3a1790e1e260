"""Open Images' class hierarchy: which classes are kinds of which (`bbox_labels_600_hierarchy.json` and its like)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.formats.json_array import read_json
from data_prep.runtime.command_line import UsageError

MAX_BYTES = 64 * 1024 * 1024  # the hierarchy of all 600 classes takes 0.1 MB
_NAME, _KINDS, _PARTS = "LabelName", "Subcategory", "Part"


class Hierarchy:
    """Kinds of classes: a Bed is a kind of Furniture. Parts (a Human nose of a Person) are no kinds.

    Attributes:
        root: The label around all; Open Images' Entity, which is no class.
    """

    def __init__(self, children: Mapping[str, list[str]], root: str) -> None:
        """Takes the kinds of each label, in order, and the label around all; a label may be a kind of several."""
        self.root = root
        self._children = children
        self._parents: dict[str, list[str]] = {}
        for label, kinds in children.items():
            for kind in kinds:
                self._parents.setdefault(kind, []).append(label)

    def __contains__(self, label: object) -> bool:
        """Tells whether the hierarchy knows `label`."""
        return label in self._children

    def descendants(self, label: str) -> list[str]:
        """Returns the kinds of `label`, their kinds and so on, each once, without itself.

        The order is the file's, depth first: Furniture, then its Bed and the beds' kinds, then its Chair. A label that
        the hierarchy does not know has none.
        """
        return self._all_along(self._children, label)

    def ancestors(self, label: str) -> list[str]:
        """Returns what `label` is a kind of, what that is a kind of and so on, each once, without itself.

        The last may be `root`. A label that the hierarchy does not know has none.
        """
        return self._all_along(self._parents, label)

    @staticmethod
    def _all_along(neighbours: Mapping[str, list[str]], label: str) -> list[str]:
        found: dict[str, None] = {}
        waiting = list(reversed(neighbours.get(label, [])))
        while waiting:
            child = waiting.pop()
            if child != label and child not in found:
                found[child] = None
                waiting += reversed(neighbours.get(child, []))
        return list(found)


class Expansion:
    """Which classes a box, or a label of an image as a whole, stands for: its own, and those along the hierarchy."""

    def __init__(self, hierarchy: Hierarchy, labels: Sequence[str] | None, names: Mapping[str, str] | None) -> None:
        """Prepares the expansion.

        Args:
            hierarchy: What is a kind of what.
            labels: The classes to keep; None keeps whatever is annotated, and of classes above and below those of
                `names`.
            names: Class names by label; None, where `labels` are None too, keeps all classes of the hierarchy.

        Raises:
            UsageError: The hierarchy knows none of the labels.
        """
        known = names if labels is None else labels
        if known is not None and not any(label in hierarchy for label in known):
            shown = next(iter(known), "none")
            raise UsageError(f"--hierarchy_path: none of the classes asked for, such as {shown}, is in the hierarchy")
        self._hierarchy = hierarchy
        self._labels = None if labels is None else dict.fromkeys(labels)
        self._known = None if known is None else frozenset(known)

    @property
    def labels_of_boxes(self) -> list[str] | None:
        """The classes whose boxes are kept, be it for a class above; None for all."""
        return None if self._labels is None else self._with(self._labels, self._hierarchy.descendants)

    @property
    def labels_of_images(self) -> list[str] | None:
        """The classes whose labels of images may be kept, be it for a class above or below; None for all."""
        return None if self._labels is None else self._with(self.labels_of_boxes or (), self._hierarchy.ancestors)

    def of_box(self, label: str) -> list[str]:
        """Returns the classes that a box of `label` is kept for: its own first, then those above."""
        return self._kept(label, self._hierarchy.ancestors(label))

    def of_image_label(self, label: str, *, is_present: bool) -> list[str]:
        """Returns the classes that a label of an image is kept for: its own first, then those above, or below."""
        descend = not is_present
        return self._kept(label, self._hierarchy.descendants(label) if descend else self._hierarchy.ancestors(label))

    def _kept(self, label: str, others: list[str]) -> list[str]:
        own = [label] if self._labels is None or label in self._labels else []
        if self._known is None:
            return own + [other for other in others if other != self._hierarchy.root]
        return own + [other for other in others if other in self._known]

    @staticmethod
    def _with(labels: Iterable[str], neighbours: Callable[[str], list[str]]) -> list[str]:
        return list(dict.fromkeys(found for label in labels for found in (label, *neighbours(label))))


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
    tree = read_json(source)
    waiting: list[tuple[Any, str]] = [(tree, "the outermost object")]
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
    return Hierarchy(children, tree[_NAME])
