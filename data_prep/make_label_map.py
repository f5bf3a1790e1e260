"""Writes a label map: the ids, from 1 in the order given, by which records and detections call classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from data_prep.command_line import EXIT_DONE, ArgumentParser, UsageError, run_command
from data_prep.label_map import LabelMap, LabelMapItem, write_label_map
from data_prep.open_images import read_class_descriptions, wanted_classes

EXAMPLE = """\
  python -m data_prep.make_label_map --classes 'Bed' 'Television' \\
      --class_description_path data/class-descriptions-boxable.csv --label_map_path data/label_map.pbtxt"""


def make_label_map(labels: Sequence[str], descriptions: Mapping[str, str] | None) -> LabelMap:
    """Returns the label map of `labels`, with ids from 1 in their order.

    Args:
        labels: What the annotations call the classes: the `name` of each item.
        descriptions: Names that people read, by label: the `display_name` of each item. None leaves them out.

    Raises:
        UsageError: There are no labels, or one comes twice.
    """
    names = descriptions or {}
    return LabelMap(LabelMapItem(number, label, names.get(label, "")) for number, label in enumerate(labels, start=1))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    parser = ArgumentParser(description=__doc__ or "", example=EXAMPLE)
    parser.add_argument(
        "--trainable_classes_path", help="classes, a MID or a name a line; without this and --classes, all described"
    )
    parser.add_argument("--classes", nargs="+", metavar="CLASS", help="MIDs or names, such as 'Bed' /m/07c52")
    parser.add_argument(
        "--class_description_path",
        help="Open Images' class descriptions, MID,Name; without it, the classes are taken as the annotations' labels",
    )
    parser.add_argument("--label_map_path", required=True, help="label map to write, such as label_map.pbtxt")
    flags = parser.parse_args(argv)
    descriptions = read_class_descriptions(flags.class_description_path) if flags.class_description_path else None
    labels = wanted_classes(flags.trainable_classes_path, flags.classes, descriptions)
    if labels is None:
        if descriptions is None:
            raise UsageError("no classes given; use --trainable_classes_path, --classes or --class_description_path")
        labels = list(descriptions)
    label_map = make_label_map(labels, descriptions)
    write_label_map(flags.label_map_path, label_map)
    first, last = (label_map.display_name_of(class_id) for class_id in (1, label_map.max_id))
    print(f"wrote {len(label_map)} classes, 1 {first!r} to {label_map.max_id} {last!r}, to {flags.label_map_path}")
    return EXIT_DONE


if __name__ == "__main__":
    run_command(main)
