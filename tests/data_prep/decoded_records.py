"""What TensorFlow reads from records: pixels, and the boxes on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_prep.formats.label_map import read_label_map


def decoded_boxes(record: str, label_map_path: Path) -> Iterator[tuple[NDArray[np.uint8], str, list[float]]]:
    """Yields the image, the class's name and xmin ymin xmax ymax in pixels of each box."""
    import tensorflow as tf

    label_map = read_label_map(label_map_path)
    for content in tf.data.TFRecordDataset(record).as_numpy_iterator():
        features = tf.train.Example.FromString(content).features.feature
        pixels = tf.io.decode_image(features["image/encoded"].bytes_list.value[0]).numpy()
        height, width, _ = pixels.shape
        edges = [features[f"image/object/bbox/{key}"].float_list.value for key in ("xmin", "ymin", "xmax", "ymax")]
        for class_id, *box in zip(features["image/object/class/label"].int64_list.value, *edges, strict=True):
            in_pixels = [edge * side for edge, side in zip(box, (width, height) * 2, strict=True)]
            yield pixels, label_map.name_of(class_id), in_pixels
