"""What every evaluation shows of its operating points, within a training too: figures, curves and images to watch."""

from __future__ import annotations

import dataclasses

from train.evaluation.confusion_image import confusion_image
from train.evaluation.evaluator import EvaluationResult
from train.evaluation.operating_study import OperatingStudy
from train.evaluation.thresholds_file import ClassThresholds
from train.metrics.box_matches import match_collection
from train.metrics.operating_points import BEST_F1, Criterion
from train.tracking.recorder import Recorder


def study_result(
    result: EvaluationResult, criterion: Criterion | ClassThresholds = BEST_F1, *, with_intervals: bool = False
) -> tuple[EvaluationResult, OperatingStudy | None]:
    """Returns the result with the study's figures among its metrics, and the study; None without ground truth.

    Args:
        result: Of an evaluation.
        criterion: What the thresholds are chosen for, or thresholds that were chosen elsewhere.
        with_intervals: Of chosen thresholds; within a training they would cost more than they say.
    """
    if result.boxes is None:
        return result, None
    study = OperatingStudy(match_collection(result.boxes), criterion, with_intervals=with_intervals)
    return dataclasses.replace(result, metrics={**result.metrics, **study.metrics()}), study


def record_study(
    study: OperatingStudy, result: EvaluationResult, recorder: Recorder, folder: str, *, step: int
) -> None:
    """Gives the curves of precision over recall, the confusion matrix and the worst images to what watches the run.

    The figures are among the result's metrics, which `EvaluationResult.record` gives.

    Args:
        study: Of the evaluation.
        result: Whose worst images are drawn.
        recorder: Of the run.
        folder: The evaluation's, such as `eval`.
        step: The training step of what was evaluated.
    """
    recorder.pr_curves(folder, study.pr_curves(), step)
    recorder.images(folder, "confusion_matrix", [confusion_image(*study.confusion())], step)
    if result.worst is not None:
        recorder.images(folder, "worst", result.worst.draw(study.matches, study.thresholds()), step)
    recorder.flush()
