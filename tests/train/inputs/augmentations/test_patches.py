"""Patches have their size, number, strength and chances, and cover pixels only: boxes under them stay."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")

GREY = np.full((60, 80, 3), 128, np.uint8)


def test_black_patches_have_their_size_and_number(block_image):
    text = "random_black_patches { max_black_patches: 3 probability: 1 size_to_image_ratio: 0.25 }"
    before = block_image.ground_truth()
    for image, after in block_image.augmented(text, 10):
        black = np.all(image == 0, axis=-1)
        side = int(0.25 * block_image.height)
        assert side * side <= black.sum() <= 3 * side * side
        for name, values in before.items():
            np.testing.assert_array_equal(after[name], values)


def test_each_black_patch_has_a_chance_of_its_own(block_image):
    text = "random_black_patches { max_black_patches: 1 probability: 0.3 size_to_image_ratio: 0.2 }"
    outputs = block_image.augmented(text, 300, image=GREY)
    assert np.mean([np.any(image == 0) for image, _ in outputs]) == pytest.approx(0.3, abs=0.08)
    middles = [np.argwhere(image[..., 0] == 0).mean(axis=0) for image, _ in outputs if np.any(image == 0)]
    assert np.mean(middles, axis=0) == pytest.approx([30, 40], abs=4)  # anywhere in the image
    assert block_image.augmented("random_black_patches { max_black_patches: 0 }", 1)[0][0].min() > 0


def noise_of(image: np.ndarray) -> np.ndarray | None:
    """The rectangle of a grey image in which values changed, less the grey; None where none did."""
    ys, xs = np.nonzero(np.any(image != 128, axis=-1))
    if len(ys) == 0:
        return None
    return image[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] - 128.0


def test_gaussian_patch_has_its_size_and_strength(block_image):
    text = (
        "random_patch_gaussian { min_patch_size: 20 max_patch_size: 31 "
        "min_gaussian_stddev: 0.02 max_gaussian_stddev: 0.1 }"
    )
    patches = [noise_of(image) for image, _ in block_image.augmented(text, 200, image=GREY)]
    assert all(patch is not None for patch in patches)
    sides = [side for patch in patches for side in patch.shape[:2]]
    assert max(sides) == 30
    assert min(sides) >= 10  # half of the smallest, where the centre lies at the image's edge
    stddevs = [patch.std() / 255 for patch in patches]
    assert 0.018 < min(stddevs) < 0.03
    assert 0.09 < max(stddevs) < 0.11
    assert np.mean([patch.mean() for patch in patches]) == pytest.approx(0.0, abs=0.5)


def test_gaussian_patch_spoils_no_more_than_its_pixels_and_stays_in_range(block_image):
    text = "random_patch_gaussian { min_patch_size: 30 max_patch_size: 30 min_gaussian_stddev: 1 }"
    original, before = block_image.image(), block_image.ground_truth()
    for image, after in block_image.augmented(text, 20):
        assert image.min() >= 0.0
        assert image.max() <= 255.0
        assert 0 < np.any(image != original, axis=-1).sum() <= 900
        for name, values in before.items():
            np.testing.assert_array_equal(after[name], values)


def test_random_coef_is_the_chance_of_the_image_as_it_is(block_image):
    text = "random_patch_gaussian { random_coef: 0.4 min_gaussian_stddev: 0.1 min_patch_size: 9 }"
    outputs = block_image.augmented(text, 300, image=GREY)
    assert np.mean([noise_of(image) is None for image, _ in outputs]) == pytest.approx(0.4, abs=0.08)


def test_tiny_images_without_boxes_twice_alike(block_image):
    texts = ["random_black_patches {}", "random_patch_gaussian {}"]
    empty = {name: values[:0] for name, values in block_image.ground_truth().items()}
    tiny = np.full((1, 2, 3), 77, np.uint8)
    runs = [block_image.augmented(texts, 5, image=tiny, ground_truth=empty) for _ in range(2)]
    for (one, after), (two, _) in zip(*runs, strict=True):
        assert one.shape == (1, 2, 3)
        assert after["groundtruth_boxes"].shape == (0, 4)
        np.testing.assert_array_equal(one, two)
