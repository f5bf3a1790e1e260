"""Colour augmentations: values stay in range, boxes stay where they are, chances and bounds are as said."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

COLOURS = {
    "adjust_gamma": "gamma: 1.4 gain: 0.9",
    "random_adjust_brightness": "",
    "random_adjust_contrast": "",
    "random_adjust_hue": "",
    "random_adjust_saturation": "",
    "random_distort_color": "color_ordering: 1",
    "random_pixel_value_scale": "",
    "random_rgb_to_gray": "probability: 1",
    "rgb_to_gray": "",
}
RANGES = {
    "normalize_image": "original_minval: 0 original_maxval: 255 target_minval: -1 target_maxval: 1",
    "subtract_channel_mean": "means: [100, 50, 10]",
}


def assert_same(after, before):
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values, err_msg=name)


@pytest.mark.parametrize("name", [*COLOURS, *RANGES])
def test_colours_change_and_what_is_known_of_the_objects_does_not(block_image, name):
    original, before = block_image.image(), block_image.ground_truth()
    changed = 0
    text = f"{name} {{ {({**COLOURS, **RANGES})[name]} }}"
    for image, after in block_image.augmented(text, 10):
        assert image.shape == original.shape
        assert image.dtype == np.float32
        if name in COLOURS:
            assert image.min() >= 0.0
            assert image.max() <= 255.0
        assert_same(after, before)
        changed += bool(np.abs(image - np.float32(original)).max() > 1.0)
    assert changed >= 9


@pytest.mark.parametrize("size", [(1, 1), (2, 3)])
def test_all_of_them_on_a_tiny_image_without_boxes_twice_alike(block_image, size):
    texts = [f"{name} {{ {text} }}" for name, text in COLOURS.items()]
    tiny = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    empty = {name: values[:0] for name, values in block_image.ground_truth().items()}
    runs = [block_image.augmented(texts, 3, image=tiny, ground_truth=empty) for _ in range(2)]
    for (one, after), (two, _) in zip(*runs, strict=True):
        assert one.shape == (*size, 3)
        assert np.isfinite(one).all()
        assert after["groundtruth_boxes"].shape == (0, 4)
        np.testing.assert_array_equal(one, two)


def test_brightness_is_uniform_between_its_bounds(block_image):
    original = block_image.image()
    outputs = block_image.augmented("random_adjust_brightness { max_delta: 0.1 }", 200)
    deltas = [(image - original).mean() / 255 for image, _ in outputs]
    assert -0.1 <= min(deltas) < -0.08
    assert 0.08 < max(deltas) <= 0.1
    assert np.mean(deltas) == pytest.approx(0.0, abs=0.015)


def test_contrast_and_saturation_are_tensorflows(block_image):
    original = block_image.image()
    for text, function in (
        ("random_adjust_contrast { min_delta: 1.2 max_delta: 1.2 }", lambda x: tf.image.adjust_contrast(x, 1.2)),
        ("random_adjust_saturation { min_delta: 0.7 max_delta: 0.7 }", lambda x: tf.image.adjust_saturation(x, 0.7)),
    ):
        (image, _), *_ = block_image.augmented(text, 1)
        expected = np.clip(function(original.astype(np.float32) / 255) * 255, 0, 255)
        np.testing.assert_allclose(image, expected, atol=0.01)


def test_contrast_is_uniform_between_its_bounds(block_image):
    soft = np.random.default_rng(0).integers(100, 150, (8, 8, 3), np.uint8)  # far enough from 0 and 255
    outputs = block_image.augmented("random_adjust_contrast { min_delta: 0.5 max_delta: 1.5 }", 200, image=soft)
    factors = [image.std(axis=(0, 1)).mean() / soft.std(axis=(0, 1)).mean() for image, _ in outputs]
    assert 0.499 <= min(factors) < 0.55
    assert 1.45 < max(factors) <= 1.501
    assert np.mean(factors) == pytest.approx(1.0, abs=0.08)


def test_hue_turns_by_at_most_its_delta_either_way(block_image):
    red = np.full((2, 2, 3), (200, 50, 50), np.uint8)
    turns = []
    for image, _ in block_image.augmented("random_adjust_hue { max_delta: 0.1 }", 200, image=red):
        hue, saturation, value = tf.image.rgb_to_hsv(image / 255)[0, 0].numpy()
        turns.append((hue + 0.5) % 1.0 - 0.5)
        assert saturation == pytest.approx(0.75, abs=0.01)
        assert value == pytest.approx(200 / 255, abs=0.01)
    assert -0.101 <= min(turns) < -0.08
    assert 0.08 < max(turns) <= 0.101
    assert np.mean(turns) == pytest.approx(0.0, abs=0.015)


def test_distortion_takes_its_steps_in_the_order_that_it_is_told(block_image):
    # Brightness up and contrast down do not commute once values reach 255, so the orders must differ somewhere.
    bright = np.full((8, 8, 3), (250, 240, 20), np.uint8)
    bright[:4] = 10
    one = block_image.augmented("random_distort_color { color_ordering: 0 }", 5, image=bright)
    two = block_image.augmented("random_distort_color { color_ordering: 1 }", 5, image=bright)
    assert any(np.abs(a - b).max() > 1 for (a, _), (b, _) in zip(one, two, strict=True))


def test_grey_is_luma_in_three_equal_channels(block_image):
    luma = block_image.image() @ np.array([0.2989, 0.5870, 0.1140])
    for text in ("random_rgb_to_gray { probability: 1 }", "rgb_to_gray {}"):
        (image, _), *_ = block_image.augmented(text, 1)
        for channel in range(3):
            np.testing.assert_allclose(image[..., channel], luma, atol=0.01)


def test_grey_comes_as_often_as_its_probability_says(block_image):
    def share(probability: str) -> float:
        outputs = block_image.augmented(f"random_rgb_to_gray {{ {probability} }}", 300)
        return float(np.mean([np.ptp(image, axis=-1).max() < 0.01 for image, _ in outputs]))

    assert share("probability: 0") == 0.0
    assert share("probability: 0.3") == pytest.approx(0.3, abs=0.08)
    assert share("") == pytest.approx(0.1, abs=0.05)


def test_each_value_gets_a_factor_of_its_own(block_image):
    plain = np.full((40, 40, 3), 100, np.uint8)
    (image, _), *_ = block_image.augmented("random_pixel_value_scale { minval: 0.8 maxval: 1.4 }", 1, image=plain)
    assert 80 <= image.min() < 81
    assert 139 < image.max() <= 140
    assert image.mean() == pytest.approx(110, abs=1)
    assert len(np.unique(image)) > 4000


def test_gamma_is_a_power_of_the_part_of_the_range(block_image):
    (image, _), *_ = block_image.augmented("adjust_gamma { gamma: 2 gain: 0.5 }", 1)
    np.testing.assert_allclose(image, 0.5 * (block_image.image() / 255.0) ** 2 * 255, atol=0.01)
    # What another step left below 0 has no power; it must not become NaN, which would end the training.
    (image, _), *_ = block_image.augmented(["subtract_channel_mean { means: [200, 0, 0] }", "adjust_gamma {}"], 1)
    assert image.min() == 0.0


def test_normalising_and_subtracting_leave_the_range_and_are_not_cut_off(block_image):
    original = np.float32(block_image.image())
    (image, _), *_ = block_image.augmented(f"normalize_image {{ {RANGES['normalize_image']} }}", 1)
    np.testing.assert_allclose(image, original / 127.5 - 1, atol=1e-5)
    # By default to 0..1, as the schema says.
    (image, _), *_ = block_image.augmented("normalize_image { original_minval: 10 original_maxval: 60 }", 1)
    np.testing.assert_allclose(image, (original - 10) / 50, atol=1e-5)
    (image, _), *_ = block_image.augmented(f"subtract_channel_mean {{ {RANGES['subtract_channel_mean']} }}", 1)
    np.testing.assert_allclose(image, original - [100, 50, 10], atol=1e-4)
    assert image.min() < 0.0
