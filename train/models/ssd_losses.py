"""The two losses of an SSD: sampled or mined, summed, normalised and weighted.

As `loss` in the API's meta_architectures/ssd_meta_arch.py and builders/losses_builder.py.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from train.models.box_coders import BoxCoder
from train.models.hard_example_mining import HardExampleMiner
from train.models.losses import classification_loss, localization_loss
from train.models.sampling import sample_negatives
from train.models.ssd_targets import ClassSlots, SsdTargets


class SsdLosses:
    """The `loss` of an `Ssd` message, and its normalisers."""

    def __init__(self, config: Any, *, slots: ClassSlots, box_coder: BoxCoder) -> None:
        """Reads the message.

        Args:
            config: An `Ssd` message.
            slots: Its class slots.
            box_coder: Its box coder.

        Raises:
            ValueError: Losses or miner do not belong together, or have impossible parameters; or
                `expected_loss_weights` is set, whose functions are missing from the API as published.
        """
        if config.loss.expected_loss_weights:
            raise ValueError("model.ssd.loss.expected_loss_weights is not supported: delete it")
        self._config = config.loss
        self._normalizes_by_matches = config.normalize_loss_by_num_matches
        self._normalizes_by_code_size = config.normalize_loc_loss_by_codesize
        self._slots = slots
        self._box_coder = box_coder
        self._positive_fraction: float | None = None
        if config.loss.HasField("random_example_sampler"):
            self._positive_fraction = config.loss.random_example_sampler.positive_sample_fraction
            if not 0.0 < self._positive_fraction <= 1.0:
                raise ValueError(
                    "model.ssd.loss.random_example_sampler.positive_sample_fraction is "
                    f"{self._positive_fraction:g}: write a share above 0 and at most 1"
                )
        self._miner: HardExampleMiner | None = None
        if config.loss.HasField("hard_example_miner"):
            if config.loss.classification_loss.WhichOneof("classification_loss") == "weighted_sigmoid_focal":
                raise ValueError(
                    "model.ssd.loss.hard_example_miner and weighted_sigmoid_focal both pick hard examples: delete the "
                    "miner, or write weighted_sigmoid"
                )
            self._miner = HardExampleMiner.from_config(
                config.loss.hard_example_miner,
                classification_weight=config.loss.classification_weight,
                localization_weight=config.loss.localization_weight,
            )

    def __call__(
        self, targets: SsdTargets, logits: tf.Tensor, codes: tf.Tensor, anchors: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Compares predictions with targets.

        Args:
            targets: Of the batch.
            logits: float32 [B, A, slots].
            codes: float32 [B, A, code size].
            anchors: float32 [A, 4], ymin xmin ymax xmax, in the units of the targets.

        Returns:
            `Loss/classification_loss` and `Loss/localization_loss`, float32 scalars.
        """
        class_weights, box_weights = targets.class_weights, targets.box_weights
        if self._positive_fraction is not None:
            sampled = self._sample(targets, self._positive_fraction)
            class_weights *= sampled[..., tf.newaxis]
            box_weights *= sampled
        by_class = classification_loss(self._config.classification_loss, logits, targets.class_targets, class_weights)
        by_box = localization_loss(self._config.localization_loss, codes, targets.codes, box_weights)
        if self._miner is not None:
            boxes = self._box_coder.decode(codes, anchors[tf.newaxis])
            mined = self._miner.select(by_class, by_box, boxes, targets.matches)
            by_class, by_box = by_class * mined, by_box * mined

        normalizer = tf.constant(1.0)
        if self._normalizes_by_matches:
            normalizer = tf.maximum(tf.reduce_sum(box_weights), 1.0)
        box_normalizer = normalizer * (self._box_coder.code_size if self._normalizes_by_code_size else 1.0)
        return {
            "Loss/classification_loss": self._config.classification_weight * tf.reduce_sum(by_class) / normalizer,
            "Loss/localization_loss": self._config.localization_weight * tf.reduce_sum(by_box) / box_normalizer,
        }

    def _sample(self, targets: SsdTargets, positive_fraction: float) -> tf.Tensor:
        """float32 [B, A], 1 for the anchors that are drawn."""
        foreground = targets.class_targets[..., 1:] if self._slots.adds_background else targets.class_targets
        positive = tf.reduce_sum(foreground, axis=-1) != 0
        eligible = tf.reduce_mean(targets.class_weights, axis=-1) != 0
        return tf.cast(sample_negatives(positive, eligible, positive_fraction=positive_fraction), tf.float32)
