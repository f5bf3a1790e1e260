"""An augmentation: the function that carries one of `train_config.data_augmentation_options` out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from train.inputs.ground_truth import GroundTruth


@dataclass(frozen=True)
class Augmentation:
    """An augmentation of the config: its function.

    Attributes:
        function: Takes an image, its ground truth, a seed, and by name the `arguments()` of the option's settings
            (`configs.settings.augmentations`); returns the first two.
        needs_float: Whether the image must be float32. The others take uint8 too, which is four times less to move.
    """

    function: Callable[..., tuple[tf.Tensor, GroundTruth]]
    needs_float: bool = True
