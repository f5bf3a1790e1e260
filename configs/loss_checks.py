"""What the fields of SSD's matcher and losses must be together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from configs.oneofs import check_set
from configs.schema.problem import Note, Problem


def check_matcher(matcher: Any, path: str) -> Iterator[Problem]:
    """Checks a `Matcher` message; yields each problem."""
    yield from check_set(matcher, path, "argmax_matcher")
    argmax, at = matcher.argmax_matcher, f"{path}.argmax_matcher"
    if not matcher.HasField("argmax_matcher") or argmax.ignore_thresholds:
        return
    if argmax.unmatched_threshold > argmax.matched_threshold:
        reason = f"{argmax.unmatched_threshold:g} is above matched_threshold, {argmax.matched_threshold:g}"
        yield Problem(f"{at}.unmatched_threshold", reason, "use the same or less")
    elif not argmax.negatives_lower_than_unmatched and argmax.unmatched_threshold == argmax.matched_threshold:
        reason = "false makes background of what lies between two thresholds that are equal"
        yield Problem(f"{at}.negatives_lower_than_unmatched", reason, "use true, or a lower unmatched_threshold")


def check_ssd_loss(loss: Any, path: str) -> Iterator[Problem | Note]:
    """Checks a `Loss` message; yields each problem."""
    yield from check_set(loss.classification_loss, f"{path}.classification_loss", "weighted_sigmoid_focal")
    yield from check_set(loss.localization_loss, f"{path}.localization_loss", "weighted_smooth_l1")
    for name in ("weighted_iou", "weighted_giou"):
        if loss.localization_loss.HasField(name):
            text = "compares box codes as if they were corners, which is what the API's SSD does with it"
            yield Note(f"{path}.localization_loss.{name}", text)
    if loss.HasField("hard_example_miner") and loss.classification_loss.HasField("weighted_sigmoid_focal"):
        reason = "weighted_sigmoid_focal picks hard examples already"
        yield Problem(f"{path}.hard_example_miner", reason, "delete it, or use weighted_sigmoid")
    fraction = loss.random_example_sampler.positive_sample_fraction
    if loss.HasField("random_example_sampler") and not 0 < fraction <= 1:
        at = f"{path}.random_example_sampler.positive_sample_fraction"
        yield Problem(at, f"{fraction:g} is no share", "use one above 0 and at most 1")
