"""The two losses of an SSD: sampled or mined, summed, normalised and weighted.

As `loss` in the API's meta_architectures/ssd_meta_arch.py and builders/losses_builder.py.
"""

from __future__ import annotations

import tensorflow as tf

from configs.settings.losses import Loss
from train.models.box_coders import BoxCoder
from train.models.hard_example_mining import HardExampleMiner
from train.models.losses import classification_loss, localization_loss
from train.models.sampling import sample_negatives
from train.models.ssd_targets import ClassSlots, SsdTargets


class SsdLosses:
    """The losses of an SSD, and their normalisers."""

    def __init__(
        self,
        settings: Loss,
        *,
        slots: ClassSlots,
        box_coder: BoxCoder,
        normalize_loss_by_num_matches: bool,
        normalize_loc_loss_by_codesize: bool,
    ) -> None:
        """Builds the parts.

        Args:
            settings: Of the losses.
            slots: The SSD's.
            box_coder: The SSD's.
            normalize_loss_by_num_matches: Whether both are divided by the weights of all that is matched.
            normalize_loc_loss_by_codesize: Whether the localisation loss is divided by the numbers of a code too.
        """
        self._settings = settings
        self._normalizes_by_matches = normalize_loss_by_num_matches
        self._normalizes_by_code_size = normalize_loc_loss_by_codesize
        self._slots = slots
        self._box_coder = box_coder
        self._miner: HardExampleMiner | None = None
        if settings.hard_example_miner is not None:
            self._miner = HardExampleMiner.from_settings(
                settings.hard_example_miner,
                classification_weight=settings.classification_weight,
                localization_weight=settings.localization_weight,
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
        if self._settings.random_example_sampler is not None:
            sampled = self._sample(targets, self._settings.random_example_sampler.positive_sample_fraction)
            class_weights *= sampled[..., tf.newaxis]
            box_weights *= sampled
        by_class = classification_loss(self._settings.classification_loss, logits, targets.class_targets, class_weights)
        by_box = localization_loss(self._settings.localization_loss, codes, targets.codes, box_weights)
        if self._miner is not None:
            boxes = self._box_coder.decode(codes, anchors[tf.newaxis])
            mined = self._miner.select(by_class, by_box, boxes, targets.matches)
            by_class, by_box = by_class * mined, by_box * mined

        normalizer = tf.constant(1.0)
        if self._normalizes_by_matches:
            normalizer = tf.maximum(tf.reduce_sum(box_weights), 1.0)
        box_normalizer = normalizer * (self._box_coder.code_size if self._normalizes_by_code_size else 1.0)
        return {
            "Loss/classification_loss": self._settings.classification_weight * tf.reduce_sum(by_class) / normalizer,
            "Loss/localization_loss": self._settings.localization_weight * tf.reduce_sum(by_box) / box_normalizer,
        }

    def _sample(self, targets: SsdTargets, positive_fraction: float) -> tf.Tensor:
        """float32 [B, A], 1 for the anchors that are drawn."""
        foreground = targets.class_targets[..., 1:] if self._slots.adds_background else targets.class_targets
        positive = tf.reduce_sum(foreground, axis=-1) != 0
        eligible = tf.reduce_mean(targets.class_weights, axis=-1) != 0
        return tf.cast(sample_negatives(positive, eligible, positive_fraction=positive_fraction), tf.float32)
