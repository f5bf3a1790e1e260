"""What settings of image resizers and input readers refuse, by the field's path."""

from __future__ import annotations

import pytest

from configs.schema.pipeline_file import parse_text
from configs.settings.declaration import SettingsError
from configs.settings.inputs import ClassAwareSampling, InputReader, RecordCache
from configs.settings.mixing import Mixing
from configs.settings.reading import read_choice, read_settings_text
from configs.settings.resizers import IMAGE_RESIZERS, ImageResizer

RECORDS = 'tf_record_input_reader { input_path: ["a", "b"] }'


def resizer(text: str) -> ImageResizer:
    return read_choice(IMAGE_RESIZERS, parse_text(text, "text", "ImageResizer"), "image_resizer")


def keep_aspect(text: str) -> str:
    return f"keep_aspect_ratio_resizer {{ max_dimension: 50 {text} }}"


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        ("", "", "is not set; use fixed_shape_resizer"),
        (
            "conditional_shape_resizer { condition: INVALID }",
            "conditional_shape_resizer.condition",
            "GREATER or SMALLER",
        ),
        ("conditional_shape_resizer { size_threshold: 0 }", "conditional_shape_resizer.size_threshold", "at least 1"),
        ("pad_to_multiple_resizer { multiple: 0 }", "pad_to_multiple_resizer.multiple", "0 must be at least 1"),
        (keep_aspect("min_dimension: 60"), "keep_aspect_ratio_resizer.min_dimension", "60 is above max_dimension, 50"),
        (keep_aspect(""), "keep_aspect_ratio_resizer.max_dimension", "below min_dimension, which is unset"),
        (
            keep_aspect("min_dimension: 9 per_channel_pad_value: 4"),
            "keep_aspect_ratio_resizer.per_channel_pad_value",
            "1 values; give 3",
        ),
        ("fixed_shape_resizer { height: 0 }", "fixed_shape_resizer.height", "0 must be at least 1"),
        ("fixed_shape_resizer { width: 70000 }", "fixed_shape_resizer.width", "at most 65535"),
    ],
)
def test_a_resizer_that_cannot_be_honoured_is_refused(text: str, path: str, reason: str) -> None:
    with pytest.raises(SettingsError) as caught:
        resizer(text)
    (problem,) = caught.value.problems
    assert problem.path == ".".join(filter(None, ["image_resizer", path]))
    assert reason in str(problem)


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        ("", "reader", "has no input"),
        ("external_input_reader {}", "reader.external_input_reader", "use tf_record_input_reader"),
        ("tf_record_input_reader {}", "reader.tf_record_input_reader.input_path", "is empty; name the records"),
        (
            'tf_record_input_reader { input_path: ["a", ""] }',
            "reader.tf_record_input_reader.input_path[1]",
            "is empty; name the records",
        ),
        (
            f"{RECORDS} sample_from_datasets_weights: 1",
            "reader.sample_from_datasets_weights",
            "1 weights for 2 input_path",
        ),
        (
            f"{RECORDS} sample_from_datasets_weights: [0, 0]",
            "reader.sample_from_datasets_weights",
            "not 0 for all",
        ),
        (
            f"{RECORDS} sample_from_datasets_weights: [2, -1]",
            "reader.sample_from_datasets_weights[1]",
            "-1 must be at least 0",
        ),
        (f"{RECORDS} sample_1_of_n_examples: 0", "reader.sample_1_of_n_examples", "0 leaves no records"),
        (f"{RECORDS} max_number_of_boxes: 0", "reader.max_number_of_boxes", "at least 1"),
        (f"{RECORDS} num_prefetch_batches: -2", "reader.num_prefetch_batches", "at least -1"),
        (f"{RECORDS} num_additional_channels: 1", "reader.num_additional_channels", "use num_additional_channels: 0"),
        (f"{RECORDS} input_type: TF_SEQUENCE_EXAMPLE", "reader.input_type", "records hold tf.Example"),
        (f"{RECORDS} load_instance_masks: true", "reader.load_instance_masks", "only boxes"),
    ],
)
def test_a_reader_that_cannot_be_honoured_is_refused(text: str, path: str, reason: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings_text(InputReader, text, "reader")
    (problem,) = caught.value.problems
    assert problem.path == path
    assert reason in str(problem)


def test_a_readers_name_may_name_a_folder_or_not() -> None:
    for name, is_one in (("", True), ("val_2017", True), ("a/b", False), ("..", False), ("a/", False)):
        reader = read_settings_text(InputReader, f'{RECORDS} name: "{name}"')
        assert (list(reader.check_folder_name()) == []) is is_one, name


def test_class_aware_sampling_repeats_at_least_once() -> None:
    assert read_settings_text(ClassAwareSampling, "").max_repeats == 50
    with pytest.raises(SettingsError, match=r"^x\.max_repeats: 0 is none; use 1 or more$"):
        read_settings_text(ClassAwareSampling, "max_repeats: 0", "x")


def test_a_cache_is_in_memory_or_in_a_folder() -> None:
    assert read_settings_text(RecordCache, "").place == "MEMORY"
    assert read_settings_text(RecordCache, 'place: DISK directory: "/near"').directory == "/near"
    with pytest.raises(SettingsError, match=r"^x\.directory: is empty; name a folder on a disk of this machine$"):
        read_settings_text(RecordCache, "place: DISK", "x")
    with pytest.raises(SettingsError, match=r"^x\.directory: unset, which means place is MEMORY, which has none; use"):
        read_settings_text(RecordCache, 'directory: "/near"', "x")


def test_mixing_says_what_is_mixed_and_how() -> None:
    assert read_settings_text(Mixing, "mosaic { }").mosaic.min_center == 0.25
    for text, said in (
        ("", "x.mosaic: is not set, and neither is mixup or copy_paste; set one, even if empty"),
        ("mosaic { min_center: 0.6 }", "x.mosaic.min_center: 0.6 must be at least 0 and at most 0.5"),
        ("mosaic { min_scale: 2 }", "x.mosaic.min_scale: 2 is above max_scale, 1.5"),
        ("copy_paste { max_objects: 0 }", "x.copy_paste.max_objects: 0 must be at least 1"),
        ("copy_paste { max_scale: 0.1 }", "x.copy_paste.max_scale: 0.1 is below min_scale"),
        ("mixup { alpha: 0 }", "x.mixup.alpha: 0 must be at least 0.1"),
        ("mixup { probability: 1.5 }", "x.mixup.probability: 1.5 must be at least 0 and at most 1"),
    ):
        with pytest.raises(SettingsError) as refused:
            read_settings_text(Mixing, text, "x")
        assert str(refused.value).startswith(said), text
