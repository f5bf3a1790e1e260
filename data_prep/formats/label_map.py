"""label_map.pbtxt: the Object Detection API's `item { name id display_name }` in protobuf text format, ids from 1.

The reader needs neither TensorFlow nor protobuf, so that a client machine can name what it detects. It takes what
protobuf's own parser takes (both quotes, escapes, comments, `item {` and `item: {`, commas and semicolons after a
field), reads it as the API does (an item may have a display name alone, and `background` may stand there with id 0),
and says in which line something is wrong.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.formats.label_map_text import parse_items, quote
from data_prep.runtime.atomic_files import write_text
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.input_files import read_text

LABEL_MAP_NAME = "label_map.pbtxt"  # beside a config, an export and a run
MAX_BYTES = 16 * 1024 * 1024  # some fifty times the label map of all 20,000 image-level classes of Open Images
MAX_ID = 2**31 - 1  # int32 in the schema
_BACKGROUND = "background"  # the one class that may have id 0: no box has it


@dataclass(frozen=True)
class LabelMapItem:
    """One class.

    Attributes:
        id: What records and detections carry, from 1.
        name: What annotations carry: an Open Images MID such as `/m/03ssj5`, or a plain name. Of an item that is
            written with a display name alone, that.
        display_name: What people read; empty where the name says it.
        ancestor_ids: The classes that it is a kind of, and what those are kinds of; empty where there is no hierarchy.
        descendant_ids: Its kinds, and their kinds.
    """

    id: int
    name: str
    display_name: str = ""
    # Not compared: with or without a hierarchy, the classes are the same.
    ancestor_ids: tuple[int, ...] = field(default=(), compare=False)
    descendant_ids: tuple[int, ...] = field(default=(), compare=False)


class LabelMap:
    """Class ids and their names; ids may have gaps, names and ids are unique.

    Attributes:
        items: The classes, sorted by id.
    """

    def __init__(self, items: Iterable[LabelMapItem]) -> None:
        """Checks and sorts `items`.

        Raises:
            UsageError: There are none, or an id is not 1..2147483647, or a name is empty, or either comes twice.
        """
        self.items: tuple[LabelMapItem, ...] = tuple(sorted(items, key=lambda item: item.id))
        check = _uniqueness_check()
        for item in self.items:
            problem = check(item)
            if problem:
                raise UsageError(f"label map: {problem}")
        if not self.items:
            raise UsageError("label map: no items; it needs at least one class")
        self._by_id = {item.id: item for item in self.items}
        self._by_name = {item.name: item for item in self.items}

    @property
    def max_id(self) -> int:
        """The largest id: what `num_classes` of a pipeline config must reach."""
        return self.items[-1].id

    def __len__(self) -> int:
        """Returns how many classes there are."""
        return len(self.items)

    def __iter__(self) -> Iterator[LabelMapItem]:
        """Goes through the classes by id."""
        return iter(self.items)

    def __contains__(self, name: object) -> bool:
        """Tells whether a class of this `name` (not display name) is in the map."""
        return name in self._by_name

    def __eq__(self, other: object) -> bool:
        """Tells whether `other` holds the same classes."""
        return isinstance(other, LabelMap) and self.items == other.items

    def __hash__(self) -> int:
        """Fits `==`."""
        return hash(self.items)

    def __repr__(self) -> str:
        """Says how many classes there are, for messages."""
        return f"LabelMap({len(self)} items, ids {self.items[0].id}..{self.max_id})"

    def id_of(self, name: str) -> int:
        """Returns the id of the class whose `name` is given.

        Raises:
            UsageError: There is none; the message suggests the nearest.
        """
        if name in self._by_name:
            return self._by_name[name].id
        by_display_name = next((item for item in self.items if name and item.display_name == name), None)
        if by_display_name is not None:
            hint = f"; {name!r} is the display name of {by_display_name.name!r}"
        else:
            near = difflib.get_close_matches(name, self._by_name, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"class {name!r} is not in the label map{hint}")

    def name_of(self, class_id: int) -> str:
        """Returns the `name` of the class with id `class_id`.

        Raises:
            UsageError: There is none.
        """
        return self._item(class_id).name

    def display_name_of(self, class_id: int) -> str:
        """Returns what people read for `class_id`: its display name, or its name where it has none.

        Raises:
            UsageError: There is no class of this id.
        """
        item = self._item(class_id)
        return item.display_name or item.name

    def names_by_id(self) -> dict[int, str]:
        """Returns the display names (the names where there are none) by id."""
        return {item.id: item.display_name or item.name for item in self.items}

    def _item(self, class_id: int) -> LabelMapItem:
        if class_id not in self._by_id:
            raise UsageError(f"class id {class_id} is not in the label map, whose {len(self)} ids end at {self.max_id}")
        return self._by_id[class_id]


def read_label_map(path: str | os.PathLike[str]) -> LabelMap:
    """Reads a label map file.

    Raises:
        UsageError: The file is missing, too large, not UTF-8, or not a label map; with file and line.
    """
    return parse_label_map(read_text(path, "label map", max_bytes=MAX_BYTES), str(Path(path)))


def parse_label_map(text: str, where: str = "label map") -> LabelMap:
    """Reads a label map's text.

    As in the API, the name of an item without `name` is its `display_name`, and the class `background` with id 0, which
    the API's complete label maps have, is no class that a box can have: it is left out.

    Args:
        text: Protobuf text format of the API's StringIntLabelMap.
        where: The file's name, for messages.

    Raises:
        UsageError: With `where` and the line.
    """
    check = _uniqueness_check()
    items = []
    for line, fields in parse_items(text, where):
        display_name = fields.get("display_name", "")
        related = {key: fields.get(key, ()) for key in ("ancestor_ids", "descendant_ids")}
        item = LabelMapItem(fields["id"], fields.get("name", "") or display_name, display_name, **related)
        if item.id == 0 and _BACKGROUND in (item.name, item.display_name):
            continue
        problem = check(item, line)
        if problem:
            raise UsageError(f"{where}:{line}: {problem}")
        items.append(item)
    if not items:
        raise UsageError(f"{where}:1: no items; a label map needs at least one item {{ name: '...' id: 1 }}")
    return LabelMap(items)


def format_label_map(label_map: LabelMap) -> str:
    """Returns `label_map` in protobuf text format, as the API's own `oid_v4_label_map.pbtxt` is written."""
    blocks = []
    for item in label_map.items:
        lines = [f"  name: {quote(item.name)}", f"  id: {item.id}"]
        if item.display_name:
            lines.append(f"  display_name: {quote(item.display_name)}")
        lines += [f"  ancestor_ids: {class_id}" for class_id in item.ancestor_ids]
        lines += [f"  descendant_ids: {class_id}" for class_id in item.descendant_ids]
        blocks.append("item {\n" + "\n".join(lines) + "\n}\n")
    return "".join(blocks)


def write_label_map(path: str | os.PathLike[str], label_map: LabelMap) -> None:
    """Writes `label_map` to `path`, whole or not at all."""
    write_text(path, format_label_map(label_map))


def _uniqueness_check() -> Callable[..., str]:
    """Returns a function that takes one item after the other and returns what is wrong with it, or an empty string.

    Its second argument is the line that an item is written in; 0: it was made in code.
    """
    ids: dict[int, tuple[str, int]] = {}
    names: dict[str, tuple[int, int]] = {}

    def check(item: LabelMapItem, line: int = 0) -> str:
        if not item.name.strip():
            return f"the item with id {item.id} has an empty name"
        if item.id == 0:
            return f"item {item.name!r} has id 0; ids start at 1, 0 is the background, which needs no item"
        if not 1 <= item.id <= MAX_ID:
            return f"item {item.name!r} has id {item.id}; ids go from 1 to {MAX_ID}"
        if item.id in ids:
            name, earlier = ids[item.id]
            return (
                f"id {item.id} is given twice, to {name!r}{_in_line(earlier)} and to {item.name!r}{_in_line(line)}; "
                f"give each class an id of its own (the API would train both as one class and call it {name!r})"
            )
        if item.name in names:
            class_id, earlier = names[item.name]
            return (
                f"name {item.name!r} is given twice, with id {class_id}{_in_line(earlier)} and with id {item.id}"
                f"{_in_line(line)}; delete one of the two (the API would give records' {item.name!r} id {item.id})"
            )
        ids[item.id] = item.name, line
        names[item.name] = item.id, line
        return ""

    return check


def _in_line(line: int) -> str:
    return f" in line {line}" if line else ""
