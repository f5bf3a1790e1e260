"""Checks of a record's image: whether training can decode it, and whether it is what the record says of it."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

from data_prep.formats import tf_example
from data_prep.images.image_file import FORMATS, ImageError, read_header
from data_prep.images.prepared_image import NO_END_MARK, prepare_image
from data_prep.records import record_rules as rules
from data_prep.records.record_images import is_sound_jpeg, plain_jpeg_size
from data_prep.records.record_report import RecordReport, text_of_value
from data_prep.runtime.large_image_turn import LARGE_PIXELS

# An image that TensorFlow must decode after all wants no accelerator, whose memory it would take from a training.
TENSORFLOW_ENVIRONMENT: Final = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}

# What `image/format` may be, in small letters, by what the file's first bytes say that it is.
FORMAT_NAMES: Final = {
    "JPEG": (b"jpeg", b"jpg"), "MPO": (b"jpeg", b"jpg"), "PNG": (b"png",), "BMP": (b"bmp",), "GIF": (b"gif",),
    "WEBP": (b"webp",),
}  # fmt: skip


def check_image(values: dict[str, list[Any]], report: RecordReport, *, decode: bool) -> None:
    """Notes what is wrong with an image, its size, format and checksum, and what it is.

    Args:
        values: Of the record, by its keys.
        report: Of the record.
        decode: Whether the image is decoded; else its header is read.
    """
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
            report.note(rules.OTHER_SIZE, f"{key} is {values[key][0]}, the image's {actual}")


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


def tensorflow_message(error: Any) -> str:
    """Returns what a `tf.errors.OpError` says in one line, without the name of the node that said it."""
    return re.sub(r"^\{\{[^}]*\}\} ?|\s*\[Op:.*", "", str(error.message), flags=re.DOTALL).strip()
