"""The label map of an import: an earlier one's ids stay, the format's own follow, and what boxes name comes by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from data_prep.formats.label_map import LabelMap, LabelMapItem

CLASSES_SHOWN = 5


def label_map_of(
    class_ids: Mapping[str, int] | None, class_remark: str, labels: Iterable[str], earlier: LabelMap | None
) -> tuple[LabelMap, str]:
    """Returns the label map and what to say of its ids.

    Args:
        class_ids: The format's own list of classes; None where only boxes name classes.
        class_remark: What the format's reader says of these ids.
        labels: What boxes name.
        earlier: Its items all stay as they are; classes that it lacks follow its largest id.

    Raises:
        UsageError: There are no classes.
    """
    if earlier is None:
        if class_ids is not None:
            return LabelMap(LabelMapItem(class_id, name) for name, class_id in class_ids.items()), class_remark
        names = sorted(labels)
        label_map = LabelMap(LabelMapItem(number, name) for number, name in enumerate(names, start=1))
        return label_map, f"{len(names)} classes in the order of their names"
    ordered = sorted(class_ids, key=class_ids.__getitem__) if class_ids is not None else sorted(labels)
    new = [name for name in ordered if name not in earlier]
    items = [LabelMapItem(number, name) for number, name in enumerate(new, start=earlier.max_id + 1)]
    if not new:
        return earlier, f"the {len(earlier)} classes and ids of the earlier label map"
    shown = ", ".join(f"{item.id} {item.name!r}" for item in items[:CLASSES_SHOWN])
    more = ", ..." * (len(items) > CLASSES_SHOWN)
    remark = f"the {len(earlier)} classes of the earlier label map keep their ids, and {len(items)} more: {shown}{more}"
    return LabelMap([*earlier.items, *items]), remark
