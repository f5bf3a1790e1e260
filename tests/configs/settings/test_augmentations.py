"""What settings of augmentations refuse, by the field's path, and what the functions that carry them out are given."""

from __future__ import annotations

from typing import Any

import pytest

from configs.schema.pipeline_file import parse_text
from configs.settings.augmentations.augmentation import AugmentationSettings
from configs.settings.augmentations.options import AUGMENTATION_OPTIONS, AUGMENTATIONS, check_classes
from configs.settings.augmentations.windows import (
    SSD_CROP_PAD_RULES,
    SSD_CROP_RULES,
    RandomAbsolutePadImage,
    RandomCropImage,
    RandomCropPadImage,
    RandomPadImage,
)
from configs.settings.declaration import Settings, SettingsError
from configs.settings.reading import read_choice, read_settings_text


def option(text: str) -> AugmentationSettings:
    settings: AugmentationSettings = read_choice(AUGMENTATION_OPTIONS, parse_text(text, "text", "PreprocessingStep"))
    return settings


def arguments(settings: type[Settings], text: str) -> Any:
    read = read_settings_text(settings, text)
    assert isinstance(read, AugmentationSettings)
    return read.arguments()


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        ("convert_class_logits_to_softmax {}", "convert_class_logits_to_softmax", "soft class targets are not read"),
        ("", "", "is empty; name an augmentation"),
        (
            "random_crop_image { min_area: 0.9 max_area: 0.2 }",
            "random_crop_image.min_area",
            "0.9 is above max_area, 0.2",
        ),
        ("random_crop_image { max_area: 0.05 }", "random_crop_image.max_area", "unset, which means 0.1"),
        ("random_crop_image { overlap_thresh: 2 }", "random_crop_image.overlap_thresh", "at most 1"),
        ("random_pad_image { min_image_height: 3 }", "random_pad_image.min_image_height", "without min_image_width"),
        ("random_pad_image { max_image_width: 3 }", "random_pad_image.max_image_width", "without max_image_height"),
        ("random_pad_image { pad_color: 1 pad_color: 2 }", "random_pad_image.pad_color", "2 values; give 0 or 1 or 3"),
        ("random_pad_image { pad_color: [1, 256, 0] }", "random_pad_image.pad_color[1]", "at most 255"),
        ("random_horizontal_flip { probability: 2 }", "random_horizontal_flip.probability", "at most 1"),
        ("resize_image { new_height: 3 }", "resize_image.new_width", "unset, which means 0 must be at least 1"),
        ("random_crop_to_aspect_ratio { aspect_ratio: 0 }", "random_crop_to_aspect_ratio.aspect_ratio", "above 0"),
        (
            "random_absolute_pad_image { max_width_padding: -2 }",
            "random_absolute_pad_image.max_width_padding",
            "-2 must",
        ),
        (
            "random_self_concat_image { concat_vertical_probability: 7 }",
            "random_self_concat_image.concat_vertical_probability",
            "7 must be",
        ),
        ("random_square_crop_by_scale { num_scales: 0 }", "random_square_crop_by_scale.num_scales", "at least 1"),
        (
            "random_crop_pad_image { min_padded_size_ratio: 1 }",
            "random_crop_pad_image.min_padded_size_ratio",
            "1 values; give 0 or 2",
        ),
        (
            "ssd_random_crop_pad { operations { max_padded_size_ratio: [1, 1, 1] "
            "min_aspect_ratio: 1 max_aspect_ratio: 1 min_area: 1 max_area: 1 } }",
            "ssd_random_crop_pad.operations[0].max_padded_size_ratio",
            "3 values",
        ),
        (
            "ssd_random_crop_pad { operations { pad_color_g: -3 "
            "min_aspect_ratio: 1 max_aspect_ratio: 1 min_area: 1 max_area: 1 } }",
            "ssd_random_crop_pad.operations[0].pad_color_g",
            "-3 must be at least 0",
        ),
        (
            "ssd_random_crop_pad_fixed_aspect_ratio { min_padded_size_ratio: [0, 1] }",
            "ssd_random_crop_pad_fixed_aspect_ratio.min_padded_size_ratio[0]",
            "must be above 0",
        ),
        ("random_distort_color { color_ordering: 2 }", "random_distort_color.color_ordering", "use 0 or 1"),
        ("random_adjust_hue { max_delta: 1.5 }", "random_adjust_hue.max_delta", "1.5 must be"),
        ("random_adjust_contrast { min_delta: 2 }", "random_adjust_contrast.min_delta", "2 is above max_delta, 1.25"),
        ("adjust_gamma { gamma: -1 }", "adjust_gamma.gamma", "-1 must be at least 0"),
        ("normalize_image {}", "normalize_image.original_maxval", "0 is original_minval too, which leaves no range"),
        ("subtract_channel_mean { means: 1 }", "subtract_channel_mean.means", "1 values for 3 channels"),
        ("drop_label_probabilistically {}", "drop_label_probabilistically.label", "unset, which means 0 is no class"),
        (
            "drop_label_probabilistically { label: 1 drop_probability: 3 }",
            "drop_label_probabilistically.drop_probability",
            "3 must be",
        ),
        ("remap_labels { original_labels: 2 }", "remap_labels.new_label", "0 is no class"),
        ("remap_labels { original_labels: [2, 0] new_label: 1 }", "remap_labels.original_labels[1]", "0 is no class"),
        ("random_black_patches { size_to_image_ratio: 0 }", "random_black_patches.size_to_image_ratio", "above 0"),
        ("random_black_patches { max_black_patches: -1 }", "random_black_patches.max_black_patches", "-1 must be"),
        ("random_patch_gaussian { min_patch_size: 0 }", "random_patch_gaussian.min_patch_size", "at least 1"),
        (
            "random_patch_gaussian { min_gaussian_stddev: 2 }",
            "random_patch_gaussian.min_gaussian_stddev",
            "2 is above max_gaussian_stddev, 1",
        ),
        ("random_patch_gaussian { random_coef: 2 }", "random_patch_gaussian.random_coef", "at most 1"),
        ("random_jpeg_quality { max_jpeg_quality: 101 }", "random_jpeg_quality.max_jpeg_quality", "at most 100"),
        (
            "random_downscale_to_target_pixels { min_target_pixels: 900000 }",
            "random_downscale_to_target_pixels.min_target_pixels",
            "900000 is above max_target_pixels, which is unset and means 800000",
        ),
        ("random_resize_method { target_height: 5 }", "random_resize_method.target_width", "at least 1"),
        ('autoaugment_image { policy_name: "v9" }', "autoaugment_image.policy_name", '"v9" is not known; use "v'),
        ("random_image_scale { max_scale_ratio: 1e9 }", "random_image_scale.max_scale_ratio", "at most 100"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_its_path(text: str, path: str, reason: str) -> None:
    with pytest.raises(SettingsError) as caught:
        option(text)
    (problem,) = caught.value.problems
    assert problem.path == path
    assert reason in str(problem)


def test_an_operation_is_told_all_that_it_lacks() -> None:
    with pytest.raises(SettingsError) as caught:
        option("ssd_random_crop { operations { min_area: 0.1 } }")
    at = "ssd_random_crop.operations[0]"
    assert {problem.path for problem in caught.value.problems} == {
        f"{at}.max_area",
        f"{at}.min_aspect_ratio",
        f"{at}.max_aspect_ratio",
    }


@pytest.mark.parametrize(
    "text",
    [
        "random_pad_image { min_image_height: 900 min_image_width: 9 max_image_height: 9 max_image_width: 9 }",
        "random_crop_image { min_object_covered: 2 }",
        "random_adjust_contrast { min_delta: 1 max_delta: 1 }",
        "random_patch_gaussian { max_gaussian_stddev: 2 }",
        "random_jpeg_quality { min_jpeg_quality: 100 }",
        "random_black_patches { max_black_patches: 0 }",
        "random_absolute_pad_image { pad_color: 7 }",
        "remap_labels { new_label: 1 }",
        "normalize_image { original_minval: 255 target_minval: 1 target_maxval: -1 }",
        "random_jitter_boxes { ratio: 3 }",
    ],
)
def test_what_is_unusual_but_means_something_is_honoured(text: str) -> None:
    assert option(text).arguments()


def test_a_class_that_the_model_has_not_is_refused() -> None:
    options = [
        option("random_horizontal_flip {}"),
        option("remap_labels { original_labels: 1 new_label: 3 }"),
        option("drop_label_probabilistically { label: 4 }"),
    ]
    assert [problem.path for problem in check_classes(options, 3)] == ["[2].drop_label_probabilistically.label"]
    assert list(check_classes(options, 4)) == []


def test_functions_are_given_the_fields_by_name_unless_the_class_says_else() -> None:
    for name, settings in AUGMENTATIONS.items():
        assert AUGMENTATION_OPTIONS.alternatives[name] is settings
    assert option("random_horizontal_flip { probability: 0.25 }").arguments() == {"probability": 0.25}
    assert option("random_downscale_to_target_pixels {}").arguments()["max_target_pixels"] == 800_000
    written = option("random_downscale_to_target_pixels { max_target_pixels: 400000 }")
    assert written.arguments()["max_target_pixels"] == 400_000


def test_windows_and_canvases_have_the_apis_defaults() -> None:
    rule = arguments(RandomCropImage, "")["rule"]
    assert rule.min_object_covered == 1.0
    assert rule.aspect_ratio_range == pytest.approx((0.75, 1.33))
    assert rule.area_range == pytest.approx((0.1, 1.0))
    assert rule.overlap_thresh == pytest.approx(0.3)
    assert (rule.clip_boxes, rule.random_coef) == (True, 0.0)
    padding = arguments(RandomCropPadImage, "pad_color: 9")["padding"]
    assert padding.min_padded_size_ratio == (1.0, 1.0)
    assert padding.max_padded_size_ratio == (2.0, 2.0)
    assert padding.pad_color == (9.0, 9.0, 9.0)
    assert option("ssd_random_crop {}").arguments()["operations"] is SSD_CROP_RULES
    assert option("ssd_random_crop_pad {}").arguments()["operations"] is SSD_CROP_PAD_RULES


def test_what_is_unset_of_a_canvas_is_none() -> None:
    assert arguments(RandomPadImage, "") == {"min_image_size": None, "max_image_size": None, "pad_color": None}
    sized = arguments(RandomPadImage, "max_image_height: 3 max_image_width: 0")
    assert sized == {"min_image_size": None, "max_image_size": (3, 0), "pad_color": None}
    assert arguments(RandomAbsolutePadImage, "max_height_padding: 5") == {
        "max_height_padding": 5,
        "max_width_padding": 1,
        "pad_color": None,
    }
