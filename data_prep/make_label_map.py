"""Writes a label map: the ids, from 1 in the order given, by which records and detections call classes.

With --earlier_label_map_path, classes keep the ids of that run, and new ones come after: records and checkpoints made
with it stay true when classes join.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from data_prep.formats.label_map import LabelMap, LabelMapItem, format_label_map, read_label_map, write_label_map
from data_prep.metadata.hierarchy import Hierarchy, read_hierarchy
from data_prep.metadata.open_images import add_class_flags, classes_of_flags
from data_prep.runtime.command_line import EXIT_DONE, ArgumentParser, UsageError, run_command

EXAMPLE = """\
  python -m data_prep.make_label_map --classes 'Bed' 'Television' \\
      --class_description_path data/class-descriptions-boxable.csv --label_map_path data/label_map.pbtxt"""
NAMES_SHOWN = 10


def make_label_map(
    labels: Sequence[str], descriptions: Mapping[str, str] | None, earlier: LabelMap | None = None
) -> LabelMap:
    """Returns the label map of `labels`, with ids in their order: from 1, or after those of `earlier`.

    Args:
        labels: What the annotations call the classes: the `name` of each item.
        descriptions: Names that people read, by label: the `display_name` of each item. None leaves them out.
        earlier: A label map whose items are all kept as they are, those that `labels` lack too: an id that was once
            given is in records and checkpoints, and must never come to mean another class.

    Raises:
        UsageError: There are no labels, or one comes twice.
    """
    names = descriptions or {}
    kept = list(earlier) if earlier is not None else []
    new = [label for label in labels if earlier is None or label not in earlier]
    first = earlier.max_id + 1 if earlier is not None else 1
    return LabelMap(
        [*kept, *(LabelMapItem(number, label, names.get(label, "")) for number, label in enumerate(new, start=first))]
    )


def with_hierarchy(label_map: LabelMap, hierarchy: Hierarchy) -> LabelMap:
    """Returns the label map with the ids of the classes above and below each, as `expand_labels_hierarchy` reads them.

    Args:
        label_map: Whose names are the hierarchy's labels.
        hierarchy: What is a kind of what; of it, the classes of the label map.

    Raises:
        UsageError: The hierarchy knows none of the classes.
    """
    if not any(item.name in hierarchy for item in label_map):
        raise UsageError(
            f"--hierarchy_path: none of the classes, such as {label_map.items[0].name}, is in the hierarchy"
        )

    def ids(labels: Sequence[str]) -> tuple[int, ...]:
        return tuple(sorted(label_map.id_of(label) for label in labels if label in label_map))

    return LabelMap(
        replace(
            item,
            ancestor_ids=ids(hierarchy.ancestors(item.name)),
            descendant_ids=ids(hierarchy.descendants(item.name)),
        )
        for item in label_map
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    parser = ArgumentParser(description=__doc__ or "", example=EXAMPLE)
    add_class_flags(parser, "classes of the map (default: all described)")
    parser.add_argument(
        "--earlier_label_map_path", help="label map of an earlier run, whose ids are kept; may be --label_map_path's"
    )
    parser.add_argument("--label_map_path", required=True, help="label map to write, such as label_map.pbtxt")
    parser.add_argument(
        "--write_hierarchy",
        action="store_true",
        help="write with each class the ids of those above and below it in --hierarchy_path, for a config with "
        "expand_labels_hierarchy: true",
    )
    flags = parser.parse_args(argv)
    labels, descriptions = classes_of_flags(flags)
    if labels is None:
        if descriptions is None:
            raise UsageError("no classes given; use --trainable_classes_path, --classes or --class_description_path")
        labels = list(descriptions)
    earlier = read_label_map(flags.earlier_label_map_path) if flags.earlier_label_map_path else None
    label_map = make_label_map(labels, descriptions, earlier)
    if flags.write_hierarchy:
        label_map = with_hierarchy(label_map, read_hierarchy(flags.hierarchy_path))
    if _is_written(flags.label_map_path, label_map):
        print(f"nothing to do: {flags.label_map_path} holds these {len(label_map)} classes already")
    else:
        write_label_map(flags.label_map_path, label_map)
        first, last = label_map.items[0].id, label_map.max_id
        shown = " to ".join(f"{class_id} {label_map.display_name_of(class_id)!r}" for class_id in (first, last))
        print(f"wrote {len(label_map)} classes, {shown}, to {flags.label_map_path}")
    if earlier is not None:
        _print_changes(earlier, label_map, labels)
    return EXIT_DONE


def _is_written(path: str, label_map: LabelMap) -> bool:
    """Tells whether `path` holds exactly this label map, so that its time may stay."""
    try:
        return Path(path).read_bytes() == format_label_map(label_map).encode()
    except OSError:
        return False


def _print_changes(earlier: LabelMap, label_map: LabelMap, labels: Sequence[str]) -> None:
    new = [item.id for item in label_map if item.name not in earlier]
    asked = set(labels)
    no_longer = [item.id for item in earlier if item.name not in asked]
    print(f"{len(earlier)} classes keep their ids, {len(new)} are new{_named(label_map, new)}")
    if no_longer:
        print(f"{len(no_longer)} were not asked for and keep their ids all the same{_named(label_map, no_longer)}")


def _named(label_map: LabelMap, class_ids: Sequence[int]) -> str:
    shown = ", ".join(f"{class_id} {label_map.display_name_of(class_id)!r}" for class_id in class_ids[:NAMES_SHOWN])
    more = f" and {len(class_ids) - NAMES_SHOWN} more" if len(class_ids) > NAMES_SHOWN else ""
    return f": {shown}{more}" if shown else ""


if __name__ == "__main__":
    run_command(main)
