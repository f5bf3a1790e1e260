"""Settings of matching: which ground truth each anchor is trained towards, and by what likeness."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TypeAlias

from configs.schema.problem import Problem
from configs.settings.declaration import Choice, Settings
from configs.settings.reasons import TPU_MATMUL
from configs.settings.values import number, scalar

# ------------------------------------------------------------------------------------------------------- similarities


@dataclasses.dataclass(frozen=True, kw_only=True)
class IouSimilarity(Settings, message="IouSimilarity"):
    """Intersection over union."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class IoaSimilarity(Settings, message="IoaSimilarity"):
    """Intersection over the anchor's area."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NegSqDistSimilarity(Settings, message="NegSqDistSimilarity"):
    """Minus the squared distance of two boxes as points in four dimensions."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ThresholdedIouSimilarity(Settings, message="ThresholdedIouSimilarity"):
    """A ground truth's score where it overlaps an anchor, else 0.

    Attributes:
        iou_threshold: What the intersection over union must exceed.
    """

    iou_threshold: float = number(at_least=0.0, at_most=1.0)


Similarity: TypeAlias = IouSimilarity | IoaSimilarity | NegSqDistSimilarity | ThresholdedIouSimilarity

# What a `RegionSimilarityCalculator` message may be.
SIMILARITIES = Choice(
    alternatives={
        "neg_sq_dist_similarity": NegSqDistSimilarity,
        "iou_similarity": IouSimilarity,
        "ioa_similarity": IoaSimilarity,
        "thresholded_iou_similarity": ThresholdedIouSimilarity,
    },
    required="use iou_similarity { }",
)

# ----------------------------------------------------------------------------------------------------------- matchers


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArgMaxMatcher(Settings, message="ArgMaxMatcher"):
    """Each anchor has its most similar ground truth, by thresholds, which are below 0 where similarities are.

    Attributes:
        matched_threshold: The similarity from which on an anchor matches.
        unmatched_threshold: The similarity below which it is background; between the two it is ignored.
        ignore_thresholds: Whether every anchor matches.
        negatives_lower_than_unmatched: Whether background is below, and what is ignored between; false: the reverse.
        force_match_for_each_row: Whether every ground truth is sure of the anchor most similar to it.
    """

    matched_threshold: float = number()
    unmatched_threshold: float = number()
    ignore_thresholds: bool = scalar()
    negatives_lower_than_unmatched: bool = scalar()
    force_match_for_each_row: bool = scalar()
    no_effect = {"use_matmul_gather": TPU_MATMUL}

    def problems(self) -> Iterator[Problem]:
        """See `Settings.problems`."""
        if self.ignore_thresholds:
            return
        if self.unmatched_threshold > self.matched_threshold:
            reason = f"{self.unmatched_threshold:g} is above matched_threshold, {self.matched_threshold:g}"
            yield Problem("unmatched_threshold", reason, "use the same or less")
        elif not self.negatives_lower_than_unmatched and self.unmatched_threshold == self.matched_threshold:
            reason = "false makes background of what lies between two thresholds that are equal"
            yield Problem("negatives_lower_than_unmatched", reason, "use true, or a lower unmatched_threshold")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BipartiteMatcher(Settings, message="BipartiteMatcher"):
    """Each ground truth has one anchor and no more."""

    no_effect = {"use_matmul_gather": TPU_MATMUL}


Matcher: TypeAlias = ArgMaxMatcher | BipartiteMatcher

# What a `Matcher` message may be.
MATCHERS = Choice(
    alternatives={"argmax_matcher": ArgMaxMatcher, "bipartite_matcher": BipartiteMatcher},
    required="use argmax_matcher { }",
)
