"""The two losses of an SSD: sampled or mined, summed, normalised and weighted.

As `loss` in the API's meta_architectures/ssd_meta_arch.py and builders/losses_builder.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from configs.settings.losses import Loss, RandomExampleSampler
from configs.settings.plugins import CLASSIFICATION_LOSS, PluginPart
from data_prep.runtime.command_line import UserError
from train.models.box_coders import BoxCoder
from train.models.hard_example_mining import HardExampleMiner
from train.models.losses import classification_loss, localization_loss
from train.models.replicas import divisor_of_batch
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
        plugin: PluginPart | None = None,
    ) -> None:
        """Builds the parts.

        Args:
            settings: Of the losses.
            slots: The SSD's.
            box_coder: The SSD's.
            normalize_loss_by_num_matches: Whether both are divided by the weights of all that is matched.
            normalize_loc_loss_by_codesize: Whether the localisation loss is divided by the numbers of a code too.
            plugin: A classification loss in place of the settings'.

        Raises:
            UsageError: The plugin's function is not where the plugin says.
        """
        self._settings = settings
        self._normalizes_by_matches = normalize_loss_by_num_matches
        self._normalizes_by_code_size = normalize_loc_loss_by_codesize
        self._slots = slots
        self._box_coder = box_coder
        self._classification_loss = functools.partial(classification_loss, settings.classification_loss)
        if plugin is not None:
            self._classification_loss = functools.partial(
                _plugin_loss,
                plugin.name,
                plugin.function(CLASSIFICATION_LOSS),
                plugin.own_settings(CLASSIFICATION_LOSS),
            )
        self._miner: HardExampleMiner | None = None
        if settings.hard_example_miner is not None:
            self._miner = HardExampleMiner.from_settings(
                settings.hard_example_miner,
                classification_weight=settings.classification_weight,
                localization_weight=settings.localization_weight,
            )

    def __call__(
        self,
        targets: SsdTargets,
        logits: tf.Tensor,
        codes: tf.Tensor,
        anchors: tf.Tensor,
        sampling_seeds: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        """Compares predictions with targets.

        Args:
            targets: Of the batch.
            logits: float32 [B, A, slots].
            codes: float32 [B, A, code size].
            anchors: float32 [A, 4], ymin xmin ymax xmax, in the units of the targets.
            sampling_seeds: int64 [B, 2], for a `random_example_sampler`; None draws other anchors each time.

        Returns:
            `Loss/classification_loss` and `Loss/localization_loss`, float32 scalars.
        """
        sums, matched = self._sums(targets, logits, codes, anchors, sampling_seeds)
        divisor = divisor_of_batch(matched)
        return {name: value / divisor for name, value in sums.items()}

    def of_part(
        self,
        targets: SsdTargets,
        logits: tf.Tensor,
        codes: tf.Tensor,
        anchors: tf.Tensor,
        sampling_seeds: tf.Tensor | None = None,
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """The same of a part of a batch, as `Detector.compute_losses_of_part` wants it."""
        sums, matched = self._sums(targets, logits, codes, anchors, sampling_seeds)
        return {name: value / tf.maximum(matched, 1.0) for name, value in sums.items()}, matched

    def _sums(
        self,
        targets: SsdTargets,
        logits: tf.Tensor,
        codes: tf.Tensor,
        anchors: tf.Tensor,
        sampling_seeds: tf.Tensor | None,
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """The losses before they are divided, and the weights of what is matched, or 0 where that does not count."""
        class_weights, box_weights = targets.class_weights, targets.box_weights
        if self._settings.random_example_sampler is not None:
            sampled = self._sample(targets, self._settings.random_example_sampler, sampling_seeds)
            class_weights *= sampled[..., tf.newaxis]
            box_weights *= sampled
        by_class = self._classification_loss(logits, targets.class_targets, class_weights)
        by_box = localization_loss(self._settings.localization_loss, codes, targets.codes, box_weights)
        if self._miner is not None:
            boxes = self._box_coder.decode(codes, anchors[tf.newaxis])
            mined = self._miner.select(by_class, by_box, boxes, targets.matches)
            by_class, by_box = by_class * mined, by_box * mined

        by_name = {
            "Loss/classification_loss": self._settings.classification_weight * tf.reduce_sum(by_class),
            "Loss/localization_loss": self._settings.localization_weight * tf.reduce_sum(by_box),
        }
        if self._normalizes_by_code_size:
            by_name["Loss/localization_loss"] /= self._box_coder.code_size
        return by_name, tf.reduce_sum(box_weights) if self._normalizes_by_matches else tf.constant(0.0)

    def _sample(self, targets: SsdTargets, sampler: RandomExampleSampler, seeds: tf.Tensor | None) -> tf.Tensor:
        """float32 [B, A], 1 for the anchors that are drawn."""
        foreground = targets.class_targets[..., 1:] if self._slots.adds_background else targets.class_targets
        positive = tf.reduce_sum(foreground, axis=-1) != 0
        eligible = tf.reduce_mean(targets.class_weights, axis=-1) != 0
        fraction = sampler.positive_sample_fraction
        return tf.cast(sample_negatives(positive, eligible, positive_fraction=fraction, seeds=seeds), tf.float32)


def _plugin_loss(
    name: str,
    function: Callable[..., tf.Tensor],
    settings: Any,
    logits: tf.Tensor,
    targets: tf.Tensor,
    weights: tf.Tensor,
) -> tf.Tensor:
    """A plugin's loss of each anchor, float32 [B, A]; of any other shape it would be summed without a word."""
    by_class = tf.convert_to_tensor(function(logits, targets, tf.broadcast_to(weights, tf.shape(logits)), settings))
    if not by_class.shape.is_compatible_with(logits.shape[:2]):
        raise UserError(
            f'extensions.classification_loss: "{name}" gives values of shape {by_class.shape}; it must give one for '
            f"each anchor, {logits.shape[:2]}: sum over the classes, and over nothing else"
        )
    return tf.cast(by_class, tf.float32)
