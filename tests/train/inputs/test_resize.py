"""Resizing as the Object Detection API does it, for single images and batches."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from configs.schema.pipeline_file import parse_text  # noqa: E402
from configs.settings.reading import read_choice  # noqa: E402
from configs.settings.resizers import IMAGE_RESIZERS, ImageResizer  # noqa: E402
from train.inputs.resize import resize_image  # noqa: E402


def resizer(text: str) -> ImageResizer:
    return read_choice(IMAGE_RESIZERS, parse_text(text, "text", "ImageResizer"), "image_resizer")


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
        (10, 12, (30, 36)),  # small images grow
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
        keep_aspect("convert_to_grayscale: true"),
        resizer("identity_resizer {}"),
        resizer("conditional_shape_resizer { size_threshold: 30 }"),
        resizer("pad_to_multiple_resizer { multiple: 32 }"),
    ],
)
def test_a_batch_gives_what_single_images_give(config):
    batch = np.stack([ramp(40, 60), ramp(40, 60)[::-1]])
    together, shapes = resize_image(tf.constant(batch), config)
    for index in (0, 1):
        alone, shape = resize_image(tf.constant(batch[index]), config)
        np.testing.assert_allclose(together[index], alone, atol=1e-4)
        np.testing.assert_array_equal(shapes[index], shape)


@pytest.mark.parametrize(
    ("condition", "threshold", "size", "expected"),
    [
        ("GREATER", 30, (60, 90), (20, 30)),  # 60 * (30 / 90)
        ("GREATER", 50, (60, 91), (32, 50)),  # 60 * 50 / 91 = 32.97, cut off
        ("GREATER", 50, (60, 99), (30, 49)),  # 99 * (50 / 99) is less than 50 in float32, so it is in the API
        ("GREATER", 100, (60, 90), (60, 90)),  # small enough
        ("GREATER", 4, (1, 90), (1, 4)),  # never nothing
        ("SMALLER", 90, (60, 90), (90, 135)),
        ("SMALLER", 50, (60, 90), (60, 90)),  # large enough
        ("SMALLER", 70, (90, 61), (103, 70)),  # 90 * 70 / 61 = 103.3
    ],
)
def test_conditional_shape(condition, threshold, size, expected):
    config = resizer(f"conditional_shape_resizer {{ condition: {condition} size_threshold: {threshold} }}")
    image = ramp(*size)
    out, shape = resize_image(tf.constant(image), config)
    assert out.shape == (*expected, 3)
    assert shape.numpy().tolist() == [*expected, 3]
    # Corners are aligned: the last row and column stay the last, also where nothing is to be done.
    np.testing.assert_allclose(out[0, 0], image[0, 0], atol=1e-3)
    if min(expected) > 1:
        np.testing.assert_allclose(out[-1, -1], image[-1, -1], atol=1e-3)


@pytest.mark.parametrize(
    ("multiple", "size", "expected"), [(4, (101, 199), (104, 200)), (32, (64, 65), (64, 96)), (1, (7, 9), (7, 9))]
)
def test_pad_to_multiple(multiple, size, expected):
    image = ramp(*size)
    out, shape = resize_image(tf.constant(image), resizer(f"pad_to_multiple_resizer {{ multiple: {multiple} }}"))
    assert out.shape == (*expected, 3)
    assert shape.numpy().tolist() == [*size, 3]
    np.testing.assert_array_equal(out[: size[0], : size[1]], image)
    assert np.sum(out) == np.sum(image)


def test_identity_leaves_pixels_alone():
    out, shape = resize_image(tf.constant(ramp(23, 41)), resizer("identity_resizer {}"))
    assert out.dtype == tf.float32
    np.testing.assert_array_equal(out, ramp(23, 41))
    assert shape.numpy().tolist() == [23, 41, 3]


@pytest.mark.parametrize(
    "kind",
    [
        "fixed_shape_resizer { height: 8 width: 8 %s }",
        "keep_aspect_ratio_resizer { min_dimension: 8 max_dimension: 8 pad_to_max_dimension: true %s }",
        "conditional_shape_resizer { size_threshold: 8 %s }",
        "pad_to_multiple_resizer { multiple: 8 %s }",
    ],
)
def test_grey_is_three_equal_channels(kind):
    colour = np.full([8, 8, 3], [200, 100, 50], np.uint8)
    out, shape = resize_image(tf.constant(colour), resizer(kind % "convert_to_grayscale: true"))
    np.testing.assert_allclose(out, np.full([8, 8, 3], 0.2989 * 200 + 0.587 * 100 + 0.114 * 50), rtol=1e-6)
    assert shape.numpy().tolist() == [8, 8, 3]


def test_inside_a_graph_over_images_of_unknown_size():
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
    assert resizer("fixed_shape_resizer { height: 9 width: 12 }").static_size == (9, 12)
    assert keep_aspect("pad_to_max_dimension: true").static_size == (50, 50)
    assert keep_aspect().static_size == (None, None)
    for kind in ("identity_resizer", "conditional_shape_resizer", "pad_to_multiple_resizer"):
        assert resizer(f"{kind} {{}}").static_size == (None, None)
