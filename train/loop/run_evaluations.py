"""Evaluations of a run while it trains: measured, written and recorded, the best kept, and when to stop for them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from train.evaluation.evaluator import CheckpointEvaluator, EvaluationResult
from train.evaluation.operating_summaries import record_study, study_result
from train.loop.checkpoint_files import BestCheckpoint
from train.loop.evaluation_history import EvaluationHistory
from train.loop.failures import explained_failures
from train.loop.moving_average import moving_averages
from train.loop.stopping import StopRequests
from train.loop.workers import Workers
from train.models.batch_norm import synchronize
from train.models.build import build_or_explain
from train.models.detector import Detector
from train.models.replicas import copy_values
from train.pipeline import Pipeline
from train.tracking.recorder import Recorder


class RunEvaluations:
    """Evaluates a run's network as it stands; of several workers the chief does, for all.

    Attributes:
        last: The last evaluation; None before the first, and on workers other than the chief.
    """

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        model_dir: Path,
        detector: Detector,
        optimizer: Any,
        history: EvaluationHistory,
        best: BestCheckpoint,
        workers: Workers,
        stop: StopRequests,
        recorder: Recorder,
        say: Callable[[str], None],
    ) -> None:
        """Prepares them.

        Args:
            pipeline: Has an evaluation input.
            model_dir: The run's folder.
            detector: Its network is evaluated.
            optimizer: Holds the moving averages, where there are any.
            history: Of the run's evaluations up to now.
            best: Keeps the best checkpoint.
            workers: Of which the chief evaluates.
            stop: Waits while several workers are at it.
            recorder: Gets what is there to watch.
            say: Tells a person.
        """
        self._pipeline = pipeline
        self._model_dir = model_dir
        self._network = detector.network
        self._optimizer = optimizer
        self._history = history
        self._best = best
        self._workers = workers
        self._stop = stop
        self._recorder = recorder
        self._say = say
        self._evaluator: CheckpointEvaluator | None = None
        if workers.is_chief:
            # With several workers, reading a variable may ask all of them; a copy of the network belongs to the chief.
            self._measured = build_or_explain(pipeline.settings) if workers.are_several else detector
            self._evaluator = CheckpointEvaluator(pipeline, self._measured)
        self.last: EvaluationResult | None = None

    def evaluate(self, step: int, *, source: str) -> None:
        """Evaluates, which the chief does for all; the best checkpoint is saved by all.

        Args:
            step: Where training is.
            source: The checkpoint of that step, for what is written.
        """
        synchronize(self._network, self._workers.strategy)
        result: EvaluationResult | None = None
        # Of several workers, one that left here would leave the others waiting: they stop after their next step.
        with self._stop.deferred() if self._workers.are_several else contextlib.nullcontext():
            if self._evaluator is not None:
                result = self._measure(self._evaluator, step, source)
            is_best = result is not None and self._history.would_be_best(result.metrics)
            if self._workers.of_chief(is_best):
                # Before it is in the history, so that a run ended in between measures and keeps this one again.
                metrics = result.metrics if result is not None else {}
                path = self._best.save(step, metrics, self._history.rule.metric)
                self._say(f"step {step}: the best so far, kept as {path}")
        if result is not None:
            self._history.add(step, result.metrics)
        self.last = result

    def reason_to_stop(self) -> str:
        """A sentence that says why to stop early, or nothing; the chief's evaluations decide for all."""
        reason = self._history.reason_to_stop()
        if self._workers.of_chief(bool(reason)):
            return reason or "the evaluations no longer improve"
        return ""

    def _measure(self, evaluator: CheckpointEvaluator, step: int, source: str) -> EvaluationResult:
        with explained_failures(), self._evaluated_weights():
            if self._workers.are_several:
                copy_values(self._network, self._measured.network, self._workers.strategy)
            result, study = study_result(evaluator.evaluate())
        result.write(self._model_dir / evaluator.folder, step=step, source=source)
        result.record(self._recorder, str(evaluator.folder), step=step)
        if study is not None:
            record_study(study, result, self._recorder, str(evaluator.folder), step=step)
        self._say(f"step {step}: evaluated on {result.num_images} images\n{result.table(max_classes=12)}")
        return result

    def _evaluated_weights(self) -> contextlib.AbstractContextManager[None]:
        """The moving averages in the variables' place, where `eval_config` asks for them."""
        if not self._pipeline.settings.eval_config.use_moving_averages:
            return contextlib.nullcontext()
        return moving_averages(self._optimizer, self._network)
