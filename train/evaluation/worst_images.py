"""The images of an evaluation that cost most of F1, found while it runs; only a few are kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from configs.settings.evaluation import EvalConfig
from train.evaluation.detected_image import DetectedImage
from train.evaluation.summary_images import EvaluationImages
from train.metrics.box_collection import BoxCollection
from train.metrics.box_matches import BoxMatches, match_collection
from train.metrics.image_losses import f1_losses
from train.metrics.measured_image import MeasuredImage
from train.metrics.operating_points import BEST_F1, ScoreCurve

MOST_SHOWN = 5
_KEPT_FOR_EACH_SHOWN = 3
_AT_ONCE = 8  # images to match together
_FIRST_THRESHOLD = 0.5


@dataclasses.dataclass(frozen=True)
class _Candidate:
    number: int
    detected: DetectedImage
    scores_of_right: np.ndarray
    scores_of_wrong: np.ndarray
    num_objects: int

    def num_mistakes(self, threshold: float) -> int:
        found = np.count_nonzero(self.scores_of_right >= threshold)
        return int(np.count_nonzero(self.scores_of_wrong >= threshold) + self.num_objects - found)

    def with_own_pixels(self) -> _Candidate:
        """Returns it with the image as uint8 of its own: what is part of a batch would keep all of it."""
        pixels = np.clip(np.rint(self.detected.image), 0, 255).astype(np.uint8)
        return dataclasses.replace(self, detected=dataclasses.replace(self.detected, image=pixels))


class WorstImages:
    """Keeps those with the most mistakes, and in the end draws those of them that cost most of F1.

    What an image costs is only known at the thresholds that are chosen in the end. Until then, mistakes are counted at
    the one threshold with the best F1 on the images up to there, and three times as many are kept as are drawn.
    """

    def __init__(self, eval_config: EvalConfig, names_by_id: Mapping[int, str]) -> None:
        """Starts empty.

        Args:
            eval_config: No more than its `num_visualizations` are drawn, and as it says.
            names_by_id: Class names by label map id.
        """
        self._most_shown = min(MOST_SHOWN, eval_config.num_visualizations)
        self._images = EvaluationImages(eval_config, names_by_id)
        self._names_by_id = names_by_id
        self._skip_unlabeled = eval_config.skip_predictions_for_unlabeled_class
        self._waiting: list[tuple[DetectedImage, MeasuredImage]] = []
        self._kept: list[_Candidate] = []
        self._scores: list[np.ndarray] = []
        self._is_right: list[np.ndarray] = []
        self._num_objects = self._num_images = 0
        self._threshold, self._next_choice = _FIRST_THRESHOLD, 2 * _AT_ONCE

    def add(self, detected: DetectedImage, measured: MeasuredImage) -> None:
        """Takes one image."""
        if self._most_shown:
            self._waiting.append((detected, measured))
            if len(self._waiting) == _AT_ONCE:
                self._look()

    def draw(self, matches: BoxMatches, thresholds: Mapping[int, float]) -> list[np.ndarray]:
        """Draws the worst images, the one that costs most first; an image without mistakes is none of them.

        Args:
            matches: Of all images.
            thresholds: The score from which detections of a class count, by its id.

        Returns:
            uint8 [H, W, 3] each: ground truth beside the detections that count.
        """
        self._look()
        losses = f1_losses(matches, thresholds)
        worst = sorted(self._kept, key=lambda one: -losses[one.number])[: self._most_shown]
        return [
            self._images.draw_from(one.detected, thresholds, caption=f"costs {losses[one.number]:.4f} of F1")
            for one in worst
            if losses[one.number] > 0
        ]

    def _look(self) -> None:
        """Matches what waits, and keeps the worst."""
        boxes = BoxCollection(self._names_by_id, skip_predictions_for_unlabeled_class=self._skip_unlabeled)
        for _, measured in self._waiting:
            boxes.add(measured)
        matches = match_collection(boxes)
        self._scores.append(matches.detections.scores)
        self._is_right.append(matches.is_right)
        self._num_objects += len(matches.groundtruth.classes)
        for number, (detected, _) in enumerate(self._waiting):
            here = matches.detections.image == number
            candidate = _Candidate(
                number=self._num_images + number,
                detected=detected,
                scores_of_right=matches.detections.scores[here & matches.is_right],
                scores_of_wrong=matches.detections.scores[here & ~matches.is_right],
                num_objects=int(np.count_nonzero(matches.groundtruth.image == number)),
            )
            self._kept.append(candidate)
        num_new = len(self._waiting)
        self._num_images += num_new
        self._waiting.clear()
        if self._num_images >= self._next_choice:
            self._choose_threshold()
        self._kept.sort(key=lambda one: -one.num_mistakes(self._threshold))
        del self._kept[_KEPT_FOR_EACH_SHOWN * self._most_shown :]
        first_new = self._num_images - num_new
        self._kept = [one.with_own_pixels() if one.number >= first_new else one for one in self._kept]

    def _choose_threshold(self) -> None:
        """Chooses anew at twice as many images each time, so that all choices cost little more than the last one."""
        self._next_choice = 2 * self._num_images
        scores, is_right = np.concatenate(self._scores), np.concatenate(self._is_right)
        self._scores, self._is_right = [scores], [is_right]
        order = np.argsort(-scores, kind="stable")
        point = BEST_F1.choose(ScoreCurve(scores[order], is_right[order], self._num_objects))
        if point is not None:
            self._threshold = point.threshold
