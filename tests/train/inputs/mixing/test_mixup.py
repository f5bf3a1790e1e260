"""Mixup of two block images: pixels, boxes and weights by one share."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from configs.settings.mixing import Mixup
from configs.settings.reading import read_settings_text
from tests.train.inputs.mixing.mixed_blocks import assert_sound, run, with_blocks
from train.inputs.mixing.mixup import mixup


def test_pixels_and_weights_are_mixed_by_one_share(block_image: Any) -> None:
    first, second = with_blocks(block_image, [1, 4]), with_blocks(block_image, [2, 3])
    settings, shares = read_settings_text(Mixup, ""), []
    for image, objects in run(partial(mixup, first, second, settings=settings), 200):
        assert_sound(image, objects)
        assert objects["groundtruth_classes"].tolist() == [1, 4, 2, 3]
        share = objects["groundtruth_weights"][1]  # block 4's is 1
        np.testing.assert_allclose(
            objects["groundtruth_weights"], [share / 4, share, (1 - share) / 2, (1 - share) * 3 / 4], rtol=1e-4
        )
        np.testing.assert_allclose(image, share * first.image + (1 - share) * second.image, atol=1e-2)
        assert objects["groundtruth_is_crowd"].tolist() == [True, False, False, False]
        shares.append(share)
    # Beta(1.5, 1.5) has mean 1/2 and variance 1/16.
    assert np.mean(shares) == pytest.approx(0.5, abs=0.06)
    assert np.std(shares) == pytest.approx(0.25, abs=0.04)


def test_weights_stay_where_boxes_are_not_weighed(block_image: Any) -> None:
    first, second = with_blocks(block_image, [1]), with_blocks(block_image, [3])
    settings = read_settings_text(Mixup, "weigh_boxes: false")
    for _, objects in run(partial(mixup, first, second, settings=settings), 5):
        block_image.assert_belongings(objects)


@pytest.mark.parametrize("times", [(1, 2), (2, 1)])
def test_neither_image_is_resized(block_image: Any, times: tuple[int, int]) -> None:
    first, second = with_blocks(block_image, [1], times[0]), with_blocks(block_image, [3], times[1])
    settings = read_settings_text(Mixup, "weigh_boxes: false")
    for image, objects in run(partial(mixup, first, second, settings=settings), 5):
        assert image.shape == (192, 256, 3)
        assert_sound(image, objects)
        for box, number, factor in zip(objects["groundtruth_boxes"], (1, 3), times, strict=True):
            np.testing.assert_allclose(box * [192, 256, 192, 256], np.multiply(block_image.blocks[number], factor))
        # Outside of the smaller one the other is alone, darkened.
        ratio = image[100, 250] / block_image.background
        assert ratio.min() == pytest.approx(ratio.max())
        assert 0.0 <= ratio.min() <= 1.0


def test_an_alpha_at_its_bounds_gives_shares(block_image: Any) -> None:
    first, second = with_blocks(block_image, [4]), with_blocks(block_image, [4])
    for alpha in (0.1, 1000.0):
        settings = read_settings_text(Mixup, f"alpha: {alpha}")
        mixed = run(partial(mixup, first, second, settings=settings), 50)
        weights = np.array([objects["groundtruth_weights"] for _, objects in mixed])
        np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-5)
        assert np.all(weights >= 0.0)
