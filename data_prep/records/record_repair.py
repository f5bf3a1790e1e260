"""Repair of one record: what training would leave out is taken out, what it does without is filled in, all of it named.

The image's bytes stay as they are. What nothing can be done about, such as an image that does not decode, or lists of
unequal lengths, of which nobody can say which value is whose, costs the record.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from data_prep.formats import tf_example
from data_prep.formats.example_proto import example_class
from data_prep.formats.label_map import LabelMap
from data_prep.formats.tf_example import values_of
from data_prep.records import record_rules as rules
from data_prep.records.image_checks import FORMAT_NAMES
from data_prep.records.record_checks import RecordChecker
from data_prep.records.record_report import RecordReport, text_of_value

_OBJECT: Final = "image/object/"
_UNREAD_OBJECT_KEYS: Final = tuple(key for key in tf_example.OBJECT_KEYS if key not in rules.READ_KEYS)


@dataclass
class Repair:
    """Result of a record's repair.

    Attributes:
        record: The serialised `tf.train.Example`, the same bytes where nothing was wrong; None where it is left out.
        name: What names the image, made safe to print; empty where nothing did.
        labels: Names of the classes of its boxes.
        changes: What was filled in, corrected or taken out, in words from a small fixed set.
        left_out: (box's number, or None for the whole record; reason; detail).
    """

    record: bytes | None = None
    name: str = ""
    labels: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    left_out: list[tuple[int | None, str, str]] = field(default_factory=list)


class RecordRepairer:
    """Repairs records by a label map."""

    def __init__(self, label_map: LabelMap) -> None:
        """Prepares the repair.

        Args:
            label_map: Gives ids to class texts, and texts to ids that stand alone.
        """
        self._names = {item.id: item.name for item in label_map}
        self._ids = {text.encode(): class_id for text, class_id in rules.ids_by_text(label_map).items()}
        self._check = RecordChecker(label_map)

    def __call__(self, serialized: bytes, place: str) -> Repair:
        """Repairs one record.

        Args:
            serialized: A `tf.train.Example`, or what should be one.
            place: Names the image where the record does not.
        """
        repair = Repair()
        try:
            example = example_class().FromString(serialized)
        except DecodeError as error:
            repair.left_out.append((None, rules.NOT_AN_EXAMPLE, str(error)))
            return repair
        features = example.features.feature
        _name_image(features, repair, place)
        report = self._check(example.SerializeToString() if repair.changes else serialized)
        repair.name = report.source_id
        fatal = [problem for problem in report.errors if problem[0] != rules.UNKNOWN_ID]
        if fatal:
            repair.left_out.append((None, *fatal[0]))
            return repair
        self._keep_usable_boxes(features, report.num_boxes, repair)
        self._name_classes(features, repair)
        self._keep_verified(features, repair)
        _describe_image(features, report, repair)
        is_changed = bool(repair.changes or repair.left_out)
        repair.record = bytes(example.SerializeToString(deterministic=True)) if is_changed else serialized
        return repair

    def _keep_usable_boxes(self, features: Any, count: int, repair: Repair) -> None:
        """Takes out the boxes that training would leave out, and cuts the others to the image."""
        boxes = np.array([values_of(features, key) for key in rules.BOX_KEYS], np.float32).T.reshape(-1, 4)
        kept = []
        for index, (reason, detail) in enumerate(self._reasons_to_leave_out(features, boxes)):
            if reason:
                repair.left_out.append((index, reason, detail))
            else:
                kept.append(index)
        for key in [key for key in features if key.startswith(_OBJECT)] if len(kept) < count else ():
            if not _keep_values(features[key], kept, count):
                features.pop(key)
                repair.changes.append(f"{key} taken out, as its values are not one a box")
        clipped = np.clip(boxes[kept], 0.0, 1.0)
        if (clipped != boxes[kept]).any():
            repair.changes.append("boxes cut to the image")
            for key, column in zip(rules.BOX_KEYS, clipped.T, strict=True):
                features[key].float_list.value[:] = column.tolist()
        for key in _UNREAD_OBJECT_KEYS:
            if key in features and len(values_of(features, key)) not in (0, len(kept)):
                features.pop(key)
                repair.changes.append(f"{key} taken out, as its values are not one a box")

    def _reasons_to_leave_out(self, features: Any, boxes: npt.NDArray[np.float32]) -> list[tuple[str, str]]:
        """Returns (reason, detail) for each box; both empty for one that is kept."""
        weights = np.array(list(values_of(features, tf_example.OBJECT_WEIGHT)) or [1.0] * len(boxes), np.float32)
        with np.errstate(invalid="ignore"):
            reasons = rules.reasons_unusable(boxes, weights, lambda mask: np.all(mask, axis=1))
        found = []
        for index, (text, class_id) in enumerate(
            _texts_and_ids(features, tf_example.CLASS_TEXT, tf_example.CLASS_LABEL)
        ):
            reason = next((kind for kind, holds in reasons.items() if holds[index]), "")
            if reason:
                ymin, xmin, ymax, xmax = boxes[index]
                found.append((reason, f"ymin {ymin:g}, xmin {xmin:g}, ymax {ymax:g}, xmax {xmax:g}"))
            elif text and text not in self._ids:
                found.append((rules.UNKNOWN_TEXT, repr(text_of_value(text))))
            elif not text and class_id not in self._names:
                found.append((rules.UNKNOWN_ID, f"id {class_id}"))
            else:
                found.append(("", ""))
        return found

    def _name_classes(self, features: Any, repair: Repair) -> None:
        """Gives each box the id and the text of one class."""
        pairs = _texts_and_ids(features, tf_example.CLASS_TEXT, tf_example.CLASS_LABEL)
        ids = [self._ids[text] if text else class_id for text, class_id in pairs]
        repair.labels = [self._names[class_id] for class_id in ids]
        if not ids:
            return
        stored = list(values_of(features, tf_example.CLASS_LABEL))
        if stored != ids:
            repair.changes.append(f"{tf_example.CLASS_LABEL} {'corrected by the text' if stored else 'filled in'}")
            features[tf_example.CLASS_LABEL].int64_list.value[:] = ids
        if not all(text for text, _ in pairs):
            repair.changes.append(f"{tf_example.CLASS_TEXT} filled in")
            texts = [text or name.encode() for (text, _), name in zip(pairs, repair.labels, strict=True)]
            features[tf_example.CLASS_TEXT].bytes_list.value[:] = texts

    def _keep_verified(self, features: Any, repair: Repair) -> None:
        """Takes out classes of the whole image that the label map lacks, and gives the others an id and a text."""
        pairs = _texts_and_ids(features, *rules.VERIFIED_KEYS)
        found = [self._ids.get(text, 0) if text else class_id for text, class_id in pairs]
        ids = [class_id for class_id in found if class_id in self._names]
        texts = [self._names[class_id].encode() for class_id in ids]
        if len(ids) < len(found):
            repair.changes.append("verified classes outside the label map taken out")
        elif ids == list(values_of(features, tf_example.IMAGE_CLASS_LABEL)) and all(text for text, _ in pairs):
            return
        else:
            repair.changes.append("verified classes filled in")
        features[tf_example.IMAGE_CLASS_LABEL].int64_list.value[:] = ids
        features[tf_example.IMAGE_CLASS_TEXT].bytes_list.value[:] = texts


def _name_image(features: Any, repair: Repair, place: str) -> None:
    """Gives the image one source id and one filename; from the other, or its place, where it has none."""
    keys = (tf_example.IMAGE_SOURCE_ID, tf_example.IMAGE_FILENAME)
    names = [next(filter(None, values_of(features, key)), b"") for key in keys]
    for key, name in zip(keys, (names[0] or names[1], names[1] or names[0]), strict=True):
        if key in features and features[key].WhichOneof("kind") not in (None, "bytes_list"):
            continue  # of another type: the checks say so
        _set(features, key, name or place.encode(), repair)


def _describe_image(features: Any, report: RecordReport, repair: Repair) -> None:
    """Fills in size, format and checksum of the image, or corrects them; and areas that are no numbers."""
    height, width = report.image_size
    _set(features, tf_example.IMAGE_HEIGHT, height, repair)
    _set(features, tf_example.IMAGE_WIDTH, width, repair)
    names = FORMAT_NAMES[report.image_format]
    stored = list(values_of(features, tf_example.IMAGE_FORMAT))
    if len(stored) != 1 or stored[0].lower() not in names:
        _set(features, tf_example.IMAGE_FORMAT, names[0], repair)
    digest = hashlib.sha256(values_of(features, tf_example.IMAGE_ENCODED)[0]).hexdigest().encode()
    stored = list(values_of(features, tf_example.IMAGE_SHA256))
    if len(stored) != 1 or stored[0].lower() != digest:
        _set(features, tf_example.IMAGE_SHA256, digest, repair)
    areas = np.array(values_of(features, tf_example.OBJECT_AREA), np.float32)
    if not np.isfinite(areas).all():
        boxes = np.array([values_of(features, key) for key in rules.BOX_KEYS], np.float32).T
        of_boxes = tf_example.box_areas(boxes, height, width)
        features[tf_example.OBJECT_AREA].float_list.value[:] = np.where(np.isfinite(areas), areas, of_boxes).tolist()
        repair.changes.append(f"{tf_example.OBJECT_AREA} corrected")


def _set(features: Any, key: str, value: Any, repair: Repair) -> None:
    """Gives a key one value, unless it has just that."""
    stored = list(values_of(features, key))
    if stored == [value]:
        return
    repair.changes.append(f"{key} {'corrected' if any(stored) else 'filled in'}")
    features.pop(key, None)
    getattr(features[key], f"{tf_example.FEATURES[key].kind}_list").value.append(value)


def _keep_values(feature: Any, kept: Sequence[int], count: int) -> bool:
    """Keeps the values of some of `count` boxes, each of which has equally many; returns whether that could be done."""
    kind = feature.WhichOneof("kind")
    if kind is None:
        return True
    values = getattr(feature, kind).value
    if len(values) % count:
        return False
    each = len(values) // count
    values[:] = [value for index in kept for value in values[index * each : (index + 1) * each]]
    return True


def _texts_and_ids(features: Any, text_key: str, id_key: str) -> list[tuple[bytes, int]]:
    """Returns class texts and ids in pairs; an empty text or 0 where there is none."""
    texts, ids = values_of(features, text_key), values_of(features, id_key)
    return [
        (texts[index] if index < len(texts) else b"", ids[index] if index < len(ids) else 0)
        for index in range(max(len(texts), len(ids)))
    ]
