"""Quality is lost as told: JPEG artefacts, fewer pixels, other interpolation; boxes stay on their objects."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

tf = pytest.importorskip("tensorflow")


def loss_of_jpeg(original: np.ndarray, quality: int) -> float:
    encoded = tf.io.encode_jpeg(original, quality=quality)
    return float(np.abs(tf.io.decode_jpeg(encoded).numpy() - np.float32(original)).mean())


def test_jpeg_quality_lies_between_its_bounds(block_image):
    soft = Image.effect_noise((64, 48), 40).convert("RGB").resize((64, 48))
    original = np.asarray(soft)
    text = "random_jpeg_quality { min_jpeg_quality: 20 max_jpeg_quality: 60 }"
    losses = [np.abs(image - original).mean() for image, _ in block_image.augmented(text, 100, image=original)]
    worst, best = loss_of_jpeg(original, 20), loss_of_jpeg(original, 59)
    assert best * 0.999 <= min(losses) < best * 1.1
    assert worst * 0.9 < max(losses) <= worst * 1.001


def test_jpeg_keeps_the_objects(block_image):
    text = "random_jpeg_quality { min_jpeg_quality: 95 }"
    for image, after in block_image.augmented(text, 5):
        assert image.dtype == np.float32
        assert 0 < np.abs(image - block_image.image()).mean() < 10
        block_image.assert_belongings(after)
        np.testing.assert_array_equal(after["groundtruth_boxes"], block_image.ground_truth()["groundtruth_boxes"])


@pytest.mark.parametrize(
    "text",
    [
        "random_jpeg_quality { random_coef: 0.4 max_jpeg_quality: 30 }",
        "random_downscale_to_target_pixels { random_coef: 0.4 min_target_pixels: 2000 max_target_pixels: 3000 }",
    ],
)
def test_random_coef_is_the_chance_of_the_image_as_it_is(block_image, text):
    original = block_image.image()
    same = [np.array_equal(image, original) for image, _ in block_image.augmented(text, 300)]
    assert np.mean(same) == pytest.approx(0.4, abs=0.08)


def test_downscaling_hits_its_number_of_pixels_and_keeps_the_proportions(block_image):
    text = "random_downscale_to_target_pixels { min_target_pixels: 2000 max_target_pixels: 6000 }"
    pixels = []
    for image, after in block_image.augmented(text, 100):
        height, width = image.shape[:2]
        assert width / height == pytest.approx(block_image.width / block_image.height, rel=0.04)
        block_image.assert_on_objects(image, after, tolerance_pixels=2.1)
        block_image.assert_belongings(after)
        pixels.append(height * width)
    assert 1900 < min(pixels) < 2300
    assert 5600 < max(pixels) <= 6000


def test_small_images_are_not_downscaled_and_unset_bounds_are_what_the_api_took(block_image):
    (image, _), *_ = block_image.augmented("random_downscale_to_target_pixels {}", 1)
    assert image.shape == (96, 128, 3)
    large = np.zeros((1000, 1000, 3), np.uint8)
    outputs = block_image.augmented("random_downscale_to_target_pixels {}", 30, image=large)
    pixels = [image.shape[0] * image.shape[1] for image, _ in outputs]
    assert 290_000 < min(pixels) < 400_000
    assert 700_000 < max(pixels) <= 800_000


def test_resizing_picks_each_method_alike_often(block_image):
    text = "random_resize_method { target_height: 41 target_width: 67 }"
    original = block_image.image()
    methods = tf.image.ResizeMethod
    expected = [
        tf.compat.v1.image.resize(original, [41, 67], method).numpy()
        for method in (methods.BILINEAR, methods.NEAREST_NEIGHBOR, methods.BICUBIC, methods.AREA)
    ]
    counts = [0] * 4
    for image, after in block_image.augmented(text, 200):
        assert image.shape == (41, 67, 3)
        block_image.assert_belongings(after)
        counts[int(np.argmin([np.abs(image - other).max() for other in expected]))] += 1
        assert min(np.abs(image - other).max() for other in expected) < 0.01
    assert counts == pytest.approx([50] * 4, abs=20)


def test_tiny_images_without_boxes_twice_alike(block_image):
    texts = [
        "random_jpeg_quality {}",
        "random_downscale_to_target_pixels { min_target_pixels: 1 max_target_pixels: 2 }",
        "random_resize_method { target_height: 2 target_width: 1 }",
    ]
    empty = {name: values[:0] for name, values in block_image.ground_truth().items()}
    tiny = np.full((1, 9, 3), 77, np.uint8)
    runs = [block_image.augmented(texts, 5, image=tiny, ground_truth=empty) for _ in range(2)]
    for (one, after), (two, _) in zip(*runs, strict=True):
        assert one.shape == (2, 1, 3)
        assert after["groundtruth_boxes"].shape == (0, 4)
        np.testing.assert_array_equal(one, two)


def test_the_encoder_is_a_real_one(block_image):
    """What comes out is what decoding a JPEG of that quality gives, to a rounding."""
    (image, _), *_ = block_image.augmented("random_jpeg_quality { min_jpeg_quality: 30 max_jpeg_quality: 30 }", 1)
    buffer = io.BytesIO()
    Image.fromarray(block_image.image()).save(buffer, "JPEG", quality=30)
    assert np.abs(image - np.float32(Image.open(buffer))).mean() < 3
