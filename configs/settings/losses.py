"""Settings of losses: what a network's predictions are compared by, and which anchors count."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TypeAlias

from configs.schema.problem import Note, Problem
from configs.settings.declaration import Choice, Settings, nested
from configs.settings.values import declared, number, scalar

_ANCHORWISE = {"anchorwise_output": "losses always have one value an anchor"}
# A loss of more than its square root times that is no finite number in 32 bits.
_LARGEST_WEIGHT = 1e6

# ---------------------------------------------------------------------------------------------------- localisation


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightedL2(Settings, message="WeightedL2LocalizationLoss"):
    """Half the squared distance of codes."""

    no_effect = _ANCHORWISE


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightedSmoothL1(Settings, message="WeightedSmoothL1LocalizationLoss"):
    """Huber loss of codes.

    Attributes:
        delta: Where the parabola turns into a line.
    """

    delta: float = number(above=0.0)
    no_effect = _ANCHORWISE


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightedIou(Settings, message="WeightedIOULocalizationLoss"):
    """1 minus intersection over union; of an SSD's box codes, read as corners."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class L1Localization(Settings, message="L1LocalizationLoss"):
    """Sum of the absolute differences of codes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightedGiou(Settings, message="WeightedGIOULocalizationLoss"):
    """1 minus generalised intersection over union; of an SSD's box codes, read as corners, with which it diverges."""


# A code is a reversed box as often as not, and what overlaps with that grows and falls beyond all bounds.
_OF_CODES_AS_CORNERS: dict[type[Settings], str] = {
    WeightedIou: "codes that are no boxes teach nothing",
    WeightedGiou: "the loss falls without end, and training diverges",
}

LocalizationLoss: TypeAlias = WeightedL2 | WeightedSmoothL1 | WeightedIou | L1Localization | WeightedGiou

# What a `LocalizationLoss` message may be.
LOCALIZATION_LOSSES = Choice(
    alternatives={
        "weighted_l2": WeightedL2,
        "weighted_smooth_l1": WeightedSmoothL1,
        "weighted_iou": WeightedIou,
        "l1_localization_loss": L1Localization,
        "weighted_giou": WeightedGiou,
    },
    required="use weighted_smooth_l1 { }",
)

# -------------------------------------------------------------------------------------------------- classification


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightedSigmoid(Settings, message="WeightedSigmoidClassificationLoss"):
    """Cross entropy of every class by itself."""

    no_effect = _ANCHORWISE


@dataclasses.dataclass(frozen=True, kw_only=True)
class SigmoidFocal(Settings, message="SigmoidFocalClassificationLoss"):
    """Focal loss of every class by itself.

    Attributes:
        gamma: How strongly easy examples are played down.
        alpha: Weight of positives, 1 - alpha being that of negatives; None weighs both with 1.
    """

    gamma: float = number(at_least=0.0, at_most=1000.0)
    alpha: float | None = number(at_least=0.0, at_most=1.0, optional=True)
    no_effect = _ANCHORWISE


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightedSoftmax(Settings, message="WeightedSoftmaxClassificationLoss"):
    """Cross entropy of all classes together.

    Attributes:
        logit_scale: What logits are divided by.
    """

    logit_scale: float = number(above=0.0)
    no_effect = _ANCHORWISE


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightedLogitsSoftmax(Settings, message="WeightedSoftmaxClassificationAgainstLogitsLoss"):
    """Cross entropy of all classes together, with targets that are logits themselves.

    Attributes:
        logit_scale: What logits and targets are divided by.
    """

    logit_scale: float = number(above=0.0)
    no_effect = _ANCHORWISE


@dataclasses.dataclass(frozen=True, kw_only=True)
class BootstrappedSigmoid(Settings, message="BootstrappedSigmoidClassificationLoss"):
    """Cross entropy of every class by itself, with labels that are mixed with the network's own predictions.

    Attributes:
        alpha: Weight of the label, 1 - alpha being that of the prediction.
        hard_bootstrap: Whether the prediction is taken as 0 or 1.
    """

    alpha: float = number(at_least=0.0, at_most=1.0)
    hard_bootstrap: bool = scalar()
    no_effect = _ANCHORWISE


ClassificationLoss: TypeAlias = (
    WeightedSigmoid | SigmoidFocal | WeightedSoftmax | WeightedLogitsSoftmax | BootstrappedSigmoid
)

_OF_CENTER_NET = ("it goes with CenterNet", "use weighted_sigmoid_focal for ssd, weighted_softmax for faster_rcnn")

# What a `ClassificationLoss` message may be.
CLASSIFICATION_LOSSES = Choice(
    alternatives={
        "weighted_sigmoid": WeightedSigmoid,
        "weighted_softmax": WeightedSoftmax,
        "weighted_logits_softmax": WeightedLogitsSoftmax,
        "bootstrapped_sigmoid": BootstrappedSigmoid,
        "weighted_sigmoid_focal": SigmoidFocal,
    },
    refused={
        "penalty_reduced_logistic_focal_loss": _OF_CENTER_NET,
        "weighted_dice_classification_loss": _OF_CENTER_NET,
    },
    required="use weighted_sigmoid_focal { }",
)

# ----------------------------------------------------------------------------------------------- which anchors count


@dataclasses.dataclass(frozen=True, kw_only=True)
class HardExampleMiner(Settings, message="HardExampleMiner"):
    """Only the anchors with the highest losses count.

    Attributes:
        num_hard_examples: How many an image, at most; 0 or less: all.
        iou_threshold: Overlap above which an anchor is dropped for one with a higher loss; at 1 none is.
        loss_type: BOTH, CLASSIFICATION or LOCALIZATION: what anchors are ranked by.
        max_negatives_per_positive: 0 or less: any number.
        min_negatives_per_image: Only counts beside `max_negatives_per_positive`.
    """

    num_hard_examples: int = number()
    iou_threshold: float = number(at_least=0.0, at_most=1.0)
    loss_type: str = scalar()
    max_negatives_per_positive: int = number()
    min_negatives_per_image: int = number(at_least=0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomExampleSampler(Settings, message="RandomExampleSampler"):
    """All positives count, and a random part of the negatives.

    Attributes:
        positive_sample_fraction: Share of positives in what counts.
    """

    positive_sample_fraction: float = number(
        above=0.0, at_most=1.0, reason="is no share", instead="use one above 0 and at most 1"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loss(Settings, message="Loss"):
    """The losses of an SSD.

    Attributes:
        localization_loss: Of box codes.
        classification_loss: Of class logits.
        hard_example_miner: None: all anchors count.
        random_example_sampler: None: all anchors count.
        classification_weight, localization_weight: In the total.
    """

    localization_loss: LocalizationLoss = declared(LOCALIZATION_LOSSES)
    classification_loss: ClassificationLoss = declared(CLASSIFICATION_LOSSES)
    hard_example_miner: HardExampleMiner | None = nested(HardExampleMiner, optional=True)
    random_example_sampler: RandomExampleSampler | None = nested(RandomExampleSampler, optional=True)
    classification_weight: float = number(at_least=0.0, at_most=_LARGEST_WEIGHT)
    localization_weight: float = number(at_least=0.0, at_most=_LARGEST_WEIGHT)
    expected_loss_weights: str = scalar(
        only=("NONE",),
        reason="the functions it names are missing from the API as published",
        instead="use expected_loss_weights: NONE",
    )
    no_effect = {
        "min_num_negative_samples": "only expected_loss_weights would look at it",
        "desired_negative_sampling_ratio": "only expected_loss_weights would look at it",
        "equalization_loss": "the API as published reads it and applies it nowhere",
    }

    def problems(self) -> Iterator[Problem]:
        """See `Settings.problems`."""
        if self.hard_example_miner is not None and isinstance(self.classification_loss, SigmoidFocal):
            reason = "weighted_sigmoid_focal picks hard examples already"
            yield Problem("hard_example_miner", reason, "delete it, or use weighted_sigmoid")

    def notes(self) -> Iterator[Note]:
        """See `Settings.notes`."""
        outcome = _OF_CODES_AS_CORNERS.get(type(self.localization_loss))
        if outcome is not None:
            what = "reads box codes as if they were corners, as the API's SSD does"
            yield Note(self.path_of("localization_loss"), f"{what}: {outcome}; use weighted_smooth_l1 {{ }}")
