"""Bringing an image to the network's input size, as the pipeline config's `image_resizer` says.

Sizes, kernels and padding are those of the Object Detection API's `core/preprocessor.py` and
`builders/image_resizer_builder.py`. It resizes with TensorFlow's first kernels (no half-pixel centres, no
antialiasing); checkpoints trained there expect that, so the same kernels are used here. One thing differs:
`convert_to_grayscale` gives the network three equal channels, where the API gave one.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from configs.settings.resizers import (
    ConditionalShapeResizer,
    FixedShapeResizer,
    ImageResizer,
    KeepAspectRatioResizer,
    PadToMultipleResizer,
)

# ITU-R BT.601's luma, with the digits that the API wrote.
_LUMA_OF_RGB = (0.2989, 0.5870, 0.1140)


def resize_image(image: tf.Tensor, resizer: ImageResizer) -> tuple[tf.Tensor, tf.Tensor]:
    """Resizes and pads an image, or a batch of images of one size.

    Args:
        image: uint8 or float32 [H, W, 3] or [B, H, W, 3], values 0..255.
        resizer: The model's.

    Returns:
        The image, float32 [H', W', 3] or [B, H', W', 3], padded at the bottom and the right (with zeros unless the
        config's `per_channel_pad_value` says otherwise), and the shape of what is not padding: int32 [3] or [B, 3].
    """
    image = tf.cast(image, tf.float32)
    if isinstance(resizer, FixedShapeResizer):
        resized = _resize(image, [resizer.height, resizer.width], resizer.resize_method)
    elif isinstance(resizer, KeepAspectRatioResizer):
        resized = _resize_to_range(image, resizer)
    elif isinstance(resizer, ConditionalShapeResizer):
        resized = _resize_on_condition(image, resizer)
    else:
        resized = image
    true_shape = _true_shape(resized)
    if isinstance(resizer, KeepAspectRatioResizer) and resizer.pad_to_max_dimension:
        size = (resizer.max_dimension, resizer.max_dimension)
        resized = pad_to_size(resized, size, resizer.per_channel_pad_value)
    elif isinstance(resizer, PadToMultipleResizer):
        multiple = resizer.multiple
        height, width = (-(-side // multiple) * multiple for side in _sides(resized))
        resized = pad_to_size(resized, (height, width))
    if resizer.is_grey:
        resized = _grey(resized)
    return resized, true_shape


def pad_to_size(image: tf.Tensor, size: tuple[Any, Any], values: tuple[float, ...] = ()) -> tf.Tensor:
    """Pads at the bottom and the right.

    Args:
        image: float32 [H, W, 3] or [B, H, W, 3].
        size: Height and width to reach, integers or int32 scalars, at least the image's.
        values: What a padded pixel holds in each of its 3 channels; empty for zeros.
    """
    height, width = _sides(image)
    below_and_right = [[0, size[0] - height], [0, size[1] - width], [0, 0]]
    batch = [] if image.shape.rank == 3 else [[0, 0]]
    padded = tf.pad(image, batch + below_and_right)
    padded.set_shape([*image.shape[:-3], *(side if isinstance(side, int) else None for side in size), 3])
    if any(values):
        inside = tf.pad(tf.ones([height, width, 1]), below_and_right)
        padded += (1.0 - inside) * tf.constant(values, tf.float32)
    return padded


def _resize_to_range(image: tf.Tensor, resizer: KeepAspectRatioResizer) -> tf.Tensor:
    """Resizes until the longer side is max_dimension or the shorter min_dimension, whichever comes first."""
    height, width = _sides(image)
    small, large = resizer.min_dimension, resizer.max_dimension
    bounds = tf.where(height < width, [small, large], [large, small])
    return _resize(image, bounds, resizer.resize_method, preserve_aspect_ratio=True)


def _resize_on_condition(image: tf.Tensor, resizer: ConditionalShapeResizer) -> tf.Tensor:
    """Brings the longer side down to the threshold (GREATER), or the shorter side up to it (SMALLER).

    The API computes sizes in float32 and cuts the fraction off, and aligns corners here, and only here.
    """
    height, width = (tf.convert_to_tensor(side) for side in _sides(image))
    if resizer.condition == "GREATER":
        side = tf.maximum(height, width)
        target = tf.minimum(side, resizer.size_threshold)
    else:
        side = tf.minimum(height, width)
        target = tf.maximum(side, resizer.size_threshold)
    ratio = tf.cast(target, tf.float32) / tf.cast(side, tf.float32)
    # Never 0 pixels, which a very long and thin image would come to.
    size = [tf.maximum(tf.cast(tf.cast(value, tf.float32) * ratio, tf.int32), 1) for value in (height, width)]
    return _resize(image, tf.stack(size), resizer.resize_method, align_corners=True)


def _resize(image: tf.Tensor, size: Any, method: str, **how: bool) -> tf.Tensor:
    return tf.compat.v1.image.resize(image, size, method=getattr(tf.image.ResizeMethod, method), **how)


def _grey(image: tf.Tensor) -> tf.Tensor:
    brightness = tf.reduce_sum(image * tf.constant(_LUMA_OF_RGB), axis=-1, keepdims=True)
    return tf.repeat(brightness, 3, axis=-1)


def _sides(image: tf.Tensor) -> tuple[Any, Any]:
    """Height and width: integers where they are known, int32 scalars otherwise."""
    dynamic = tf.shape(image)
    height, width = image.shape[-3], image.shape[-2]
    return dynamic[-3] if height is None else height, dynamic[-2] if width is None else width


def _true_shape(image: tf.Tensor) -> tf.Tensor:
    shape = tf.shape(image)
    if image.shape.rank == 3:
        return shape
    return tf.tile(shape[tf.newaxis, 1:], [shape[0], 1])
