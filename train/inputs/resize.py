"""Bringing an image to the network's input size, as the pipeline config's `image_resizer` says.

Sizes, kernels and padding are those of the Object Detection API's `core/preprocessor.py` and
`builders/image_resizer_builder.py`. It resizes with TensorFlow's first kernels (no half-pixel centres, no
antialiasing); checkpoints trained there expect that, so the same kernels are used here. One thing differs:
`convert_to_grayscale` gives the network three equal channels, where the API gave one.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from data_prep.runtime.command_line import UsageError

_METHODS = ("BILINEAR", "NEAREST_NEIGHBOR", "BICUBIC", "AREA")  # by number in the schema's ResizeType
_CONDITIONS = {0: "INVALID", 1: "GREATER", 2: "SMALLER"}  # by number in the schema's ConditionalShapeResizer
RESIZERS = (
    "fixed_shape_resizer",
    "keep_aspect_ratio_resizer",
    "identity_resizer",
    "conditional_shape_resizer",
    "pad_to_multiple_resizer",
)
# ITU-R BT.601's luma, with the digits that the API wrote.
_LUMA_OF_RGB = (0.2989, 0.5870, 0.1140)


def check_image_resizer(image_resizer: Any, where: str = "image_resizer") -> None:
    """Refuses what `resize_image` cannot do.

    Args:
        image_resizer: The `ImageResizer` message.
        where: Its path in the config, for the message.

    Raises:
        UsageError: No resizer, or sizes that make no sense.
    """
    kind = image_resizer.WhichOneof("image_resizer_oneof")
    if kind is None:
        raise UsageError(f"{where} is not set; use {RESIZERS[0]}, {RESIZERS[1]} or one of {', '.join(RESIZERS[2:])}")
    problem = _problem(kind, getattr(image_resizer, kind))
    if problem:
        raise UsageError(f"{where}.{kind}{problem}")


def _problem(kind: str, resizer: Any) -> str:
    """Says what is wrong with a resizer, to be put behind its path; empty when nothing is."""
    problem = ""
    if kind == "fixed_shape_resizer" and (resizer.height < 1 or resizer.width < 1):
        problem = f": height {resizer.height} and width {resizer.width} must be 1 or more"
    elif kind == "keep_aspect_ratio_resizer":
        low, high = resizer.min_dimension, resizer.max_dimension
        if not 1 <= low <= high:
            problem = f": min_dimension {low} must lie between 1 and max_dimension {high}"
        elif len(resizer.per_channel_pad_value) not in (0, 3):
            problem = f".per_channel_pad_value has {len(resizer.per_channel_pad_value)} values, not 3"
    elif kind == "conditional_shape_resizer":
        if _CONDITIONS[resizer.condition] == "INVALID":
            problem = ".condition is INVALID; use GREATER or SMALLER"
        elif resizer.size_threshold < 1:
            problem = f".size_threshold is {resizer.size_threshold}; it must be 1 or more"
    elif kind == "pad_to_multiple_resizer" and resizer.multiple < 1:
        problem = f".multiple is {resizer.multiple}; it must be 1 or more"
    return problem


def static_input_size(image_resizer: Any) -> tuple[int | None, int | None]:
    """Returns the height and width, in pixels, of every image that `resize_image` returns.

    Both are None where they depend on the image: for all resizers but `fixed_shape_resizer` and
    `keep_aspect_ratio_resizer` with `pad_to_max_dimension`.

    Raises:
        UsageError: As `check_image_resizer`.
    """
    check_image_resizer(image_resizer)
    kind = image_resizer.WhichOneof("image_resizer_oneof")
    resizer = getattr(image_resizer, kind)
    if kind == "fixed_shape_resizer":
        return resizer.height, resizer.width
    if kind == "keep_aspect_ratio_resizer" and resizer.pad_to_max_dimension:
        return resizer.max_dimension, resizer.max_dimension
    return None, None


def resize_image(image: tf.Tensor, image_resizer: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Resizes and pads an image, or a batch of images of one size.

    Args:
        image: uint8 or float32 [H, W, 3] or [B, H, W, 3], values 0..255.
        image_resizer: The `ImageResizer` message.

    Returns:
        The image, float32 [H', W', 3] or [B, H', W', 3], padded at the bottom and the right (with zeros unless the
        config's `per_channel_pad_value` says otherwise), and the shape of what is not padding: int32 [3] or [B, 3].

    Raises:
        UsageError: As `check_image_resizer`.
    """
    check_image_resizer(image_resizer)
    kind = image_resizer.WhichOneof("image_resizer_oneof")
    resizer = getattr(image_resizer, kind)
    image = tf.cast(image, tf.float32)
    if kind == "fixed_shape_resizer":
        resized = _resize(image, [resizer.height, resizer.width], resizer)
    elif kind == "keep_aspect_ratio_resizer":
        resized = _resize_to_range(image, resizer)
    elif kind == "conditional_shape_resizer":
        resized = _resize_on_condition(image, resizer)
    else:
        resized = image
    true_shape = _true_shape(resized)
    if kind == "keep_aspect_ratio_resizer" and resizer.pad_to_max_dimension:
        size = (resizer.max_dimension, resizer.max_dimension)
        resized = pad_to_size(resized, size, tuple(resizer.per_channel_pad_value))
    elif kind == "pad_to_multiple_resizer":
        multiple = resizer.multiple
        height, width = (-(-side // multiple) * multiple for side in _sides(resized))
        resized = pad_to_size(resized, (height, width))
    if kind != "identity_resizer" and resizer.convert_to_grayscale:
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


def _resize_to_range(image: tf.Tensor, resizer: Any) -> tf.Tensor:
    """Resizes until the longer side is max_dimension or the shorter min_dimension, whichever comes first."""
    height, width = _sides(image)
    small, large = resizer.min_dimension, resizer.max_dimension
    bounds = tf.where(height < width, [small, large], [large, small])
    return _resize(image, bounds, resizer, preserve_aspect_ratio=True)


def _resize_on_condition(image: tf.Tensor, resizer: Any) -> tf.Tensor:
    """Brings the longer side down to the threshold (GREATER), or the shorter side up to it (SMALLER).

    The API computes sizes in float32 and cuts the fraction off, and aligns corners here, and only here.
    """
    height, width = (tf.convert_to_tensor(side) for side in _sides(image))
    if _CONDITIONS[resizer.condition] == "GREATER":
        side = tf.maximum(height, width)
        target = tf.minimum(side, resizer.size_threshold)
    else:
        side = tf.minimum(height, width)
        target = tf.maximum(side, resizer.size_threshold)
    ratio = tf.cast(target, tf.float32) / tf.cast(side, tf.float32)
    # Never 0 pixels, which a very long and thin image would come to.
    size = [tf.maximum(tf.cast(tf.cast(value, tf.float32) * ratio, tf.int32), 1) for value in (height, width)]
    return _resize(image, tf.stack(size), resizer, align_corners=True)


def _resize(image: tf.Tensor, size: Any, resizer: Any, **how: bool) -> tf.Tensor:
    method = getattr(tf.image.ResizeMethod, _METHODS[resizer.resize_method])
    return tf.compat.v1.image.resize(image, size, method=method, **how)


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
