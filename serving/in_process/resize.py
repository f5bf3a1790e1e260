"""The resizing of TensorFlow's first kernels in NumPy, for models that run where TensorFlow is not."""

from __future__ import annotations

import numpy as np


def resize_bilinear(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes as `tf.compat.v1.image.resize_bilinear` does: no half-pixel centres, no antialiasing.

    Detectors are trained on images that were resized so (`train.inputs.resize`).

    Args:
        pixels: float32 [H, W, C].
        size: Height and width of the result.

    Returns:
        float32 [height, width, C].
    """
    for axis, length in enumerate(size):
        source_length = pixels.shape[axis]
        if source_length == length:
            continue
        places = np.arange(length, dtype=np.float32) * np.float32(source_length / length)
        low = np.minimum(places.astype(np.int64), source_length - 1)
        high = np.minimum(low + 1, source_length - 1)
        share = (places - low).astype(np.float32).reshape([-1, 1, 1] if axis == 0 else [1, -1, 1])
        lower, upper = np.take(pixels, low, axis), np.take(pixels, high, axis)
        pixels = lower + (upper - lower) * share
    return pixels
