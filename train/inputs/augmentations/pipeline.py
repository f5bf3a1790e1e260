"""The augmentation pipeline: `train_config.data_augmentation_options` as one function of an image and its objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import tensorflow as tf

from configs.settings.augmentations.augmentation import AugmentationSettings
from configs.settings.augmentations.options import AUGMENTATION_OPTIONS
from configs.settings.plugins import AUGMENTATION, PluginPart
from train.inputs.augmentations import (
    colour,
    crops,
    crops_with_padding,
    geometry,
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
    crops,
    crops_with_padding,
    geometry,
    padding,
    patches,
    policy,
    quality,
    squares,
)

# A function for each of the settings in `configs.settings.augmentations`, by the option's name.
AUGMENTATIONS: dict[str, Augmentation] = {
    name: augmentation for kind in _KINDS for name, augmentation in kind.AUGMENTATIONS.items()
}


def build_augmentation(options: Iterable[AugmentationSettings], plugins: Iterable[PluginPart] = ()) -> Augment:
    """Returns a function that applies the options in their order, and after them those of plugins.

    Args:
        options: Their settings.
        plugins: `extensions.augmentation`.

    Returns:
        A function of an image (uint8 [H, W, 3]), its ground truth and a seed ([2] integers: the same seed gives the
        same result) that returns the image, uint8 or float32 [H', W', 3] with values 0..255, and its ground truth.

    Raises:
        UsageError: A plugin's function is not where the plugin says.
    """
    steps = [(AUGMENTATIONS[AUGMENTATION_OPTIONS.name_of(option)], option.arguments()) for option in options]
    for part in plugins:
        steps.append((Augmentation(part.function(AUGMENTATION)), {"settings": part.own_settings(AUGMENTATION)}))

    def augment(image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor) -> tuple[tf.Tensor, GroundTruth]:
        for index, (augmentation, arguments) in enumerate(steps):
            if augmentation.needs_float:
                image = tf.cast(image, tf.float32)
            image, ground_truth = augmentation.function(
                image, ground_truth, tf.random.fold_in(seed, index), **arguments
            )
        return image, ground_truth

    return augment
