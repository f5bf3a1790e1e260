"""The summary of an export: images and boxes by result, what the format cannot hold, and both as text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from data_prep.annotation_export.exported_image import ExportedClasses
from data_prep.runtime.command_line import printable
from data_prep.runtime.failure_limit import Loss
from data_prep.runtime.ledger import Ledger
from data_prep.runtime.summary_lines import NAME_LENGTH, commonest


@dataclass
class ExportSummary:
    """Counts of images and boxes.

    Attributes:
        images_read: Images.
        images_written: Of these, written.
        images_without_boxes: Of those written.
        images_of_rejected_boxes: Images whose boxes were all rejected, and that are left out with them.
        boxes_read: Boxes.
        boxes_lost: Boxes that were rejected, or whose image was.
        boxes_of_other_labels: Boxes of labels that the label map lacks.
        group_of_dropped: Boxes around groups that were left out because a flag says so.
        group_of_forgiven: Boxes around groups that carry the format's mark for what evaluation forgives.
        boxes_by_class: Boxes written, by class id.
        not_held: Boxes that lost a property which the format cannot hold, by the property.
        verified_labels: Labels of images as a whole, which no format holds.
        images_of_verified_labels: Images that have some.
        images_in_place: Images put or found in the folder for them.
    """

    images_read: int = 0
    images_written: int = 0
    images_without_boxes: int = 0
    images_of_rejected_boxes: int = 0
    boxes_read: int = 0
    boxes_lost: int = 0
    boxes_of_other_labels: int = 0
    group_of_dropped: int = 0
    group_of_forgiven: int = 0
    boxes_by_class: Counter[int] = field(default_factory=Counter)
    not_held: Counter[str] = field(default_factory=Counter)
    verified_labels: int = 0
    images_of_verified_labels: int = 0
    images_in_place: int = 0

    def losses(self) -> list[Loss]:
        """Returns what a share of `--max_failures` is held against."""
        return [
            Loss("boxes", self.boxes_lost, self.boxes_read),
            Loss("images", self.images_read - self.images_written, self.images_read),
        ]


def summary_lines(summary: ExportSummary, ledger: Ledger, classes: ExportedClasses, format_name: str) -> list[str]:
    """Returns what was read, written and lost, a line each."""
    other = f", {summary.boxes_of_other_labels} of labels outside the label map" * bool(summary.boxes_of_other_labels)
    dropped = f", {summary.group_of_dropped} around groups dropped" * bool(summary.group_of_dropped)
    by_class = commonest(summary.boxes_by_class, lambda class_id: printable(classes.names[class_id], NAME_LENGTH))
    lines = [
        f"images: {summary.images_read} read, {summary.images_written} written, "
        f"{summary.images_without_boxes} of them without a box",
        f"boxes: {summary.boxes_read} read, {summary.boxes_by_class.total()} written{other}{dropped}",
        f"boxes a class: {by_class}",
    ]
    if summary.images_of_rejected_boxes:
        lines.append(f"{summary.images_of_rejected_boxes} images whose boxes were all rejected: left out with them")
    if summary.group_of_forgiven:
        mark = {"coco": "iscrowd", "pascal_voc": "difficult"}[format_name]
        lines.append(
            f"{summary.group_of_forgiven} boxes around groups are {mark} (--group_of_boxes keep: boxes as any)"
        )
    lost = [f"{name} of {count} boxes" for name, count in summary.not_held.most_common()]
    if summary.verified_labels:
        lost.append(f"{summary.verified_labels} verified labels of {summary.images_of_verified_labels} images")
    lines.append(f"{format_name} has no place for, and so are lost: {', '.join(lost)}" if lost else "no flag is lost")
    return [*lines, ledger.summary()]
