"""The adapter by which Orbit's controller gives its scalars to the recorder of a run."""

from __future__ import annotations

from typing import Any

import orbit
import tensorflow as tf

from train.tracking.recorder import Recorder
from train.tracking.tensorboard_tracker import TRAIN


class OrbitSummaries(orbit.utils.SummaryManagerInterface):
    """Orbit's summary manager, over a recorder."""

    def __init__(self, recorder: Recorder, global_step: tf.Variable) -> None:
        """Takes who is told.

        Args:
            recorder: Gets the scalars of each loop.
            global_step: At which they are.
        """
        self._recorder = recorder
        self._global_step = global_step

    def summary_writer(self, relative_path: str = "") -> Any:
        """See the base class: for what the step's graph writes by itself, such as histograms of gradients."""
        del relative_path
        return self._recorder.event_writer(TRAIN) or tf.summary.create_noop_writer()

    def write_summaries(self, summary_dict: dict[str, Any]) -> None:
        """See the base class."""
        self._recorder.scalars(TRAIN, summary_dict, int(self._global_step.numpy()))

    def flush(self) -> None:
        """See the base class."""
        self._recorder.flush()
