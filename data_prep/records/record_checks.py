"""Checks of one record by the rules that training reads it by, behind `verify_tfrecords` and `inspect_data`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from data_prep.formats import tf_example
from data_prep.formats.example_proto import example_class
from data_prep.formats.label_map import LabelMap
from data_prep.records import record_rules as rules
from data_prep.records.image_checks import check_image
from data_prep.records.point_index import chance
from data_prep.records.record_report import RecordReport, text_of_value

# Keys that a record need not have, and what stands in for each; others that are optional are not missed.
_MISSED_KEYS: Final = {
    tf_example.IMAGE_SOURCE_ID: "the image goes by its filename, checksum or number",
    tf_example.IMAGE_HEIGHT: "the image has one of its own",
    tf_example.IMAGE_WIDTH: "the image has one of its own",
}


class RecordChecker:
    """Checks records, against a label map if there is one."""

    def __init__(self, label_map: LabelMap | None) -> None:
        """Prepares the checks.

        Args:
            label_map: What class ids and texts must agree with; a text may be the class's name or its display name.
                Without one, all that can be said is that ids begin at 1.
        """
        self._ids_by_text: dict[bytes, int] | None = None
        if label_map is not None:
            self._ids_by_text = {text.encode(): class_id for text, class_id in rules.ids_by_text(label_map).items()}
            self._ids = frozenset(self._ids_by_text.values())
            self._ids_in_words = f"the map's ids are {label_map.items[0].id} to {label_map.max_id}"
        self._example = example_class()

    def __call__(self, serialized: bytes, *, decode_fraction: float = 1.0) -> RecordReport:
        """Checks one record: its keys, their types and lengths, the classes, the boxes, and its image.

        A record without any key about objects is one without boxes, as in the Object Detection API. Keys beyond the
        schema are not looked at.

        Args:
            serialized: A `tf.train.Example`.
            decode_fraction: The share of the images, by chance, that is decoded; of others only the header is read.
        """
        report = RecordReport()
        try:
            example = self._example.FromString(serialized)
        except DecodeError as error:
            report.note(rules.NOT_AN_EXAMPLE, str(error))
            return report
        values = _read_values(example, report)
        report.source_id = _name_of(values)
        fits = _check_lengths(values, report)
        class_ids = self._check_classes(values, report)
        self._check_verified(values, report)
        usable = _check_boxes(values, report) if fits else np.ones(report.num_boxes, np.bool_)
        check_image(values, report, decode=decode_fraction >= 1 or chance(report.source_id, 0) < decode_fraction)
        report.class_ids.update(
            class_id for class_id, is_usable in zip(class_ids, usable, strict=False) if class_id and is_usable
        )
        return report

    def _check_classes(self, values: dict[str, list[Any]], report: RecordReport) -> list[int]:
        """Returns the boxes' label map ids, 0 for a box that is left out since the map lacks its text."""
        texts, ids = values.get(tf_example.CLASS_TEXT, []), values.get(tf_example.CLASS_LABEL, [])
        found = []
        for index in range(max(len(texts), len(ids))):
            text = texts[index] if index < len(texts) else b""
            class_id = ids[index] if index < len(ids) else 0
            if self._ids_by_text is None:
                if ids and class_id < 1:  # where texts stand alone, only a label map could tell
                    detail = f"{tf_example.CLASS_LABEL} {class_id}; 0 is the background, ids begin at 1"
                    report.note(rules.ID_BELOW_ONE, detail)
            elif not text:
                if class_id not in self._ids:
                    report.note(rules.UNKNOWN_ID, f"{tf_example.CLASS_LABEL} {class_id}; {self._ids_in_words}")
            elif (of_text := self._ids_by_text.get(text)) is None:
                beside = f" beside id {class_id}" if ids else ""
                shown = text_of_value(text)
                report.note(rules.UNKNOWN_TEXT, f"{tf_example.CLASS_TEXT} {shown!r}{beside}: the box is left out")
                class_id = 0
            elif of_text != class_id:
                if ids:
                    detail = f"{text_of_value(text)!r} is id {of_text}, and not {class_id}: the text counts"
                    report.note(rules.TEXT_DISAGREES, f"{tf_example.CLASS_TEXT} {detail}")
                class_id = of_text
            found.append(class_id)
        return found

    def _check_verified(self, values: dict[str, list[Any]], report: RecordReport) -> None:
        """Checks the classes of the whole image; those that the map lacks are left out of evaluation."""
        texts, ids = (values.get(key, []) for key in rules.VERIFIED_KEYS)
        if texts and ids and len(texts) != len(ids):
            report.note(rules.UNREAD_KEY, f"image/class/label has {len(ids)} values, image/class/text {len(texts)}")
        for index in range(max(len(texts), len(ids))):
            text = texts[index] if index < len(texts) else b""
            class_id = ids[index] if index < len(ids) else 0
            if self._ids_by_text is not None:
                class_id = self._ids_by_text.get(text, 0) if text else class_id if class_id in self._ids else 0
            if class_id > 0:
                report.verified_class_ids.add(class_id)
            else:
                stored = [f"{tf_example.IMAGE_CLASS_LABEL} {ids[index]}"] if index < len(ids) else []
                stored += [f"{tf_example.IMAGE_CLASS_TEXT} {text_of_value(text)!r}"] if text else []
                report.note(rules.UNKNOWN_VERIFIED, ", ".join(stored))


def _name_of(values: dict[str, list[Any]]) -> str:
    """Returns what training calls the image by."""
    return next((text_of_value(values[key][0]) for key in rules.NAME_KEYS if values.get(key) and values[key][0]), "")


def _read_values(example: Any, report: RecordReport) -> dict[str, list[Any]]:
    """Returns the values of the schema's keys, noting keys that are missing or of another type."""
    features = example.features.feature
    values: dict[str, list[Any]] = {}
    for key, feature in tf_example.FEATURES.items():
        stored = features.get(key)
        kind = stored.WhichOneof("kind") if stored is not None else None
        if kind is None:  # as without the key
            if key == tf_example.IMAGE_ENCODED:
                report.note(rules.MISSING_KEY, key)
            elif key in _MISSED_KEYS:
                report.note(rules.OPTIONAL_KEY, f"{key}; {_MISSED_KEYS[key]}")
            continue
        is_read = key in rules.READ_KEYS
        if kind != f"{feature.kind}_list":
            report.note(
                rules.WRONG_TYPE if is_read else rules.UNREAD_KEY, f"{key} is a {kind}, not a {feature.kind}_list"
            )
            continue
        found = list(getattr(stored, kind).value)
        if not feature.is_list and len(found) != 1:
            detail = f"{key} has {len(found)} values, not 1"
            report.note(rules.NUMBER_OF_VALUES if is_read else rules.UNREAD_KEY, detail)
            continue
        if key == tf_example.OBJECT_AREA and not np.isfinite(found).all():
            report.note(rules.BAD_AREA, f"{key} is {text_of_value(found)}")
        values[key] = found
    return values


def _check_lengths(values: dict[str, list[Any]], report: RecordReport) -> bool:
    """Notes object lists of different lengths; an optional one may be empty, which reads as its default.

    Returns:
        Whether training takes the lists as they are.
    """
    lengths = {key: len(values.get(key, [])) for key in tf_example.OBJECT_KEYS}
    report.num_boxes = max(lengths[key] for key in rules.BOX_KEYS)
    if any(kind == rules.WRONG_TYPE for kind, _ in report.problems):
        return False  # said already, and nothing can be told of what could not be read

    def differing(keys: Iterable[str]) -> list[str]:
        return [key for key in keys if lengths[key] != report.num_boxes and (lengths[key] or key in rules.BOX_KEYS)]

    def listed(keys: Iterable[str]) -> str:
        return ", ".join(f"{key.removeprefix('image/object/')} {lengths[key]}" for key in keys if lengths[key])

    fits = not differing(rules.LIST_KEYS)
    if not fits:
        report.note(rules.UNEQUAL_LENGTHS, listed(rules.LIST_KEYS) or "no boxes")
    elif report.num_boxes and not lengths[tf_example.CLASS_TEXT] and not lengths[tf_example.CLASS_LABEL]:
        detail = f"neither {tf_example.CLASS_TEXT} nor {tf_example.CLASS_LABEL} for {report.num_boxes} boxes"
        report.note(rules.WITHOUT_CLASSES, detail)
    elif report.num_boxes and not lengths[tf_example.CLASS_LABEL]:
        report.note(rules.OPTIONAL_KEY, f"{tf_example.CLASS_LABEL}; the texts name the classes")
    if unread := differing(key for key in tf_example.OBJECT_KEYS if key not in rules.READ_KEYS):
        report.note(rules.UNREAD_KEY, f"{listed(unread)} values for {report.num_boxes} boxes")
    return fits


def _check_boxes(values: dict[str, list[Any]], report: RecordReport) -> npt.NDArray[np.bool_]:
    """Notes what is wrong with boxes; returns which of them training takes, bool [N]."""
    # [N, 4], ymin xmin ymax xmax
    boxes: npt.NDArray[np.float32] = np.array([values.get(key, []) for key in rules.BOX_KEYS], np.float32).T
    weights = np.array(values.get(tf_example.OBJECT_WEIGHT) or [1.0] * len(boxes), np.float32)
    if not len(boxes) or (
        boxes.min() >= 0.0 and boxes.max() <= 1.0 and (boxes[:, 2:] > boxes[:, :2]).all() and np.isfinite(weights).all()
    ):
        return np.ones(len(boxes), np.bool_)  # as nearly always, in a fifth of the time
    with np.errstate(invalid="ignore"):
        usable: npt.NDArray[np.bool_] = rules.are_usable(boxes, weights, _every)
        reasons = {} if usable.all() else rules.reasons_unusable(boxes, weights, _every)
    within = _every((boxes >= -rules.OVERHANG_TOLERANCE) & (boxes <= 1 + rules.OVERHANG_TOLERANCE))
    report.num_unusable = int((~usable).sum())
    for index in np.flatnonzero(~usable | ~within):
        kind = next((kind for kind, holds in reasons.items() if holds[index]), rules.OVERHANG)
        ymin, xmin, ymax, xmax = boxes[index]
        detail = f"box {index}: ymin {ymin:g}, xmin {xmin:g}, ymax {ymax:g}, xmax {xmax:g}"
        report.note(kind, detail + f", weight {weights[index]:g}" * (kind == rules.BAD_WEIGHT))
    return usable


def _every(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    return np.all(mask, axis=1)
