"""What thresholds are worth on images that they were not chosen on: chosen on one half, counted on the other.

    python -m train.evaluate --pipeline_config_path build/demo/pipeline.config --saved_model_dir build/demo/exported \
        --detections_path detections.json
    python -m tests.benchmarks.threshold_halves detections.json [--halves 20] [--operating_point f1]

Takes the ground truth that the first command writes beside the detections, D.ground_truth.json. F1 is of all classes,
detections and objects counted together: the mean over the halves, and how often it is above that from a score of
0.5 on.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.runtime.command_line import positive_int
from data_prep.runtime.ledger import Ledger
from train.evaluation.detected_image import DetectedImage
from train.evaluation.detections_file import ground_truth_path
from train.evaluation.given import evaluate_on_coco
from train.evaluation.operating_study import USUAL_SCORE
from train.metrics.box_collection import BoxCollection
from train.metrics.box_matches import NO_MATCH, BoxMatches, match_collection
from train.metrics.measured_image import MeasuredImage
from train.metrics.operating_points import Criterion, ScoreCurve, added_up, curve_of_all, curves_by_class

USUAL, ONE, BY_CLASS = f"from {USUAL_SCORE:g} on", "one threshold for all", "a threshold a class"


class Collector:
    """Matches the images of an evaluation."""

    def __init__(self, names_by_id: Mapping[int, str]) -> None:
        self.boxes = BoxCollection(names_by_id)

    def add(self, detected: DetectedImage, measured: MeasuredImage) -> None:
        """Takes an image."""
        del detected
        self.boxes.add(measured)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("detections", type=Path)
    parser.add_argument("--halves", type=positive_int, default=20)
    parser.add_argument("--operating_point", type=Criterion.of_text, default=Criterion())
    arguments = parser.parse_args(argv)
    collectors: list[Collector] = []

    def make(eval_config: Any, names_by_id: Mapping[int, str], file_names: Mapping[str, str]) -> Any:
        collectors.append(Collector(names_by_id))
        return collectors[0]

    with Ledger(None) as ledger:
        evaluate_on_coco(None, ground_truth_path(arguments.detections), arguments.detections, make, ledger)
    matches = match_collection(collectors[0].boxes)
    found = f1_on_other_halves(matches, arguments.operating_point, arguments.halves)
    images = f"{matches.num_images // 2} of {matches.num_images} images"
    print(f"{arguments.operating_point} chosen on {images}, F1 on the others, {arguments.halves} times:")
    for name, values in found.items():
        better = np.mean(values > found[USUAL])
        print(f"  {name:<22} {values.mean():.3f}" + ("" if name == USUAL else f", better in {better:.0%}"))
    return 0


def f1_on_other_halves(matches: BoxMatches, criterion: Criterion, halves: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns the F1 of each way to choose, on the half that nothing was chosen on: float64 [halves] each."""
    random = np.random.default_rng(seed)
    found: dict[str, list[float]] = {USUAL: [], ONE: [], BY_CLASS: []}
    for _ in range(halves):
        is_first = np.zeros(matches.num_images, bool)
        is_first[random.permutation(matches.num_images)[: matches.num_images // 2]] = True
        first, second = of_images(matches, is_first), of_images(matches, ~is_first)
        counted, all_counted = curves_by_class(second), curve_of_all(second)
        found[USUAL].append(all_counted.at(USUAL_SCORE).f1)
        found[ONE].append(all_counted.at(chosen(criterion, curve_of_all(first))).f1)
        points = (counted[class_id].at(chosen(criterion, curve)) for class_id, curve in curves_by_class(first).items())
        found[BY_CLASS].append(added_up(points).f1)
    return {name: np.array(values) for name, values in found.items()}


def chosen(criterion: Criterion, curve: ScoreCurve) -> float:
    """Returns the threshold; infinite where there is none."""
    point = criterion.choose(curve)
    return math.inf if point is None else point.threshold


def of_images(matches: BoxMatches, is_chosen: np.ndarray) -> BoxMatches:
    """Returns what is in some of the images; which object a detection is, is forgotten, but not whether it is one."""
    kept = is_chosen[matches.detections.image]
    return dataclasses.replace(
        matches,
        detections=matches.detections.where(kept),
        groundtruth=matches.groundtruth.where(is_chosen[matches.groundtruth.image]),
        object_of=np.where(matches.is_right, 0, NO_MATCH)[kept],
    )


if __name__ == "__main__":
    raise SystemExit(main())
