"""From `train_config.data_augmentation_options` to one function on an image and its ground truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf

from data_prep.runtime.command_line import UsageError
from train.inputs.augmentations import (
    colour,
    composition,
    crops,
    crops_with_padding,
    geometry,
    labels,
    padding,
    patches,
    policy,
    quality,
    squares,
)
from train.inputs.augmentations.augmentation import Augmentation
from train.inputs.ground_truth import GroundTruth

Augment = Callable[[tf.Tensor, GroundTruth, tf.Tensor], tuple[tf.Tensor, GroundTruth]]

# Of each kind: by the option's name in the schema, how it is carried out.
_KINDS = (
    colour,
    composition,
    crops,
    crops_with_padding,
    geometry,
    labels,
    padding,
    patches,
    policy,
    quality,
    squares,
)

# What `train_config.data_augmentation_options` may hold.
AUGMENTATIONS: dict[str, Augmentation] = {
    name: augmentation for kind in _KINDS for name, augmentation in kind.AUGMENTATIONS.items()
}


def build_augmentation(options: Iterable[Any], where: str = "train_config.data_augmentation_options") -> Augment:
    """Returns a function that applies the options in their order.

    Args:
        options: `PreprocessingStep` messages.
        where: Their path in the config, for messages.

    Returns:
        A function of an image (uint8 [H, W, 3]), its ground truth and a seed ([2] integers: the same seed gives the
        same result) that returns the image, uint8 or float32 [H', W', 3] with values 0..255, and its ground truth.

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
