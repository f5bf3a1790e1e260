"""Resizing as the Object Detection API does it, for single pictures and batches."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf import text_format

tf = pytest.importorskip("tensorflow")

from configs.descriptors import message_class  # noqa: E402
from data_prep.command_line import UsageError  # noqa: E402
from train.inputs.resize import resize_image, static_input_size  # noqa: E402


def resizer(text: str):
    return text_format.Parse(text, message_class("ImageResizer")())


def keep_aspect(more: str = "", smallest: int = 30, largest: int = 50):
    return resizer(f"keep_aspect_ratio_resizer {{ min_dimension: {smallest} max_dimension: {largest} {more} }}")


def ramp(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, rows + columns], axis=-1).astype(np.uint8)


def old_bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """TensorFlow's first bilinear kernel, slow and obvious: output pixel y samples the input at y * in / out."""
    result = np.zeros((height, width, image.shape[-1]))
    for y in range(height):
        for x in range(width):
            source_y, source_x = y * image.shape[0] / height, x * image.shape[1] / width
            top, left = int(source_y), int(source_x)
            bottom, right = min(top + 1, image.shape[0] - 1), min(left + 1, image.shape[1] - 1)
            down, across = source_y - top, source_x - left
            upper = image[top, left] * (1 - across) + image[top, right] * across
            lower = image[bottom, left] * (1 - across) + image[bottom, right] * across
            result[y, x] = upper * (1 - down) + lower * down
    return result


def test_fixed_shape_is_the_old_bilinear_kernel():
    image = ramp(23, 41)
    out, shape = resize_image(tf.constant(image), resizer("fixed_shape_resizer { height: 10 width: 16 }"))
    assert out.dtype == tf.float32
    assert shape.numpy().tolist() == [10, 16, 3]
    np.testing.assert_allclose(out, old_bilinear(image.astype(float), 10, 16), atol=1e-3)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (60, 80, (30, 40)),  # the shorter side reaches 30 first
        (60, 200, (15, 50)),  # the longer side reaches 50 first
        (200, 60, (50, 15)),
        (40, 40, (30, 30)),
        (10, 12, (30, 36)),  # small pictures grow
    ],
)
def test_keep_aspect_ratio(height, width, expected):
    out, shape = resize_image(tf.constant(ramp(height, width)), keep_aspect())
    assert out.shape == (*expected, 3)
    assert shape.numpy().tolist() == [*expected, 3]
    padded, shape = resize_image(tf.constant(ramp(height, width)), keep_aspect("pad_to_max_dimension: true"))
    assert padded.shape == (50, 50, 3)
    assert shape.numpy().tolist() == [*expected, 3]
    np.testing.assert_array_equal(padded[: expected[0], : expected[1]], out)
    assert np.all(padded[expected[0] :] == 0)
    assert np.all(padded[:, expected[1] :] == 0)


def test_pad_value():
    config = keep_aspect("pad_to_max_dimension: true per_channel_pad_value: [1, 2, 3]")
    padded, _ = resize_image(tf.constant(ramp(60, 80)), config)
    np.testing.assert_array_equal(padded[40, 40], [1, 2, 3])
    plain, _ = resize_image(tf.constant(ramp(60, 80)), keep_aspect())
    np.testing.assert_array_equal(padded[:30, :40], plain)


@pytest.mark.parametrize(
    "config",
    [
        resizer("fixed_shape_resizer { height: 9 width: 12 }"),
        keep_aspect(),
        keep_aspect("pad_to_max_dimension: true per_channel_pad_value: [1, 2, 3]"),
    ],
)
def test_a_batch_gives_what_single_pictures_give(config):
    batch = np.stack([ramp(40, 60), ramp(40, 60)[::-1]])
    together, shapes = resize_image(tf.constant(batch), config)
    for index in (0, 1):
        alone, shape = resize_image(tf.constant(batch[index]), config)
        np.testing.assert_allclose(together[index], alone, atol=1e-4)
        np.testing.assert_array_equal(shapes[index], shape)


def test_inside_a_graph_over_pictures_of_unknown_size():
    config = keep_aspect("pad_to_max_dimension: true")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def decode_and_resize(encoded):
        def one(content):
            return resize_image(tf.io.decode_jpeg(content, channels=3), config)

        return tf.map_fn(one, encoded, fn_output_signature=(tf.TensorSpec([50, 50, 3]), tf.TensorSpec([3], tf.int32)))

    encoded = [tf.io.encode_jpeg(ramp(*size)) for size in ((60, 80), (120, 20))]
    images, shapes = decode_and_resize(tf.stack(encoded))
    assert images.shape == (2, 50, 50, 3)
    assert shapes.numpy().tolist() == [[30, 40, 3], [50, 8, 3]]


@pytest.mark.parametrize("method", ["NEAREST_NEIGHBOR", "BICUBIC", "AREA"])
def test_other_methods_give_floats_of_the_right_size(method):
    config = resizer(f"fixed_shape_resizer {{ height: 7 width: 7 resize_method: {method} }}")
    out, _ = resize_image(tf.constant(ramp(14, 14)), config)
    assert out.dtype == tf.float32
    assert out.shape == (7, 7, 3)
    if method == "AREA":
        np.testing.assert_allclose(out[0, 0], [0.5, 0.5, 1.0])
    # Also where nothing is to be resized, which TensorFlow passes on as it is.
    assert resize_image(tf.constant(ramp(7, 7)), config)[0].dtype == tf.float32


def test_static_input_size():
    assert static_input_size(resizer("fixed_shape_resizer { height: 9 width: 12 }")) == (9, 12)
    assert static_input_size(keep_aspect("pad_to_max_dimension: true")) == (50, 50)
    assert static_input_size(keep_aspect()) == (None, None)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (resizer(""), "image_resizer is not set; use fixed_shape_resizer or"),
        (resizer("identity_resizer {}"), "image_resizer.identity_resizer is not supported; use fixed_shape_resizer"),
        (resizer("fixed_shape_resizer { convert_to_grayscale: true }"), "convert_to_grayscale is not supported"),
        (keep_aspect(smallest=60), "min_dimension 60 must lie between 1 and max_dimension 50"),
        (keep_aspect("per_channel_pad_value: 4"), "per_channel_pad_value has 1 values, not 3"),
        (resizer("fixed_shape_resizer { height: 0 }"), "height 0 and width 300 must be 1 or more"),
    ],
)
def test_what_cannot_be_honoured_is_refused(config, message):
    with pytest.raises(UsageError, match=message):
        resize_image(tf.constant(ramp(8, 8)), config)
