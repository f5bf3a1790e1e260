"""Canvases: the image lies on them unchanged, at places and sizes as likely as they say, its boxes with it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")

OPTIONS = (
    "random_pad_image {}",
    "random_pad_image { pad_color: [3, 2, 1] }",
    "random_absolute_pad_image { max_height_padding: 30 max_width_padding: 40 }",
    "random_absolute_pad_image {}",
)


def place(block_image, image: np.ndarray, ground_truth) -> tuple[int, int]:
    """Finds `coordinates()` on its canvas, and compares image and boxes with what NumPy makes of them.

    Returns:
        The rows above it and the columns to its left.
    """
    rows, columns = np.nonzero(image[..., 2] == 255)
    top, left = int(rows.min()), int(columns.min())
    expected = np.broadcast_to(image[-1, -1], image.shape).copy()
    expected[top : top + 96, left : left + 128] = block_image.coordinates()
    np.testing.assert_array_equal(image, expected)
    boxes = [(y1 + top, x1 + left, y2 + top, x2 + left) for y1, x1, y2, x2 in block_image.blocks.values()]
    np.testing.assert_allclose(ground_truth["groundtruth_boxes"], np.array(boxes) / ([*image.shape[:2]] * 2), atol=1e-6)
    block_image.assert_belongings(ground_truth)
    return top, left


@pytest.mark.parametrize("option", OPTIONS)
def test_boxes_stay_on_their_objects_and_the_same_seed_gives_the_same(block_image, option):
    first, second = block_image.augmented(option, 20), block_image.augmented(option, 20)
    for (image, fields), (same_image, _) in zip(first, second, strict=True):
        block_image.assert_on_objects(image, fields)
        block_image.assert_belongings(fields)
        assert len(fields["groundtruth_boxes"]) == 4
        np.testing.assert_array_equal(image, same_image)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_image_without_boxes_and_one_of_a_single_pixel(block_image, option):
    empty = {name: values[:0] for name, values in block_image.ground_truth().items()}
    pixel = np.full((1, 1, 3), 200, np.uint8)
    for image, ground_truth in block_image.augmented(option, 10, image=pixel, ground_truth=empty):
        assert np.count_nonzero((image == 200).all(axis=-1)) >= 1
        assert ground_truth["groundtruth_boxes"].shape == (0, 4)


def test_by_default_up_to_twice_the_size_and_anywhere(block_image):
    outputs = block_image.augmented("random_pad_image { pad_color: [0, 0, 0] }", 400, image=block_image.coordinates())
    heights, widths, shares = [], [], []
    for image, ground_truth in outputs:
        assert image.dtype == np.uint8
        top, left = place(block_image, image, ground_truth)
        heights.append(image.shape[0])
        widths.append(image.shape[1])
        if image.shape[0] > 116 and image.shape[1] > 148:  # enough room to tell
            shares.append(((top + 0.5) / (image.shape[0] - 96), (left + 0.5) / (image.shape[1] - 128)))
    block_image.assert_uniform(heights, 96, 191)
    block_image.assert_uniform(widths, 128, 255)
    block_image.assert_uniform(np.array(shares)[:, 0], 0, 1)
    block_image.assert_uniform(np.array(shares)[:, 1], 0, 1)


def test_sizes_lie_between_their_bounds_and_never_below_the_image(block_image):
    bounds = "min_image_height: 150 min_image_width: 20 max_image_height: 170 max_image_width: 140"
    option = f"random_pad_image {{ {bounds} pad_color: 9 }}"
    sizes = set()
    for image, ground_truth in block_image.augmented(option, 300, image=block_image.coordinates()):
        place(block_image, image, ground_truth)
        assert np.all(image[-1, -1] == 9), "one value is all three channels'"
        sizes.add(image.shape[:2])
    assert {height for height, _ in sizes} == set(range(150, 170))
    assert {width for _, width in sizes} == set(range(128, 140))


def test_a_largest_size_below_the_smallest_wins(block_image):
    option = (
        "random_pad_image { min_image_height: 200 min_image_width: 200 max_image_height: 150 max_image_width: 100 "
        "pad_color: [0, 0, 0] }"
    )
    for image, ground_truth in block_image.augmented(option, 3, image=block_image.coordinates()):
        assert image.shape == (150, 128, 3)
        place(block_image, image, ground_truth)


def test_default_colour_is_the_images_mean(block_image):
    mean = block_image.image().mean(axis=(0, 1))
    for option in OPTIONS[0], OPTIONS[2]:
        for image, _ in block_image.augmented(option, 5):
            assert image.dtype == np.float32
            np.testing.assert_allclose(image[-1, -1], mean, atol=0.01)


def test_absolute_padding_adds_less_than_its_bounds(block_image):
    option = "random_absolute_pad_image { max_height_padding: 6 max_width_padding: 10 pad_color: [0, 0, 0] }"
    more = []
    for image, ground_truth in block_image.augmented(option, 400, image=block_image.coordinates()):
        place(block_image, image, ground_truth)
        more.append((image.shape[0] - 96, image.shape[1] - 128))
    rows, columns = np.transpose(more)
    assert np.abs(np.bincount(rows) / 400 - 1 / 6).max() < 0.08
    assert np.abs(np.bincount(columns) / 400 - 1 / 10).max() < 0.06
    assert (rows.max(), columns.max()) == (5, 9)
