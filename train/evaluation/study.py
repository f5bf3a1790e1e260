"""What an evaluation does beside its averages, as the flags ask for it: files, and further figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from configs.settings.evaluation import EvalConfig
from data_prep.runtime.command_line import UsageError
from train.evaluation.class_averages import write_class_averages
from train.evaluation.detected_image import DetectedImage
from train.evaluation.detections_file import DetectionsFile, ground_truth_path
from train.evaluation.evaluator import EvaluationResult
from train.evaluation.operating_study import OperatingStudy
from train.evaluation.operating_summaries import record_study, study_result
from train.evaluation.page.report import EvaluationReport, Findings
from train.evaluation.study_options import StudyOptions
from train.evaluation.thresholds_file import read_thresholds
from train.metrics.measured_image import MeasuredImage
from train.metrics.operating_points import BEST_F1
from train.metrics.report import metrics_table
from train.metrics.sets import MetricSets
from train.tracking.recorder import Recorder
from train.tracking.tensorboard_tracker import TensorBoardTracker


class EvaluationStudy:
    """One evaluation's: it is shown each image, and then writes and tells."""

    def __init__(
        self,
        options: StudyOptions,
        eval_config: EvalConfig,
        names_by_id: Mapping[int, str],
        file_names: Mapping[str, str],
    ) -> None:
        """Starts empty.

        Args:
            options: What is asked for.
            eval_config: Says how to measure.
            names_by_id: Class names by label map id.
            file_names: The images' file names by id, where they are known.

        Raises:
            UsageError: A file of thresholds that is none, or of another label map.
        """
        self._options = options
        criterion = options.criterion or BEST_F1
        self._criterion = read_thresholds(criterion, names_by_id) if isinstance(criterion, Path) else criterion
        self._cut = self._detections = None
        if options.min_score_cut is not None and not eval_config.ignore_groundtruth:
            self._cut = MetricSets(eval_config, names_by_id)
        if options.detections_path is not None:
            self._detections = DetectionsFile(options.detections_path, names_by_id, file_names)
        self._report: EvaluationReport | None = None
        if options.report is not None:
            if eval_config.ignore_groundtruth:
                raise UsageError("--report_path needs ground truth, and eval_config.ignore_groundtruth is set")
            self._report = EvaluationReport(options.report, file_names)

    def add(self, detected: DetectedImage, measured: MeasuredImage) -> None:
        """Takes one image."""
        if self._detections is not None:
            self._detections.add(detected, measured)
        if self._report is not None:
            self._report.add(detected, measured)
        if self._cut is not None:
            self._cut.add(measured.with_detections_where(measured.detection_scores >= self._options.min_score_cut))

    def finish(self, result: EvaluationResult, eval_dir: Path, *, step: int, source: str, title: str) -> None:
        """Writes everything, and prints it.

        Args:
            result: The averages.
            eval_dir: For metrics.json, TensorBoard and tables; made if missing.
            step: The training step of what was evaluated.
            source: What was evaluated, for the JSON.
            title: The same for a person.
        """
        table = result.table()
        result, operating = study_result(result, self._criterion, with_intervals=True)
        if operating is not None:
            table += "\n" + operating.table()
            operating.write(eval_dir)
        if result.boxes is not None:
            write_class_averages(eval_dir, result.boxes)
        if self._cut is not None:
            prefix = f"MinScore{self._options.min_score_cut:g}"
            cut = {f"{prefix}/{name}": value for name, value in self._cut.evaluate().items()}
            table += "\n" + metrics_table(cut, {})
            result = dataclasses.replace(result, metrics={**result.metrics, **cut})
        result.write(eval_dir, step=step, source=source)
        with Recorder([TensorBoardTracker(eval_dir)]) as recorder:
            result.record(recorder, "", step=step)
            if operating is not None:
                record_study(operating, result, recorder, "", step=step)
        print(f"{title} on {result.num_images} images:\n\n{table}")
        if self._detections is not None:
            count, path = self._detections.write(), self._detections.path
            print(f"{count} detections written to {path}, the ground truth to {ground_truth_path(path)}")
        if operating is not None and (thresholds := self._options.thresholds_path) is not None:
            operating.write_thresholds(thresholds, source=source)
            print(f"thresholds written to {thresholds}")
        if operating is not None and self._report is not None:
            print(self._report.write(_findings(operating, result), source=source))
        print(f"written to {eval_dir}", flush=True)


def _findings(operating: OperatingStudy, result: EvaluationResult) -> Findings:
    return Findings(
        matches=operating.matches,
        errors=operating.errors,
        costs=operating.costs,
        metrics=result.metrics,
        points=operating.points,
        one_threshold=operating.one_threshold().threshold,
        criterion=operating.purpose,
    )
