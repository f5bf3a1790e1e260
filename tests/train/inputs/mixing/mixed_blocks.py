"""Examples with some of the blocks of `BlockImage`, and mixing run on them many times."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import tensorflow as tf

from train.inputs.mixing.example import Example

Mixed = list[tuple[np.ndarray, dict[str, np.ndarray]]]


def with_blocks(block_image: Any, numbers: Collection[int], times: int = 1) -> Example:
    """The image without the other blocks, `times` as large."""
    image, objects = block_image.image(), block_image.ground_truth()
    for number, (ymin, xmin, ymax, xmax) in block_image.blocks.items():
        if number not in numbers:
            image[ymin:ymax, xmin:xmax] = block_image.background
    image = np.repeat(np.repeat(image, times, axis=0), times, axis=1)
    kept = np.isin(objects["groundtruth_classes"], list(numbers))
    return Example(
        tf.constant(image, tf.float32), {name: tf.constant(values[kept]) for name, values in objects.items()}
    )


def run(mix: Callable[[tf.Tensor], Example], count: int) -> Mixed:
    """What `mix` makes of `count` seeds."""
    seeds = tf.data.Dataset.range(count).map(lambda number: tf.stack([tf.constant(11, tf.int64), number]))
    return [tuple(example) for example in seeds.map(mix, num_parallel_calls=2).as_numpy_iterator()]


def assert_sound(image: np.ndarray, objects: dict[str, np.ndarray]) -> None:
    """Values are those of an image; boxes have an area and lie inside; each object has all of its fields."""
    assert np.isfinite(image).all()
    assert image.min() >= -1e-3
    assert image.max() <= 255.0 + 1e-3
    boxes = objects["groundtruth_boxes"]
    assert boxes.min(initial=0.0) >= 0.0
    assert boxes.max(initial=1.0) <= 1.0
    assert np.all(boxes[:, :2] < boxes[:, 2:])
    assert {len(values) for values in objects.values()} == {len(boxes)}
