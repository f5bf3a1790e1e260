"""From `train_config.data_augmentation_options` to one function on a picture and its ground truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from data_prep.command_line import UsageError
from train.inputs import augmentation_colour as colour
from train.inputs import augmentation_crops as crops
from train.inputs import augmentation_geometry as geometry
from train.inputs.ground_truth import GroundTruth

Augment = Callable[[tf.Tensor, GroundTruth, tf.Tensor], tuple[tf.Tensor, GroundTruth]]


@dataclass(frozen=True)
class Augmentation:
    """How one option of the config is carried out.

    Attributes:
        function: Takes a picture, its ground truth, a seed and the parameters by name; returns the first two.
        parameters: Reads the parameters off the option's message; raises ValueError where they make no sense.
        needs_float: Whether the picture must be float32. The others take uint8 too, which is four times less to move.
    """

    function: Callable[..., tuple[tf.Tensor, GroundTruth]]
    parameters: Callable[[Any], dict[str, Any]]
    needs_float: bool = True


def build_augmentation(options: Iterable[Any], where: str = "train_config.data_augmentation_options") -> Augment:
    """Returns a function that applies the options in their order.

    Args:
        options: `PreprocessingStep` messages.
        where: Their path in the config, for messages.

    Returns:
        A function of a picture (uint8 [H, W, 3]), its ground truth and a seed ([2] integers: the same seed gives the
        same result) that returns the picture, uint8 or float32 [H', W', 3] with values 0..255, and its ground truth.

    Raises:
        UsageError: An option that is not supported or whose parameters make no sense, by its path.
    """
    steps: list[tuple[Augmentation, dict[str, Any]]] = []
    for index, option in enumerate(options):
        name = option.WhichOneof("preprocessing_step")
        path = f"{where}[{index}]"
        if name is None:
            raise UsageError(f"{path} is empty; name an augmentation in it, or remove it")
        if name not in AUGMENTATIONS:
            raise UsageError(f"{path}.{name} is not supported; use one of {', '.join(sorted(AUGMENTATIONS))}")
        augmentation = AUGMENTATIONS[name]
        try:
            steps.append((augmentation, augmentation.parameters(getattr(option, name))))
        except ValueError as error:
            raise UsageError(f"{path}.{name}: {error}") from error

    def augment(image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor) -> tuple[tf.Tensor, GroundTruth]:
        for index, (augmentation, parameters) in enumerate(steps):
            if augmentation.needs_float:
                image = tf.cast(image, tf.float32)
            image, ground_truth = augmentation.function(
                image, ground_truth, tf.random.fold_in(seed, index), **parameters
            )
        return image, ground_truth

    return augment


def _probability(message: Any) -> dict[str, Any]:
    _require(0.0 <= message.probability <= 1.0, f"probability is {message.probability:g}; it must lie between 0 and 1")
    return {"probability": message.probability}


def _max_delta(message: Any) -> dict[str, Any]:
    _require(0.0 <= message.max_delta <= 1.0, f"max_delta is {message.max_delta:g}; it must lie between 0 and 1")
    return {"max_delta": message.max_delta}


def _interval(smallest: str, largest: str, *, may_be_zero: bool = False) -> Callable[[Any], dict[str, Any]]:
    """Returns a reader of two fields that must be in order, and above 0 (or not below it)."""
    bound = "0 or more" if may_be_zero else "above 0"

    def read(message: Any) -> dict[str, Any]:
        low, high = getattr(message, smallest), getattr(message, largest)
        in_bounds = low >= 0.0 if may_be_zero else low > 0.0
        _require(in_bounds and low <= high, f"{smallest} {low:g}, {largest} {high:g}: must be {bound} and in order")
        return {smallest: low, largest: high}

    return read


def _color_ordering(message: Any) -> dict[str, Any]:
    _require(message.color_ordering in (0, 1), f"color_ordering is {message.color_ordering}; it must be 0 or 1")
    return {"color_ordering": message.color_ordering}


def _jitter(message: Any) -> dict[str, Any]:
    _require(0.0 <= message.ratio < 1.0, f"ratio is {message.ratio:g}; it must be 0 or more, and less than 1")
    mode = message.DESCRIPTOR.fields_by_name["jitter_mode"].enum_type.values_by_number[message.jitter_mode].name
    return {"ratio": message.ratio, "jitter_mode": mode.lower()}


def _black_patches(message: Any) -> dict[str, Any]:
    ratio = message.size_to_image_ratio
    _require(0.0 < ratio < 1.0, f"size_to_image_ratio is {ratio:g}; it must lie between 0 and 1")
    _require(message.max_black_patches >= 0, f"max_black_patches is {message.max_black_patches}; it must be 0 or more")
    return {**_probability(message), "max_black_patches": message.max_black_patches, "size_to_image_ratio": ratio}


def _crop_rule(message: Any) -> crops.CropRule:
    return crops.CropRule(
        min_object_covered=message.min_object_covered,
        aspect_ratio_range=(message.min_aspect_ratio, message.max_aspect_ratio),
        area_range=(message.min_area, message.max_area),
        overlap_thresh=message.overlap_thresh,
        clip_boxes=message.clip_boxes,
        random_coef=message.random_coef,
    )


def _ssd_crop(message: Any) -> dict[str, Any]:
    if not message.operations:
        return {}
    rules = []
    for index, operation in enumerate(message.operations):
        try:
            rules.append(_crop_rule(operation))
        except ValueError as error:
            raise ValueError(f"operations[{index}]: {error}") from error
    return {"operations": rules}


def _pad(message: Any) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    for bound in ("min", "max"):
        height, width = f"{bound}_image_height", f"{bound}_image_width"
        _require(message.HasField(height) == message.HasField(width), f"set both {height} and {width}, or neither")
        if message.HasField(height):
            parameters[f"{bound}_image_size"] = (getattr(message, height), getattr(message, width))
    _require(len(message.pad_color) in (0, 3), f"pad_color has {len(message.pad_color)} values, not 3")
    if message.pad_color:
        parameters["pad_color"] = tuple(message.pad_color)
    return parameters


def _square(message: Any) -> dict[str, Any]:
    _require(message.output_size >= 1, f"output_size is {message.output_size}; it must be 1 or more")
    return {**_interval("scale_min", "scale_max")(message), "output_size": message.output_size}


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)


_PIXEL_FACTORS = _interval("minval", "maxval", may_be_zero=True)
_DELTAS = _interval("min_delta", "max_delta", may_be_zero=True)

# What `train_config.data_augmentation_options` may hold, by the option's name in the schema.
AUGMENTATIONS: dict[str, Augmentation] = {
    "random_adjust_brightness": Augmentation(colour.random_adjust_brightness, _max_delta),
    "random_adjust_contrast": Augmentation(colour.random_adjust_contrast, _DELTAS),
    "random_adjust_hue": Augmentation(colour.random_adjust_hue, _max_delta),
    "random_adjust_saturation": Augmentation(colour.random_adjust_saturation, _DELTAS),
    "random_black_patches": Augmentation(colour.random_black_patches, _black_patches),
    "random_crop_image": Augmentation(
        crops.random_crop_image, lambda message: {"rule": _crop_rule(message)}, needs_float=False
    ),
    "random_distort_color": Augmentation(colour.random_distort_color, _color_ordering),
    "random_horizontal_flip": Augmentation(geometry.random_horizontal_flip, _probability, needs_float=False),
    "random_image_scale": Augmentation(geometry.random_image_scale, _interval("min_scale_ratio", "max_scale_ratio")),
    "random_jitter_boxes": Augmentation(geometry.random_jitter_boxes, _jitter, needs_float=False),
    "random_pad_image": Augmentation(crops.random_pad_image, _pad),
    "random_pixel_value_scale": Augmentation(
        colour.random_pixel_value_scale, _interval("minval", "maxval", may_be_zero=True)
    ),
    "random_rgb_to_gray": Augmentation(colour.random_rgb_to_gray, _probability),
    "random_rotation90": Augmentation(geometry.random_rotation90, _probability, needs_float=False),
    "random_scale_crop_and_pad_to_square": Augmentation(
        geometry.random_scale_crop_and_pad_to_square, _square, needs_float=False
    ),
    "random_vertical_flip": Augmentation(geometry.random_vertical_flip, _probability, needs_float=False),
    "ssd_random_crop": Augmentation(crops.ssd_random_crop, _ssd_crop, needs_float=False),
}
