"""The summary of reading Open Images' CSVs: rows counted by result, and as text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from data_prep.metadata.class_choice import Choice
from data_prep.metadata.image_index import IndexCounts
from data_prep.metadata.image_labels import ImageLabels
from data_prep.runtime.command_line import printable
from data_prep.runtime.failure_limit import Loss
from data_prep.runtime.ledger import Ledger
from data_prep.runtime.summary_lines import CLASSES_SHOWN, commonest, images_of_rejected_boxes_line


@dataclass
class Summary:
    """Counts of the rows, by result.

    Attributes:
        boxes_read: Rows of the boxes CSV.
        boxes_rejected: Of these, rows that cannot be trained on, images missing from the index aside.
        boxes_of_other_classes: Rows of classes that were not asked for.
        boxes_filtered: Boxes that the filters drop, by reason.
        boxes_in_earlier_file: Boxes that an earlier file has as well, of the same image and class with the same edges.
        boxes_copied: Copies of boxes for classes above theirs.
        boxes_not_copied: Copies left out, as the box is annotated with the class as well.
        boxes_without_image: Good boxes whose image the index lacks, or lists in a row that cannot be read.
        images_without_entry: Images with such boxes, or with verified labels that are kept.
        images_wanted: All images that the index was asked for.
        boxes_not_drawn: Boxes of images beyond `max_images_per_class`.
        kept_by_label: Boxes written to points.json, by label.
        images_by_label: Images written to points.json with such a box, by label.
        index: Rows and cells of the image index.
        images_of_rejected: The ids of the images of rejected rows, where images without boxes are kept.
        images_of_rejected_boxes: Images whose boxes were all rejected, dropped or kept as the choice says.
        images_kept: Images written to both files.
        images_without_boxes: Of these, how many have no box.
        index_rejected: Rows of the index that cannot be read, or list an image again.
        image_labels: The verified labels read; None where there are none.
        image_labels_rejected: Rows of labels that cannot be used.
        image_labels_copied: Labels of classes above and below those that a person verified.
        image_labels_kept: How many were written, present and absent.
    """

    boxes_read: int = 0
    boxes_rejected: int = 0
    boxes_of_other_classes: int = 0
    boxes_filtered: Counter[str] = field(default_factory=Counter)
    boxes_in_earlier_file: int = 0
    boxes_copied: int = 0
    boxes_not_copied: int = 0
    boxes_without_image: int = 0
    images_without_entry: int = 0
    images_wanted: int = 0
    boxes_not_drawn: int = 0
    kept_by_label: Counter[str] = field(default_factory=Counter)
    images_by_label: Counter[str] = field(default_factory=Counter)
    index: IndexCounts = field(default_factory=IndexCounts)
    images_of_rejected: set[str] = field(default_factory=set)
    images_of_rejected_boxes: int = 0
    images_kept: int = 0
    images_without_boxes: int = 0
    index_rejected: int = 0
    image_labels: ImageLabels | None = None
    image_labels_rejected: int = 0
    image_labels_copied: int = 0
    image_labels_kept: tuple[int, int] = (0, 0)

    @property
    def boxes_kept(self) -> int:
        """Boxes written to points.json."""
        return self.kept_by_label.total()

    def losses(self) -> list[Loss]:
        """Returns what a share of `--max_failures` is held against."""
        lost, wanted = self.boxes_rejected + self.boxes_without_image, self.boxes_read - self.boxes_of_other_classes
        losses = [
            Loss("boxes", lost, wanted),
            Loss("images", self.images_without_entry, self.images_wanted),
            Loss("rows of the image index", self.index_rejected, self.index.read),
        ]
        if self.image_labels is not None:
            wanted = self.image_labels.read - self.image_labels.dropped["of other classes"]
            losses.append(Loss("rows of the image labels", self.image_labels_rejected, wanted))
        return losses


def summary_lines(summary: Summary, ledger: Ledger, choice: Choice) -> list[str]:
    """Returns what was read, kept and left out, by reason, a line each."""
    filtered = "".join(f", {count} {reason}" for reason, count in summary.boxes_filtered.most_common())
    not_drawn = f", {summary.boxes_not_drawn} of images not drawn" * (choice.max_images_per_class is not None)
    bare = f", {summary.images_without_boxes} of them without a box" * choice.with_images_without_boxes
    bad_rows = f" ({summary.index.bad_rows} rows that cannot be read)" * bool(summary.index.bad_rows)
    lines = [
        f"boxes: {summary.boxes_read} read, {summary.boxes_kept} kept, "
        f"{summary.boxes_of_other_classes} of other classes, {summary.boxes_rejected} rejected, "
        f"{summary.boxes_without_image} whose image is not in the index{filtered}{not_drawn}",
        f"images: {summary.index.read} in the index{bad_rows}, {summary.images_kept} kept{bare}",
        f"boxes a class: {commonest(summary.kept_by_label, choice.name_of)}",
        f"images a class: {commonest(summary.images_by_label, choice.name_of)}",
    ]
    if summary.boxes_in_earlier_file:
        lines.append(f"boxes that an earlier file has as well, taken once: {summary.boxes_in_earlier_file}")
    if choice.expansion is not None:
        lines.append(_expansion_line(summary))
    lines += _index_lines(summary.index)
    if summary.image_labels is not None:
        present, absent = summary.image_labels_kept
        dropped = "".join(f", {count} {reason}" for reason, count in summary.image_labels.dropped.most_common())
        lines.append(
            f"verified image labels: {summary.image_labels.read} read, {present} present and {absent} absent kept"
            f"{dropped}"
        )
    if summary.images_of_rejected_boxes:
        kept = choice.with_images_of_rejected_boxes
        lines.append(images_of_rejected_boxes_line(summary.images_of_rejected_boxes, are_kept=kept))
    empty = [choice.name_of(label) for label in choice.labels or () if label not in summary.kept_by_label]
    if empty:
        more = f" and {len(empty) - CLASSES_SHOWN} more" if len(empty) > CLASSES_SHOWN else ""
        lines.append(f"classes without a box: {', '.join(empty[:CLASSES_SHOWN])}{more}")
    return [*lines, ledger.summary()]


def _expansion_line(summary: Summary) -> str:
    labels = f"; {summary.image_labels_copied} verified labels follow from others" * (summary.image_labels is not None)
    return (
        f"hierarchy: {summary.boxes_copied} boxes are copies for a class above their own, {summary.boxes_not_copied} "
        f"copies left out, whose box is annotated with that class as well{labels}"
    )


def _index_lines(index: IndexCounts) -> list[str]:
    """Returns what images.json lacks of the images that are in the index."""
    lines = []
    if index.of_earlier_file:
        lines.append(f"images that an earlier index lists as well, whose row was taken: {index.of_earlier_file}")
    if index.without_url:
        lines.append(
            f"images without a URL: {index.without_url}; download_images needs --base_url or --url_template for them"
        )
    if index.left_out:
        cells = []
        for column, count in index.left_out.most_common():
            line, text = index.examples[column]
            cells.append(f"{count} {column} (such as '{printable(text)}', line {line})")
        lines.append(f"cells of the index left out, their images kept: {', '.join(cells)}")
    return lines
