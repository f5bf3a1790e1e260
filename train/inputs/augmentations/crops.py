"""Augmentations that cut a part out of the image.

Each takes an image (uint8 or float32 [H, W, 3], 0..255), its `GroundTruth`, and a seed ([2], see `randomness`), and
returns the first two changed. Parameters, defaults and meaning are those of the Object Detection API's
core/preprocessor.py. Boxes of which nothing is left are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import tensorflow as tf

from configs.settings.augmentations.windows import CropRule
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

MAX_ATTEMPTS = 100  # to find a window that covers an object; after that the whole image is the window


def random_crop_image(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, rule: CropRule
) -> tuple[tf.Tensor, GroundTruth]:
    """Cuts out a random window that obeys `rule`, with the boxes that lie in it."""
    return crop_by_rule(image, ground_truth, seed, [rule], tf.constant(0))


def ssd_random_crop(
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    *,
    operations: Sequence[CropRule],
) -> tuple[tf.Tensor, GroundTruth]:
    """Cuts out a random window that obeys one of the `operations`, picked with equal chances."""
    choice_seed, crop_seed = split(seed, 2)
    choice = uniform_integer(choice_seed, 0, len(operations))
    return crop_by_rule(image, ground_truth, crop_seed, operations, choice)


def ssd_random_crop_fixed_aspect_ratio(
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    *,
    operations: Sequence[CropRule],
    aspect_ratio: float,
) -> tuple[tf.Tensor, GroundTruth]:
    """As `ssd_random_crop` with windows of one aspect ratio, to which whole images are cut too.

    The second cut, to the exact ratio, leaves out boxes of which less than 0.3 remains and clips the others, whatever
    the operations say: so does the API's. Without operations the API forgot the aspect ratio and took 1; here it holds.

    Args:
        image: As in the module's docstring.
        ground_truth: As in the module's docstring.
        seed: As in the module's docstring.
        operations: One is picked for each image; their own aspect ratios do not matter.
        aspect_ratio: Width over height.
    """
    window_seed, ratio_seed = split(seed, 2)
    rules = [replace(rule, aspect_ratio_range=(aspect_ratio, aspect_ratio)) for rule in operations]
    image, ground_truth = ssd_random_crop(image, ground_truth, window_seed, operations=rules)
    return random_crop_to_aspect_ratio(
        image, ground_truth, ratio_seed, aspect_ratio=aspect_ratio, overlap_thresh=0.3, clip_boxes=True
    )


def random_crop_to_aspect_ratio(
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    *,
    aspect_ratio: float,
    overlap_thresh: float,
    clip_boxes: bool,
) -> tuple[tf.Tensor, GroundTruth]:
    """Cuts out, at a random place, the largest window of an aspect ratio.

    Args:
        image: As in the module's docstring.
        ground_truth: As in the module's docstring.
        seed: As in the module's docstring.
        aspect_ratio: Width over height.
        overlap_thresh: Boxes of which less than this share lies in the window are left out.
        clip_boxes: Whether boxes are cut off at the window's edge.
    """
    shape = tf.shape(image)[:2]
    height, width = tf.unstack(tf.cast(shape, tf.float32))
    wanted = tf.stack([tf.minimum(tf.round(width / aspect_ratio), height), tf.round(height * aspect_ratio)])
    size = tf.clip_by_value(tf.cast(wanted, tf.int32), 1, shape)
    begin = tf.stack([uniform_integer(s, 0, shape[axis] - size[axis] + 1) for axis, s in enumerate(split(seed, 2))])
    window = tf.cast(tf.concat([begin, begin + size], axis=0), tf.float32) / tf.cast(tf.tile(shape, [2]), tf.float32)
    kept = _in_window(ground_truth, window, tf.constant(overlap_thresh), tf.constant(clip_boxes))
    return _cut_out(image, begin, size), kept


def crop_by_rule(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, rules: Sequence[CropRule], choice: tf.Tensor
) -> tuple[tf.Tensor, GroundTruth]:
    """Cuts out a random window that obeys one of several rules.

    Args:
        image: As in the module's docstring.
        ground_truth: As in the module's docstring.
        seed: As in the module's docstring.
        rules: At least one.
        choice: int32 scalar: which of them.
    """
    chance_seed, window_seed = split(seed, 2)

    # One crop with the chosen rule's numbers, not a crop for each rule to choose from: a seventh of the graph.
    def chosen(values: Sequence[Any]) -> tf.Tensor:
        return tf.gather(tf.constant(values), choice)

    def crop() -> tuple[tf.Tensor, GroundTruth]:
        begin, size, window = _random_window(
            tf.shape(image),
            ground_truth[BOXES],
            window_seed,
            rules,
            choice,
            chosen([rule.min_object_covered for rule in rules]),
        )
        overlap_thresh = chosen([rule.overlap_thresh for rule in rules])
        clip_boxes = chosen([rule.clip_boxes for rule in rules])
        return _cut_out(image, begin, size), _in_window(ground_truth, window, overlap_thresh, clip_boxes)

    chances = [rule.random_coef for rule in rules]
    if not any(chances):
        return crop()
    stays = uniform(chance_seed) < chosen(chances)
    image_out, ground_truth_out = tf.cond(stays, lambda: (image, dict(ground_truth)), crop)
    image_out.set_shape([None, None, 3])
    return image_out, ground_truth_out


def _random_window(
    image_shape: tf.Tensor,
    boxes: tf.Tensor,
    seed: tf.Tensor,
    rules: Sequence[CropRule],
    choice: tf.Tensor,
    min_object_covered: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Draws a window.

    Returns:
        Its upper left corner and its size, int32 [2] in pixels, height first, and float32 [4], ymin xmin ymax xmax in
        0..1 of the image.
    """

    def sampler(aspect_ratio_range: tuple[float, float], area_range: tuple[float, float]) -> Any:
        return lambda: tuple(
            tf.image.stateless_sample_distorted_bounding_box(
                image_shape,
                bounding_boxes=tf.clip_by_value(boxes, 0.0, 1.0)[tf.newaxis],
                seed=seed,
                min_object_covered=min_object_covered,
                aspect_ratio_range=aspect_ratio_range,
                area_range=area_range,
                max_attempts=MAX_ATTEMPTS,
                use_image_if_no_bounding_boxes=True,
            )
        )

    # The kernel takes these two ranges as constants only.
    ranges = [(rule.aspect_ratio_range, rule.area_range) for rule in rules]
    distinct = list(dict.fromkeys(ranges))
    samplers = [sampler(*one) for one in distinct]
    if len(samplers) == 1:
        begin, size, window = samplers[0]()
    else:
        which = tf.gather(tf.constant([distinct.index(one) for one in ranges]), choice)
        begin, size, window = tf.switch_case(which, samplers)
    return begin[:2], size[:2], tf.reshape(window, [4])


def _cut_out(image: tf.Tensor, begin: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    cropped = image[begin[0] : begin[0] + size[0], begin[1] : begin[1] + size[1]]
    cropped.set_shape([None, None, 3])
    return cropped


def _in_window(
    ground_truth: GroundTruth, window: tf.Tensor, overlap_thresh: tf.Tensor, clip_boxes: tf.Tensor
) -> GroundTruth:
    """Returns the objects that lie in the window well enough, their boxes relative to it."""
    share = share_inside(ground_truth[BOXES], window)
    kept = keep(ground_truth, (share > 0.0) & (share >= overlap_thresh))
    boxes = relative_to_window(kept[BOXES], window)
    boxes = tf.where(clip_boxes, clip_to_window(boxes, tf.constant([0.0, 0.0, 1.0, 1.0])), boxes)
    # Rounding can make a box of a hair's breadth empty, which no loss can bear.
    return keep(with_boxes(kept, boxes), box_area(boxes) > 0.0)


# By the option's name in the schema.
AUGMENTATIONS: dict[str, Augmentation] = {
    "random_crop_image": Augmentation(random_crop_image, needs_float=False),
    "random_crop_to_aspect_ratio": Augmentation(random_crop_to_aspect_ratio, needs_float=False),
    "ssd_random_crop": Augmentation(ssd_random_crop, needs_float=False),
    "ssd_random_crop_fixed_aspect_ratio": Augmentation(ssd_random_crop_fixed_aspect_ratio, needs_float=False),
}
