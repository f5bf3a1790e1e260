"""The options of a config, in their order, as one function."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from configs.settings.augmentations.geometry import AUTOAUGMENT_POLICIES
from configs.settings.augmentations.options import AUGMENTATIONS as SETTINGS
from train.inputs.augmentations.pipeline import AUGMENTATIONS
from train.inputs.augmentations.policy import POLICIES


def test_each_augmentation_with_settings_has_its_function_and_none_else():
    assert set(AUGMENTATIONS) == set(SETTINGS)


def test_each_policy_that_settings_allow_is_there():
    assert tuple(POLICIES) == AUTOAUGMENT_POLICIES


def test_the_same_seed_gives_the_same_image_and_options_are_applied_in_order(block_image):
    texts = ["random_distort_color {}", "random_crop_image {}", "random_pad_image {}", "random_self_concat_image {}"]
    runs = zip(block_image.augmented(texts, 5), block_image.augmented(texts, 5), strict=True)
    for (one, fields_one), (two, fields_two) in runs:
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(fields_one["groundtruth_boxes"], fields_two["groundtruth_boxes"])
    square = "random_scale_crop_and_pad_to_square { output_size: 64 }"
    (image, _), *_ = block_image.augmented([square, "resize_image { new_height: 20 new_width: 30 }"], 1)
    assert image.shape == (20, 30, 3)
    (image, _), *_ = block_image.augmented(["resize_image { new_height: 20 new_width: 30 }", square], 1)
    assert image.shape == (64, 64, 3)


def test_no_options_change_nothing(block_image):
    (image, after), *_ = block_image.augmented([], 1)
    np.testing.assert_array_equal(image, block_image.image())
    assert image.dtype == np.uint8
    for name, values in block_image.ground_truth().items():
        np.testing.assert_array_equal(after[name], values)
