"""A guard: whatever the training input would stop at for a field's sake, reading its settings refuses, by its path.

Bad values are tried on every field of every augmentation, image resizer and input reader, one at a time. What is not
refused must be carried out, on one small image: without an exception, and with numbers that are finite.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.descriptor import FieldDescriptor

tf = pytest.importorskip("tensorflow")

from configs.schema.descriptors import is_repeated, message_class  # noqa: E402
from configs.schema.pipeline_file import merge, parse_text  # noqa: E402
from configs.settings.augmentations.options import AUGMENTATION_OPTIONS, AUGMENTATIONS  # noqa: E402
from configs.settings.declaration import Choice, SettingsError, fields_of  # noqa: E402
from configs.settings.inputs import InputReader  # noqa: E402
from configs.settings.mixing import CopyPaste, Mixup, Mosaic  # noqa: E402
from configs.settings.reading import read_choice, read_settings  # noqa: E402
from configs.settings.resizers import IMAGE_RESIZERS  # noqa: E402
from tests.configs.verdicts import check_supported  # noqa: E402
from train.inputs.augmentations.pipeline import build_augmentation  # noqa: E402
from train.inputs.mixing.copy_paste import copy_paste  # noqa: E402
from train.inputs.mixing.example import Example  # noqa: E402
from train.inputs.mixing.mixup import mixup  # noqa: E402
from train.inputs.mixing.mosaic import mosaic  # noqa: E402
from train.inputs.preparation import pad_ground_truth  # noqa: E402
from train.inputs.record_order import read_records  # noqa: E402
from train.inputs.resize import resize_image  # noqa: E402

_OPERATION = "min_object_covered: 0.1 min_area: 0.1 max_area: 1 overlap_thresh: 0.1"
_OF_ASPECT_RATIOS = f"operations {{ {_OPERATION} min_aspect_ratio: 0.5 max_aspect_ratio: 2 }}"
# What must be set beside the field that is tried.
_NEEDED = {
    "drop_label_probabilistically": "label: 1",
    "normalize_image": "original_maxval: 255",
    "random_pad_image": "min_image_height: 40 min_image_width: 40 max_image_height: 60 max_image_width: 60",
    "random_resize_method": "target_height: 20 target_width: 20",
    "remap_labels": "original_labels: 1 new_label: 1",
    "resize_image": "new_height: 20 new_width: 20",
    "ssd_random_crop": _OF_ASPECT_RATIOS,
    "ssd_random_crop_fixed_aspect_ratio": f"operations {{ {_OPERATION} }}",
    "ssd_random_crop_pad": _OF_ASPECT_RATIOS,
    "ssd_random_crop_pad_fixed_aspect_ratio": _OF_ASPECT_RATIOS,
    "subtract_channel_mean": "means: [1, 2, 3]",
}
_SCALARS: dict[int, list[Any]] = {
    FieldDescriptor.CPPTYPE_BOOL: [False, True],
    FieldDescriptor.CPPTYPE_FLOAT: [-1.0, 0.0, 0.5, 2.0, 3e38, -3e38, math.nan, math.inf, -math.inf],
    FieldDescriptor.CPPTYPE_INT32: [-1, 0, 1, 2, 2**31 - 1, -(2**31)],
    FieldDescriptor.CPPTYPE_UINT32: [0, 1, 2, 2**32 - 1],
    FieldDescriptor.CPPTYPE_STRING: ["", "nonsense"],
}

# A field's path from the message, the value that is tried, and the whole message with it.
Try = tuple[str, Any, Any]
# By the field of `extensions.mixing`: its settings, and what makes one image of four.
MIXING = {
    "mosaic": (Mosaic, mosaic),
    "mixup": (Mixup, lambda four, seed, settings: mixup(four[0], four[1], seed, settings)),
    "copy_paste": (CopyPaste, lambda four, seed, settings: copy_paste(four[0], four[1], seed, settings)),
}


@dataclasses.dataclass(frozen=True)
class Reversed:
    """Two bounds, each written as the other."""

    low: float
    high: float


def is_nonsense(at: str, value: Any) -> bool:
    """Whether a value means nothing even where TensorFlow makes something of it."""
    values = value if isinstance(value, list) else [value]
    numbers = [number for number in values if isinstance(number, float)]
    if isinstance(value, Reversed):
        # A canvas' largest size counts where the smallest is larger, and a range of values may be turned around.
        return value.low < value.high and not re.search("min_image_(height|width)|(original|target)_minval", at)
    is_share = re.search("probability|random_coef|size_to_image_ratio|area", at.rpartition(".")[2]) is not None
    return any(not math.isfinite(number) or (is_share and not 0.0 <= number <= 1.0) for number in numbers)


def tries(message: Any, path: str = "") -> Iterator[Try]:
    """Yields the message once for each value of each field, and of each field of the messages that are set in it."""
    for field in message.DESCRIPTOR.fields:
        here = f"{path}.{field.name}" if path else field.name
        if field.message_type is not None:
            for index, below in enumerate(getattr(message, field.name) if is_repeated(field) else ()):
                yield from (
                    (at, value, _with_element(message, field, index, changed))
                    for at, value, changed in tries(below, f"{here}[{index}]")
                )
            continue
        for value in values_of(field):
            yield here, value, _with(message, {field: value})
        partner = message.DESCRIPTOR.fields_by_name.get(field.name.replace("min", "max"))
        if "min" in field.name and partner is not None and not is_repeated(field):
            low, high = getattr(message, field.name), getattr(message, partner.name)
            yield here, Reversed(low, high), _with(message, {field: high, partner: low})


def values_of(field: FieldDescriptor) -> list[Any]:
    if field.enum_type is not None:
        return [value.number for value in field.enum_type.values]
    scalars = _SCALARS[field.cpp_type]
    if not is_repeated(field):
        return scalars
    usual, large = (scalars[1], scalars[1]) if len(scalars) == 2 else (scalars[2], scalars[3])
    lists = [[], *([usual] * length for length in (2, 3, 4)), [large, usual], [usual, large]]
    return lists + [[value] * length for value in scalars for length in (1, 2, 3)]


def _with(message: Any, values: dict[FieldDescriptor, Any]) -> Any:
    changed = type(message)()
    changed.CopyFrom(message)
    for field, value in values.items():
        if is_repeated(field):
            changed.ClearField(field.name)
            getattr(changed, field.name).extend(value)
        else:
            setattr(changed, field.name, value)
    return changed


def _with_element(message: Any, field: FieldDescriptor, index: int, element: Any) -> Any:
    changed = type(message)()
    changed.CopyFrom(message)
    getattr(changed, field.name)[index].CopyFrom(element)
    return changed


def guard(
    message: Any,
    path: str,
    read: Callable[[Any], Any],
    carry_out: Callable[[Any], None],
    check: Callable[[Any], list[str]],
) -> None:
    """Tries bad values on all fields of a message that is sound.

    Args:
        message: The message.
        path: Its path in what `check` gets.
        read: Makes settings of it; SettingsError says what cannot be honoured.
        carry_out: Does what settings say.
        check: The paths of all problems of a whole config with the message in it.
    """
    carried_out = set()
    carry_out(read(message))
    for at, value, changed in tries(message):
        told = f"{path}.{at}: {changed}"
        try:
            settings = read(changed)
        except SettingsError as error:
            assert all(problem.path.startswith(at) or _is_partner(problem.path, at) for problem in error.problems), told
            assert {f"{path}.{problem.path}" for problem in error.problems} <= set(check(changed)), told
            continue
        assert not is_nonsense(at, value), f"{told}\nis not refused"
        once = (settings, settings.written & set(fields_of(type(settings))))  # not for each field without effect
        if once in carried_out:
            continue
        carried_out.add(once)
        try:
            carry_out(settings)
        except Exception as error:
            raise AssertionError(f"{told}\nis not refused, and stops the input") from error


def _is_partner(path: str, at: str) -> bool:
    return path in (at.replace("min", "max"), at.replace("max", "min"))


def chosen(choice: Choice, message_name: str, name: str) -> tuple[Any, Callable[[Any], Any], Callable[[Any], Any]]:
    """A sound message of one alternative, how to put it into the oneof's, and how to read it."""
    text = f"{name} {{ {_NEEDED.get(name, '')} }}"
    sound = getattr(parse_text(text, "text", message_name), name)

    def whole(message: Any) -> Any:
        around = message_class(message_name)()
        getattr(around, name).CopyFrom(message)
        return around

    def read(message: Any) -> Any:
        try:
            return read_choice(choice, whole(message))
        except SettingsError as error:
            below = [
                type(one)(one.path.removeprefix(f"{name}."), one.reason, one.use_instead) for one in error.problems
            ]
            raise SettingsError(below) from None

    return sound, whole, read


@pytest.fixture(scope="module")
def image() -> Any:
    return tf.constant(np.random.default_rng(5).integers(0, 256, [32, 32, 3]), tf.uint8)


@pytest.fixture(scope="module")
def ground_truth() -> dict[str, Any]:
    return {
        "groundtruth_boxes": tf.constant([[0.1, 0.2, 0.6, 0.9], [0.5, 0.1, 0.9, 0.4]]),
        "groundtruth_classes": tf.constant([1, 2]),
        "groundtruth_weights": tf.constant([1.0, 1.0]),
        "groundtruth_is_crowd": tf.constant([False, False]),
        "groundtruth_difficult": tf.constant([False, False]),
        "groundtruth_group_of": tf.constant([False, False]),
        "groundtruth_area": tf.constant([9.0, 9.0]),
    }


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentations(name: str, image: Any, ground_truth: dict[str, Any]) -> None:
    message, whole, read = chosen(AUGMENTATION_OPTIONS, "PreprocessingStep", name)

    def carry_out(settings: Any) -> None:
        augment = build_augmentation([settings])
        for seed in (1, 2):
            pixels, labels = augment(image, ground_truth, tf.constant([3, seed], tf.int64))
            assert np.all(np.isfinite(pixels))
            assert np.all(np.isfinite(labels["groundtruth_boxes"]))

    def check(changed: Any) -> list[str]:
        config = message_class("TrainEvalPipelineConfig")()
        config.train_config.data_augmentation_options.add().CopyFrom(whole(changed))
        return [problem.path for problem in check_supported(config)]

    guard(message, f"train_config.data_augmentation_options[0].{name}", read, carry_out, check)


@pytest.mark.parametrize("name", IMAGE_RESIZERS.alternatives)
def test_image_resizers(name: str, image: Any) -> None:
    message, whole, read = chosen(IMAGE_RESIZERS, "ImageResizer", name)

    def carry_out(settings: Any) -> None:
        assert np.all(np.isfinite(resize_image(image, settings)[0]))

    def check(changed: Any) -> list[str]:
        config = message_class("TrainEvalPipelineConfig")()
        config.model.ssd.image_resizer.CopyFrom(whole(changed))
        return [problem.path for problem in check_supported(config)]

    guard(message, f"model.ssd.image_resizer.{name}", read, carry_out, check)


@pytest.mark.parametrize("name", MIXING)
def test_mixing(name: str, image: Any, ground_truth: dict[str, Any]) -> None:
    settings, mix = MIXING[name]
    small = Example(tf.cast(image[:20, :16], tf.float32), ground_truth)
    four = [Example(tf.cast(image, tf.float32), ground_truth), small] * 2

    def read(changed: Any) -> Any:
        return read_settings(settings, changed)

    def carry_out(step: Any) -> None:
        for seed in (1, 2):
            pixels, objects = mix(four, tf.constant([3, seed], tf.int64), step)
            assert np.all(np.isfinite(pixels))
            assert np.all(np.isfinite(objects["groundtruth_boxes"]))
            assert np.all(np.isfinite(objects["groundtruth_weights"]))

    def check(changed: Any) -> list[str]:
        config = message_class("TrainEvalPipelineConfig")()
        getattr(config.extensions.mixing, name).CopyFrom(changed)
        return [problem.path for problem in check_supported(config)]

    guard(message_class(settings.message_name)(), f"extensions.mixing.{name}", read, carry_out, check)


def test_input_readers(tmp_path: Path, ground_truth: dict[str, Any]) -> None:
    path = tmp_path / "data.record-00000-of-00001"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in (b"one", b"two"):
            writer.write(record)
    message = parse_text(f'tf_record_input_reader {{ input_path: "{path}" }}', "text", "InputReader")

    def read(changed: Any) -> InputReader:
        return read_settings(InputReader, changed)

    def carry_out(settings: InputReader) -> None:
        records = read_records(settings, "reader", num_epochs=settings.num_epochs or None, seed=1)
        assert len(list(records.take(2))) <= 2
        pad_ground_truth(ground_truth, settings.max_number_of_boxes)

    def check(changed: Any) -> list[str]:
        config = merge(message_class("TrainEvalPipelineConfig")(), "")
        config.eval_input_reader.add().CopyFrom(changed)
        return [problem.path for problem in check_supported(config)]

    guard(message, "eval_input_reader[0]", read, carry_out, check)
    for paths in ([], [""], [str(path), ""]):
        changed = parse_text("tf_record_input_reader { }", "text", "InputReader")
        changed.tf_record_input_reader.input_path.extend(paths)
        with pytest.raises(SettingsError, match=r"^tf_record_input_reader\.input_path"):
            read(changed)
        assert any("tf_record_input_reader.input_path" in problem for problem in check(changed))


def test_nothing_is_left_out() -> None:
    """So many fields are tried; one that is added counts."""
    of_options = [chosen(AUGMENTATION_OPTIONS, "PreprocessingStep", name)[0] for name in AUGMENTATIONS]
    of_resizers = [chosen(IMAGE_RESIZERS, "ImageResizer", name)[0] for name in IMAGE_RESIZERS.alternatives]
    reader = message_class("InputReader")()
    tried = [(type(message), at) for message in (*of_options, *of_resizers, reader) for at, _, _ in tries(message)]
    names = {(cls, at) for cls, at in tried}
    print(f"{len(tried)} values of {len(names)} fields")
    assert len(names) >= 170
    assert len(tried) >= 1300
