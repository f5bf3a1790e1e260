"""The one place through which a run gives what is watched, so that TensorBoard and trackers get the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from train.loop.stopping import TrainingStopped
from train.tracking.choice import tracker_module
from train.tracking.tensorboard_tracker import TRAIN, TensorBoardTracker
from train.tracking.tracker import Outcome, RunDescription, Tracker

MOST_FAILURES = 3  # in a row, after which a tracker is not asked again


class Recorder:
    """Hands what it is given on to every tracker; to none, where there is none.

    As a context, it ends what is open in the end, and tells the trackers how the run ended.
    """

    def __init__(self, trackers: Iterable[Tracker] = (), *, say: Callable[[str], None] = print) -> None:
        """Opens nothing yet.

        Args:
            trackers: Who is told.
            say: Prints a line.
        """
        self._trackers = list(trackers)
        self._tensorboard = next((one for one in self._trackers if isinstance(one, TensorBoardTracker)), None)
        self._failures: dict[Tracker, int] = {}
        self._say = say

    @classmethod
    def of_run(cls, model_dir: Path, trackers: Sequence[str], *, is_chief: bool = True) -> Recorder:
        """The recorder of a training.

        Args:
            model_dir: The run's folder; event files go there.
            trackers: Names of further ones, which are installed.
            is_chief: Whether this process is the one that writes.
        """
        if not is_chief:
            return cls()
        others = [tracker_module(name).TRACKER(model_dir) for name in trackers]
        return cls([TensorBoardTracker(model_dir), *others])

    def start(self, description: RunDescription, step: int) -> None:
        """Begins the run, or goes on with it, at `step`.

        Raises:
            UserError: A tracker cannot be reached: better now than after a day.
        """
        for tracker in self._trackers:
            if line := tracker.start(description, step):
                self._say(line)
        self.images(TRAIN, "inputs", description.inputs, step)
        self.flush()

    def scalars(self, folder: str, values: Mapping[str, Any], step: int) -> None:
        """Gives numbers, by name; those that are not finite are left out."""
        finite = {name: float(value) for name, value in values.items() if math.isfinite(value)}
        self._each(lambda tracker: tracker.scalars(folder, finite, step))

    def images(self, folder: str, name: str, images: Sequence[np.ndarray] | np.ndarray, step: int) -> None:
        """Gives images, uint8 [H, W, 3] each; sizes may differ."""
        arrays = [np.asarray(image) for image in images]
        self._each(lambda tracker: tracker.images(folder, name, arrays, step))

    def histograms(self, folder: str, values: Mapping[str, np.ndarray], step: int) -> None:
        """Gives TensorBoard arrays of numbers, by name, for their distribution."""
        if self._tensorboard is not None:
            self._tensorboard.histograms(folder, values, step)

    def pr_curves(self, folder: str, curves: Mapping[str, np.ndarray], step: int) -> None:
        """Gives TensorBoard's PR-curve page curves, float32 [6, T], by name; see `train.metrics.pr_curve`."""
        if self._tensorboard is not None:
            self._tensorboard.pr_curves(folder, curves, step)

    def graph(self, folder: str, graph: Any) -> None:
        """Gives TensorBoard a `tf.Graph`."""
        if self._tensorboard is not None:
            self._tensorboard.graph(folder, graph)

    def event_writer(self, folder: str) -> Any:
        """The `tf.summary` writer of a folder, for what graphs write by themselves; None without TensorBoard."""
        return self._tensorboard.writer(folder) if self._tensorboard is not None else None

    def flush(self) -> None:
        """Sees to it that what TensorBoard was given is there even if the process is killed."""
        if self._tensorboard is not None:
            self._tensorboard.flush()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            outcome = Outcome.FINISHED
        else:
            is_stop = issubclass(kind, TrainingStopped) or not issubclass(kind, Exception)
            outcome = Outcome.STOPPED if is_stop else Outcome.FAILED
        self._each(lambda tracker: tracker.finish(outcome))

    def _each(self, give: Callable[[Tracker], None]) -> None:
        for tracker in list(self._trackers):
            try:
                give(tracker)
            except tracker.failures as error:
                self._count(tracker, error)
            else:
                self._failures[tracker] = 0

    def _count(self, tracker: Tracker, error: Exception) -> None:
        """A training of days does not end because a server is away; after some failures it is left alone."""
        failures = self._failures[tracker] = self._failures.get(tracker, 0) + 1
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if failures >= MOST_FAILURES:
            self._trackers.remove(tracker)
            self._say(f"note: {tracker.name} failed {failures} times in a row and gets no more of this run: {reason}")
        elif failures == 1:
            self._say(f"note: {tracker.name} did not take some values; the training goes on: {reason}")
