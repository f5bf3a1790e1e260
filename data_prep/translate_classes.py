"""Writes the names of the trainable classes as a JSON list: what a person reads where the dataset says `/m/03ssj5`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from data_prep.metadata.hierarchy import read_hierarchy
from data_prep.metadata.open_images import (
    add_descendants_flags,
    check_descendants_flags,
    read_class_descriptions,
    read_class_list,
    resolve_classes,
    with_descendants,
)
from data_prep.runtime.atomic_files import write_text
from data_prep.runtime.command_line import EXIT_DONE, ArgumentParser, run_command

EXAMPLE = """\
  python -m data_prep.translate_classes --trainable_classes_path data/trainable_classes.txt \\
      --class_description_path data/class-descriptions-boxable.csv \\
      --trainable_translated_path data/trainable_names.json"""


def translate_classes(
    trainable_classes_path: str, class_description_path: str, hierarchy_path: str | None = None
) -> list[str]:
    """Returns the name of each class of a list, in the list's order.

    Args:
        trainable_classes_path: A MID or a class name a line.
        class_description_path: `MID,Name` a line.
        hierarchy_path: Open Images' hierarchy; with it each class is followed by its kinds, as `process_metadata
            --with_descendants` takes them.

    Raises:
        UsageError: A file cannot be read, or a class is unknown or comes twice; with file and line.
    """
    descriptions = read_class_descriptions(class_description_path)
    labels = resolve_classes(read_class_list(trainable_classes_path), descriptions)
    if hierarchy_path is not None:
        labels = with_descendants(labels, read_hierarchy(hierarchy_path), descriptions) or []
    return [descriptions[label] for label in labels]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    parser = ArgumentParser(description=__doc__ or "", example=EXAMPLE)
    parser.add_argument("--trainable_classes_path", required=True, help="classes to train on: a MID or a name a line")
    parser.add_argument("--class_description_path", required=True, help="Open Images' class descriptions, MID,Name")
    parser.add_argument("--trainable_translated_path", required=True, help="JSON list of names to write")
    add_descendants_flags(parser)
    flags = parser.parse_args(argv)
    check_descendants_flags(flags)
    names = translate_classes(flags.trainable_classes_path, flags.class_description_path, flags.hierarchy_path)
    write_text(flags.trainable_translated_path, json.dumps(names, ensure_ascii=False) + "\n")
    print(f"wrote {len(names)} class names, {names[0]!r} to {names[-1]!r}, to {flags.trainable_translated_path}")
    return EXIT_DONE


if __name__ == "__main__":
    run_command(main)
