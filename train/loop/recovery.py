"""Going on after a loss that is not finite: `extensions.recovery`."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

from data_prep.runtime.atomic_files import write_json
from data_prep.runtime.command_line import UserError
from train.loop.failures import NonFiniteLossError

RECOVERIES_NAME = "recoveries.json"
_STEP = re.compile(r"at step (\d+)")


@dataclasses.dataclass(frozen=True)
class Recovered:
    """One time that a run went back.

    Attributes:
        step: Of the checkpoint that it went back to.
        num_batches: Batches that were taken from there on, up to the one whose loss was not finite, and are left out.
        reason: The loss, and the images that it came from.
    """

    step: int
    num_batches: int
    reason: str


class Recoveries:
    """The times that a run went back, kept in its folder, since a resumed run must leave out the same batches."""

    def __init__(self, model_dir: Path, max_trials: int) -> None:
        """Reads what an earlier process left in `model_dir`.

        Args:
            model_dir: The run's folder.
            max_trials: How often a run may go back; 0: never.

        Raises:
            UserError: The file is there and cannot be read.
        """
        self._path = model_dir / RECOVERIES_NAME
        self._max_trials = max_trials
        self.made: list[Recovered] = []
        if not self._path.is_file():
            return
        try:
            self.made = [
                Recovered(int(entry["step"]), int(entry["num_batches"]), str(entry["reason"]))
                for entry in json.loads(self._path.read_text())
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self._path} cannot be read ({error}); delete it to forget which batches to leave out"
            ) from None

    @property
    def are_allowed(self) -> bool:
        """Whether the run may go back at all."""
        return self._max_trials > 0

    def batch_of(self, step: int) -> int:
        """Returns the number, from 0, of the batch that step `step` (from 0) trains on."""
        return step + sum(entry.num_batches for entry in self.made if entry.step <= step)

    def add(self, error: NonFiniteLossError, checkpoint_step: int, *, writes: bool) -> str:
        """Notes that the run goes back to a checkpoint.

        Args:
            error: Of the step that failed.
            checkpoint_step: The checkpoint's.
            writes: Whether to write it down.

        Returns:
            Which time this is, for people.

        Raises:
            NonFiniteLossError: It was one time too many.
        """
        if len(self.made) >= self._max_trials:
            times = "once" if self._max_trials == 1 else f"{self._max_trials} times"
            raise NonFiniteLossError(
                f"{error}; the run went back {times} before, which is all that extensions.recovery.max_trials allows"
            ) from error
        found = _STEP.search(str(error))
        failed_step = int(found.group(1)) if found else checkpoint_step
        self.made.append(Recovered(checkpoint_step, failed_step + 1 - checkpoint_step, str(error)))
        if writes:
            write_json(self._path, [dataclasses.asdict(entry) for entry in self.made], indent=1)
        return f"recovery {len(self.made)} of {self._max_trials}"
