"""Bringing a picture to the network's input size, as the pipeline config's `image_resizer` says.

The Object Detection API resizes with TensorFlow's first kernels (no half-pixel centres, no antialiasing). Checkpoints
trained there expect that, so the same kernels are used here.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from data_prep.command_line import UsageError

_METHODS = ("BILINEAR", "NEAREST_NEIGHBOR", "BICUBIC", "AREA")  # by number in the schema's ResizeType
SUPPORTED_RESIZERS = ("fixed_shape_resizer", "keep_aspect_ratio_resizer")


def check_image_resizer(image_resizer: Any, where: str = "image_resizer") -> None:
    """Refuses what `resize_image` cannot do.

    Args:
        image_resizer: The `ImageResizer` message.
        where: Its path in the config, for the message.

    Raises:
        UsageError: No resizer, one that is not supported, or sizes that make no sense.
    """
    kind = image_resizer.WhichOneof("image_resizer_oneof")
    if kind not in SUPPORTED_RESIZERS:
        found = f"{where}.{kind} is not supported" if kind else f"{where} is not set"
        raise UsageError(f"{found}; use {' or '.join(SUPPORTED_RESIZERS)}")
    resizer = getattr(image_resizer, kind)
    if resizer.convert_to_grayscale:
        raise UsageError(f"{where}.{kind}.convert_to_grayscale is not supported: the networks take RGB; remove it")
    if kind == "fixed_shape_resizer":
        if resizer.height < 1 or resizer.width < 1:
            raise UsageError(f"{where}.{kind}: height {resizer.height} and width {resizer.width} must be 1 or more")
        return
    if not 1 <= resizer.min_dimension <= resizer.max_dimension:
        raise UsageError(
            f"{where}.{kind}: min_dimension {resizer.min_dimension} must lie between 1 and "
            f"max_dimension {resizer.max_dimension}"
        )
    if len(resizer.per_channel_pad_value) not in (0, 3):
        raise UsageError(f"{where}.{kind}.per_channel_pad_value has {len(resizer.per_channel_pad_value)} values, not 3")


def static_input_size(image_resizer: Any) -> tuple[int | None, int | None]:
    """Returns the height and width, in pixels, of every picture that `resize_image` returns.

    Both are None where they depend on the picture: `keep_aspect_ratio_resizer` without `pad_to_max_dimension`.

    Raises:
        UsageError: As `check_image_resizer`.
    """
    check_image_resizer(image_resizer)
    if image_resizer.WhichOneof("image_resizer_oneof") == "fixed_shape_resizer":
        return image_resizer.fixed_shape_resizer.height, image_resizer.fixed_shape_resizer.width
    resizer = image_resizer.keep_aspect_ratio_resizer
    if resizer.pad_to_max_dimension:
        return resizer.max_dimension, resizer.max_dimension
    return None, None


def resize_image(image: tf.Tensor, image_resizer: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Resizes and pads a picture, or a batch of pictures of one size.

    Args:
        image: uint8 or float32 [H, W, 3] or [B, H, W, 3], values 0..255.
        image_resizer: The `ImageResizer` message.

    Returns:
        The picture, float32 [H', W', 3] or [B, H', W', 3], padded at the bottom and the right (with zeros unless the
        config's `per_channel_pad_value` says otherwise), and the shape of what is not padding: int32 [3] or [B, 3].

    Raises:
        UsageError: As `check_image_resizer`.
    """
    check_image_resizer(image_resizer)
    kind = image_resizer.WhichOneof("image_resizer_oneof")
    resizer = getattr(image_resizer, kind)
    method = _METHODS[resizer.resize_method]
    if kind == "fixed_shape_resizer":
        resized = _resize(image, [resizer.height, resizer.width], method, preserve_aspect_ratio=False)
        return resized, _true_shape(resized)
    height, width = tf.shape(image)[-3], tf.shape(image)[-2]
    # The longer side may reach max_dimension, the shorter min_dimension, whichever comes first.
    small, large = resizer.min_dimension, resizer.max_dimension
    bounds = tf.where(height < width, [small, large], [large, small])
    resized = _resize(image, bounds, method, preserve_aspect_ratio=True)
    true_shape = _true_shape(resized)
    if resizer.pad_to_max_dimension:
        resized = _pad(resized, large, tuple(resizer.per_channel_pad_value))
    return resized, true_shape


def _resize(image: tf.Tensor, size: Any, method: str, *, preserve_aspect_ratio: bool) -> tf.Tensor:
    resized = tf.compat.v1.image.resize(
        image, size, method=getattr(tf.image.ResizeMethod, method), preserve_aspect_ratio=preserve_aspect_ratio
    )
    return tf.cast(resized, tf.float32)


def _true_shape(image: tf.Tensor) -> tf.Tensor:
    shape = tf.shape(image)
    if image.shape.rank == 3:
        return shape
    return tf.tile(shape[tf.newaxis, 1:], [shape[0], 1])


def _pad(image: tf.Tensor, size: int, values: tuple[float, ...]) -> tf.Tensor:
    shape = tf.shape(image)
    below_and_right = [[0, size - shape[-3]], [0, size - shape[-2]], [0, 0]]
    batch = [] if image.shape.rank == 3 else [[0, 0]]
    padded = tf.pad(image, batch + below_and_right)
    padded.set_shape([*image.shape[:-3], size, size, 3])
    if any(values):
        inside = tf.pad(tf.ones([shape[-3], shape[-2], 1]), below_and_right)
        padded += (1.0 - inside) * tf.constant(values, tf.float32)
    return padded
