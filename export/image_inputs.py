"""Image inputs of the signatures: decoding and resizing of what clients send into the batch that a detector takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from configs.settings.resizers import ImageResizer
from data_prep.formats.tf_example import IMAGE_ENCODED
from export.scaled_jpeg import scaled_decoder
from train.inputs.resize import pad_to_size, resize_image

INPUT_NAME = "input_tensor"
# The Object Detection API's input types. Images of an array have one size; those of strings have sizes of their own.
INPUT_SPECS = {
    "encoded_image_string_tensor": tf.TensorSpec([None], tf.string, name=INPUT_NAME),
    "image_tensor": tf.TensorSpec([None, None, None, 3], tf.uint8, name=INPUT_NAME),
    "float_image_tensor": tf.TensorSpec([None, None, None, 3], tf.float32, name=INPUT_NAME),
    "tf_example": tf.TensorSpec([None], tf.string, name=INPUT_NAME),
}
# Images of a batch that are decoded and resized at a time.
_PARALLEL_IMAGES = 16

Batch = tuple[tf.Tensor, tf.Tensor]


def is_encoded(input_type: str) -> bool:
    """Tells whether images come encoded, each of a size of its own."""
    return INPUT_SPECS[input_type].dtype == tf.string


def decode_image(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes a JPEG or PNG (string scalar) to uint8 [H, W, 3], RGB, as the training input does."""
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    image.set_shape([None, None, 3])
    return image


def batch_reader(input_type: str, resizer: ImageResizer, *, scaled_jpeg: bool = False) -> Callable[[tf.Tensor], Batch]:
    """Makes the function from requests to a detector's batch.

    Args:
        input_type: A key of `INPUT_SPECS`.
        resizer: The model's.
        scaled_jpeg: Whether JPEGs that the resizer shrinks are decoded at a fraction of their size; see `scaled_jpeg`.

    Returns:
        Takes a tensor as that spec says; returns images float32 [B, H, W, 3], RGB 0..255, and their shapes without
        padding, int32 [B, 3]. Strings are decoded, resized and padded in parallel, each image as its size asks for.
    """
    height, width = resizer.static_size
    decode = scaled_decoder(resizer, decode_image) if scaled_jpeg else decode_image

    def decode_and_resize(encoded: tf.Tensor) -> Batch:
        return resize_image(decode(encoded), resizer)

    def read(input_tensor: tf.Tensor) -> Batch:
        if input_type == "tf_example":
            fields = tf.io.parse_example(input_tensor, {IMAGE_ENCODED: tf.io.FixedLenFeature((), tf.string)})
            input_tensor = fields[IMAGE_ENCODED]
        if input_tensor.dtype != tf.string:
            images, true_shapes = resize_image(input_tensor, resizer)
        elif None in resizer.static_size:
            images, true_shapes = _pad_to_largest(decode_and_resize, input_tensor)
        else:
            signature = (tf.TensorSpec([height, width, 3], tf.float32), tf.TensorSpec([3], tf.int32))
            images, true_shapes = tf.map_fn(
                decode_and_resize, input_tensor, fn_output_signature=signature, parallel_iterations=_PARALLEL_IMAGES
            )
        return tf.ensure_shape(images, [None, height, width, 3]), true_shapes

    return read


def _pad_to_largest(decode_and_resize: Callable[[tf.Tensor], Batch], encoded: tf.Tensor) -> Batch:
    """Makes one batch of images that come out in different sizes, padded with zeros at the bottom and the right.

    Args:
        decode_and_resize: From one encoded image to its pixels, float32 [h, w, 3], and their shape without padding.
        encoded: string [B].

    Returns:
        float32 [B, H, W, 3] with the largest height and width of the batch, and the shapes, int32 [B, 3].
    """
    count = tf.size(encoded)
    arrays = tuple(
        tf.TensorArray(dtype, count, element_shape=shape, infer_shape=False, clear_after_read=False)
        for dtype, shape in ((tf.float32, [None, None, 3]), (tf.int32, [3]), (tf.int32, [2]))
    )

    def decode_one(number: tf.Tensor, *arrays: tf.TensorArray) -> tuple[Any, ...]:
        image, true_shape = decode_and_resize(encoded[number])
        values = (image, true_shape, tf.shape(image)[:2])
        return number + 1, *(array.write(number, value) for array, value in zip(arrays, values, strict=True))

    _, images, true_shapes, sizes = tf.while_loop(
        lambda number, *_: number < count, decode_one, (0, *arrays), parallel_iterations=_PARALLEL_IMAGES
    )
    largest = tf.reduce_max(sizes.stack(), axis=0)
    padded = tf.map_fn(
        lambda number: pad_to_size(images.read(number), (largest[0], largest[1])),
        tf.range(count),
        fn_output_signature=tf.TensorSpec([None, None, 3], tf.float32),
        parallel_iterations=_PARALLEL_IMAGES,
    )
    return padded, true_shapes.stack()
