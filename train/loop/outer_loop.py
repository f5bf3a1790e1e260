"""The outer loop of a training: steps, checkpoints, evaluations, and when to stop."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orbit
import tensorflow as tf

from data_prep.runtime.command_line import UserError
from train.evaluation.evaluator import CheckpointEvaluator, EvaluationResult
from train.loop.checkpoint_files import BestCheckpoint, TrainingEnd, write_training_end
from train.loop.evaluation_history import EvaluationHistory
from train.loop.failures import explained_failures
from train.loop.input_wait import SECONDS_PER_STEP, WAIT_PER_STEP, InputBottleneck
from train.loop.optimization import moving_averages
from train.loop.orbit_summaries import OrbitSummaries
from train.loop.profiling import ProfiledTrainer, require_profiled
from train.loop.progress import TrainingProgress
from train.loop.step import DetectionTrainer
from train.loop.weight_histograms import weights_by_name
from train.models.detector import Detector
from train.pipeline import Pipeline
from train.tracking.recorder import Recorder
from train.tracking.tensorboard_tracker import TRAIN
from train.tracking.tracker import RunDescription

CHECKPOINT_NAME = "ckpt"
ORBIT_LOG_NAME = "orbit.log"


@dataclasses.dataclass(frozen=True)
class Intervals:
    """Intervals of the outer loop, in steps.

    Attributes:
        checkpoint_every_n: Between checkpoints.
        evaluate_every_n: Between evaluations.
        log_every_n: Between TensorBoard scalars.
    """

    checkpoint_every_n: int
    evaluate_every_n: int
    log_every_n: int


class TrainingRun:
    """Goes on from where the network stands, up to the last step."""

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        model_dir: Path,
        intervals: Intervals,
        detector: Detector,
        trainer: DetectionTrainer,
        optimizer: Any,
        manager: tf.train.CheckpointManager,
        num_steps: int,
        history: EvaluationHistory,
        evaluates: bool,
        recorder: Recorder,
        description: RunDescription | None = None,
        profile_steps: tuple[int, int] | None = None,
    ) -> None:
        """Prepares the loop.

        Args:
            pipeline: What is trained.
            model_dir: The run's folder.
            intervals: How often to save, evaluate and log.
            detector: Its network is evaluated as it stands.
            trainer: Makes the steps.
            optimizer: Holds the moving averages, where there are any.
            manager: Saves checkpoints.
            num_steps: The step to train up to.
            history: Of the run's evaluations up to now.
            evaluates: Whether to evaluate, where the config has an evaluation input.
            recorder: Gets what is there to watch; a context while the run is on.
            description: What it is told before the first step.
            profile_steps: The first and the last step to profile.

        Raises:
            UserError: There is no such step to profile.
        """
        self._pipeline = pipeline
        self._model_dir = model_dir
        self._intervals = intervals
        self._manager = manager
        self._trainer = trainer
        self._global_step = trainer.global_step
        self._num_steps = num_steps
        self._start_step = int(trainer.global_step)
        self._progress = TrainingProgress(self._start_step, num_steps)
        self._network = detector.network
        self._optimizer = optimizer
        self._history = history
        self._best = BestCheckpoint(model_dir, manager.checkpoint, CHECKPOINT_NAME)
        self._evaluator = None
        if evaluates and pipeline.settings.eval_input_reader:
            self._evaluator = CheckpointEvaluator(pipeline, detector)
        self._result: EvaluationResult | None = None
        self._saved: dict[int, str] = {}
        self._told: list[str] = []
        self._recorder = recorder
        self._description = description
        self._bottleneck = InputBottleneck(pipeline.settings)
        self._step_reported = self._start_step
        self._profiled: ProfiledTrainer | None = None
        if profile_steps is not None:
            first, last = profile_steps
            require_profiled(first, last, self._start_step, num_steps)
            self._profiled = ProfiledTrainer(
                trainer,
                global_step=self._global_step,
                first=first,
                last=last,
                folder=model_dir,
                say=self._progress.say,
            )
        self._controller = orbit.Controller(
            global_step=self._global_step,
            trainer=self._profiled or trainer,
            train_actions=[self._report],
            steps_per_loop=self._steps_in_loop,
            summary_interval=intervals.log_every_n if pipeline.train_config.summarize_gradients else None,
            summary_manager=OrbitSummaries(recorder, self._global_step),
        )

    def _steps_in_loop(self, step: int) -> int:
        """Loops end where scalars are due; the first is a single step, to show early that all is well."""
        every = self._intervals.log_every_n
        num_steps = 1 if step == self._start_step else every - step % every
        return self._profiled.steps_in_loop(step, num_steps) if self._profiled else num_steps

    def _report(self, results: dict[str, Any]) -> None:
        step = int(self._global_step)
        self._progress.report(step, results)
        seconds, waited = float(results[SECONDS_PER_STEP]), float(results[WAIT_PER_STEP])
        if sentence := self._bottleneck.sentence(step - self._step_reported, seconds, waited):
            self._progress.say(f"note: {sentence}")
        self._step_reported = step
        if (sentences := self._trainer.left_out.sentences()) != self._told:
            self._told = sentences
            for sentence in sentences:
                self._progress.say(f"note: {sentence}")

    def to_the_end(self) -> EvaluationResult | None:
        """Trains on, saving and evaluating at their intervals and at the end.

        Returns:
            The last evaluation, if there was one.

        Raises:
            UserError: A record is broken, a loss became infinite, or there are no records.
        """
        with self._recorder:
            try:
                return self._go_on()
            finally:
                if self._profiled is not None:
                    self._profiled.close()

    def _go_on(self) -> EvaluationResult | None:
        if self._description is not None:
            self._recorder.start(self._description, self._start_step)
        self._evaluate_what_was_missed()
        reason = self._history.reason_to_stop() if self._evaluator is not None else ""
        while not reason:
            step = int(self._global_step)
            target = min(_next_multiple(step, self._intervals.checkpoint_every_n), self._num_steps)
            if self._evaluator is not None:
                target = min(target, _next_multiple(step, self._intervals.evaluate_every_n))
            if not self._train_to(target):
                reader = self._pipeline.settings.train_input_reader
                epochs = reader.num_epochs if reader is not None else 0
                reason = f"the records have been gone over {epochs} times (train_input_reader.num_epochs)"
            elif target == self._num_steps:
                reason = "all steps are made"
            step = int(self._global_step)
            if reason or step % self._intervals.checkpoint_every_n == 0:
                self._save(step)
            if self._evaluator is not None and (reason or step % self._intervals.evaluate_every_n == 0):
                self._evaluate(self._evaluator, step)
                if not reason and (reason := self._history.reason_to_stop()):
                    self._progress.say(f"step {step}: stopping early: {reason}")
                    self._save(step)
        self._end(int(self._global_step), reason)
        return self._result

    def _train_to(self, target: int) -> bool:
        """Trains up to a step; returns False where the input ended before it."""
        try:
            with explained_failures(), _orbit_log(self._model_dir):
                self._controller.train(target)
        except tf.errors.OutOfRangeError:
            if int(self._global_step) == self._start_step:
                raise UserError(
                    "the training input ended before its first batch: it has fewer records than "
                    f"train_config.batch_size ({self._pipeline.train_config.batch_size})"
                ) from None
            return False
        return True

    def _save(self, step: int) -> None:
        if step not in self._saved:
            path = str(self._manager.save(checkpoint_number=step, check_interval=False))
            self._saved = {step: path}
            self._progress.say(f"step {step}: saved {path}")
            if self._pipeline.settings.extensions.summaries.histograms:
                self._recorder.histograms(TRAIN, weights_by_name(self._network), step)

    def _evaluate_what_was_missed(self) -> None:
        """Makes up for the evaluation that an earlier run was ended before, so that early stopping counts right."""
        step = self._start_step
        is_due = step > 0 and step % self._intervals.evaluate_every_n == 0 and not self._history.has(step)
        if self._evaluator is not None and self._history.rule.patience is not None and is_due:
            self._evaluate(self._evaluator, step)

    def _evaluate(self, evaluator: CheckpointEvaluator, step: int) -> None:
        with explained_failures(), self._evaluated_weights():
            result = evaluator.evaluate()
        source = self._saved.get(step, "a network that is not saved")
        result.write(self._model_dir / evaluator.folder, step=step, source=source)
        result.record(self._recorder, str(evaluator.folder), step=step)
        self._progress.say(f"step {step}: evaluated on {result.num_images} images\n{result.table(max_classes=12)}")
        # In this order, so that a run ended in between measures and keeps this one again.
        if self._history.would_be_best(result.metrics):
            path = self._best.save(step, result.metrics, self._history.rule.metric)
            self._progress.say(f"step {step}: the best so far, kept as {path}")
        self._history.add(step, result.metrics)
        self._result = result

    def _end(self, step: int, reason: str) -> None:
        write_training_end(self._model_dir, TrainingEnd(step, reason))
        self._progress.close(step)
        if step < self._num_steps:
            self._progress.say(f"ended at step {step} of {self._num_steps}: {reason}")
        for sentence in self._trainer.left_out.sentences():
            self._progress.say(f"in all, {sentence}")
        if self._history.best is not None:
            best_step, value = self._history.best
            self._progress.say(f"the best checkpoint is of step {best_step}: {self._history.rule.metric} {value:.4f}")
        self._progress.say(f"watch the run with: tensorboard --logdir {self._model_dir}")

    def _evaluated_weights(self) -> contextlib.AbstractContextManager[None]:
        """The moving averages in the variables' place, where `eval_config` asks for them."""
        if not self._pipeline.settings.eval_config.use_moving_averages:
            return contextlib.nullcontext()
        return moving_averages(self._optimizer, self._network)


def _next_multiple(step: int, every: int) -> int:
    return step - step % every + every


@contextlib.contextmanager
def _orbit_log(model_dir: Path) -> Iterator[None]:
    """Sends what Orbit prints, a line a loop in its own form, to a file beside the checkpoints."""
    with (model_dir / ORBIT_LOG_NAME).open("a") as log, contextlib.redirect_stdout(log):
        yield
