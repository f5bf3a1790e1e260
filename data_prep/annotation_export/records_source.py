"""Images to export from records, which hold their sizes and files themselves."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from data_prep.annotation_export.export_summary import ExportSummary
from data_prep.annotation_export.exported_image import ExportedBox, ExportedImage
from data_prep.annotations.image_ids import image_id_of
from data_prep.formats import tf_example
from data_prep.formats.example_proto import example_class
from data_prep.formats.label_map import LabelMap
from data_prep.formats.tf_example import values_of
from data_prep.images.image_file import read_header, read_orientation
from data_prep.images.png_data import has_metadata
from data_prep.records import record_rules as rules
from data_prep.records.manifest import class_differences, manifest_path_of_shard, read_manifest
from data_prep.records.record_checks import RecordChecker
from data_prep.records.record_files import CorruptRecordError, read_record_file
from data_prep.records.record_images import plain_jpeg_size
from data_prep.records.record_report import text_of_value
from data_prep.records.shard_checks import CORRUPT_FILE
from data_prep.runtime.command_line import UserError
from data_prep.runtime.ledger import Ledger, RejectedError

# Problems after which a record's boxes or its image mean nothing. Others are a box's own.
_OF_WHOLE_RECORD: Final = frozenset(
    {
        rules.NOT_AN_EXAMPLE, rules.MISSING_KEY, rules.WRONG_TYPE, rules.NUMBER_OF_VALUES, rules.UNEQUAL_LENGTHS,
        rules.WITHOUT_CLASSES, rules.BROKEN_IMAGE, rules.OTHER_SIZE,
    }
)  # fmt: skip
_SUFFIXES: Final = {"JPEG": ".jpg", "MPO": ".jpg"}  # of others in small letters, by their format's name
_FLAG_KEYS: Final = {
    tf_example.OBJECT_OCCLUDED: "is_occluded",
    tf_example.OBJECT_TRUNCATED: "is_truncated",
    tf_example.OBJECT_GROUP_OF: "is_group_of",
    tf_example.OBJECT_DEPICTION: "is_depiction",
    tf_example.OBJECT_DIFFICULT: "is_difficult",
    tf_example.OBJECT_IS_CROWD: "is_crowd",
}
_BOX_KEYS: Final = (tf_example.BOX_XMIN, tf_example.BOX_YMIN, tf_example.BOX_XMAX, tf_example.BOX_YMAX)
_SAME_AREA: Final = 0.001  # by how much the box's own area may be off after float32


def refuse_another_label_map(shards: Sequence[str], label_map: LabelMap) -> None:
    """Refuses a label map that differs from the one that the shards' manifests name; raises UserError."""
    for path in dict.fromkeys(map(manifest_path_of_shard, shards)):
        manifest = read_manifest(path)
        differences = class_differences(manifest, label_map) if manifest is not None else []
        if differences:
            raise UserError(f"{path} (there) and --label_map_path (here): {differences[0]}")


def images_of_records(
    shards: Sequence[str], label_map: LabelMap, *, are_shown: bool, summary: ExportSummary, ledger: Ledger
) -> Iterator[ExportedImage]:
    """Yields the images of records, in their order; one is in memory at a time.

    An image is called by its record's `image/filename` (or else its `image/source_id`), as `import_annotations` makes
    ids of names, and by the suffix of the format that it has.

    Args:
        shards: Record files.
        label_map: The classes.
        are_shown: Whether boxes shall be of the images as EXIF turns them.
        summary: Counted in.
        ledger: Takes records and boxes that are not exported.
    """
    check, example = RecordChecker(label_map), example_class()
    ids = {text.encode(): class_id for text, class_id in rules.ids_by_text(label_map).items()}
    places: dict[str, str] = {}
    for where, serialized in _records(shards, ledger):
        report = check(serialized, decode_fraction=0.0)
        summary.images_read += 1
        summary.boxes_read += report.num_boxes
        problem = next((problem for problem in report.problems if problem[0] in _OF_WHOLE_RECORD), None)
        if problem is not None:
            ledger.reject(where, problem[0], f"image {report.source_id}: {problem[1]}")
            summary.boxes_lost += report.num_boxes
            continue
        features = example.FromString(serialized).features.feature
        try:
            image, orientation = _image(features, ids, where, ledger)
            if image.image_id in places:
                raise RejectedError("image listed twice", f"{image.image_id}, as at {places[image.image_id]}")
        except RejectedError as error:
            ledger.reject(where, error.reason, error.detail)
            summary.boxes_lost += report.num_boxes
            continue
        places[image.image_id] = where
        summary.boxes_lost += report.num_boxes - len(image.boxes)
        if report.num_boxes and not image.boxes:
            # Written, it would be one without objects.
            summary.images_of_rejected_boxes += 1
            ledger.note(where, "all its boxes were rejected", f"image {image.image_id}: {report.num_boxes}")
            continue
        yield image.as_shown(orientation) if are_shown else image


def _records(shards: Sequence[str], ledger: Ledger) -> Iterator[tuple[str, bytes]]:
    for shard in shards:
        index = 0
        try:
            for serialized in read_record_file(shard):
                yield f"{shard}, record {index}", serialized
                index += 1
        except CorruptRecordError as error:
            ledger.reject(f"{shard}, record {index}", CORRUPT_FILE, str(error))


def _image(features: Any, ids: Mapping[bytes, int], where: str, ledger: Ledger) -> tuple[ExportedImage, int]:
    """Returns an image and its EXIF orientation; raises RejectedError for a name that leads elsewhere."""
    encoded: bytes = values_of(features, tf_example.IMAGE_ENCODED)[0]
    size = plain_jpeg_size(encoded)
    image_format = "JPEG"
    if size is None:
        header = read_header(encoded)
        size, image_format = (header.height, header.width), header.format
    height, width = size
    given = (values_of(features, key) for key in (tf_example.IMAGE_FILENAME, tf_example.IMAGE_SOURCE_ID))
    name = next((values[0].decode("utf-8", "replace") for values in given if len(values) and values[0]), "")
    image = ExportedImage(
        image_id=image_id_of(name),
        suffix=_SUFFIXES.get(image_format, f".{image_format.lower()}"),
        width=width,
        height=height,
        boxes=tuple(_boxes(features, ids, (width, height), where, ledger)),
        content=encoded,
        num_verified_labels=len(values_of(features, tf_example.IMAGE_CLASS_LABEL)),
    )
    return image, read_orientation(io.BytesIO(encoded)) if _may_be_turned(encoded, image_format) else 1


def _may_be_turned(encoded: bytes, image_format: str) -> bool:
    # Pillow decodes a PNG to look for EXIF behind its pixels; few have any.
    if image_format == "PNG":
        return has_metadata(io.BytesIO(encoded))
    return image_format not in _SUFFIXES or b"Exif" in encoded


def _boxes(
    features: Any, ids: Mapping[bytes, int], size: tuple[int, int], where: str, ledger: Ledger
) -> Iterator[ExportedBox]:
    columns = [values_of(features, key) for key in _BOX_KEYS]
    texts, areas, weights = (
        values_of(features, key) for key in (tf_example.CLASS_TEXT, tf_example.OBJECT_AREA, tf_example.OBJECT_WEIGHT)
    )
    flags = {flag: values_of(features, key) for key, flag in _FLAG_KEYS.items()}
    labels = values_of(features, tf_example.CLASS_LABEL) or [0] * len(texts)
    for index, (label, *edges) in enumerate(zip(labels, *columns, strict=True)):
        try:
            class_id = _class_id(label, texts[index] if index < len(texts) else b"", ids)
            xmin, ymin, xmax, ymax = _checked_edges(edges)
        except RejectedError as error:
            ledger.reject(f"{where}, box {index}", error.reason, error.detail)
            continue
        yield ExportedBox(
            class_id,
            xmin,
            ymin,
            xmax,
            ymax,
            flags=frozenset(flag for flag, values in flags.items() if index < len(values) and values[index]),
            segment_area=_segment_area(areas, index, (xmax - xmin) * (ymax - ymin), size[0] * size[1]),
            weight=weights[index] if index < len(weights) else 1.0,
        )


def _class_id(label: int, text: bytes, ids: Mapping[bytes, int]) -> int:
    """Returns a box's class, of which the text counts, as in training; raises RejectedError for an unknown one."""
    if text and text not in ids:
        raise RejectedError(rules.UNKNOWN_TEXT, f"class text {text_of_value(text)!r} beside id {label}")
    if not text and label not in ids.values():
        raise RejectedError(rules.UNKNOWN_ID, f"class id {label}")
    return ids[text] if text else label


def _checked_edges(edges: Sequence[float]) -> list[float]:
    """Returns xmin, ymin, xmax, ymax cut to 0..1; raises RejectedError for what is no box."""
    shown = ", ".join(f"{name} {edge:g}" for name, edge in zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True))
    if not all(map(math.isfinite, edges)):
        raise RejectedError(rules.NOT_FINITE, shown)
    if edges[2] < edges[0] or edges[3] < edges[1]:
        raise RejectedError(rules.REVERSED, shown)
    if min(edges) < -rules.MAX_OVERHANG or max(edges) > 1 + rules.MAX_OVERHANG:
        raise RejectedError(rules.FAR_OUTSIDE, shown)
    cut = [min(max(edge, 0.0), 1.0) for edge in edges]
    if cut[2] == cut[0] or cut[3] == cut[1]:
        raise RejectedError(rules.WITHOUT_AREA, shown)
    return cut


def _segment_area(areas: Sequence[float], index: int, box_share: float, num_pixels: int) -> float | None:
    """Returns the share of the image that an object covers, where its record's area is another than its box's."""
    if index >= len(areas):
        return None
    share = areas[index] / num_pixels
    # Below a pixel it is no object's area in pixels, and beyond its box neither.
    is_known = areas[index] >= 1.0 and share < box_share * (1 - _SAME_AREA)
    return share if is_known else None
