"""Images beside themselves: the image and its objects are there as often as it is."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")

OPTION = "random_self_concat_image { concat_vertical_probability: 0.3 concat_horizontal_probability: 0.6 }"


def test_images_and_boxes_are_those_of_a_grid(block_image):
    noise = np.random.default_rng(3).integers(0, 256, (96, 128, 3), np.uint8)
    before = block_image.ground_truth()
    outcomes = []
    for image, after in block_image.augmented(OPTION, 500, image=noise):
        assert image.dtype == np.uint8
        rows, columns = image.shape[0] // 96, image.shape[1] // 128
        np.testing.assert_array_equal(image, np.tile(noise, (rows, columns, 1)))
        block_image.assert_belongings(after)
        expected = []
        for column in range(columns):
            for row in range(rows):
                for (y1, x1, y2, x2), number in zip(
                    before["groundtruth_boxes"], before["groundtruth_classes"], strict=True
                ):
                    box = ((y1 + row) / rows, (x1 + column) / columns, (y2 + row) / rows, (x2 + column) / columns)
                    expected.append((number, *box))
        found = np.column_stack([after["groundtruth_classes"], after["groundtruth_boxes"]])
        np.testing.assert_allclose(found, expected, atol=1e-6)
        outcomes.append((rows, columns))
    for (rows, columns), share in {(1, 1): 0.28, (2, 1): 0.12, (1, 2): 0.42, (2, 2): 0.18}.items():
        assert outcomes.count((rows, columns)) / 500 == pytest.approx(share, abs=0.08), "chances are independent"


def test_by_default_a_tenth_each(block_image):
    outputs = block_image.augmented("random_self_concat_image {}", 600)
    assert np.mean([image.shape[0] == 192 for image, _ in outputs]) == pytest.approx(0.1, abs=0.05)
    assert np.mean([image.shape[1] == 256 for image, _ in outputs]) == pytest.approx(0.1, abs=0.05)


def test_the_same_seed_no_boxes_and_a_single_pixel(block_image):
    empty = {name: values[:0] for name, values in block_image.ground_truth().items()}
    pixel = np.full((1, 1, 3), 200, np.uint8)
    first = block_image.augmented(OPTION, 10, image=pixel, ground_truth=empty)
    second = block_image.augmented(OPTION, 10, image=pixel, ground_truth=empty)
    for (image, after), (same_image, _) in zip(first, second, strict=True):
        assert np.all(image == 200)
        assert image.shape == same_image.shape
        assert after["groundtruth_boxes"].shape == (0, 4)
