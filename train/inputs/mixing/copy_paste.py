"""Copy-paste for boxes: objects of one image, as their boxes cut them out, pasted on another.

Ghiasi et al., "Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation", 2021,
https://arxiv.org/abs/2012.07177: a random subset of objects, scaled at random, pasted without blending; what they cover
is taken out of the ground truth. There masks cut objects out; records here have boxes, so what is pasted has its own
background around it, as in Dwibedi, Misra and Hebert, "Cut, Paste and Learn", 2017, without its blending.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from configs.settings.mixing import CopyPaste
from train.inputs.augmentations.patches import paste
from train.inputs.ground_truth import BOXES, GROUP_OF, IS_CROWD, keep, share_inside, with_boxes
from train.inputs.mixing.example import Example, join, size_of
from train.inputs.randomness import split


class _Pastes(NamedTuple):
    """Where M objects are cut out and pasted: int32 [M, 2] each, rows and columns in pixels; boxes float32 [M, 4]."""

    start: tf.Tensor
    end: tf.Tensor
    target: tf.Tensor
    size: tf.Tensor
    boxes: tf.Tensor


def copy_paste(example: Example, source: Example, seed: tf.Tensor, settings: CopyPaste) -> Example:
    """Pastes objects of another image, of which crowds and groups are left where they are.

    Args:
        example: What is pasted on; its objects come first.
        source: What is cut out of.
        seed: [2] integers.
        settings: How many, how large, and how much may be covered.
    """
    choice_seed, order_seed, paste_seed = split(seed, 3)
    objects = source.ground_truth
    count = tf.shape(objects[BOXES])[:1]
    is_chosen = tf.random.stateless_uniform(count, choice_seed) < settings.object_probability
    is_chosen &= ~objects[IS_CROWD] & ~objects[GROUP_OF]
    order = tf.argsort(tf.random.stateless_uniform(count, order_seed))
    indices = tf.boolean_mask(order, tf.gather(is_chosen, order))[: settings.max_objects]
    chosen = {name: tf.gather(values, indices) for name, values in objects.items()}
    pastes = _plan(chosen[BOXES], example.image, source.image, paste_seed, settings)
    num_before = tf.shape(example.ground_truth[BOXES])[0]
    boxes = tf.concat([example.ground_truth[BOXES], pastes.boxes], axis=0)
    numbers = tf.range(tf.shape(boxes)[0])

    def paste_one(index: tf.Tensor, image: tf.Tensor, is_seen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        start, end, target = pastes.start[index], pastes.end[index], pastes.target[index]
        part = tf.image.resize(source.image[start[0] : end[0], start[1] : end[1]], pastes.size[index])
        window = tf.cast(tf.concat([target, target + pastes.size[index]], axis=0), tf.float32)
        window /= tf.tile(size_of(image), [2])
        is_behind = (numbers < num_before + index) & (share_inside(boxes, window) > settings.max_covered)
        image = tf.ensure_shape(paste(image, part, target[0], target[1]), [None, None, 3])
        return index + 1, image, is_seen & ~is_behind

    image = tf.ensure_shape(example.image, [None, None, 3])
    start = (tf.constant(0), image, tf.ones_like(numbers, tf.bool))
    shapes = (tf.TensorShape([]), tf.TensorShape([None, None, 3]), tf.TensorShape([None]))
    _, image, is_seen = tf.while_loop(
        lambda index, image, is_seen: index < tf.size(indices), paste_one, start, shape_invariants=shapes
    )
    together = with_boxes(join(example.ground_truth, chosen), boxes)
    return Example(image, keep(together, is_seen))


def _plan(boxes: tf.Tensor, image: tf.Tensor, source_image: tf.Tensor, seed: tf.Tensor, settings: CopyPaste) -> _Pastes:
    """Decides how large objects are pasted, and where.

    Args:
        boxes: float32 [M, 4], ymin xmin ymax xmax in 0..1 of the source.
        image: To paste on.
        source_image: To cut out of.
        seed: [2] integers.
        settings: The scales.
    """
    scale_seed, place_seed = split(seed, 2)
    size, source_size = size_of(image), size_of(source_image)
    in_pixels = boxes * tf.tile(source_size, [2])
    source_pixels = tf.shape(source_image)[:2]
    start = tf.clip_by_value(tf.cast(tf.floor(in_pixels[:, :2]), tf.int32), 0, source_pixels - 1)
    end = tf.clip_by_value(tf.cast(tf.math.ceil(in_pixels[:, 2:]), tf.int32), start + 1, source_pixels)
    cut = tf.cast(end - start, tf.float32)
    num_objects = tf.shape(boxes)[0]
    scales = tf.random.stateless_uniform([num_objects, 1], scale_seed, settings.min_scale, settings.max_scale)
    factors = tf.minimum(scales * tf.reduce_min(size / source_size), tf.reduce_min(size / cut, axis=1, keepdims=True))
    pasted = tf.clip_by_value(tf.cast(tf.round(cut * factors), tf.int32), 1, tf.shape(image)[:2])
    slack = tf.cast(tf.shape(image)[:2] - pasted + 1, tf.float32)
    target = tf.cast(tf.floor(tf.random.stateless_uniform([num_objects, 2], place_seed) * slack), tf.int32)
    target = tf.minimum(target, tf.shape(image)[:2] - pasted)
    # A box may begin within a pixel; what is pasted is the whole pixel.
    own = (in_pixels - tf.tile(tf.cast(start, tf.float32), [1, 2])) / tf.tile(cut, [1, 2])
    moved = tf.clip_by_value(own, 0.0, 1.0) * tf.tile(tf.cast(pasted, tf.float32), [1, 2])
    moved += tf.tile(tf.cast(target, tf.float32), [1, 2])
    return _Pastes(start, end, target, pasted, moved / tf.tile(size, [2]))
