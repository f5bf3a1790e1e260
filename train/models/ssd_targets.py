"""Training targets of an SSD's anchors, background included.

As the API's meta_architectures/ssd_meta_arch.py and core/target_assigner.py.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from configs.settings import matching
from configs.settings.ssd import Ssd
from train.models.assignment import assign
from train.models.box_coders import BoxCoder
from train.models.detector import GroundTruth
from train.models.matchers import build_matcher
from train.models.similarity import build_similarity


@dataclasses.dataclass(frozen=True)
class ClassSlots:
    """The class logits of an anchor.

    With `add_background_class`, the default, slot 0 is background and slot n the label map's id n. Without it, slot n
    is id n + 1; with `explicit_background_class`, id 1 is background itself.

    Attributes:
        num_slots: Logits an anchor.
        adds_background: Whether slot 0 is background beside the classes of the label map.
        has_background: Whether slot 0 is background at all, and never detected.
        unmatched_slot: The target's slot of an anchor without ground truth; None: all zeros.
    """

    num_slots: int
    adds_background: bool
    has_background: bool
    unmatched_slot: int | None

    @classmethod
    def from_settings(cls, settings: Ssd) -> ClassSlots:
        """Makes the slots of an SSD's settings."""
        return cls(
            num_slots=settings.num_classes + int(settings.add_background_class),
            adds_background=settings.add_background_class,
            has_background=settings.add_background_class or settings.explicit_background_class,
            unmatched_slot=None if settings.encode_background_as_zeros else 0,
        )

    def without_background(self, scores: tf.Tensor) -> tf.Tensor:
        """Drops background's column, where there is one, from scores [..., slots]."""
        return scores[..., 1:] if self.has_background else scores

    def of_classes(self, classes: tf.Tensor) -> tf.Tensor:
        """The slot of each label map id, int32; negative for padding, which is id 0, where background is not added."""
        return classes if self.adds_background else classes - 1

    def of_class_targets(self, targets: tf.Tensor) -> tf.Tensor:
        """Targets by slot [..., slots] from those by class [..., classes]."""
        if not self.adds_background:
            return targets
        return tf.pad(targets, [[0, 0]] * (targets.shape.rank - 1) + [[1, 0]])

    def unmatched_target(self) -> np.ndarray:
        """The target of an anchor without ground truth, float32 [slots]."""
        target = np.zeros(self.num_slots, np.float32)
        if self.unmatched_slot is not None:
            target[self.unmatched_slot] = 1.0
        return target


@dataclasses.dataclass(frozen=True)
class SsdTargets:
    """Training targets of a batch of anchors.

    Attributes:
        class_targets: float32 [B, A, slots].
        class_weights: float32 [B, A, 1], or [B, A, slots] where classes weigh differently.
        codes: float32 [B, A, code size], zeros without a match.
        box_weights: float32 [B, A], zeros without a match.
        matches: int32 [B, A], as a matcher gives them.
    """

    class_targets: tf.Tensor
    class_weights: tf.Tensor
    codes: tf.Tensor
    box_weights: tf.Tensor
    matches: tf.Tensor


class SsdTargetAssigner:
    """Similarity, matcher and box coder of an SSD, and its background."""

    def __init__(
        self,
        *,
        similarity: matching.Similarity,
        matcher: matching.Matcher,
        box_coder: BoxCoder,
        slots: ClassSlots,
        negative_class_weight: float,
        use_confidences_as_targets: bool,
        implicit_example_weight: float,
    ) -> None:
        """Builds the parts.

        Args:
            similarity: Settings of what the matcher compares.
            matcher: Settings of the matcher.
            box_coder: The SSD's.
            slots: The SSD's.
            negative_class_weight: Of background in the classification loss.
            use_confidences_as_targets: Whether what ground truth says outright weighs more than what it implies.
            implicit_example_weight: What the latter then weighs.
        """
        self._similarity = build_similarity(similarity)
        self._matcher = build_matcher(matcher)
        self._box_coder = box_coder
        self._slots = slots
        self._negative_class_weight = negative_class_weight
        self._uses_confidences = use_confidences_as_targets
        self._implicit_example_weight = implicit_example_weight

    def assign(
        self, truth: GroundTruth, anchors: tf.Tensor, class_targets: tf.Tensor | None = None, *, training: bool = True
    ) -> SsdTargets:
        """Assigns a batch's ground truth to the anchors.

        Args:
            truth: With boxes in 0..1 of the input.
            anchors: float32 [A, 4], ymin xmin ymax xmax in 0..1 of the input.
            class_targets: float32 [B, m, classes], for ground truth of several classes; None: of `truth.classes`.
            training: `use_confidences_as_targets` only counts in training.
        """
        anchors = anchors[tf.newaxis]
        similarity = self._similarity(truth.boxes, anchors, self._scores(truth, class_targets))
        matches = self._matcher.match(similarity, truth.valid, truth.weights > 0)
        assigned = assign(
            matches,
            truth.boxes,
            truth.classes,
            truth.weights,
            negative_class_weight=self._negative_class_weight,
        )
        positive = assigned.positive[..., tf.newaxis]
        slot_targets = self._slot_targets(assigned.classes, assigned.positive, matches, class_targets)
        codes = tf.where(positive, self._box_coder.encode(assigned.boxes, anchors), 0.0)
        class_weights, box_weights = assigned.class_weights[..., tf.newaxis], assigned.box_weights
        if self._uses_confidences and training:
            slot_targets, class_weights, box_weights = self._with_confidences(slot_targets)
            codes *= box_weights[..., tf.newaxis]
        return SsdTargets(slot_targets, class_weights, codes, box_weights, matches)

    def _scores(self, truth: GroundTruth, class_targets: tf.Tensor | None) -> tf.Tensor:
        """float32 [B, m]: 1 minus the target of slot 0, which the API takes for background whether it is or not."""
        if self._slots.adds_background:
            return tf.ones_like(truth.weights)
        if class_targets is not None:
            return 1.0 - class_targets[..., 0]
        return tf.cast(truth.classes != 1, tf.float32)

    def _slot_targets(
        self, classes: tf.Tensor, positive: tf.Tensor, matches: tf.Tensor, class_targets: tf.Tensor | None
    ) -> tf.Tensor:
        slots = self._slots
        if class_targets is None:
            nothing = -1 if slots.unmatched_slot is None else slots.unmatched_slot
            # A slot of -1 makes a row of zeros.
            return tf.one_hot(tf.where(positive, slots.of_classes(classes), nothing), slots.num_slots)
        gathered = tf.gather(slots.of_class_targets(class_targets), tf.maximum(matches, 0), batch_dims=1)
        return tf.where(positive[..., tf.newaxis], gathered, tf.constant(slots.unmatched_target()))

    def _with_confidences(self, slot_targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Weighs what ground truth says outright with 1, and everything else with `implicit_example_weight`.

        As the API's batch_assign_confidences, where neither the ground truth's weights, nor anchors to be ignored, nor
        `encode_background_as_zeros` count. Records hold no confidences, so those of ground truth are 1; a class target
        of -1 is an outright no.

        Returns:
            Class targets and class weights, float32 [B, A, slots], and box weights, float32 [B, A].
        """
        implicit = self._implicit_example_weight
        targets = slot_targets[..., 1:] if self._slots.adds_background else slot_targets
        explicit = tf.cast(targets != 0, tf.float32)
        positive = tf.cast(tf.reduce_any(targets > 0, axis=-1), tf.float32)
        targets, weights = tf.maximum(targets, 0.0), (1 - implicit) * explicit + implicit
        if self._slots.adds_background:
            background = positive[..., tf.newaxis]
            targets = tf.concat([1.0 - background, targets], axis=-1)
            weights = tf.concat([(1 - implicit) * background + implicit, weights], axis=-1)
        return targets, weights, positive
