"""Turns Open Images' boxes and image index into points.json (what is on each picture) and images.json (what to fetch).

Only boxes of the classes asked for, and images that have such a box, are kept. A row that cannot be trained on (not a
number, reversed, empty or outside the image, an unsafe image id, an image that the index lacks) is left out, counted,
and named in the ledger.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from data_prep import open_images
from data_prep.box_table import BadBoxError, BoxTable
from data_prep.command_line import ArgumentParser, UsageError, UserError, run_command
from data_prep.csv_rows import printable, read_rows
from data_prep.image_index import read_image_index
from data_prep.ledger import Ledger
from data_prep.points import check_image_id, json_array_writer
from data_prep.progress import progress

EXAMPLE = """\
  python -m data_prep.process_metadata --annotations_input_path data/train-annotations-bbox.csv \\
      --image_index_input_path data/train-images-boxable-with-rotation.csv \\
      --classes 'Bed' 'Television' --class_description_path data/class-descriptions-boxable.csv \\
      --point_output_path data/train/points.json --image_index_output_path data/train/images.json"""
NOT_IN_INDEX = "image not in the index"
LEDGER_SUFFIX = ".rejected.jsonl"
CLASSES_SHOWN = 10
LABELS_COUNTED = 100_000  # of the classes not asked for: a hostile file must not fill the memory with made-up ones


@dataclass
class Summary:
    """What became of the rows.

    Attributes:
        boxes_read: Rows of the boxes CSV.
        boxes_rejected: Of these, rows that cannot be trained on, images missing from the index aside.
        boxes_without_image: Good boxes whose image the index lacks, or lists in a row that cannot be used.
        boxes_of_other_classes: By label.
        kept_by_label: Boxes written to points.json, by label.
        images_read: Rows of the image index.
        images_kept: Images written to both files.
    """

    boxes_read: int = 0
    boxes_rejected: int = 0
    boxes_without_image: int = 0
    boxes_of_other_classes: Counter[str] = field(default_factory=Counter)
    kept_by_label: Counter[str] = field(default_factory=Counter)
    images_read: int = 0
    images_kept: int = 0

    @property
    def boxes_kept(self) -> int:
        """Boxes written to points.json."""
        return self.kept_by_label.total()


def process_metadata(
    *,
    annotations_path: str,
    image_index_path: str,
    point_path: str,
    images_path: str,
    labels: Sequence[str] | None,
    names: Mapping[str, str] | None,
    ledger: Ledger,
) -> Summary:
    """Reads both CSVs and writes points.json and images.json, in the order of the image index.

    Args:
        annotations_path: The boxes CSV, plain or gzipped.
        image_index_path: The image index CSV, plain or gzipped.
        point_path: points.json to write.
        images_path: images.json to write.
        labels: The classes to keep; None keeps all.
        names: Class names by label, for messages; None where there are no descriptions, and `labels` are unchecked.
        ledger: Gets what is left out because it cannot be trained on.

    Raises:
        UsageError: A file cannot be read or lacks a column.
        UserError: A file is damaged, or nothing is left to write; earlier outputs then stay as they were.
    """
    summary = Summary()
    table = read_boxes(annotations_path, None if labels is None else frozenset(labels), ledger, summary)
    if names is None:
        _refuse_unknown_labels(annotations_path, labels or (), {*table.boxes_by_label, *summary.boxes_of_other_classes})
    if not len(table):
        raise UserError(_why_no_boxes(annotations_path, labels, names or {}, ledger, summary))
    boxes = table.group()
    written: set[str] = set()
    count: Counter[str] = Counter()
    with json_array_writer(point_path) as write_point, json_array_writer(images_path) as write_image:
        for image in read_image_index(image_index_path, boxes.image_ids, ledger, count):
            annotations = list(boxes.annotations(image["id"]))
            write_point({"id": image["id"], "annotations": annotations})
            write_image(image)
            written.add(image["id"])
            summary.kept_by_label.update(annotation["label"] for annotation in annotations)
        for image_id in boxes.image_ids:
            if image_id not in written:
                lost = boxes.count(image_id)
                summary.boxes_without_image += lost
                ledger.reject(image_id, NOT_IN_INDEX, f"{lost} box{'es' * (lost > 1)}")
        if not written:
            raise UserError(
                f"none of the {len(boxes.image_ids)} images with boxes, such as {next(iter(boxes.image_ids))}, "
                f"can be had from the {count['read']} of {image_index_path}; are both files of the same subset?"
            )
    summary.images_read = count["read"]
    summary.images_kept = len(written)
    return summary


def read_boxes(path: str, labels: Set[str] | None, ledger: Ledger, summary: Summary) -> BoxTable:
    """Reads the boxes CSV.

    Args:
        path: The CSV, plain or gzipped.
        labels: The classes to keep; None keeps all.
        ledger: Gets the rows that cannot be trained on.
        summary: `boxes_*` are counted in it.

    Raises:
        UsageError: The file cannot be read or lacks a column.
        UserError: It is damaged.
    """
    table = BoxTable()
    name = Path(path).name

    def reject_row(line: int, reason: str, detail: str) -> None:
        summary.boxes_read += 1
        summary.boxes_rejected += 1
        ledger.reject(f"{name}:{line}", reason, detail)

    rows = read_rows(
        path,
        required=open_images.BOX_REQUIRED_COLUMNS,
        optional=open_images.BOX_OPTIONAL_COLUMNS,
        on_bad_row=reject_row,
    )
    others = summary.boxes_of_other_classes
    for line, (image_id, label, *box, confidence, occluded, truncated, group_of, depiction, inside) in progress(
        rows, description="reading boxes", unit="boxes"
    ):
        if labels is not None and label not in labels:
            others[label if label in others or len(others) < LABELS_COUNTED else "(others)"] += 1
            summary.boxes_read += 1
            continue
        try:
            if image_id not in table.image_numbers:
                check_image_id(image_id)
            table.add(image_id, label, (confidence, *box), (occluded, truncated, group_of, depiction, inside))
        except BadBoxError as error:
            reject_row(line, error.reason, f"image {image_id}: {error.detail}")
        except UserError as error:
            reject_row(line, "unsafe image id", str(error))
        else:
            summary.boxes_read += 1
    return table


def print_summary(summary: Summary, ledger: Ledger, labels: Sequence[str] | None, names: Mapping[str, str]) -> None:
    """Prints what was read, kept and left out, by reason."""
    print(
        f"boxes: {summary.boxes_read} read, {summary.boxes_kept} kept, "
        f"{summary.boxes_of_other_classes.total()} of other classes, {summary.boxes_rejected} rejected, "
        f"{summary.boxes_without_image} whose image is not in the index"
    )
    print(f"images: {summary.images_read} in the index, {summary.images_kept} kept")
    print(f"boxes a class: {_commonest(summary.kept_by_label, names)}")
    empty = [names.get(label, label) for label in labels or () if label not in summary.kept_by_label]
    if empty:
        more = f" and {len(empty) - CLASSES_SHOWN} more" if len(empty) > CLASSES_SHOWN else ""
        print(f"classes without a box: {', '.join(empty[:CLASSES_SHOWN])}{more}")
    print(ledger.summary())


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    flags = _parser().parse_args(argv)
    point_path = Path(flags.point_output_path)
    ledger_path = Path(flags.ledger_path or point_path.with_name(point_path.stem + LEDGER_SUFFIX))
    _refuse_same_paths(
        {
            "--annotations_input_path": flags.annotations_input_path,
            "--image_index_input_path": flags.image_index_input_path,
            "--point_output_path": point_path,
            "--image_index_output_path": flags.image_index_output_path,
            "--ledger_path": ledger_path,
        }
    )
    path = flags.class_description_path
    descriptions = open_images.read_class_descriptions(path) if path else None
    labels = open_images.wanted_classes(flags.trainable_classes_path, flags.classes, descriptions)
    with Ledger(ledger_path) as ledger:
        summary = process_metadata(
            annotations_path=flags.annotations_input_path,
            image_index_path=flags.image_index_input_path,
            point_path=flags.point_output_path,
            images_path=flags.image_index_output_path,
            labels=labels,
            names=descriptions,
            ledger=ledger,
        )
    print_summary(summary, ledger, labels, descriptions or {})
    return ledger.exit_code(flags.max_failures)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(description=__doc__ or "", example=EXAMPLE)
    parser.add_argument("--annotations_input_path", required=True, help="boxes CSV, plain or gzipped")
    parser.add_argument("--image_index_input_path", required=True, help="image index CSV, plain or gzipped")
    parser.add_argument(
        "--trainable_classes_path", help="classes to keep, a MID or a name a line; without this and --classes, all"
    )
    parser.add_argument("--classes", nargs="+", metavar="CLASS", help="MIDs or names, such as 'Bed' /m/07c52")
    parser.add_argument(
        "--class_description_path",
        help="class descriptions, MID,Name; without it, the classes are taken as the boxes CSV's labels",
    )
    parser.add_argument("--point_output_path", required=True, help="points.json to write")
    parser.add_argument("--image_index_output_path", required=True, help="images.json to write")
    parser.add_argument(
        "--ledger_path", help=f"JSON lines of what was rejected (default: beside points.json, *{LEDGER_SUFFIX})"
    )
    parser.add_argument(
        "--max_failures", type=int, default=1000, help="rejected rows and images beyond which it exits with 3"
    )
    return parser


def _refuse_same_paths(paths: Mapping[str, str | Path]) -> None:
    """Refuses two flags that name one file: an output would overwrite it."""
    seen: dict[Path, str] = {}
    for flag, path in paths.items():
        other = seen.setdefault(Path(path).resolve(), flag)
        if other != flag:
            raise UsageError(f"{other} and {flag} are the same file, {path}; give each its own")


def _refuse_unknown_labels(path: str, labels: Sequence[str], known: Set[str]) -> None:
    """Refuses a label that the boxes CSV never uses, unless it is a MID: a split may well have no box of some class."""
    for label in labels:
        if known and label not in known and not label.startswith("/"):
            near = difflib.get_close_matches(label[:100], list(known)[:LABELS_COUNTED], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(
                f"no box of {path} has the label {label[:100]!r}{hint}; "
                "to use class names, give --class_description_path"
            )


def _why_no_boxes(
    path: str, labels: Sequence[str] | None, names: Mapping[str, str], ledger: Ledger, summary: Summary
) -> str:
    if not summary.boxes_read:
        return f"{path}: no boxes in it, only the line that names the columns"
    reasons = []
    others = summary.boxes_of_other_classes
    if labels is not None and others:
        wanted = ", ".join(names.get(label, label) for label in labels[:CLASSES_SHOWN])
        more = ", ..." if len(labels) > CLASSES_SHOWN else ""
        reasons.append(f"{others.total()} are of other classes than {wanted}{more}: {_commonest(others, names)}")
    if summary.boxes_rejected:
        reasons.append(ledger.summary())
    return f"{path}: none of its {summary.boxes_read} boxes is left: {'; '.join(reasons)}"


def _commonest(counts: Counter[str], names: Mapping[str, str]) -> str:
    shown = [f"{names.get(label) or printable(label)} {count}" for label, count in counts.most_common(CLASSES_SHOWN)]
    more = f" and {len(counts) - CLASSES_SHOWN} more classes" if len(counts) > CLASSES_SHOWN else ""
    return ", ".join(shown) + more


if __name__ == "__main__":
    run_command(main)
