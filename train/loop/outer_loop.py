"""The outer loop of a training: steps, checkpoints, evaluations, and when to stop."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orbit
import tensorflow as tf

from data_prep.runtime.command_line import UserError
from train.checkpoints.files import CHECKPOINT_NAME, newest_checkpoint
from train.checkpoints.object_checkpoint import ObjectCheckpoint
from train.evaluation.evaluator import EvaluationResult
from train.loop.checkpoint_files import BestCheckpoint, TrainingEnd, write_training_end
from train.loop.evaluation_history import EvaluationHistory
from train.loop.failures import NonFiniteLossError, explained_failures
from train.loop.input_wait import InputBottleneck
from train.loop.orbit_summaries import OrbitSummaries
from train.loop.profiling import ProfiledTrainer, require_profiled
from train.loop.progress import TrainingProgress
from train.loop.recovery import Recoveries
from train.loop.run_evaluations import RunEvaluations
from train.loop.step import DetectionTrainer, step_of
from train.loop.stopping import StopRequests, TrainingStopped
from train.loop.weight_histograms import weights_by_name
from train.loop.workers import Workers
from train.models.batch_norm import synchronize
from train.models.detector import Detector
from train.pipeline import Pipeline
from train.tracking.recorder import Recorder
from train.tracking.tensorboard_tracker import TRAIN
from train.tracking.tracker import RunDescription

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
        workers: Workers,
        stop: StopRequests,
        checkpoint_folder: Path,
        recoveries: Recoveries,
        go_back: Callable[[], None],
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
            workers: Of which the chief evaluates, and writes all but its own copy of the checkpoints.
            stop: Asks to stop.
            checkpoint_folder: Where this worker saves: the run's folder, for the chief.
            recoveries: Of the run up to now.
            go_back: Restores the last checkpoint, and gives the trainer the batches after those that are left out.
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
        self._start_step = step_of(trainer.global_step)
        self._workers = workers
        self._stop = stop
        self._recoveries = recoveries
        self._go_back = go_back
        self._progress = TrainingProgress(self._start_step, num_steps, is_shown=workers.is_chief)
        self._network = detector.network
        self._history = history
        self._evaluations: RunEvaluations | None = None
        if evaluates and pipeline.settings.eval_input_reader:
            self._evaluations = RunEvaluations(
                pipeline=pipeline,
                model_dir=model_dir,
                detector=detector,
                optimizer=optimizer,
                history=history,
                best=BestCheckpoint(checkpoint_folder, manager.checkpoint, CHECKPOINT_NAME),
                workers=workers,
                stop=stop,
                recorder=recorder,
                say=self._progress.say,
            )
        self._saved: dict[int, str] = {}
        self._told: list[str] = []
        self._recorder = recorder
        self._description = description
        self._bottleneck = InputBottleneck(pipeline.settings)
        self._profiled: ProfiledTrainer | None = None
        if profile_steps is not None:
            first, last = profile_steps
            require_profiled(first, last, self._start_step, num_steps)
            self._profiled = ProfiledTrainer(
                trainer,
                global_step=self._global_step,
                first=first,
                last=last,
                folder=model_dir if workers.is_chief else None,
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
        self._progress.report(step_of(self._global_step), results)
        if sentence := self._bottleneck.sentence(self._trainer.input_wait.loop):
            self._progress.say(f"note: {sentence}")
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
            TrainingStopped: The process was asked to stop; where training was is saved.
        """
        with self._recorder:
            try:
                return self._to_the_end()
            except TrainingStopped as stopped:
                step = step_of(self._global_step)
                if step > self._start_step:
                    self._save(step)
                    where = f"it is saved, and the same command goes on from step {step}"
                else:
                    where = "before its first step; nothing is lost"
                self._progress.say(f"stopped by {stopped} at step {step}: {where}")
                raise
            finally:
                if self._profiled is not None:
                    self._profiled.close()

    def _to_the_end(self) -> EvaluationResult | None:
        if self._description is not None:
            self._recorder.start(self._description, self._start_step)
        if self._recoveries.are_allowed and newest_checkpoint(str(self._model_dir)) is None:
            self._save(self._start_step)
        evaluations, reason = self._evaluations, ""
        if evaluations is not None:
            self._evaluate_what_was_missed(evaluations)
            reason = evaluations.reason_to_stop()
        while not reason:
            step = step_of(self._global_step)
            target = min(_next_multiple(step, self._intervals.checkpoint_every_n), self._num_steps)
            if evaluations is not None:
                target = min(target, _next_multiple(step, self._intervals.evaluate_every_n))
            try:
                has_more = self._train_to(target)
            except NonFiniteLossError as error:
                self._recover(error)
                continue
            if not has_more:
                reader = self._pipeline.settings.train_input_reader
                epochs = reader.num_epochs if reader is not None else 0
                reason = f"the records have been gone over {epochs} times (train_input_reader.num_epochs)"
            elif target == self._num_steps:
                reason = "all steps are made"
            step = step_of(self._global_step)
            if reason or step % self._intervals.checkpoint_every_n == 0:
                self._save(step)
            if evaluations is not None and (reason or step % self._intervals.evaluate_every_n == 0):
                self._evaluate(evaluations, step)
                if not reason and (reason := evaluations.reason_to_stop()):
                    self._progress.say(f"step {step}: stopping early: {reason}")
                    self._save(step)
        self._end(step_of(self._global_step), reason)
        return evaluations.last if evaluations is not None else None

    def _train_to(self, target: int) -> bool:
        """Trains up to a step; returns False where the input ended before it."""
        log = self._model_dir / ORBIT_LOG_NAME if self._workers.is_chief else Path(os.devnull)
        try:
            reader = self._pipeline.settings.train_input_reader
            with self._stop.deferred(), explained_failures(reader), _orbit_log(log):
                self._controller.train(target)
        except tf.errors.OutOfRangeError:
            if step_of(self._global_step) == self._start_step:
                raise UserError(
                    "the training input ended before its first batch: it has fewer records than "
                    f"train_config.batch_size ({self._pipeline.train_config.batch_size})"
                ) from None
            return False
        return True

    def _recover(self, error: NonFiniteLossError) -> None:
        """Goes back to the last checkpoint, and on past the batch whose loss was not finite.

        Raises:
            NonFiniteLossError: The run may not go back, or not any more; or it is one of several workers, whose
                connection does not survive a failed step: started again, they leave out the batch.
        """
        checkpoint = newest_checkpoint(str(self._model_dir))
        if not self._recoveries.are_allowed or checkpoint is None:
            raise error
        step = ObjectCheckpoint(checkpoint).step or 0
        which = self._recoveries.add(error, step, writes=self._workers.is_chief)
        if self._workers.are_several:
            raise NonFiniteLossError(
                f"{error}; {which}: run the same command on all workers again, and they go on from {checkpoint} past "
                "that batch"
            ) from error
        with self._stop.deferred():
            self._go_back()
        self._history.forget_after(step)
        self._saved = {}
        self._progress.say(f"{error}; {which}: back to {checkpoint}, and on past that batch")

    def _save(self, step: int) -> None:
        if step not in self._saved:
            with self._stop.deferred():
                synchronize(self._network, self._workers.strategy)
                path = str(self._manager.save(checkpoint_number=step, check_interval=False))
            self._saved = {step: path}
            self._progress.say(f"step {step}: saved {path}")
            if self._pipeline.settings.extensions.summaries.histograms:
                self._recorder.histograms(TRAIN, weights_by_name(self._network), step)

    def _evaluate_what_was_missed(self, evaluations: RunEvaluations) -> None:
        """Makes up for the evaluation that an earlier run was ended before, so that early stopping counts right."""
        step = self._start_step
        is_due = step > 0 and step % self._intervals.evaluate_every_n == 0 and not self._history.has(step)
        if self._history.rule.patience is not None and is_due:
            self._evaluate(evaluations, step)

    def _evaluate(self, evaluations: RunEvaluations, step: int) -> None:
        evaluations.evaluate(step, source=self._saved.get(step, "a network that is not saved"))

    def _end(self, step: int, reason: str) -> None:
        if self._workers.is_chief:
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


def _next_multiple(step: int, every: int) -> int:
    return step - step % every + every


@contextlib.contextmanager
def _orbit_log(path: Path) -> Iterator[None]:
    """Sends what Orbit prints, a line a loop in its own form, to a file."""
    with path.open("a") as log, contextlib.redirect_stdout(log):
        yield
