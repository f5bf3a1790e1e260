"""The options of a config, in their order, as one function; what makes no sense is refused by its path."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf import text_format

pytest.importorskip("tensorflow")

from configs.schema.descriptors import message_class
from data_prep.runtime.command_line import UsageError
from train.inputs.augmentations.crop_rules import CropRule
from train.inputs.augmentations.pipeline import AUGMENTATIONS, build_augmentation


def option(text: str):
    return text_format.Parse(text, message_class("PreprocessingStep")())


def test_every_name_is_one_of_the_schemas():
    assert set(AUGMENTATIONS) <= set(message_class("PreprocessingStep").DESCRIPTOR.fields_by_name)


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("convert_class_logits_to_softmax {}", r"convert_class_logits_to_softmax is not supported; use one of "),
        ("", r"options\[1\] is empty"),
        ("random_crop_image { min_area: 0.9 max_area: 0.2 }", r"\[1\]\.random_crop_image: areas from 0.9 to 0.2"),
        ("ssd_random_crop { operations { min_area: 0.1 } }", r"ssd_random_crop: operations\[0\]: aspect ratios"),
        ("random_pad_image { min_image_height: 3 }", r"set both min_image_height and min_image_width"),
        ("random_pad_image { pad_color: 1 pad_color: 2 }", r"pad_color has 2 values, not 3"),
        ("random_horizontal_flip { probability: 2 }", r"probability is 2; it must lie between 0 and 1"),
        ("resize_image { new_height: 3 }", r"new_width is 0; it must be 1 or more"),
        ("random_crop_to_aspect_ratio { aspect_ratio: 0 }", r"aspect_ratio is 0; it must be above 0"),
        ("random_absolute_pad_image { max_width_padding: -2 }", r"max_width_padding is -2; it must be 0 or more"),
        ("random_self_concat_image { concat_vertical_probability: 7 }", r"concat_vertical_probability is 7"),
        ("random_square_crop_by_scale { num_scales: 0 }", r"num_scales is 0; it must be 1 or more"),
        ("random_crop_pad_image { min_padded_size_ratio: 1 }", r"min_padded_size_ratio has 1 values, not 2"),
        (
            "ssd_random_crop_pad { operations { max_padded_size_ratio: [1, 1, 1] "
            "min_aspect_ratio: 1 max_aspect_ratio: 1 min_area: 1 max_area: 1 } }",
            r"operations\[0\]: max_padded_size_ratio has 3 values, not 2",
        ),
        (
            "ssd_random_crop_pad_fixed_aspect_ratio { min_padded_size_ratio: [0, 1] }",
            r"min_padded_size_ratio \(0.0, 1.0\): values must be above 0",
        ),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_its_path(text, message):
    with pytest.raises(UsageError, match=message):
        build_augmentation([option("random_horizontal_flip {}"), option(text)])


def test_default_crop_rule_is_the_schemas():
    message = option("random_crop_image {}").random_crop_image
    rule = AUGMENTATIONS["random_crop_image"].parameters(message)["rule"]
    for name, value in vars(CropRule()).items():
        assert getattr(rule, name) == pytest.approx(value), name
