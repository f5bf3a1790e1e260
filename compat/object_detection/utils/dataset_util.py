"""Features of a tf.Example, and annotations of Pascal VOC as dictionaries: what `generate_tfrecord.py` scripts call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


def int64_feature(value: int) -> tf.train.Feature:
    """A feature of one whole number."""
    return int64_list_feature([value])


def int64_list_feature(value: Sequence[int]) -> tf.train.Feature:
    """A feature of whole numbers."""
    return tf.train.Feature(int64_list=tf.train.Int64List(value=value))


def bytes_feature(value: bytes) -> tf.train.Feature:
    """A feature of one byte string."""
    return bytes_list_feature([value])


def bytes_list_feature(value: Sequence[bytes]) -> tf.train.Feature:
    """A feature of byte strings."""
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=value))


def float_feature(value: float) -> tf.train.Feature:
    """A feature of one number."""
    return float_list_feature([value])


def float_list_feature(value: Sequence[float]) -> tf.train.Feature:
    """A feature of numbers."""
    return tf.train.Feature(float_list=tf.train.FloatList(value=value))


def read_examples_list(path: str) -> list[str]:
    """The first word of every line: in Pascal VOC's lists the image's name, before 1 or -1."""
    with tf.io.gfile.GFile(path) as file:
        return [line.strip().split(" ")[0] for line in file]


def recursive_parse_xml_to_dict(xml: Any) -> dict[str, Any]:
    """An XML element as a dictionary of its tag.

    Args:
        xml: An element of `xml.etree.ElementTree` or lxml.

    Returns:
        By its tag its text, or a dictionary of its children; `object` is a list, for it alone may come several times.
    """
    if len(xml) == 0:
        return {xml.tag: xml.text}
    found: dict[str, Any] = {}
    for child in xml:
        content = recursive_parse_xml_to_dict(child)[child.tag]
        if child.tag == "object":
            found.setdefault(child.tag, []).append(content)
        else:
            found[child.tag] = content
    return {xml.tag: found}
