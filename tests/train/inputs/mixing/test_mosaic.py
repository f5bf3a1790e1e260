"""Mosaics of the block image: where the four are, and what becomes of their boxes."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from configs.settings.mixing import Mosaic
from configs.settings.reading import read_settings_text
from tests.train.inputs.mixing.mixed_blocks import assert_sound, run, with_blocks
from train.inputs.mixing.mosaic import mosaic


@pytest.mark.parametrize(
    "text",
    ["", "min_center: 0.5 min_scale: 1 max_scale: 1", "min_center: 0 max_scale: 2", "min_scale: 0.01 max_scale: 0.01"],
)
def test_boxes_enclose_what_is_seen_of_their_blocks(block_image: Any, text: str) -> None:
    four = [with_blocks(block_image, [number], times=1 + number % 2) for number in (1, 2, 3, 4)]
    settings = read_settings_text(Mosaic, text)
    counts = []
    for image, objects in run(partial(mosaic, four, settings=settings), 60):
        assert image.shape == four[0].image.shape
        assert_sound(image, objects)
        # An image that is made larger has wider rims.
        block_image.assert_on_objects(image, objects, tolerance_pixels=2.6)
        block_image.assert_belongings(objects)
        counts.append(len(objects["groundtruth_classes"]))
    assert max(counts) >= 2


def test_a_quarter_is_a_part_of_its_image_pixel_for_pixel(block_image: Any) -> None:
    """Where the scale leaves pixels alone, they say where they come from."""
    settings = read_settings_text(Mosaic, "min_scale: 1 max_scale: 1 min_box_share: 0")
    example = with_blocks(block_image, [1, 2, 3, 4])
    example = example._replace(image=tf.constant(block_image.coordinates(), tf.float32))
    centers = []
    for image, objects in run(partial(mosaic, [example] * 4, settings=settings), 40):
        rows, columns = image[:, 0, 0], image[0, :, 1]
        (middle_y,) = np.flatnonzero(np.abs(np.diff(rows)) != 1)[:1] + 1 if np.any(np.diff(rows) != 1) else [None]
        (middle_x,) = np.flatnonzero(np.abs(np.diff(columns)) != 1)[:1] + 1 if np.any(np.diff(columns) != 1) else [None]
        if middle_y is None or middle_x is None:
            continue  # two parts happen to fit together
        centers.append((middle_y / 96, middle_x / 128))
        expected = []
        for top, bottom in ((0, middle_y), (middle_y, 96)):
            for left, right in ((0, middle_x), (middle_x, 128)):
                tile = image[top:bottom, left:right]
                y, x = tile[0, 0, :2]
                np.testing.assert_array_equal(tile[..., 0], y + np.arange(bottom - top)[:, None] + 0 * tile[..., 0])
                for number, (ymin, xmin, ymax, xmax) in block_image.blocks.items():
                    box = [max(ymin - y, 0), max(xmin - x, 0), min(ymax - y, bottom - top), min(xmax - x, right - left)]
                    if box[0] < box[2] and box[1] < box[3]:
                        expected.append([number, box[0] + top, box[1] + left, box[2] + top, box[3] + left])
        boxes = objects["groundtruth_boxes"] * [96, 128, 96, 128]
        found = np.column_stack([objects["groundtruth_classes"], boxes])
        np.testing.assert_allclose(found, expected, atol=1e-3)
    assert len(centers) > 20
    assert np.min(centers) >= 0.24
    assert np.max(centers) <= 0.76


def test_boxes_of_which_too_little_is_seen_are_left_out(block_image: Any) -> None:
    four = [with_blocks(block_image, [1, 2, 3, 4])] * 4
    by_share = {}
    for share in (0.0, 0.5, 1.0):
        settings = read_settings_text(Mosaic, f"min_box_share: {share}")
        by_share[share] = [
            len(objects["groundtruth_classes"]) for _, objects in run(partial(mosaic, four, settings=settings), 30)
        ]
    assert all(few <= some <= many for many, some, few in zip(*by_share.values(), strict=True))
    assert sum(by_share[1.0]) < sum(by_share[0.5]) < sum(by_share[0.0])


def test_images_without_objects_and_of_one_pixel_are_mixed_too(block_image: Any) -> None:
    none = with_blocks(block_image, [])
    dot = none._replace(image=none.image[:1, :1])
    settings = read_settings_text(Mosaic, "min_center: 0")
    for four in ([none] * 4, [dot, none, dot, none], [none, dot, dot, dot]):
        for image, objects in run(partial(mosaic, four, settings=settings), 8):
            assert image.shape == four[0].image.shape
            assert_sound(image, objects)
            assert len(objects["groundtruth_boxes"]) == 0
            np.testing.assert_allclose(image, block_image.background, atol=1e-3)
