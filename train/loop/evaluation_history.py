"""The history of a run's evaluations, kept in its folder: which was the best, and whether to stop early."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path

from configs.schema.diagnosis import nearest
from configs.settings.extensions import Extensions
from data_prep.runtime.atomic_files import write_json
from data_prep.runtime.command_line import UserError

HISTORY_NAME = "evaluations.json"
_LOSS_PREFIX = "Loss/"
_MEAN_PRECISION = "Precision/mAP"


@dataclasses.dataclass(frozen=True)
class StoppingRule:
    """`extensions.early_stopping`.

    Attributes:
        metric: Its name among the evaluation's metrics; also says which checkpoint is the best where nothing stops.
        is_chosen: Whether the config names it; where it does not, and the evaluation has none of that name, its first
            mean average precision counts.
        patience: So many evaluations in a row without improvement end the training; None never does.
        min_delta: An improvement is more than this, in the metric's units.
    """

    metric: str
    is_chosen: bool = True
    patience: int | None = None
    min_delta: float = 0.0

    @classmethod
    def of(cls, extensions: Extensions) -> StoppingRule:
        """The rule that a config's extensions ask for."""
        stopping = extensions.early_stopping
        return cls(
            stopping.metric,
            is_chosen="metric" in stopping.written,
            patience=stopping.patience if extensions.stops_early else None,
            min_delta=stopping.min_delta,
        )

    def is_better(self, value: float, than: float | None, by: float = 0.0) -> bool:
        """Whether `value` is better: higher, or lower for a loss. One that is not a number never is."""
        if not math.isfinite(value):
            return False
        if than is None:
            return True
        return value < than - by if self.metric.startswith(_LOSS_PREFIX) else value > than + by


class EvaluationHistory:
    """The evaluations of a run, each a step and a value, up to the step that the run is at.

    Attributes:
        rule: What they are compared by.
        evaluations: (step, value) in the order of steps; a value may be no number, where there was nothing to measure.
    """

    def __init__(self, model_dir: Path, rule: StoppingRule, step: int) -> None:
        """Reads what an earlier run left in `model_dir`.

        Args:
            model_dir: The run's folder.
            rule: Values of another metric than the rule's are forgotten.
            step: Where training goes on from: evaluations after it will come again.

        Raises:
            UserError: The file is there and cannot be read.
        """
        self.rule = rule
        self._path = model_dir / HISTORY_NAME
        self.evaluations: list[tuple[int, float]] = []
        if not self._path.is_file():
            return
        try:
            written = json.loads(self._path.read_text())
            entries = [
                (int(entry["step"]), math.nan if entry["value"] is None else float(entry["value"]))
                for entry in written["evaluations"]
            ]
            metric = written["metric"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self._path} cannot be read ({error}); delete it to forget the evaluations") from None
        if metric == rule.metric:
            self.evaluations = entries
            self.forget_after(step)

    @property
    def best(self) -> tuple[int, float] | None:
        """The best evaluation, the earlier of two that are equal, or None while there is none with a value."""
        best: tuple[int, float] | None = None
        for step, value in self.evaluations:
            if self.rule.is_better(value, best[1] if best else None):
                best = (step, value)
        return best

    def forget_after(self, step: int) -> None:
        """Forgets evaluations of later steps, which will come again."""
        self.evaluations = [entry for entry in self.evaluations if entry[0] <= step]

    def has(self, step: int) -> bool:
        """Whether there was an evaluation at this step."""
        return any(at == step for at, _ in self.evaluations)

    def would_be_best(self, metrics: Mapping[str, float]) -> bool:
        """Whether an evaluation with these metrics is better than all before it."""
        return self.rule.is_better(self._value(metrics), self.best[1] if self.best else None)

    def add(self, step: int, metrics: Mapping[str, float]) -> None:
        """Adds an evaluation and writes the history.

        Raises:
            UserError: The metrics do not have the rule's.
        """
        self.evaluations.append((step, self._value(metrics)))
        entries = [{"step": at, "value": v if math.isfinite(v) else None} for at, v in self.evaluations]
        write_json(self._path, {"metric": self.rule.metric, "evaluations": entries}, indent=1)

    def _value(self, metrics: Mapping[str, float]) -> float:
        if self.rule.metric in metrics:
            return float(metrics[self.rule.metric])
        if not self.rule.is_chosen:
            return next((float(value) for name, value in metrics.items() if _MEAN_PRECISION in name), math.nan)
        near = nearest(self.rule.metric, metrics)
        instead = f"did you mean {near}?" if near else f"it has {', '.join(sorted(metrics))}"
        raise UserError(f"extensions.early_stopping.metric: the evaluation has no {self.rule.metric}; {instead}")

    def reason_to_stop(self) -> str:
        """A sentence that says why to stop, or nothing while there is no reason to."""
        if self.rule.patience is None:
            return ""
        reference: float | None = None
        reference_step = waited = 0
        for step, value in self.evaluations:
            if self.rule.is_better(value, reference, self.rule.min_delta if reference is not None else 0.0):
                reference, reference_step, waited = value, step, 0
            else:
                waited += 1
        if waited < self.rule.patience:
            return ""
        best = "never had a value" if reference is None else f"was {reference:.4f} at step {reference_step}"
        by = f" by more than {self.rule.min_delta:g}" if self.rule.min_delta else ""
        return (
            f"{self.rule.metric} {best} and has not improved{by} in {waited} evaluations since "
            f"(extensions.early_stopping.patience is {self.rule.patience})"
        )
