"""Augmentations that move, scale, turn or repeat the whole image, or change its boxes or their labels alone.

Each takes an image (uint8 or float32 [H, W, 3], 0..255), its `GroundTruth`, and a seed ([2], see `randomness`), and
returns the first two changed. Parameters, defaults and meaning are those of the Object Detection API's
core/preprocessor.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from train.inputs.augmentations.augmentation import Augmentation
from train.inputs.ground_truth import BOXES, CLASSES, GroundTruth, box_area, clip_to_window, keep, with_boxes
from train.inputs.randomness import happens, split, uniform

_VERTICAL, _HORIZONTAL = 0, 1  # axes of the image
_SMALLEST_SIDE = 1e-6  # of a box to jitter, relative to the image


def random_horizontal_flip(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, probability: float
) -> tuple[tf.Tensor, GroundTruth]:
    """Mirrors left and right with `probability`."""

    def flipped() -> tuple[tf.Tensor, tf.Tensor]:
        # `tf.reverse`, not a slice with a negative step: 0.6 ms a 640x480 image where that took 11.
        ymin, xmin, ymax, xmax = tf.unstack(ground_truth[BOXES], axis=1)
        return tf.reverse(image, [1]), tf.stack([ymin, 1.0 - xmax, ymax, 1.0 - xmin], axis=1)

    return _perhaps(flipped, image, ground_truth, seed, probability)


def random_vertical_flip(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, probability: float
) -> tuple[tf.Tensor, GroundTruth]:
    """Mirrors top and bottom with `probability`."""

    def flipped() -> tuple[tf.Tensor, tf.Tensor]:
        ymin, xmin, ymax, xmax = tf.unstack(ground_truth[BOXES], axis=1)
        return tf.reverse(image, [0]), tf.stack([1.0 - ymax, xmin, 1.0 - ymin, xmax], axis=1)

    return _perhaps(flipped, image, ground_truth, seed, probability)


def random_rotation90(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, probability: float
) -> tuple[tf.Tensor, GroundTruth]:
    """Turns by 90 degrees counter-clockwise with `probability`; height and width change places."""

    def turned() -> tuple[tf.Tensor, tf.Tensor]:
        ymin, xmin, ymax, xmax = tf.unstack(ground_truth[BOXES], axis=1)
        return tf.image.rot90(image), tf.stack([1.0 - xmax, ymin, 1.0 - xmin, ymax], axis=1)

    image, ground_truth = _perhaps(turned, image, ground_truth, seed, probability)
    image.set_shape([None, None, 3])
    return image, ground_truth


def _perhaps(
    change: Callable[[], tuple[tf.Tensor, tf.Tensor]],
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    probability: float,
) -> tuple[tf.Tensor, GroundTruth]:
    """The image and boxes that `change` returns, with `probability`."""
    image, boxes = tf.cond(happens(seed, probability), change, lambda: (image, ground_truth[BOXES]))
    return image, with_boxes(ground_truth, boxes)


def random_image_scale(
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    *,
    min_scale_ratio: float,
    max_scale_ratio: float,
) -> tuple[tf.Tensor, GroundTruth]:
    """Scales height and width by one factor between the two ratios; relative boxes stay as they are."""
    factor = uniform(seed, min_scale_ratio, max_scale_ratio)
    size = tf.cast(tf.cast(tf.shape(image)[:2], tf.float32) * factor, tf.int32)
    scaled = tf.compat.v1.image.resize(image, tf.maximum(size, 1), align_corners=True)
    return tf.cast(scaled, tf.float32), ground_truth


def resize_image(
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    *,
    new_height: int,
    new_width: int,
    method: str,
) -> tuple[tf.Tensor, GroundTruth]:
    """Brings each image to one size, whatever its proportions; relative boxes stay as they are.

    The model's own `image_resizer` comes after all augmentations all the same.

    Args:
        image: As in the module's docstring.
        ground_truth: As in the module's docstring.
        seed: Not used: nothing here is random.
        new_height: In pixels.
        new_width: In pixels.
        method: `AREA`, `BICUBIC`, `BILINEAR` or `NEAREST_NEIGHBOR`, of TensorFlow's first kernels, with corners not
            aligned.
    """
    del seed
    resized = tf.compat.v1.image.resize(image, [new_height, new_width], method=getattr(tf.image.ResizeMethod, method))
    # Bicubic interpolation overshoots at edges.
    return tf.clip_by_value(tf.cast(resized, tf.float32), 0.0, 255.0), ground_truth


def random_jitter_boxes(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, ratio: float, jitter_mode: str
) -> tuple[tf.Tensor, GroundTruth]:
    """Moves the edges of each box a little, as careless annotators do; the image stays.

    Boxes are cut off at the image's edge. One that shrinks to nothing (a ratio near 1 or above) is left out.

    Args:
        image: As in the module's docstring.
        ground_truth: As in the module's docstring.
        seed: As in the module's docstring.
        ratio: By which part of its height or width the box may grow or shrink, half of it at each edge.
        jitter_mode: As the schema has it: `DEFAULT` moves each edge for itself, outwards or inwards; `EXPAND` and
            `SHRINK` only in the one direction; `..._SYMMETRIC` keeps the centre, `..._SYMMETRIC_XY` the proportions
            too.
    """
    low = 0.0 if jitter_mode.startswith("EXPAND") else -ratio
    high = 0.0 if jitter_mode.startswith("SHRINK") else ratio
    boxes = ground_truth[BOXES]
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2.0
    sides = tf.maximum(boxes[:, 2:] - boxes[:, :2], _SMALLEST_SIDE)
    factors = 1.0 + tf.random.stateless_uniform([tf.shape(boxes)[0], 4], seed, low, high)
    if jitter_mode.endswith("_SYMMETRIC_XY"):
        factors = tf.tile(factors[:, :1], [1, 4])
    elif jitter_mode.endswith("_SYMMETRIC"):
        factors = tf.tile(factors[:, :2], [1, 2])
    if "SYMMETRIC" in jitter_mode:
        # An edge stops at the image's, and so must the one across from it, or the centre would move.
        largest = 2.0 * tf.minimum(centre, 1.0 - centre) / sides
        if jitter_mode.endswith("_XY"):
            largest = tf.tile(tf.reduce_min(largest, axis=1, keepdims=True), [1, 2])
        factors = tf.minimum(factors, tf.tile(largest, [1, 2]))
    top_left = centre - sides * factors[:, :2] / 2.0
    bottom_right = centre + sides * factors[:, 2:] / 2.0
    jittered = clip_to_window(tf.concat([top_left, bottom_right], axis=1), tf.constant([0.0, 0.0, 1.0, 1.0]))
    ground_truth = with_boxes(ground_truth, jittered)
    return image, keep(ground_truth, box_area(jittered) > 0.0)


def random_self_concat_image(
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    *,
    concat_vertical_probability: float,
    concat_horizontal_probability: float,
) -> tuple[tf.Tensor, GroundTruth]:
    """Puts the image below itself, or beside itself, or both, each with its own chance; objects double each time."""
    vertical_seed, horizontal_seed = split(seed, 2)
    image, ground_truth = _perhaps_twice(image, ground_truth, vertical_seed, concat_vertical_probability, _VERTICAL)
    return _perhaps_twice(image, ground_truth, horizontal_seed, concat_horizontal_probability, _HORIZONTAL)


def _perhaps_twice(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, probability: float, axis: int
) -> tuple[tf.Tensor, GroundTruth]:
    def twice() -> tuple[tf.Tensor, GroundTruth]:
        scale = [1.0, 1.0, 1.0, 1.0]
        scale[axis] = scale[axis + 2] = 0.5
        shift = [0.0, 0.0, 0.0, 0.0]
        shift[axis] = shift[axis + 2] = 0.5
        boxes = ground_truth[BOXES] * scale
        doubled = {name: tf.concat([values, values], axis=0) for name, values in ground_truth.items()}
        return tf.concat([image, image], axis=axis), with_boxes(doubled, tf.concat([boxes, boxes + shift], axis=0))

    image_out, ground_truth_out = tf.cond(happens(seed, probability), twice, lambda: (image, dict(ground_truth)))
    image_out.set_shape([None, None, 3])
    return image_out, ground_truth_out


def drop_label_probabilistically(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, label: int, drop_probability: float
) -> tuple[tf.Tensor, GroundTruth]:
    """Leaves out each object of the class with the label map id `label` with `drop_probability`."""
    classes = ground_truth[CLASSES]
    stays = tf.random.stateless_uniform(tf.shape(classes), seed) >= drop_probability
    return image, keep(ground_truth, stays | (classes != label))


def remap_labels(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, original_labels: Sequence[int], new_label: int
) -> tuple[tf.Tensor, GroundTruth]:
    """Gives all objects whose class is one of `original_labels` the class `new_label`; all are label map ids."""
    del seed  # nothing is random here
    if not original_labels:
        return image, ground_truth
    classes = ground_truth[CLASSES]
    is_one_of_them = tf.reduce_any(classes[:, tf.newaxis] == tf.constant(original_labels, classes.dtype), axis=1)
    return image, {**ground_truth, CLASSES: tf.where(is_one_of_them, new_label, classes)}


# By the option's name in the schema.
AUGMENTATIONS: dict[str, Augmentation] = {
    "random_horizontal_flip": Augmentation(random_horizontal_flip, needs_float=False),
    "random_image_scale": Augmentation(random_image_scale, needs_float=False),
    "random_jitter_boxes": Augmentation(random_jitter_boxes, needs_float=False),
    "random_rotation90": Augmentation(random_rotation90, needs_float=False),
    "random_vertical_flip": Augmentation(random_vertical_flip, needs_float=False),
    "resize_image": Augmentation(resize_image, needs_float=False),
    "random_self_concat_image": Augmentation(random_self_concat_image, needs_float=False),
    "drop_label_probabilistically": Augmentation(drop_label_probabilistically, needs_float=False),
    "remap_labels": Augmentation(remap_labels, needs_float=False),
}
