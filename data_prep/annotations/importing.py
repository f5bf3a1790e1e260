"""Outputs of an import: points, the label map, images.json, and the printed summary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from data_prep.annotations.conversion import convert
from data_prep.annotations.conversion_options import Options, Summary
from data_prep.annotations.frame import SIZED_AS_SHOWN, SIZED_AS_STORED
from data_prep.annotations.image_entries import LISTED_TWICE
from data_prep.annotations.source_image import SourceSet
from data_prep.formats.json_array import json_array_writer, write_json_array
from data_prep.formats.label_map import MAX_ID, LabelMap, LabelMapItem, read_label_map, write_label_map
from data_prep.runtime.command_line import UserError, printable
from data_prep.runtime.ledger import Ledger
from data_prep.runtime.progress import progress
from data_prep.runtime.summary_lines import NAME_LENGTH, commonest, images_of_rejected_boxes_line

SHOWN = 10  # names in a line
NEW_CLASSES_SHOWN = 5


def import_annotations(
    source: SourceSet,
    *,
    options: Options,
    earlier: LabelMap | None,
    point_path: Path,
    label_map_path: Path,
    images_path: Path | None,
    ledger: Ledger,
) -> tuple[Summary, LabelMap, list[str]]:
    """Writes points, the label map and, where asked for, images.json.

    Args:
        source: From a reader.
        options: How to convert.
        earlier: A label map whose ids stay.
        point_path: points.json to write.
        label_map_path: The label map to write.
        images_path: images.json to write, with the images that have a URL; None for none.
        ledger: Gets what cannot be used.

    Returns:
        What became of the images and boxes, the label map, and what else to say.

    Raises:
        UserError: Nothing is left to write; earlier files stay as they were.
    """
    summary = Summary()
    addresses: list[dict[str, str]] = []
    with json_array_writer(point_path) as write_point:
        shown = progress(source.images, description="import annotations", unit="images")
        for point, url in convert(shown, options, summary, ledger.reject, ledger.note):
            write_point(point)
            if url:
                addresses.append({"id": point["id"], "url": url})
        if not summary.kept_by_label:
            raise UserError(_why_nothing(summary, ledger, options))
        label_map, remark = _label_map_of(source.class_ids, source.class_remark, summary.kept_by_label, earlier)
    remarks = [*source.remarks, f"label map: {remark}"]
    # An equal file keeps its time of change: the other splits' imports, which share it, stay up to date.
    if not label_map_path.exists() or read_label_map(label_map_path) != label_map:
        write_label_map(label_map_path, label_map)
    if images_path is not None:
        count = write_json_array(images_path, addresses)
        remarks.append(f"{count} of {summary.images_kept} images have a URL, in {images_path}")
    elif addresses:
        remarks.append(f"{len(addresses)} images have a URL; --image_index_output_path writes them for the download")
    return summary, label_map, remarks


def _label_map_of(
    class_ids: Mapping[str, int] | None, class_remark: str, labels: Iterable[str], earlier: LabelMap | None
) -> tuple[LabelMap, str]:
    """Returns the label map and what to say of its ids: an earlier one's stay, and the format's own follow.

    Args:
        class_ids: The format's own list of classes; None where only boxes name classes.
        class_remark: What the format's reader says of these ids.
        labels: What boxes name.
        earlier: Its items all stay as they are; classes that it lacks follow its largest id.

    Raises:
        UsageError: There are no classes.
    """
    names = sorted(labels)
    if class_ids is not None:  # what only boxes name, where not all of several files list classes, comes last
        unlisted = [name for name in names if name not in class_ids]
        numbers = range(max(class_ids.values(), default=0) + 1, MAX_ID + 1)
        class_ids = {**class_ids, **dict(zip(unlisted, numbers, strict=False))}
    if earlier is None:
        if class_ids is not None:
            return LabelMap(LabelMapItem(class_id, name) for name, class_id in class_ids.items()), class_remark
        label_map = LabelMap(LabelMapItem(number, name) for number, name in enumerate(names, start=1))
        return label_map, f"{len(names)} classes in the order of their names"
    ordered = sorted(class_ids, key=class_ids.__getitem__) if class_ids is not None else names
    new = [name for name in ordered if name not in earlier]
    items = [LabelMapItem(number, name) for number, name in enumerate(new, start=earlier.max_id + 1)]
    if not new:
        return earlier, f"the {len(earlier)} classes and ids of the earlier label map"
    shown = ", ".join(f"{item.id} {item.name!r}" for item in items[:NEW_CLASSES_SHOWN])
    more = ", ..." * (len(items) > NEW_CLASSES_SHOWN)
    remark = f"the {len(earlier)} classes of the earlier label map keep their ids, and {len(items)} more: {shown}{more}"
    return LabelMap([*earlier.items, *items]), remark


def summary_lines(summary: Summary, ledger: Ledger, options: Options, remarks: Sequence[str]) -> list[str]:
    """Returns what was read, kept and left out, by reason, a line each."""
    not_wanted = f", {summary.images_not_wanted} not in the list" if options.wanted is not None else ""
    lines = [
        f"images: {summary.images_read} read{not_wanted}, {summary.images_kept} kept, "
        f"{summary.images_without_boxes} of them without a box",
        f"boxes: {summary.boxes_read} read, {summary.kept_by_label.total()} kept",
        f"boxes a class: {commonest(summary.kept_by_label, _shortened)}",
        *remarks,
    ]
    if options.wanted is not None and (unmatched := options.wanted.unmatched):
        examples = ", ".join(_shortened(name) for name in unmatched[:SHOWN])
        more = ", ..." * (len(unmatched) > SHOWN)
        count = f"{len(unmatched)} of the {len(options.wanted)}"
        lines.append(f"{count} images in the list have no annotations: {examples}{more}")
    if summary.images_united:
        lines.append(
            f"{summary.images_united} entries were united with an earlier one of their image, "
            f"{summary.boxes_listed_twice} boxes that both have taken once"
        )
    if (num_left_out := ledger.counts[LISTED_TWICE]) and not options.unites_entries:
        lines.append(
            f"{num_left_out} entries left out: their images have an entry already; --images_listed_twice unite takes "
            "the boxes of all"
        )
    if summary.boxes_cut:
        lines.append(
            f"{summary.boxes_cut} boxes stuck out and were cut, the most by {summary.largest_cut:.2g} of the side"
        )
    if summary.images_scaled:
        lines.append(
            f"{summary.images_scaled} images are of another size than annotated, of the same aspect ratio: kept"
        )
    lines += _orientation_lines(summary, ledger, options)
    if summary.images_of_rejected_boxes:
        kept = options.with_images_of_rejected_boxes
        lines.append(images_of_rejected_boxes_line(summary.images_of_rejected_boxes, are_kept=kept))
    if summary.renamed is not None:
        name, image_id = summary.renamed
        lines.append(
            f"{summary.num_renamed} names could not be ids as they are, such as {name[:NAME_LENGTH]!r} -> {image_id}"
        )
    if options.placing_directory is not None:
        done = "linked" if options.placing == "link" else "copied"
        if summary.images_written:
            done = "written out of their records"
        lines.append(
            f"images in {options.placing_directory}: {summary.images_placed} {done}, "
            f"{summary.images_in_place} were there"
        )
    elif summary.images_under_other_names or (summary.num_renamed and options.image_directory is None):
        count = str(summary.images_under_other_names or summary.num_renamed)
        lines.append(
            f"note: {count} images are not called ID.jpg (.png, ...), as the next steps look for them; "
            "--image_output_directory (with --image_directory, if their place is not known) puts them there"
        )
    return [*lines, ledger.summary()]


def _orientation_lines(summary: Summary, ledger: Ledger, options: Options) -> list[str]:
    """Returns what is to say of EXIF orientations."""
    if not summary.images_examined:
        return ["no --image_directory, so no EXIF orientation was looked at: boxes are taken as of the stored pixels"]
    lines = []
    if summary.images_turned:
        how = (
            "shown, and turned to the stored pixels (--boxes_are_of stored takes them as they are)"
            if options.boxes_are_of == "shown"
            else "stored, as --boxes_are_of says"
        )
        lines.append(
            f"{summary.images_turned} images are turned by their EXIF orientation; boxes taken as of the images as "
            + how
        )
    if count := ledger.counts[SIZED_AS_STORED]:
        lines.append(
            f"{count} images left out: annotated in the size of the image as stored, and --boxes_are_of is shown; "
            "if the boxes were drawn without regard to EXIF, give --boxes_are_of stored"
        )
    if count := ledger.counts[SIZED_AS_SHOWN]:
        lines.append(
            f"{count} images left out: annotated in the size of the image as EXIF shows it, and --boxes_are_of is "
            "stored; if the boxes were drawn on it as shown, give --boxes_are_of shown"
        )
    return lines


def _why_nothing(summary: Summary, ledger: Ledger, options: Options) -> str:
    reasons = [f"{summary.images_read} images read"]
    if summary.images_not_wanted:
        reasons.append(f"{summary.images_not_wanted} not in --image_list_path")
    is_flag = ledger.counts[SIZED_AS_STORED] or ledger.counts[SIZED_AS_SHOWN]
    other = "stored" if options.boxes_are_of == "shown" else "shown"
    hint = f"; if boxes were drawn on the images as {other}, give --boxes_are_of {other}" if is_flag else ""
    return f"not one box is left, so nothing is written: {', '.join(reasons)}; {ledger.summary()}{hint}"


def _shortened(name: str) -> str:
    return printable(name, NAME_LENGTH)
