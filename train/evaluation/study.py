"""What an evaluation does beside its averages, as the flags ask for it: files, and further figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from train.evaluation.detected_image import DetectedImage
from train.evaluation.detections_file import DetectionsFile, ground_truth_path
from train.evaluation.evaluator import EvaluationResult
from train.evaluation.study_options import StudyOptions
from train.metrics.measured_image import MeasuredImage
from train.tracking.recorder import Recorder
from train.tracking.tensorboard_tracker import TensorBoardTracker


class EvaluationStudy:
    """One evaluation's: it is shown each image, and then writes and tells."""

    def __init__(self, options: StudyOptions, names_by_id: Mapping[int, str], file_names: Mapping[str, str]) -> None:
        """Starts empty.

        Args:
            options: What is asked for.
            names_by_id: Class names by label map id.
            file_names: The images' file names by id, where they are known.
        """
        self._detections = None
        if options.detections_path is not None:
            self._detections = DetectionsFile(options.detections_path, names_by_id, file_names)

    def add(self, detected: DetectedImage, measured: MeasuredImage) -> None:
        """Takes one image."""
        if self._detections is not None:
            self._detections.add(detected, measured)

    def finish(self, result: EvaluationResult, eval_dir: Path, *, step: int, source: str, title: str) -> None:
        """Writes everything, and prints it.

        Args:
            result: The averages.
            eval_dir: For metrics.json, TensorBoard and tables; made if missing.
            step: The training step of what was evaluated.
            source: What was evaluated, for the JSON.
            title: The same for a person.
        """
        result.write(eval_dir, step=step, source=source)
        with Recorder([TensorBoardTracker(eval_dir)]) as recorder:
            result.record(recorder, "", step=step)
        print(f"{title} on {result.num_images} images:\n\n{result.table()}")
        if self._detections is not None:
            count, path = self._detections.write(), self._detections.path
            print(f"{count} detections written to {path}, the ground truth to {ground_truth_path(path)}")
        print(f"written to {eval_dir}", flush=True)
