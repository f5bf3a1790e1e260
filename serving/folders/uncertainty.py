"""Uncertainty of a detector about an image: the 1-vs-2 margin of each detection, brought together over the image.

Source: Brust, Kaeding, Denzler, "Active Learning for Deep Object Detection", VISAPP 2019 (arXiv:1809.09875), equations
1 to 4. For a detection x with class probabilities p,

    v(x) = (1 - (p(best class | x) - p(second best class | x)))^2

and an image's value is the sum, the mean or the maximum of its detections'. A detector's answer carries one score p a
detection, that of its class. With sigmoid scores, where each class stands for itself, the second outcome is "not this
class", with probability 1 - p, so that

    v(x) = (1 - |p - (1 - p)|)^2 = (1 - |2p - 1|)^2

which is 1 at p = 0.5, and 0 where the model is sure either way. (For two outcomes least confidence, margin and entropy
put detections into the same order: Settles, "Active Learning Literature Survey", 2009, section 3.1.)

What it cannot see: an object that the model does not notice at all. An image without detections has the value 0.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from serving.client_library.detections import ImageDetections

SUM, MEAN, MAXIMUM = "sum", "mean", "maximum"
AGGREGATIONS = (SUM, MEAN, MAXIMUM)


@dataclass(frozen=True)
class UncertainImage:
    """An image, and how unsure the model is of it.

    Attributes:
        uncertainty: From 0, and larger the less sure.
        result: The image's detections.
    """

    uncertainty: float
    result: ImageDetections


@dataclass(frozen=True)
class UncertainClass:
    """A class, and how unsure the model is where it names it.

    Attributes:
        name: The class.
        num_detections: How often it was found.
        mean_uncertainty: Of these detections, 0..1.
    """

    name: str
    num_detections: int
    mean_uncertainty: float


def uncertainty_of_score(score: float) -> float:
    """Returns (1 - |2p - 1|)^2 of a detection's score p in 0..1: 0 at 0 and 1, 1 at 0.5."""
    return (1.0 - abs(2.0 * min(max(score, 0.0), 1.0) - 1.0)) ** 2


def uncertainty_of_image(result: ImageDetections, aggregation: str = SUM) -> float:
    """Returns the image's value: the sum, mean or maximum over its detections; 0 where there are none.

    Raises:
        ValueError: There is no such aggregation.
    """
    values = [uncertainty_of_score(detection.score) for detection in result.detections]
    if aggregation not in AGGREGATIONS:
        raise ValueError(f"aggregation {aggregation!r}; there are {', '.join(AGGREGATIONS)}")
    if not values:
        return 0.0
    if aggregation == MAXIMUM:
        return max(values)
    return sum(values) if aggregation == SUM else sum(values) / len(values)


def least_sure(
    results: Iterable[ImageDetections], count: int, aggregation: str = SUM
) -> tuple[list[UncertainImage], list[UncertainClass]]:
    """Finds the images that the model is least sure of; never more than `count` of them are in memory.

    Args:
        results: Answered images, taken one at a time.
        count: How many.
        aggregation: One of `AGGREGATIONS`.

    Returns:
        The images, least sure first, equal ones by name; and all classes, those with the largest mean first.
    """
    sums: dict[str, list[float]] = defaultdict(lambda: [0, 0.0])

    def rated() -> Iterable[UncertainImage]:
        for result in results:
            for detection in result.detections:
                of_class = sums[detection.name]
                of_class[0] += 1
                of_class[1] += uncertainty_of_score(detection.score)
            uncertainty = uncertainty_of_image(result, aggregation)
            if uncertainty > 0:
                yield UncertainImage(uncertainty, result)

    images = heapq.nsmallest(count, rated(), key=lambda image: (-image.uncertainty, image.result.image))
    classes = [UncertainClass(name, int(number), total / number) for name, (number, total) in sums.items()]
    return images, sorted(classes, key=lambda each: (-each.mean_uncertainty, each.name))
