"""Open Images' files: the columns of its CSVs, its class descriptions, and which classes a person means."""

from __future__ import annotations

import argparse
import csv
import difflib
import io
import os
import sys
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from data_prep.metadata.csv_rows import open_text
from data_prep.metadata.hierarchy import Hierarchy, read_hierarchy
from data_prep.runtime.command_line import ArgumentParser, UsageError, printable

# The boxes: train-annotations-bbox.csv and its like. The files of 2017 lack the flags, the challenge's the confidence.
BOX_REQUIRED_COLUMNS = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax")
BOX_FLAG_COLUMNS = ("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside")
BOX_OPTIONAL_COLUMNS = ("Confidence", *BOX_FLAG_COLUMNS)
BOX_COLUMNS = ("ImageID", "Source", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax", *BOX_FLAG_COLUMNS)

# The image index: train-images-boxable-with-rotation.csv and its like.
IMAGE_REQUIRED_COLUMNS = ("ImageID", "OriginalURL")
IMAGE_OPTIONAL_COLUMNS = (
    "Subset", "OriginalMD5", "OriginalSize", "Rotation", "Thumbnail300KURL", "OriginalLandingURL", "License", "Author",
)  # fmt: skip
IMAGE_COLUMNS = (
    "ImageID", "Subset", "OriginalURL", "OriginalLandingURL", "License", "AuthorProfileURL", "Author", "Title",
    "OriginalSize", "OriginalMD5", "Thumbnail300KURL", "Rotation",
)  # fmt: skip

# Labels of images as a whole: train-annotations-human-imagelabels.csv and its like.
IMAGE_LABEL_REQUIRED_COLUMNS = ("ImageID", "LabelName", "Confidence")
IMAGE_LABEL_OPTIONAL_COLUMNS = ("Source",)
MACHINE_SOURCE = "machine"  # labels that no person looked at; all other sources are people

MAX_LIST_BYTES = 64 * 1024 * 1024  # of class descriptions or of a list of classes; all 20,000 classes take 0.6 MB
DESCRIPTION_HEADER = "labelname"  # of the newer files; the older ones begin with the first class
_LABEL_HEADERS = frozenset({"id", "mid", "label", "label_id", "labelid", "class", "class_id", "classid"})
_NAME_HEADERS = frozenset({"name", "displayname", "display_name", "class", "class_name", "classname", "description"})
_LIST_HEADERS = frozenset({DESCRIPTION_HEADER, "mid", "displayname"})
_MID_START = "/"
_SHOWN_LENGTH = 80


def read_class_descriptions(path: str | os.PathLike[str]) -> dict[str, str]:
    """Reads class descriptions, `MID,Name` a line, with or without a header.

    A header other than Open Images' own, such as `id,name`, is passed over with a note on standard error.

    Returns:
        The class names by MID, in the file's order.

    Raises:
        UsageError: The file is missing, empty, not UTF-8 or not of this shape, its first line neither is a header nor
            begins with a MID, or a MID has two names; with the line.
    """
    source = Path(path)
    descriptions: dict[str, str] = {}
    is_after_header = False
    reader = csv.reader(_read_lines(source), strict=True)
    try:
        for row in reader:
            where = f"{source}:{reader.line_num}"
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if not descriptions and not is_after_header and cells[0].casefold() == DESCRIPTION_HEADER:
                is_after_header = True
                continue
            if len(cells) != 2 or not all(cells):
                seen = _shortened(",".join(row))
                raise UsageError(f"{where}: expected MID,Name (a name with a comma in double quotes), found {seen}")
            label, name = cells
            if not descriptions and not is_after_header and not label.startswith(_MID_START):
                _check_header(label, name, where)
                is_after_header = True
                continue
            if descriptions.setdefault(label, name) != name:
                raise UsageError(f"{where}: {label} is called {name!r} here and {descriptions[label]!r} before")
    except csv.Error as error:
        raise UsageError(f"{source}:{reader.line_num}: not CSV: {error}") from error
    if not descriptions:
        raise UsageError(f"{source}: no class descriptions in it; expected lines such as /m/03ssj5,Bed")
    return descriptions


def _check_header(label: str, name: str, where: str) -> None:
    """Notes a header of names that we know; refuses what may be one, for taken as a class it would shift every id."""
    seen = printable(f"{label},{name}", _SHOWN_LENGTH)
    if label.casefold() not in _LABEL_HEADERS or name.casefold() not in _NAME_HEADERS:
        raise UsageError(
            f"{where}: {seen!r} is neither a MID and its name, such as /m/03ssj5,Bed, nor a header that we know; where "
            "labels are no MIDs, let the file begin with the line LabelName,DisplayName"
        )
    print(f"note: {where}: {seen!r} is passed over as a header", file=sys.stderr)


def read_class_list(path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """Reads a list of classes: a MID or a class name a line; blank lines and what follows a `#` are passed over.

    A first line that is a column's name, such as `LabelName`, is passed over too, with a note on standard error.

    Returns:
        For each class where it stands (`file:line`, for messages) and its text, in the file's order.

    Raises:
        UsageError: The file is missing, not UTF-8, or names no class.
    """
    source = Path(path)
    classes: list[tuple[str, str]] = []
    for number, line in enumerate(_read_lines(source), start=1):
        text = "" if line.startswith("#") else line.split(" #")[0].split("\t#")[0].strip()
        if text and not classes and text.casefold() in _LIST_HEADERS:
            print(f"note: {source}:{number}: {text!r} is passed over as a header", file=sys.stderr)
        elif text:
            classes.append((f"{source}:{number}", text))
    if not classes:
        raise UsageError(f"{source}: no classes in it; expected a MID such as /m/03ssj5 or a class name a line")
    return classes


def wanted_classes(
    trainable_classes_path: str | None, classes: Sequence[str] | None, descriptions: Mapping[str, str] | None
) -> list[str] | None:
    """Returns the labels (MIDs) that a command's flags ask for, in the order given; None where neither flag is given.

    Args:
        trainable_classes_path: A list of classes, or None.
        classes: MIDs or class names, or None.
        descriptions: Class names by MID; without them the classes are taken as the labels that the annotations use.

    Raises:
        UsageError: Both flags are given, or a class is not among `descriptions` (the message suggests the nearest), is
            the name of several, or is given twice.
    """
    if trainable_classes_path is not None and classes is not None:
        raise UsageError("--trainable_classes_path and --classes exclude each other; give one of them")
    if trainable_classes_path is not None:
        return resolve_classes(read_class_list(trainable_classes_path), descriptions)
    if classes is not None:
        return resolve_classes([("--classes", text.strip()) for text in classes], descriptions)
    return None


def with_descendants(
    labels: Sequence[str] | None, hierarchy: Hierarchy, descriptions: Mapping[str, str] | None
) -> list[str] | None:
    """Returns `labels`, each followed by its kinds, their kinds and so on, every label once; None for None.

    Args:
        labels: The classes asked for; None stands for all, which have no further kinds.
        hierarchy: What is a kind of what.
        descriptions: Class names by MID, to hold the hierarchy's labels against; None takes them all.

    Raises:
        UsageError: The hierarchy knows none of the labels, or has a kind that `descriptions` lack.
    """
    if labels is None:
        return None
    if labels and not any(label in hierarchy for label in labels):
        raise UsageError(f"--hierarchy_path: none of the classes asked for, such as {labels[0]}, is in the hierarchy")
    found = list(dict.fromkeys(kind for label in labels for kind in (label, *hierarchy.descendants(label))))
    unknown = [label for label in found if descriptions is not None and label not in descriptions]
    if unknown:
        raise UsageError(
            f"--hierarchy_path: {unknown[0][:80]!r} is not in the class descriptions; are both files of one version?"
        )
    return found


def add_class_flags(parser: ArgumentParser, use: str) -> None:
    """Adds the flags by which a person names classes.

    Args:
        parser: A command's parser.
        use: What is done with the classes, such as `classes to keep`, for the help.
    """
    parser.add_argument("--trainable_classes_path", help=f"{use}: a list, a MID or a name a line")
    parser.add_argument(
        "--classes", nargs="+", metavar="CLASS", help=f"{use}: MIDs or names in any letter case, as 'Bed' /m/07c52"
    )
    parser.add_argument(
        "--class_description_path",
        help="class descriptions, MID,Name; without it, the classes are taken as the annotations' labels",
    )
    add_descendants_flags(parser)


def add_descendants_flags(parser: ArgumentParser) -> None:
    """Adds the flags by which the kinds of each class are taken with it."""
    parser.add_argument(
        "--with_descendants",
        action="store_true",
        help="with each class take its kinds too (Furniture: Bed, Chair, ...), as classes of their own",
    )
    parser.add_argument(
        "--hierarchy_path", help="Open Images' hierarchy, bbox_labels_600_hierarchy.json, for --with_descendants"
    )


def check_descendants_flags(flags: argparse.Namespace) -> None:
    """Refuses one of the flags of `add_descendants_flags` without the other; raises UsageError.

    For a command that has `--expand_hierarchy` or `--write_hierarchy`, that flag wants the hierarchy as well.
    """
    wanting = [name for name in ("expand_hierarchy", "write_hierarchy") if getattr(flags, name, False)]
    if wanting:
        if flags.hierarchy_path is None:
            raise UsageError(f"--{wanting[0]} needs --hierarchy_path, which classes are above which")
        return
    if flags.with_descendants != (flags.hierarchy_path is not None):
        raise UsageError("--with_descendants and --hierarchy_path belong together; give both or neither")


def classes_of_flags(flags: argparse.Namespace) -> tuple[list[str] | None, dict[str, str] | None]:
    """Returns the labels asked for (None: no class was named) and the class names by label, by `add_class_flags`.

    Raises:
        UsageError: A file cannot be read, a class is unknown or named twice, or flags do not go together.
    """
    check_descendants_flags(flags)
    path = flags.class_description_path
    descriptions = read_class_descriptions(path) if path else None
    labels = wanted_classes(flags.trainable_classes_path, flags.classes, descriptions)
    if flags.with_descendants:
        labels = with_descendants(labels, read_hierarchy(flags.hierarchy_path), descriptions)
    return labels, descriptions


def resolve_classes(classes: Iterable[tuple[str, str]], descriptions: Mapping[str, str] | None) -> list[str]:
    """Returns the label (MID) of each class.

    Args:
        classes: Where each stands, for messages, and its MID or name. Letter case in a name does not matter.
        descriptions: Class names by MID; None takes each class as its label.

    Raises:
        UsageError: See `wanted_classes`.
    """
    by_name: dict[str, list[str]] = {}
    for label, name in (descriptions or {}).items():
        by_name.setdefault(name.casefold(), []).append(label)
    places: dict[str, str] = {}
    for where, text in classes:
        label = text if descriptions is None else _resolve(where, text, descriptions, by_name)
        if not label:
            raise UsageError(f"{where}: an empty class name")
        if label in places:
            raise UsageError(f"{where}: class {text!r} is given twice (before: {places[label]}); remove one")
        places[label] = where
    return list(places)


def nearest_classes(text: str, descriptions: Mapping[str, str], count: int = 3) -> list[str]:
    """Returns the classes most like `text`, as `'Bed' (/m/03ssj5)`, nearest first; by MID if `text` looks like one."""
    if text.startswith("/"):
        labels = difflib.get_close_matches(text, descriptions, n=count)
    else:
        names = {name.casefold(): label for label, name in descriptions.items()}
        # A word of a longer name ("clock" for "Wall clock") is far away in letters but what people mean.
        found = [name for name in names if text.casefold() in name.split()]
        found += [name for name in difflib.get_close_matches(text.casefold(), names, n=count) if name not in found]
        labels = [names[name] for name in found[:count]]
    return [f"{descriptions[label]!r} ({label})" for label in labels]


def _resolve(where: str, text: str, descriptions: Mapping[str, str], by_name: Mapping[str, list[str]]) -> str:
    if text in descriptions:
        return text
    labels = by_name.get(text.casefold(), [])
    exact = [label for label in labels if descriptions[label] == text] or labels
    if len(exact) > 1:
        raise UsageError(f"{where}: {len(exact)} classes are called {text!r}; give the MID: {', '.join(exact[:5])}")
    if not exact:
        _refuse(where, text, descriptions)
    return exact[0]


def _refuse(where: str, text: str, descriptions: Mapping[str, str]) -> NoReturn:
    near = nearest_classes(text[:200], descriptions)
    hint = f"did you mean {' or '.join(near)}?" if near else "and nothing is spelt like it"
    raise UsageError(f"{where}: class {_shortened(text)} is not in the class descriptions; {hint}")


def _read_lines(source: Path) -> list[str]:
    with open_text(source, errors="strict") as file:
        try:
            text = file.read(MAX_LIST_BYTES)
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise UsageError(f"{source}: not UTF-8 text (it holds the byte 0x{byte:02x}); save it as UTF-8") from error
        except (EOFError, OSError, zlib.error) as error:
            raise UsageError(f"{source}: damaged: {error}") from error
    if len(text) >= MAX_LIST_BYTES:
        raise UsageError(f"{source}: over {MAX_LIST_BYTES // 2**20} MiB, so not a list of classes")
    lines = list(io.StringIO(text, newline=""))
    for number, line in enumerate(lines, start=1):
        if "\0" in line:
            raise UsageError(f"{source}:{number}: a NUL character; this is no text file")
    return lines


def _shortened(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "...")
