"""The interface of what a training is watched with, and what it is told about a run."""

from __future__ import annotations

import abc
import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

Hyperparameter: TypeAlias = bool | int | float | str


class Outcome(enum.Enum):
    """How a run ended."""

    FINISHED = "finished"
    STOPPED = "stopped"  # by a person or a scheduler; it may go on
    FAILED = "failed"


@dataclasses.dataclass(frozen=True)
class RunDescription:
    """What is known of a run before its first step.

    Attributes:
        hyperparameters: What people compare runs by.
        metrics: Names of the evaluation's metrics that stand beside them.
        metrics_folder: Where the evaluation's scalars go, relative to the model's folder.
        texts: By name, such as `pipeline.config`.
        inputs: Images of the first batch as the model is given them, uint8 [H, W, 3] each.
    """

    hyperparameters: Mapping[str, Hyperparameter] = dataclasses.field(default_factory=dict)
    metrics: Sequence[str] = ()
    metrics_folder: str = ""
    texts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    inputs: Sequence[np.ndarray] | np.ndarray = ()


class Tracker(abc.ABC):
    """Takes what a training gives to watch. Values belong to a folder, `train` or `eval`, and to a step.

    Attributes:
        name: As `--track` has it.
        failures: What its methods raise when it cannot be reached, which is no reason to end a training.
    """

    name: str
    failures: tuple[type[Exception], ...] = ()

    @abc.abstractmethod
    def start(self, description: RunDescription, step: int) -> str:
        """Begins, or goes on with, a run that stands at `step`.

        Returns:
            A line for people about where to look; may be empty.

        Raises:
            UserError: It cannot be begun.
        """

    @abc.abstractmethod
    def scalars(self, folder: str, values: Mapping[str, float], step: int) -> None:
        """Takes finite numbers, by name."""

    @abc.abstractmethod
    def images(self, folder: str, name: str, images: Sequence[np.ndarray], step: int) -> None:
        """Takes images, uint8 [H, W, 3] each, of sizes that may differ."""

    @abc.abstractmethod
    def finish(self, outcome: Outcome) -> None:
        """Ends the run, and gives up what is open."""
