"""Augmentations that cut a part out of the picture, or put it on a larger canvas.

Each takes a picture (uint8 or float32 [H, W, 3], 0..255), its `GroundTruth`, and a seed ([2], see `randomness`), and
returns the first two changed. Parameters and their defaults are the Object Detection API's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from train.inputs.augmentations import parameters
from train.inputs.augmentations.augmentation import Augmentation
from train.inputs.ground_truth import (
    BOXES,
    GroundTruth,
    box_area,
    clip_to_window,
    keep,
    relative_to_window,
    share_inside,
    with_boxes,
)
from train.inputs.randomness import split, uniform, uniform_integer

MAX_ATTEMPTS = 100  # to find a window that covers an object; after that the whole picture is the window


@dataclass(frozen=True)
class CropRule:
    """How a window may be cut out.

    Attributes:
        min_object_covered: Which share of at least one box the window must cover, 0..1.
        aspect_ratio_range: The window's width over its height, smallest and largest.
        area_range: The window's area over the picture's, smallest and largest, in (0, 1].
        overlap_thresh: Boxes of which less than this share lies in the window are left out.
        clip_boxes: Whether boxes are cut off at the window's edge.
        random_coef: The chance, 0..1, that the picture stays as it is.
    """

    min_object_covered: float = 1.0
    aspect_ratio_range: tuple[float, float] = (0.75, 1.33)
    area_range: tuple[float, float] = (0.1, 1.0)
    overlap_thresh: float = 0.3
    clip_boxes: bool = True
    random_coef: float = 0.0

    def __post_init__(self) -> None:
        """Checks the ranges, which TensorFlow would do while training, without saying which augmentation it was.

        Raises:
            ValueError: A range is empty or outside its bounds.
        """
        if not self.min_object_covered >= 0.0:
            raise ValueError(f"min_object_covered is {self.min_object_covered:g}; it must be 0 or more")
        smallest, largest = self.aspect_ratio_range
        if not 0.0 < smallest <= largest:
            raise ValueError(f"aspect ratios from {smallest:g} to {largest:g}: they must be above 0, the smaller first")
        smallest, largest = self.area_range
        if not 0.0 < smallest <= largest <= 1.0:
            raise ValueError(f"areas from {smallest:g} to {largest:g}: they must lie in (0, 1], the smaller first")
        if not 0.0 <= self.random_coef <= 1.0:
            raise ValueError(f"random_coef is {self.random_coef:g}; it must lie between 0 and 1")


# The SSD paper's (https://arxiv.org/abs/1512.02325), as the Object Detection API reads it.
SSD_CROP_RULES = tuple(
    CropRule(
        min_object_covered=share,
        aspect_ratio_range=(0.5, 2.0),
        area_range=(0.1, 1.0),
        overlap_thresh=share,
        clip_boxes=True,
        random_coef=0.15,
    )
    for share in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
)


def random_crop_image(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, rule: CropRule = CropRule()
) -> tuple[tf.Tensor, GroundTruth]:
    """Cuts out a random window that obeys `rule`, with the boxes that lie in it."""
    chance_seed, window_seed = split(seed, 2)

    def crop() -> tuple[tf.Tensor, GroundTruth]:
        return _crop(image, ground_truth, window_seed, rule)

    if rule.random_coef == 0.0:
        return crop()
    image_out, ground_truth_out = tf.cond(
        uniform(chance_seed) >= rule.random_coef, crop, lambda: (image, dict(ground_truth))
    )
    image_out.set_shape([None, None, 3])
    return image_out, ground_truth_out


def ssd_random_crop(
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    *,
    operations: Sequence[CropRule] = SSD_CROP_RULES,
) -> tuple[tf.Tensor, GroundTruth]:
    """Cuts out a random window that obeys one of the `operations`, picked with equal chances."""
    choice_seed, crop_seed = split(seed, 2)
    image_out, ground_truth_out = tf.switch_case(
        uniform_integer(choice_seed, 0, len(operations)),
        [lambda rule=rule: random_crop_image(image, dict(ground_truth), crop_seed, rule=rule) for rule in operations],
    )
    image_out.set_shape([None, None, 3])
    return image_out, ground_truth_out


def random_pad_image(
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    *,
    min_image_size: tuple[int, int] | None = None,
    max_image_size: tuple[int, int] | None = None,
    pad_color: tuple[float, float, float] | None = None,
) -> tuple[tf.Tensor, GroundTruth]:
    """Puts the picture at a random place on a larger canvas of one colour.

    Args:
        image: float32; else as in the module's docstring.
        ground_truth: As in the module's docstring.
        seed: As in the module's docstring.
        min_image_size: Smallest height and width of the canvas; the picture's own where that is larger, or by default.
        max_image_size: Largest height and width; by default twice the picture's, and never less than the picture's.
        pad_color: Red, green and blue, 0..255; by default the picture's mean.
    """
    seeds = split(seed, 4)
    size = tf.shape(image)[:2]
    smallest = size if min_image_size is None else tf.maximum(min_image_size, size)
    largest = size * 2 if max_image_size is None else tf.maximum(max_image_size, size)
    # Where the config's smallest exceeds its largest, the largest wins, as it did in the API.
    canvas = [
        tf.where(
            largest[axis] > smallest[axis], uniform_integer(seeds[axis], smallest[axis], largest[axis]), largest[axis]
        )
        for axis in (0, 1)
    ]
    offset = [uniform_integer(seeds[2 + axis], 0, canvas[axis] - size[axis]) for axis in (0, 1)]
    colour = tf.reduce_mean(image, axis=[0, 1]) if pad_color is None else tf.constant(pad_color, tf.float32)
    # Padding with zeros the difference from the colour is padding with the colour.
    padded = tf.image.pad_to_bounding_box(image - colour, offset[0], offset[1], canvas[0], canvas[1]) + colour
    padded.set_shape([None, None, 3])
    window = tf.cast(
        tf.stack([-offset[0], -offset[1], canvas[0] - offset[0], canvas[1] - offset[1]]), tf.float32
    ) / tf.cast(tf.tile(size, [2]), tf.float32)
    return padded, with_boxes(ground_truth, relative_to_window(ground_truth[BOXES], window))


def _crop(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, rule: CropRule
) -> tuple[tf.Tensor, GroundTruth]:
    """Cuts out one window that obeys `rule` (its `random_coef` apart)."""
    whole = tf.constant([0.0, 0.0, 1.0, 1.0])
    begin, size, window = tf.image.stateless_sample_distorted_bounding_box(
        tf.shape(image),
        bounding_boxes=clip_to_window(ground_truth[BOXES], whole)[tf.newaxis],
        seed=seed,
        min_object_covered=rule.min_object_covered,
        aspect_ratio_range=rule.aspect_ratio_range,
        area_range=rule.area_range,
        max_attempts=MAX_ATTEMPTS,
        use_image_if_no_bounding_boxes=True,
    )
    cropped = image[begin[0] : begin[0] + size[0], begin[1] : begin[1] + size[1]]
    cropped.set_shape([None, None, 3])
    window = tf.reshape(window, [4])
    share = share_inside(ground_truth[BOXES], window)
    kept = keep(ground_truth, (share > 0.0) & (share >= rule.overlap_thresh))
    boxes = relative_to_window(kept[BOXES], window)
    if rule.clip_boxes:
        boxes = clip_to_window(boxes, whole)
    kept = with_boxes(kept, boxes)
    # Rounding can make a box of a hair's breadth empty, which no loss can bear.
    return cropped, keep(kept, box_area(boxes) > 0.0)


def _crop_rule(message: Any) -> CropRule:
    return CropRule(
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
    read: dict[str, Any] = {}
    for bound in ("min", "max"):
        height, width = f"{bound}_image_height", f"{bound}_image_width"
        parameters.require(
            message.HasField(height) == message.HasField(width), f"set both {height} and {width}, or neither"
        )
        if message.HasField(height):
            read[f"{bound}_image_size"] = (getattr(message, height), getattr(message, width))
    parameters.require(len(message.pad_color) in (0, 3), f"pad_color has {len(message.pad_color)} values, not 3")
    if message.pad_color:
        read["pad_color"] = tuple(message.pad_color)
    return read


# By the option's name in the schema.
AUGMENTATIONS: dict[str, Augmentation] = {
    "random_crop_image": Augmentation(
        random_crop_image, lambda message: {"rule": _crop_rule(message)}, needs_float=False
    ),
    "random_pad_image": Augmentation(random_pad_image, _pad),
    "ssd_random_crop": Augmentation(ssd_random_crop, _ssd_crop, needs_float=False),
}
