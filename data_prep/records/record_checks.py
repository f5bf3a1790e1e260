"""Checks of one record for what would break training, behind `verify_tfrecords` and `inspect_data`."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from data_prep.formats import tf_example
from data_prep.formats.example_proto import example_class
from data_prep.formats.label_map import LabelMap
from data_prep.images.image_file import FORMATS, NO_END_MARK, ImageError, prepare_image, read_header
from data_prep.records.point_index import chance
from data_prep.records.record_images import is_sound_jpeg, plain_jpeg_size
from data_prep.runtime.command_line import printable
from data_prep.runtime.large_image_turn import LARGE_PIXELS

TOLERANCE = 1e-6  # of a box beyond the image, relative to it: six printed digits, then float32
MAX_SHOWN = 80  # characters of a value in a message: records come from anywhere

# An image that TensorFlow must decode after all wants no accelerator, whose memory it would take from a training.
TENSORFLOW_ENVIRONMENT: Final = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}

# What `image/format` may be, in small letters, by what the file's first bytes say that it is.
_FORMAT_NAMES: Final = {
    "JPEG": (b"jpeg", b"jpg"), "MPO": (b"jpeg", b"jpg"), "PNG": (b"png",), "BMP": (b"bmp",), "GIF": (b"gif",),
    "WEBP": (b"webp",),
}  # fmt: skip
_BOX_KEYS = (tf_example.BOX_YMIN, tf_example.BOX_XMIN, tf_example.BOX_YMAX, tf_example.BOX_XMAX)


@dataclass
class RecordReport:
    """Contents and problems of one record.

    Attributes:
        source_id: The image's id, made safe to print; empty where the record has none.
        num_boxes: How many boxes it has.
        class_ids: Their label map ids, counted.
        verified_class_ids: Those that a person looked for in the whole image, found or not.
        has_image: Whether there is an image that decodes, as far as it was looked at.
        problems: (kind, detail); the kinds are words from a small fixed set.
    """

    source_id: str = ""
    num_boxes: int = 0
    class_ids: Counter[int] = field(default_factory=Counter)
    verified_class_ids: set[int] = field(default_factory=set)
    has_image: bool = False
    problems: list[tuple[str, str]] = field(default_factory=list)

    def note(self, kind: str, detail: str) -> None:
        """Notes a problem."""
        self.problems.append((kind, detail))


class RecordChecker:
    """Checks records, against a label map if there is one."""

    def __init__(self, label_map: LabelMap | None) -> None:
        """Prepares the checks.

        Args:
            label_map: What class ids and texts must agree with; a text may be the class's name or its display name.
                Without one, all that can be said is that ids begin at 1.
        """
        self._texts: dict[int, tuple[bytes, bytes]] | None = None
        if label_map is not None:
            self._texts = {item.id: (item.name.encode(), item.display_name.encode()) for item in label_map.items}
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
            report.note("not a tf.train.Example", str(error))
            return report
        values = _read_values(example, report)
        source_ids = values.get(tf_example.IMAGE_SOURCE_ID)
        report.source_id = text_of_value(source_ids[0]) if source_ids else ""
        _check_lengths(values, report)
        self._check_classes(values, tf_example.CLASS_LABEL, tf_example.CLASS_TEXT, report)
        self._check_classes(values, tf_example.IMAGE_CLASS_LABEL, tf_example.IMAGE_CLASS_TEXT, report)
        _check_boxes(values, report)
        _check_image(values, report, decode=decode_fraction >= 1 or chance(report.source_id, 0) < decode_fraction)
        report.class_ids.update(values.get(tf_example.CLASS_LABEL, []))
        report.verified_class_ids.update(values.get(tf_example.IMAGE_CLASS_LABEL, []))
        return report

    def _check_classes(self, values: dict[str, list[Any]], label_key: str, text_key: str, report: RecordReport) -> None:
        texts = values.get(text_key, [])
        for index, class_id in enumerate(values.get(label_key, [])):
            if self._texts is None:
                if class_id < 1:
                    report.note("class id below 1", f"{label_key} {class_id}; 0 is the background, ids begin at 1")
                continue
            of_class = self._texts.get(class_id)
            if of_class is None:
                named = f" ({text_of_value(texts[index])})" if index < len(texts) else ""
                report.note("class id outside the label map", f"{label_key} {class_id}{named}; {self._ids_in_words}")
            elif index < len(texts) and texts[index] not in of_class:
                text = text_of_value(texts[index])
                report.note(
                    "class text disagrees with id",
                    f"{text_key} {text!r} beside id {class_id}, which is {of_class[0].decode()!r}",
                )


def text_of_value(value: Any) -> str:
    """Returns a value of a record as text that is short and without control characters."""
    text = printable(value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value))
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."


def tensorflow_message(error: Any) -> str:
    """Returns what a `tf.errors.OpError` says in one line, without the name of the node that said it."""
    return re.sub(r"^\{\{[^}]*\}\} ?|\s*\[Op:.*", "", str(error.message), flags=re.DOTALL).strip()


def _read_values(example: Any, report: RecordReport) -> dict[str, list[Any]]:
    """Returns the values of the schema's keys, noting keys that are missing or of another type."""
    features = example.features.feature
    has_objects = any(key in features for key in tf_example.OBJECT_KEYS)
    values: dict[str, list[Any]] = {}
    for key, feature in tf_example.FEATURES.items():
        if key not in features:
            if feature.is_required and (has_objects or key not in tf_example.OBJECT_KEYS):
                report.note("missing key", key)
            continue
        stored = features[key]
        kind = stored.WhichOneof("kind")
        if kind is not None and kind != f"{feature.kind}_list":
            report.note("wrong type", f"{key} is a {kind}, not a {feature.kind}_list")
            continue
        found = list(getattr(stored, kind).value) if kind is not None else []
        if not feature.is_list and len(found) != 1:
            if found or feature.is_required:
                report.note("missing key" if not found else "too many values", f"{key} has {len(found)} values, not 1")
            continue
        if feature.kind == "float" and key not in _BOX_KEYS and not np.isfinite(found).all():
            report.note("not a finite number", f"{key} is {text_of_value(found)}")
        values[key] = found
    return values


def _check_lengths(values: dict[str, list[Any]], report: RecordReport) -> None:
    """Notes object lists of different lengths; an optional one may be empty, which reads as its default."""
    lengths = {
        key: len(values[key])
        for key in tf_example.OBJECT_KEYS
        if key in values and (values[key] or tf_example.FEATURES[key].is_required)
    }
    report.num_boxes = max((lengths[key] for key in _BOX_KEYS if key in lengths), default=0)
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{key.removeprefix('image/object/')} {length}" for key, length in lengths.items())
        report.note("unequal lengths", listed)
    image_labels, image_texts = (
        len(values.get(key, [])) for key in (tf_example.IMAGE_CLASS_LABEL, tf_example.IMAGE_CLASS_TEXT)
    )
    if image_texts and image_labels != image_texts:
        report.note("unequal lengths", f"image/class/label {image_labels}, image/class/text {image_texts}")


def _check_boxes(values: dict[str, list[Any]], report: RecordReport) -> None:
    columns = [values.get(key) for key in _BOX_KEYS]
    if any(column is None for column in columns) or len({len(column or []) for column in columns}) > 1:
        return  # said already: a key is missing, or the lengths differ
    boxes: npt.NDArray[np.float32] = np.array(columns, np.float32).T  # [N, 4], ymin xmin ymax xmax
    within = (boxes >= -TOLERANCE) & (boxes <= 1 + TOLERANCE)  # false for what is not a number
    if within.all() and (boxes[:, 2:] > boxes[:, :2]).all():
        return
    for index, box in enumerate(boxes):
        ymin, xmin, ymax, xmax = box
        if not np.isfinite(box).all():
            kind = "box is not finite"
        elif ymax < ymin or xmax < xmin:
            kind = "reversed box"
        elif ymax == ymin or xmax == xmin:
            kind = "box without area"
        elif box.min() < -TOLERANCE or box.max() > 1 + TOLERANCE:
            kind = "box outside the image"
        else:
            continue
        report.note(kind, f"box {index}: ymin {ymin:g}, xmin {xmin:g}, ymax {ymax:g}, xmax {xmax:g}")


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
            report.note("image does not decode", str(error) if error.detail else error.reason)
            return
    report.has_image = True
    _check_format(image_format, values, report)
    height, width = size
    for key, actual in ((tf_example.IMAGE_HEIGHT, height), (tf_example.IMAGE_WIDTH, width)):
        if key in values and values[key] != [actual]:
            report.note("size differs from the image", f"{key} is {values[key][0]}, the picture's {actual}")


def _check_sum(encoded: bytes, values: dict[str, list[Any]], report: RecordReport) -> None:
    """Notes a checksum that is another file's; an empty one is none, as it reads where the key is left out."""
    stored = values.get(tf_example.IMAGE_SHA256)
    if not stored or not stored[0]:
        return
    actual = hashlib.sha256(encoded).hexdigest()
    if stored[0].lower() != actual.encode():
        detail = f"{tf_example.IMAGE_SHA256} is {text_of_value(stored[0])}, {tf_example.IMAGE_ENCODED}'s {actual}"
        report.note("checksum differs from the image", detail)


def _check_format(image_format: str, values: dict[str, list[Any]], report: RecordReport) -> None:
    stored = values.get(tf_example.IMAGE_FORMAT)
    if stored and stored[0] and stored[0].lower() not in _FORMAT_NAMES[image_format]:
        named = _FORMAT_NAMES[image_format][0].decode()
        detail = f"{tf_example.IMAGE_FORMAT} is {text_of_value(stored[0])!r}, the image a {named}"
        report.note("format differs from the image", detail)


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
