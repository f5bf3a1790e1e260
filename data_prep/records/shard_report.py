"""Counts of a shard's images and boxes: made while it is written, kept in the manifest, and printed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from data_prep.formats.label_map import LabelMap
from data_prep.records import record_policies

CLASSES_SHOWN = 20


@dataclass
class ShardReport:
    """Counts of one shard's points.

    Attributes:
        num_points: Images that belong to the shard.
        num_images: Records written.
        num_images_without_boxes: Of these.
        num_bytes: The shard's size.
        boxes_by_label: Boxes written.
        images_by_label: Records that have a box of the label.
        verified_present: Records with a verified label saying that the class is there.
        verified_absent: Records with one saying that it is not.
        left_out: What the rules left out, by the words of `record_policies`.
        repaired: What a repair changed, by the words of `record_repair`: records, by what was done to them.
        rejected: (item, reason, detail) of each image or box that cannot be used, for the ledger.
    """

    num_points: int = 0
    num_images: int = 0
    num_images_without_boxes: int = 0
    num_bytes: int = 0
    boxes_by_label: Counter[str] = field(default_factory=Counter)
    images_by_label: Counter[str] = field(default_factory=Counter)
    verified_present: Counter[str] = field(default_factory=Counter)
    verified_absent: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    rejected: list[tuple[str, str, str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Returns the report as JSON holds it; what is empty is left out."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {
            name: dict(sorted(value.items())) if isinstance(value, Counter) else value
            for name, value in values.items()
            if value
        }


_COUNTS = ("num_points", "num_images", "num_images_without_boxes", "num_bytes")
_COUNTERS = ("boxes_by_label", "images_by_label", "verified_present", "verified_absent", "left_out", "repaired")


def report_of_json(values: Mapping[str, Any]) -> ShardReport:
    """Reads what `as_json` returned.

    Raises:
        ValueError: It is something else.
    """
    report = ShardReport()
    for name in _COUNTS:
        count = values.get(name, 0)
        if not isinstance(count, int) or count < 0:
            raise ValueError(f"{name} is no count")
        setattr(report, name, count)
    for name in _COUNTERS:
        counts = values.get(name, {})
        if not isinstance(counts, dict) or not all(isinstance(count, int) for count in counts.values()):
            raise ValueError(f"{name} holds no counts")
        setattr(report, name, Counter(counts))
    rejected = values.get("rejected", [])
    if not isinstance(rejected, list) or not all(isinstance(entry, list) and len(entry) == 3 for entry in rejected):
        raise ValueError("rejected holds no rejects")
    report.rejected = [(str(item), str(reason), str(detail)) for item, reason, detail in rejected]
    return report


def sum_of(reports: Iterable[ShardReport]) -> ShardReport:
    """Returns the sum of all `reports`, but for the list of rejects."""
    total = ShardReport()
    for report in reports:
        for name in _COUNTS:
            setattr(total, name, getattr(total, name) + getattr(report, name))
        for name in _COUNTERS:
            getattr(total, name).update(getattr(report, name))
    return total


def print_contents(total: ShardReport, label_map: LabelMap, unknown: Counter[str]) -> None:
    """Prints what was left out, and the boxes by class.

    Args:
        total: Of all shards.
        label_map: The classes.
        unknown: Boxes of labels that it lacks, by label.
    """
    if unknown:
        print(f"left out {unknown.total()} boxes of {len(unknown)} labels that are not in the label map")
    for what, count in sorted(total.left_out.items()):
        if what == record_policies.BEYOND_MOST:
            print(f"left out {count} {what}, of {total.left_out[record_policies.BEYOND_MOST_IMAGES]} images")
        elif what not in (record_policies.UNKNOWN_LABELS, record_policies.BEYOND_MOST_IMAGES):
            print(f"left out {count} {what}")
    if total.verified_present or total.verified_absent:
        present, absent = total.verified_present.total(), total.verified_absent.total()
        print(f"{present + absent} verified labels of whole images: {present} present, {absent} absent")
    boxes_by_label = total.boxes_by_label
    print(f"{boxes_by_label.total():>10}  boxes, of which")
    most = sorted(boxes_by_label.items(), key=lambda item: (-item[1], label_map.id_of(item[0])))
    for label, count in most[:CLASSES_SHOWN]:
        print(f"{count:>10}  {label_map.display_name_of(label_map.id_of(label))}")
    if len(boxes_by_label) > CLASSES_SHOWN:
        print(f"            and {len(boxes_by_label) - CLASSES_SHOWN} classes with fewer boxes")
    if len(boxes_by_label) < len(label_map):
        print(f"{len(label_map) - len(boxes_by_label)} of the label map's {len(label_map)} classes have no box")
