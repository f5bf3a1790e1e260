"""The printed summary of the commands that write records."""

from __future__ import annotations

from collections import Counter

from data_prep.formats.label_map import LabelMap
from data_prep.records import record_policies
from data_prep.records.shard_report import ShardReport

CLASSES_SHOWN = 20


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
        print(f"{present + absent} verified labels of whole pictures: {present} present, {absent} absent")
    boxes_by_label = total.boxes_by_label
    print(f"{boxes_by_label.total():>10}  boxes, of which")
    most = sorted(boxes_by_label.items(), key=lambda item: (-item[1], label_map.id_of(item[0])))
    for label, count in most[:CLASSES_SHOWN]:
        print(f"{count:>10}  {label_map.display_name_of(label_map.id_of(label))}")
    if len(boxes_by_label) > CLASSES_SHOWN:
        print(f"            and {len(boxes_by_label) - CLASSES_SHOWN} classes with fewer boxes")
    if len(boxes_by_label) < len(label_map):
        print(f"{len(label_map) - len(boxes_by_label)} of the label map's {len(label_map)} classes have no box")
