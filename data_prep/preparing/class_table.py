"""The table that a preparation ends with: records, and images and boxes of each class, by split."""

from __future__ import annotations

from collections.abc import Mapping

from data_prep.records.manifest import Manifest

CLASSES_SHOWN = 40


def class_table(manifests: Mapping[str, Manifest]) -> list[str]:
    """Returns a line a class, in the label map's order, and one for all.

    Args:
        manifests: What was written, by split; at least one.
    """
    totals = {split: manifest.total() for split, manifest in manifests.items()}
    items = list(next(iter(manifests.values())).label_map)
    header = "".join(f"{split + ' images':>19}{'boxes':>9}" for split in totals)
    lines = [f"{'id':>4}  {'class':<24}{header}"]
    for item in items[:CLASSES_SHOWN]:
        counts = "".join(
            f"{total.images_by_label[item.name]:>19}{total.boxes_by_label[item.name]:>9}" for total in totals.values()
        )
        lines.append(f"{item.id:>4}  {(item.display_name or item.name)[:23]:<24}{counts}")
    if len(items) > CLASSES_SHOWN:
        lines.append(f"      ... and {len(items) - CLASSES_SHOWN} more classes; the manifests list them all")
    counts = "".join(f"{total.num_images:>19}{total.boxes_by_label.total():>9}" for total in totals.values())
    lines.append(f"      {'all':<24}{counts}")
    for split, total in totals.items():
        bare = [item.display_name or item.name for item in items if not total.boxes_by_label[item.name]]
        if bare:
            more = f" and {len(bare) - 5} more" if len(bare) > 5 else ""
            lines.append(f"{split} has no box of {len(bare)} of {len(items)} classes: {', '.join(bare[:5])}{more}")
    return lines
