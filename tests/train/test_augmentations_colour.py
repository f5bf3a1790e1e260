"""Colour augmentations: values stay in range, boxes stay where they are, chances and bounds are as said."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

COLOURS = {
    "random_adjust_brightness": "",
    "random_adjust_contrast": "",
    "random_adjust_hue": "",
    "random_adjust_saturation": "",
    "random_distort_color": "color_ordering: 1",
    "random_rgb_to_gray": "probability: 1",
    "random_pixel_value_scale": "",
    "random_black_patches": "",
}


@pytest.mark.parametrize("name", COLOURS)
def test_colours_change_within_range_and_boxes_stay(block_picture, name):
    original, before = block_picture.image(), block_picture.ground_truth()
    changed = 0
    for image, after in block_picture.augmented(f"{name} {{ {COLOURS[name]} }}", 10):
        assert image.shape == original.shape
        assert image.min() >= 0.0
        assert image.max() <= 255.0
        np.testing.assert_array_equal(after["groundtruth_boxes"], before["groundtruth_boxes"])
        changed += bool(np.abs(image - np.float32(original)).max() > 1.0)
    assert changed >= 9


def test_brightness_is_uniform_between_its_bounds(block_picture):
    original = block_picture.image()
    outputs = block_picture.augmented("random_adjust_brightness { max_delta: 0.1 }", 200)
    deltas = [(image - original).mean() / 255 for image, _ in outputs]
    assert -0.1 <= min(deltas) < -0.08
    assert 0.08 < max(deltas) <= 0.1
    assert np.mean(deltas) == pytest.approx(0.0, abs=0.015)


def test_contrast_and_saturation_are_tensorflows(block_picture):
    original = block_picture.image()
    for text, function in (
        ("random_adjust_contrast { min_delta: 1.2 max_delta: 1.2 }", lambda x: tf.image.adjust_contrast(x, 1.2)),
        ("random_adjust_saturation { min_delta: 0.7 max_delta: 0.7 }", lambda x: tf.image.adjust_saturation(x, 0.7)),
    ):
        (image, _), *_ = block_picture.augmented(text, 1)
        expected = np.clip(function(original.astype(np.float32) / 255) * 255, 0, 255)
        np.testing.assert_allclose(image, expected, atol=0.01)


def test_grey_is_luma(block_picture):
    (image, _), *_ = block_picture.augmented("random_rgb_to_gray { probability: 1 }", 1)
    np.testing.assert_allclose(image[..., 1], block_picture.image() @ np.array([0.2989, 0.5870, 0.1140]), atol=0.01)
    np.testing.assert_array_equal(image[..., 0], image[..., 2])


def test_black_patches_have_their_size_and_number(block_picture):
    text = "random_black_patches { max_black_patches: 3 probability: 1 size_to_image_ratio: 0.25 }"
    for image, _ in block_picture.augmented(text, 10):
        black = np.all(image == 0, axis=-1)
        side = int(0.25 * block_picture.height)
        assert side * side <= black.sum() <= 3 * side * side
