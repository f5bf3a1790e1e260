"""Statistics of the batch norms of a network whose own were folded away, from images.

Batch norm i of the imported network adds a bias to its input x and changes nothing else. With the mean m and variance v
of x over some images, gamma sqrt(v + epsilon) and beta bias + m give the same sum in inference, and a batch norm that
means in training what it says.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from data_prep.runtime.command_line import UserError
from train.inputs.resize import resize_image
from train.models.detector import Detector

SUFFIXES = (".jpg", ".jpeg", ".png")
MAX_IMAGES = 64
FEW_IMAGES = 20
_MAX_FILE_BYTES = 64 << 20


def calibration_images(folder: Path) -> list[Path]:
    """At most `MAX_IMAGES` JPEGs and PNGs in a folder and its folders, spread evenly over them.

    Raises:
        UserError: There is no such folder, or none in it.
    """
    if not folder.is_dir():
        raise UserError(f"--calibration_images {folder}: no such folder")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise UserError(f"--calibration_images {folder}: holds no {', '.join(SUFFIXES)}")
    places = np.linspace(0, len(paths) - 1, min(len(paths), MAX_IMAGES)).round().astype(int)
    return [paths[place] for place in places]


def calibrate(detector: Detector, paths: Sequence[Path]) -> str:
    """Gives every batch norm the statistics of its input over images, and the scale and offset that undo them.

    Args:
        detector: Whose batch norms have gamma 1, mean 0 and variance 1 less epsilon.
        paths: Of images.

    Returns:
        A sentence that says what was done.

    Raises:
        UserError: No image can be read, or a batch norm has no scale.
    """
    norms = [
        layer for layer in detector.network._flatten_layers() if isinstance(layer, tf_keras.layers.BatchNormalization)
    ]
    if any(norm.gamma is None or norm.beta is None for norm in norms):
        raise UserError("--calibration_images: a batch norm without scale or center cannot undo statistics; set both")
    moments = {id(norm): _Moments() for norm in norms}
    for norm in norms:
        norm.call = types.MethodType(_recording(moments[id(norm)]), norm)
    try:
        unreadable = _run(detector, paths)
    finally:
        for norm in norms:
            del norm.call
    for norm in norms:
        mean, variance = moments[id(norm)].result()
        norm.beta.assign(norm.beta.numpy() + mean)
        norm.gamma.assign(np.sqrt(variance + norm.epsilon))
        norm.moving_mean.assign(mean)
        norm.moving_variance.assign(variance)
    count = len(paths) - len(unreadable)
    sentence = f"batch norms: statistics of {len(norms)} from {count} images, so that training means what it says"
    if count < FEW_IMAGES:
        sentence += f"; {count} are few: give {FEW_IMAGES} or more"
    return sentence + (f"; not read: {', '.join(unreadable[:3])}" if unreadable else "")


class _Moments:
    """Sums over cells and images, channel by channel."""

    def __init__(self) -> None:
        self._count, self._sum, self._squares = 0, np.zeros(1), np.zeros(1)

    def add(self, values: np.ndarray) -> None:
        rows = values.reshape(-1, values.shape[-1]).astype(np.float64)
        self._count += len(rows)
        self._sum = self._sum + rows.sum(axis=0)
        self._squares = self._squares + np.square(rows).sum(axis=0)

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        mean = self._sum / max(self._count, 1)
        return mean, np.maximum(self._squares / max(self._count, 1) - np.square(mean), 0.0)


def _recording(moments: _Moments) -> Any:
    def call(layer: Any, inputs: tf.Tensor, training: bool | None = None, mask: Any = None) -> tf.Tensor:
        moments.add(inputs.numpy())
        return type(layer).call(layer, inputs, training=training, mask=mask)

    return call


def _run(detector: Detector, paths: Iterable[Path]) -> list[str]:
    """Runs the network on each image; returns the names of those that cannot be read."""
    unreadable = []
    count = 0
    for path in paths:
        try:
            if path.stat().st_size > _MAX_FILE_BYTES:
                raise ValueError("too large")
            image = tf.io.decode_image(path.read_bytes(), channels=3, expand_animations=False)
        except (OSError, ValueError, tf.errors.OpError):
            unreadable.append(path.name)
            continue
        resized, shape = resize_image(tf.cast(image, tf.float32), detector.settings.image_resizer)
        detector.network(detector.preprocess(resized[tf.newaxis], shape[tf.newaxis]), training=False)
        count += 1
    if not count:
        raise UserError(f"--calibration_images: none of {len(unreadable)} images can be read, first {unreadable[0]}")
    return unreadable
