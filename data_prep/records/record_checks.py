"""Checks of one record by the rules that training reads it by, behind `verify_tfrecords` and `inspect_data`."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from data_prep.formats import tf_example
from data_prep.formats.example_proto import example_class
from data_prep.formats.label_map import LabelMap
from data_prep.images.image_file import FORMATS, NO_END_MARK, ImageError, prepare_image, read_header
from data_prep.records import record_rules as rules
from data_prep.records.point_index import chance
from data_prep.records.record_images import is_sound_jpeg, plain_jpeg_size
from data_prep.records.record_rules import SEVERITIES, Severity
from data_prep.runtime.command_line import printable
from data_prep.runtime.large_image_turn import LARGE_PIXELS

MAX_SHOWN = 80  # characters of a value in a message: records come from anywhere

# An image that TensorFlow must decode after all wants no accelerator, whose memory it would take from a training.
TENSORFLOW_ENVIRONMENT: Final = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}

# What `image/format` may be, in small letters, by what the file's first bytes say that it is.
FORMAT_NAMES: Final = {
    "JPEG": (b"jpeg", b"jpg"), "MPO": (b"jpeg", b"jpg"), "PNG": (b"png",), "BMP": (b"bmp",), "GIF": (b"gif",),
    "WEBP": (b"webp",),
}  # fmt: skip
# Keys that a record need not have, and what stands in for each; others that are optional are not missed.
_MISSED_KEYS: Final = {
    tf_example.IMAGE_SOURCE_ID: "the image goes by its filename, checksum or number",
    tf_example.IMAGE_HEIGHT: "the image has one of its own",
    tf_example.IMAGE_WIDTH: "the image has one of its own",
}


@dataclass
class RecordReport:
    """Contents and problems of one record.

    Attributes:
        source_id: The image's id, or else what training names it by, made safe to print; empty where there is neither.
        num_boxes: How many boxes it has.
        num_unusable: Of these, those that training leaves out for their place or weight.
        class_ids: Label map ids of the boxes that training takes, counted.
        verified_class_ids: Those that a person looked for in the whole image, found or not.
        has_image: Whether there is an image that decodes, as far as it was looked at.
        image_size: Its height and width, where there is one.
        image_format: Pillow's name for its format.
        problems: (kind, detail); the kinds are those of `record_rules.SEVERITIES`.
    """

    source_id: str = ""
    num_boxes: int = 0
    num_unusable: int = 0
    class_ids: Counter[int] = field(default_factory=Counter)
    verified_class_ids: set[int] = field(default_factory=set)
    has_image: bool = False
    image_size: tuple[int, int] = (0, 0)
    image_format: str = ""
    problems: list[tuple[str, str]] = field(default_factory=list)

    def note(self, kind: str, detail: str) -> None:
        """Notes a problem."""
        self.problems.append((kind, detail))

    @property
    def errors(self) -> list[tuple[str, str]]:
        """The problems that stop training."""
        return [problem for problem in self.problems if SEVERITIES[problem[0]] is Severity.ERROR]


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
        _check_image(values, report, decode=decode_fraction >= 1 or chance(report.source_id, 0) < decode_fraction)
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


def text_of_value(value: Any) -> str:
    """Returns a value of a record as text that is short and without control characters."""
    text = printable(value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value))
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."


def tensorflow_message(error: Any) -> str:
    """Returns what a `tf.errors.OpError` says in one line, without the name of the node that said it."""
    return re.sub(r"^\{\{[^}]*\}\} ?|\s*\[Op:.*", "", str(error.message), flags=re.DOTALL).strip()


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


def _check_image(values: dict[str, list[Any]], report: RecordReport, *, decode: bool) -> None:
    encoded = values.get(tf_example.IMAGE_ENCODED)
    if not encoded:
        return  # said already
    _check_sum(encoded[0], values, report)
    size, image_format = plain_jpeg_size(encoded[0]), "JPEG"
    if size is None or (decode and not is_sound_jpeg(encoded[0], size)):
        try:
            size, image_format = _doubtful_image(encoded[0], decode)
        except ImageError as error:
            report.note(rules.BROKEN_IMAGE, str(error) if error.detail else error.reason)
            return
    report.has_image, report.image_size, report.image_format = True, size, image_format
    _check_format(image_format, values, report)
    height, width = size
    for key, actual in ((tf_example.IMAGE_HEIGHT, height), (tf_example.IMAGE_WIDTH, width)):
        if key in values and values[key] != [actual]:
            report.note(rules.OTHER_SIZE, f"{key} is {values[key][0]}, the picture's {actual}")


def _check_sum(encoded: bytes, values: dict[str, list[Any]], report: RecordReport) -> None:
    """Notes a checksum that is another file's; an empty one is none, as it reads where the key is left out."""
    stored = values.get(tf_example.IMAGE_SHA256)
    if not stored or not stored[0]:
        return
    actual = hashlib.sha256(encoded).hexdigest()
    if stored[0].lower() != actual.encode():
        detail = f"{tf_example.IMAGE_SHA256} is {text_of_value(stored[0])}, {tf_example.IMAGE_ENCODED}'s {actual}"
        report.note(rules.OTHER_CHECKSUM, detail)


def _check_format(image_format: str, values: dict[str, list[Any]], report: RecordReport) -> None:
    stored = values.get(tf_example.IMAGE_FORMAT)
    if stored and stored[0] and stored[0].lower() not in FORMAT_NAMES[image_format]:
        named = FORMAT_NAMES[image_format][0].decode()
        detail = f"{tf_example.IMAGE_FORMAT} is {text_of_value(stored[0])!r}, the image a {named}"
        report.note(rules.OTHER_FORMAT, detail)


def _doubtful_image(encoded: bytes, decode: bool) -> tuple[tuple[int, int], str]:
    """Returns (height, width) and Pillow's name for the format of what is no plain, sound JPEG.

    Raises:
        ImageError: What training decodes with cannot decode it.
    """
    header = read_header(encoded)  # first, for its bound on the pixels: TensorFlow has none
    if not decode:
        return (header.height, header.width), header.format
    if header.height * header.width > LARGE_PIXELS:
        _check_large_image(encoded, header.format)
        return (header.height, header.width), header.format
    import tensorflow as tf

    try:
        height, width, _ = tf.io.decode_image(encoded, channels=3, expand_animations=False).shape
    except tf.errors.InvalidArgumentError as error:
        raise ImageError(tensorflow_message(error)) from error
    return (height, width), header.format


def _check_large_image(encoded: bytes, image_format: str) -> None:
    """Decodes a large image by Pillow: TensorFlow takes 1 GB for it, and keeps the pixels when they are not wanted.

    Raises:
        ImageError: It does not decode, or is one that TensorFlow does not take though Pillow does.
    """
    prepared = prepare_image(encoded, keep_formats=FORMATS)
    if image_format == "WEBP" or NO_END_MARK in prepared.changes:
        raise ImageError("does not decode", f"a {image_format} that TensorFlow does not take: write it as a JPEG")
