"""Hard example mining: only the anchors with the highest losses are trained on, as the API's `HardExampleMiner`."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from configs.settings import losses
from train.models.matchers import UNMATCHED


@dataclasses.dataclass(frozen=True)
class HardExampleMiner:
    """Picks, image by image, the anchors with the highest losses that do not overlap each other too much.

    That is a greedy NMS over predicted boxes with losses as scores. All positives that it leaves stay; of negatives,
    the `max_negatives_per_positive` times as many that rank first, or `min_negatives_per_image` if that is more.

    Attributes:
        num_hard_examples: How many the NMS leaves an image, at most; None: all.
        iou_threshold: Overlap above which an anchor is dropped for one with a higher loss; from 1 on nothing is.
        loss_type: BOTH, CLASSIFICATION or LOCALIZATION: what anchors are ranked by.
        classification_weight, localization_weight: Of the two losses in BOTH.
        max_negatives_per_positive: None keeps all negatives.
        min_negatives_per_image: Only counts beside `max_negatives_per_positive`.
    """

    num_hard_examples: int | None
    iou_threshold: float
    loss_type: str
    classification_weight: float
    localization_weight: float
    max_negatives_per_positive: float | None
    min_negatives_per_image: int

    @classmethod
    def from_settings(
        cls, settings: losses.HardExampleMiner, *, classification_weight: float, localization_weight: float
    ) -> HardExampleMiner:
        """Makes the miner of settings.

        Args:
            settings: Whose `num_hard_examples` or `max_negatives_per_positive` of 0 or less is no limit.
            classification_weight: The weight of the classification loss in the total.
            localization_weight: The weight of the localisation loss in the total.
        """
        ratio = settings.max_negatives_per_positive
        return cls(
            num_hard_examples=settings.num_hard_examples if settings.num_hard_examples > 0 else None,
            iou_threshold=settings.iou_threshold,
            loss_type=settings.loss_type,
            classification_weight=classification_weight,
            localization_weight=localization_weight,
            max_negatives_per_positive=ratio if ratio > 0 else None,
            min_negatives_per_image=settings.min_negatives_per_image,
        )

    def select(
        self,
        class_losses: tf.Tensor,
        box_losses: tf.Tensor,
        boxes: tf.Tensor,
        matches: tf.Tensor | None = None,
        valid: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Picks the hard examples of each image.

        Args:
            class_losses: float32 [B, A].
            box_losses: float32 [B, A].
            boxes: float32 [B, A, 4], predicted, ymin xmin ymax xmax in any units.
            matches: int32 [B, A], as a matcher gives them; None, as in Faster R-CNN, sets no ratio of negatives.
            valid: bool [B, A], false for padding; None: all are valid.

        Returns:
            float32 [B, A], 1 where picked and 0 elsewhere, without gradients.
        """
        scores = self._scores(tf.stop_gradient(class_losses), tf.stop_gradient(box_losses))
        if valid is not None:
            scores = tf.where(valid, scores, float("-inf"))
        ranked = self._rank(tf.stop_gradient(boxes), scores)
        keep = ranked >= 0
        anchors = tf.maximum(ranked, 0)
        if self.max_negatives_per_positive is not None and matches is not None:
            keep = tf.logical_and(keep, self._within_ratio(tf.gather(matches, anchors, batch_dims=1), keep))
        batch_size, num_anchors = tf.unstack(tf.shape(class_losses))
        rows = tf.broadcast_to(tf.range(batch_size)[:, tf.newaxis], tf.shape(anchors))
        places = tf.stack([rows, anchors], axis=-1)
        return tf.scatter_nd(places, tf.cast(keep, tf.float32), [batch_size, num_anchors])

    def _scores(self, class_losses: tf.Tensor, box_losses: tf.Tensor) -> tf.Tensor:
        if self.loss_type == "CLASSIFICATION":
            return class_losses
        if self.loss_type == "LOCALIZATION":
            return box_losses
        return class_losses * self.classification_weight + box_losses * self.localization_weight

    def _rank(self, boxes: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
        """int32 [B, K] of anchors that the NMS leaves, by falling score; -1 beyond the last."""
        num_anchors = tf.shape(scores)[1]
        limit = num_anchors if self.num_hard_examples is None else tf.minimum(self.num_hard_examples, num_anchors)
        if self.iou_threshold >= 1.0:
            best_scores, best = tf.math.top_k(scores, k=limit)
            return tf.where(best_scores > float("-inf"), best, -1)

        def suppress(image: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            kept = tf.image.non_max_suppression(image[0], image[1], limit, self.iou_threshold)
            return tf.pad(kept, [[0, limit - tf.size(kept)]], constant_values=-1)

        return tf.map_fn(suppress, (boxes, scores), fn_output_signature=tf.TensorSpec([None], tf.int32))

    def _within_ratio(self, matches: tf.Tensor, keep: tf.Tensor) -> tf.Tensor:
        """Marks positives, and the negatives that come first.

        Args:
            matches: int32 [B, K], in ranked order.
            keep: bool [B, K], false beyond the last of an image.
        """
        positive = tf.logical_and(matches >= 0, keep)
        negative = tf.cast(tf.logical_and(matches == UNMATCHED, keep), tf.int32)
        num_positives = tf.reduce_sum(tf.cast(positive, tf.float32), axis=1, keepdims=True)
        # No more than there are: a large ratio leaves 32 bits.
        allowed = tf.minimum(self.max_negatives_per_positive * num_positives, tf.cast(tf.shape(keep)[1], tf.float32))
        allowed = tf.maximum(tf.cast(allowed, tf.int32), self.min_negatives_per_image)
        return tf.logical_or(positive, tf.cumsum(negative, axis=1) <= allowed)
