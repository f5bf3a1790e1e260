"""JPEGs decoded at a half, a quarter or an eighth of their size, where the resizer would shrink them by as much."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from configs.settings.resizers import (
    ConditionalShapeResizer,
    FixedShapeResizer,
    ImageResizer,
    KeepAspectRatioResizer,
)
from data_prep.runtime.command_line import UsageError

# What libjpeg leaves out of its cosine transforms; other fractions are slow.
_RATIOS = (2, 4, 8)


def scaled_decoder(resizer: ImageResizer, decode: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
    """Makes a decoder of images that are resized next.

    A JPEG is decoded at the smallest size at which both sides are at least what the resizer makes of them; other
    formats, and JPEGs that are shrunk by less than 2, whole. Every pixel of a smaller decode is the mean of those that
    it stands for, where the resizer's kernel would have looked at a few of them: the network sees another image,
    smoother than before. (libjpeg's fast integer transform and plain upsampling of colours gain nothing beside it.)

    Args:
        resizer: The model's.
        decode: From an encoded image (string scalar) to uint8 [H, W, 3], whole.

    Raises:
        UsageError: The resizer shrinks no image.
    """
    sides = least_sides(resizer)
    if not sides:
        raise UsageError("--scaled_jpeg_decode: the config's image_resizer shrinks no image; leave the flag out")
    shrinkage = _shrinkage(sides)

    def decode_scaled(encoded: tf.Tensor) -> tf.Tensor:
        def which() -> tf.Tensor:
            shape = tf.cast(tf.image.extract_jpeg_shape(encoded), tf.float32)
            return tf.reduce_sum(tf.cast(shrinkage(shape[0], shape[1]) >= tf.constant(_RATIOS, tf.float32), tf.int32))

        def at(ratio: int) -> Callable[[], tf.Tensor]:
            return lambda: tf.io.decode_jpeg(encoded, channels=3, ratio=ratio)

        number = tf.cond(tf.io.is_jpeg(encoded), which, lambda: tf.constant(0))
        image = tf.switch_case(number, [lambda: decode(encoded), *map(at, _RATIOS)])
        image.set_shape([None, None, 3])
        return image

    return decode_scaled


def least_sides(resizer: ImageResizer) -> dict[str, int]:
    """What a resizer brings larger images down to, in pixels.

    Returns:
        `height` and `width`, where every image becomes so large; `min_dimension` and `max_dimension`, where the shorter
        side becomes the first or the longer one the second, whichever comes first; nothing, where none is shrunk.
    """
    if isinstance(resizer, FixedShapeResizer):
        return {"height": resizer.height, "width": resizer.width}
    if isinstance(resizer, KeepAspectRatioResizer):
        return {"min_dimension": resizer.min_dimension, "max_dimension": resizer.max_dimension}
    if isinstance(resizer, ConditionalShapeResizer) and resizer.condition == "GREATER":
        return dict.fromkeys(("min_dimension", "max_dimension"), resizer.size_threshold)
    return {}


def _shrinkage(sides: dict[str, int]) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """From a height and a width in pixels to how many times larger, at least, they are than once resized."""
    if "height" in sides:
        return lambda height, width: tf.minimum(height / sides["height"], width / sides["width"])
    return lambda height, width: tf.maximum(
        tf.minimum(height, width) / sides["min_dimension"], tf.maximum(height, width) / sides["max_dimension"]
    )
