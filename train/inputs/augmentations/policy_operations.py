"""The operations that AutoAugment's policies for detection are made of (https://arxiv.org/abs/1906.11172).

The pixels are changed by TF Model Garden's `official.vision.ops.augment`. Three things are not taken from there: its
random numbers, which cannot be repeated; its filling of what a shift uncovers, which mirrors the image and thereby
objects without their boxes (here it is grey, as in the Object Detection API); and its boxes, rounded to pixels one by
one, of which those that leave the image come back as slivers at its edge (here they are left out).

Names, magnitudes and constants are those of the API's utils/autoaugment_utils.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import tensorflow as tf
from official.vision.ops import augment

from train.inputs.augmentations.patches import paste
from train.inputs.ground_truth import clip_to_window
from train.inputs.randomness import happens, split, uniform_integer


class Objects(NamedTuple):
    """The objects of an image, as far as operations need them.

    Every branch of a graph has a price for each tensor that goes through.

    Attributes:
        boxes: float32 [N, 4], ymin xmin ymax xmax in 0..1.
        numbers: int32 [N], which of the ground truth's objects these are.
    """

    boxes: tf.Tensor
    numbers: tf.Tensor


Operation: TypeAlias = Callable[[tf.Tensor, Objects, tf.Tensor], tuple[tf.Tensor, Objects]]
# From a point of the result to the point of the image that is shown there, (x, y) in pixels from the centre of the
# top left one: x' = a0 x + a1 y + a2, y' = a3 x + a4 y + a5.
Affine: TypeAlias = "list[tf.Tensor | float]"
# Changes the pixels of an image, or of a part of one (uint8 [H, W, 3]); takes a seed and a magnitude too.
OfPixels: TypeAlias = Callable[[tf.Tensor, tf.Tensor, float], tf.Tensor]

GREY = 128  # what shows where there is no image
MAX_MAGNITUDE = 10.0
SMALLEST_SIDE_PIXELS = 0.5  # of a box; of what is smaller at the image's edge, not one pixel's centre need show
# An operation on objects alone spares two of three, lest neighbours be spoilt together.
_SHARE_OF_OBJECTS = 1.0 / 3.0


def make_operation(name: str, probability: float, magnitude: float) -> Operation:
    """Returns one operation of a policy.

    Args:
        name: Such as `ShearX_BBox`.
        probability: How often it happens, 0..1; of one that works on single objects (`..._Only_BBoxes`), three times
            how often it happens to each of them.
        magnitude: How strong it is, 0..10.

    Returns:
        A function of an image (uint8 [H, W, 3]), its objects and a seed ([2]) that returns the first two.
    """
    if name in _ON_OBJECTS:
        return _on_objects(_ON_OBJECTS[name], probability * _SHARE_OF_OBJECTS, magnitude)

    def operate(image: tf.Tensor, objects: Objects, seed: tf.Tensor) -> tuple[tf.Tensor, Objects]:
        if name in _MOVES:
            return _move(image, objects, _MOVES[name](image, seed, magnitude))
        if name == "BBox_Cutout":
            return _cutout_in_one_box(image, objects.boxes, seed, magnitude), objects
        return _ON_IMAGE[name](image, seed, magnitude), objects

    def apply(image: tf.Tensor, objects: Objects, seed: tf.Tensor) -> tuple[tf.Tensor, Objects]:
        chance_seed, operation_seed = split(seed, 2)
        image_out, objects_out = tf.cond(
            happens(chance_seed, probability),
            lambda: operate(image, objects, operation_seed),
            lambda: (image, objects),
        )
        image_out.set_shape([None, None, 3])
        return image_out, objects_out

    return apply


def _on_objects(change: OfPixels, probability: float, magnitude: float) -> Operation:
    """Makes an operation that changes the pixels inside some boxes, in random order, and no boxes."""

    def apply(image: tf.Tensor, objects: Objects, seed: tf.Tensor) -> tuple[tf.Tensor, Objects]:
        draw_seed, change_seed = split(seed, 2)
        boxes = objects.boxes
        draws = tf.random.stateless_uniform(tf.shape(boxes)[:1], draw_seed)
        count = tf.math.count_nonzero(draws < probability, dtype=tf.int32)
        chosen = tf.gather(boxes, tf.argsort(draws)[:count])

        def change_one(index: tf.Tensor, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            top, left, bottom, right = _pixels_of(chosen[index], image)
            patch_seed = tf.random.fold_in(change_seed, index)
            patch = change(image[top:bottom, left:right], patch_seed, magnitude)
            return index + 1, paste(image, patch, top, left)

        _, image_out = tf.while_loop(
            lambda index, _: index < count,
            change_one,
            [tf.constant(0), image],
            shape_invariants=[tf.TensorShape([]), tf.TensorShape([None, None, 3])],
        )
        return image_out, objects

    return apply


def _pixels_of(box: tf.Tensor, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns first and one past the last row and column, as top left bottom right, of the pixels a box touches."""
    size = tf.shape(image)[:2]
    low = tf.minimum(tf.cast(box[:2] * tf.cast(size, tf.float32), tf.int32), size - 1)
    high = tf.minimum(tf.cast(box[2:] * tf.cast(size, tf.float32), tf.int32) + 1, size)
    return low[0], low[1], high[0], high[1]


def _moved(image: tf.Tensor, affine: Affine) -> tf.Tensor:
    """Returns the image, uint8 [H, W, 3], moved within its frame; what it leaves is grey."""
    transforms = tf.stack([*(tf.cast(number, tf.float32) for number in affine), 0.0, 0.0])
    # Model Garden keeps track of what shows image and what does not in a fourth channel.
    with_alpha = augment.transform(augment.wrap(image), transforms, fill_mode="constant")
    with_alpha = tf.ensure_shape(with_alpha, [None, None, 4])
    return augment.unwrap(with_alpha, [GREY] * 3)


def _moved_boxes(boxes: tf.Tensor, image: tf.Tensor, affine: Affine) -> tf.Tensor:
    """Returns the boxes, [N, 4] ymin xmin ymax xmax in 0..1, around where an affine map takes their corners."""
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    ymin, xmin, ymax, xmax = tf.unstack(boxes * tf.tile(size, [2]), axis=1)
    x = tf.stack([xmin, xmax, xmin, xmax], axis=1) - 0.5 - affine[2]
    y = tf.stack([ymin, ymin, ymax, ymax], axis=1) - 0.5 - affine[5]
    # The map leads from the result to the image; corners go the other way.
    determinant = affine[0] * affine[4] - affine[1] * affine[3]
    new_x = (affine[4] * x - affine[1] * y) / determinant + 0.5
    new_y = (affine[0] * y - affine[3] * x) / determinant + 0.5
    low = tf.stack([tf.reduce_min(new_y, axis=1), tf.reduce_min(new_x, axis=1)], axis=1)
    high = tf.stack([tf.reduce_max(new_y, axis=1), tf.reduce_max(new_x, axis=1)], axis=1)
    return tf.concat([low, high], axis=1) / tf.tile(size, [2])


def _move(image: tf.Tensor, objects: Objects, affine: Affine) -> tuple[tf.Tensor, Objects]:
    """Moves the image and its boxes; those that leave it are left out."""
    boxes = _moved_boxes(objects.boxes, image, affine)
    boxes = clip_to_window(boxes, tf.constant([0.0, 0.0, 1.0, 1.0]))
    sides = (boxes[:, 2:] - boxes[:, :2]) * tf.cast(tf.shape(image)[:2], tf.float32)
    is_seen = tf.reduce_all(sides >= SMALLEST_SIDE_PIXELS, axis=1)
    return _moved(image, affine), Objects(tf.boolean_mask(boxes, is_seen), tf.boolean_mask(objects.numbers, is_seen))


def _either_sign(seed: tf.Tensor, amount: float) -> tf.Tensor:
    return tf.where(happens(seed, 0.5), amount, -amount)


def _shift_x(seed: tf.Tensor, pixels: float) -> Affine:
    return [1.0, 0.0, _either_sign(seed, pixels), 0.0, 1.0, 0.0]


def _shift_y(seed: tf.Tensor, pixels: float) -> Affine:
    return [1.0, 0.0, 0.0, 0.0, 1.0, _either_sign(seed, pixels)]


def _shear_x(seed: tf.Tensor, magnitude: float) -> Affine:
    return [1.0, _either_sign(seed, _part(magnitude, 0.3)), 0.0, 0.0, 1.0, 0.0]


def _shear_y(seed: tf.Tensor, magnitude: float) -> Affine:
    return [1.0, 0.0, 0.0, _either_sign(seed, _part(magnitude, 0.3)), 1.0, 0.0]


def _rotation(image: tf.Tensor, seed: tf.Tensor, degrees: float) -> Affine:
    """About the image's centre."""
    radians = _either_sign(seed, math.radians(degrees))
    cos, sin = tf.cos(radians), tf.sin(radians)
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    y, x = (size[0] - 1.0) / 2.0, (size[1] - 1.0) / 2.0
    return [cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y]


def _cutout(image: tf.Tensor, seed: tf.Tensor, half_side: float) -> tf.Tensor:
    """Greys a square around any point of the image."""
    return _greyed(image, seed, tf.constant([0, 0]), tf.shape(image)[:2], tf.fill([2], int(half_side)))


def _cutout_in_one_box(image: tf.Tensor, boxes: tf.Tensor, seed: tf.Tensor, magnitude: float) -> tf.Tensor:
    """Greys a rectangle, of a part of a random box's sides, around any point of that box."""
    choice_seed, centre_seed = split(seed, 2)
    count = tf.shape(boxes)[0]

    def cut_out() -> tf.Tensor:
        top, left, bottom, right = _pixels_of(boxes[uniform_integer(choice_seed, 0, count)], image)
        sides = tf.cast(tf.stack([bottom - top, right - left]), tf.float32)
        half = tf.cast(_part(magnitude, 0.75) * sides / 2.0, tf.int32)
        return _greyed(image, centre_seed, tf.stack([top, left]), tf.stack([bottom, right]), half)

    return tf.cond(count > 0, cut_out, lambda: image)


def _greyed(image: tf.Tensor, seed: tf.Tensor, low: tf.Tensor, high: tf.Tensor, half: tf.Tensor) -> tf.Tensor:
    """Greys the rectangle that reaches `half` (height, width) around a random point between `low` and `high`."""
    seeds = split(seed, 2)
    inside = []
    for axis in (0, 1):
        centre = uniform_integer(seeds[axis], low[axis], high[axis])
        position = tf.range(tf.shape(image)[axis])
        inside.append((position >= centre - half[axis]) & (position < centre + half[axis]))
    mask = inside[0][:, tf.newaxis] & inside[1]
    return tf.where(mask[..., tf.newaxis], tf.constant(GREY, image.dtype), image)


def _sharpness(image: tf.Tensor, factor: float) -> tf.Tensor:
    """Model Garden's, which blurs with a window of 3 x 3 pixels and fails where the image is smaller."""
    large_enough = tf.reduce_all(tf.shape(image)[:2] >= 3)
    return tf.cond(large_enough, lambda: augment.sharpness(image, factor), lambda: image)


def _enhancement(magnitude: float) -> float:
    """Returns how much of a property stays: 0.1 is hardly any, 1 leaves the image as it is, 1.9 almost doubles it."""
    return _part(magnitude, 1.8) + 0.1


def _part(magnitude: float, whole: float) -> float:
    return magnitude / MAX_MAGNITUDE * whole


# By the policies' names; each takes an image or a part of one, a seed and a magnitude.
_ON_IMAGE: dict[str, OfPixels] = {
    "AutoContrast": lambda image, seed, magnitude: augment.autocontrast(image),
    "Brightness": lambda image, seed, magnitude: augment.brightness(image, _enhancement(magnitude)),
    "Color": lambda image, seed, magnitude: augment.color(image, _enhancement(magnitude)),
    "Contrast": lambda image, seed, magnitude: augment.contrast(image, _enhancement(magnitude)),
    "Cutout": lambda image, seed, magnitude: _cutout(image, seed, _part(magnitude, 100)),
    "Equalize": lambda image, seed, magnitude: augment.equalize(image),
    "Posterize": lambda image, seed, magnitude: augment.posterize(image, int(_part(magnitude, 4))),
    "Sharpness": lambda image, seed, magnitude: _sharpness(image, _enhancement(magnitude)),
    "Solarize": lambda image, seed, magnitude: augment.solarize(image, int(_part(magnitude, 256))),
    "SolarizeAdd": lambda image, seed, magnitude: augment.solarize_add(image, int(_part(magnitude, 110))),
}
_MOVES: dict[str, Callable[[tf.Tensor, tf.Tensor, float], Affine]] = {
    "Rotate_BBox": lambda image, seed, magnitude: _rotation(image, seed, _part(magnitude, 30)),
    "ShearX_BBox": lambda image, seed, magnitude: _shear_x(seed, magnitude),
    "ShearY_BBox": lambda image, seed, magnitude: _shear_y(seed, magnitude),
    "TranslateX_BBox": lambda image, seed, magnitude: _shift_x(seed, _part(magnitude, 250)),
    "TranslateY_BBox": lambda image, seed, magnitude: _shift_y(seed, _part(magnitude, 250)),
}
_ON_OBJECTS: dict[str, OfPixels] = {
    "Cutout_Only_BBoxes": lambda image, seed, magnitude: _cutout(image, seed, _part(magnitude, 50)),
    "Equalize_Only_BBoxes": lambda image, seed, magnitude: augment.equalize(image),
    "Flip_Only_BBoxes": lambda image, seed, magnitude: tf.reverse(image, axis=[1]),
    "ShearX_Only_BBoxes": lambda image, seed, magnitude: _moved(image, _shear_x(seed, magnitude)),
    "ShearY_Only_BBoxes": lambda image, seed, magnitude: _moved(image, _shear_y(seed, magnitude)),
    "TranslateY_Only_BBoxes": lambda image, seed, magnitude: _moved(image, _shift_y(seed, _part(magnitude, 120))),
}
