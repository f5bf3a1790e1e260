"""The images of an evaluation that cost most of F1, found while it runs; only a few are kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from configs.settings.evaluation import EvalConfig
from data_prep.images.boxes import area, intersection, iou
from train.evaluation.detected_image import DetectedImage
from train.evaluation.summary_images import EvaluationImages
from train.metrics.box_matches import IOU_THRESHOLD, BoxMatches
from train.metrics.image_losses import f1_losses
from train.metrics.measured_image import MeasuredImage
from train.metrics.operating_points import BEST_F1, ScoreCurve

MOST_SHOWN = 5
_KEPT_FOR_EACH_SHOWN = 3
_FIRST_THRESHOLD, _FIRST_CHOICE = 0.5, 16  # images until a threshold is chosen


@dataclasses.dataclass(frozen=True)
class _Candidate:
    number: int
    detected: DetectedImage
    scores: np.ndarray
    is_right: np.ndarray
    num_objects: int

    @classmethod
    def of(cls, detected: DetectedImage, measured: MeasuredImage, number: int) -> _Candidate:
        """Takes of each object the best detection of its class that overlaps it by 0.5 for the right one."""
        order = np.argsort(-measured.detection_scores, kind="stable")
        boxes, scores = measured.detection_boxes[order], measured.detection_scores[order]
        is_class = measured.detection_classes[order, np.newaxis] == measured.groundtruth_classes
        is_region = measured.groundtruth_is_crowd | measured.groundtruth_group_of
        is_object, is_right, counts = ~is_region, np.zeros(len(scores), bool), np.ones(len(scores), bool)
        if len(scores) and is_object.any():
            is_near = iou(boxes, measured.groundtruth_boxes[is_object]) >= IOU_THRESHOLD
            is_near &= is_class[:, is_object]
            is_right[is_near.argmax(axis=0)[is_near.any(axis=0)]] = True
        if is_region.any():
            shared = intersection(boxes, measured.groundtruth_boxes[is_region])
            is_inside = shared >= IOU_THRESHOLD * area(boxes)[:, np.newaxis]
            counts = is_right | ~(is_inside & is_class[:, is_region]).any(axis=1)
        return cls(number, detected, scores[counts], is_right[counts], int(np.count_nonzero(is_object)))

    def num_mistakes(self, threshold: float) -> int:
        counts = self.scores >= threshold
        return int(np.count_nonzero(counts) + self.num_objects - 2 * np.count_nonzero(counts & self.is_right))

    def with_own_pixels(self) -> _Candidate:
        """Returns it with the image as uint8 of its own: what is part of a batch would keep all of it."""
        pixels = np.clip(np.rint(self.detected.image), 0, 255).astype(np.uint8)
        return dataclasses.replace(self, detected=dataclasses.replace(self.detected, image=pixels))


class WorstImages:
    """Keeps those with the most mistakes, and in the end draws those of them that cost most of F1.

    What an image costs is only known when all are matched, at the thresholds that are chosen then. Until then, three
    times as many are kept as are drawn, by mistakes that are counted from overlaps alone, at the one threshold with
    the best F1 on the images up to there.
    """

    def __init__(self, eval_config: EvalConfig, names_by_id: Mapping[int, str]) -> None:
        """Starts empty.

        Args:
            eval_config: No more than its `num_visualizations` are drawn, and as it says.
            names_by_id: Class names by label map id.
        """
        self._most_shown = min(MOST_SHOWN, eval_config.num_visualizations)
        self._images = EvaluationImages(eval_config, names_by_id)
        self._skip_unlabeled = eval_config.skip_predictions_for_unlabeled_class
        self._kept: list[_Candidate] = []
        self._mistakes: list[int] = []  # of those that are kept
        self._scores: list[np.ndarray] = []
        self._is_right: list[np.ndarray] = []
        self._num_objects = self._num_images = 0
        self._threshold, self._next_choice = _FIRST_THRESHOLD, _FIRST_CHOICE

    def add(self, detected: DetectedImage, measured: MeasuredImage) -> None:
        """Takes one image."""
        if not self._most_shown:
            return
        if self._skip_unlabeled:
            measured = measured.of_verified_classes(none_means_all=True)
        candidate = _Candidate.of(detected, measured, self._num_images)
        self._num_images += 1
        self._num_objects += candidate.num_objects
        self._scores.append(candidate.scores)
        self._is_right.append(candidate.is_right)
        if self._num_images == self._next_choice:
            self._choose_threshold()
        self._keep(candidate)

    def draw(self, matches: BoxMatches, thresholds: Mapping[int, float]) -> list[np.ndarray]:
        """Draws the worst images, the one that costs most first; an image without mistakes is none of them.

        Args:
            matches: Of all images.
            thresholds: The score from which detections of a class count, by its id.

        Returns:
            uint8 [H, W, 3] each: ground truth beside the detections that count.
        """
        losses = f1_losses(matches, thresholds)
        worst = sorted(self._kept, key=lambda one: -losses[one.number])[: self._most_shown]
        return [
            self._images.draw_from(one.detected, thresholds, caption=f"costs {losses[one.number]:.4f} of F1")
            for one in worst
            if losses[one.number] > 0
        ]

    def _keep(self, candidate: _Candidate) -> None:
        """Keeps the image if it is one of the worst up to now; of equal ones, those that came first."""
        mistakes = candidate.num_mistakes(self._threshold)
        if len(self._kept) == _KEPT_FOR_EACH_SHOWN * self._most_shown:
            fewest = min(self._mistakes)
            if mistakes <= fewest:
                return
            last = len(self._mistakes) - 1 - self._mistakes[::-1].index(fewest)
            del self._kept[last], self._mistakes[last]
        self._kept.append(candidate.with_own_pixels())
        self._mistakes.append(mistakes)

    def _choose_threshold(self) -> None:
        """Chooses anew at twice as many images each time, so that all choices cost little more than the last one."""
        self._next_choice = 2 * self._num_images
        scores, is_right = np.concatenate(self._scores), np.concatenate(self._is_right)
        self._scores, self._is_right = [scores], [is_right]
        order = np.argsort(-scores, kind="stable")
        point = BEST_F1.choose(ScoreCurve(scores[order], is_right[order], self._num_objects))
        if point is not None:
            self._threshold = point.threshold
            self._mistakes = [one.num_mistakes(self._threshold) for one in self._kept]
