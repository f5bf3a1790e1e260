"""Weights & Biases as a place to watch a training. Its own settings (`WANDB_MODE=offline`, `WANDB_PROJECT`) hold."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import wandb

from data_prep.runtime.command_line import UserError
from train.tracking.identity import TRACKING_NAME, read_identity, write_identity
from train.tracking.tracker import Outcome, RunDescription, Tracker

NAME = "wandb"
DEFAULT_PROJECT = "object-detection"
# Their axis, since a resumed run goes back some steps, and wandb's own step only grows.
STEP = "global_step"


class WandbTracker(Tracker):
    """Sends to a run of Weights & Biases, whose files are in the model's folder, in `wandb/`."""

    name = NAME
    failures = (wandb.errors.Error, OSError)

    def __init__(self, model_dir: Path) -> None:
        """Opens nothing yet.

        Args:
            model_dir: The run is named after it, and remembered there.
        """
        self._model_dir = model_dir
        self._run: Any = None

    def start(self, description: RunDescription, step: int) -> str:
        """See the base class."""
        self._run = _open(self._model_dir, read_identity(self._model_dir).get(NAME, {}))
        write_identity(
            self._model_dir,
            NAME,
            {"id": self._run.id, "project": self._run.project, "entity": self._run.entity or ""},
        )
        self._run.define_metric("*", step_metric=STEP)
        self._run.config.update(dict(description.hyperparameters), allow_val_change=True)
        for name, text in description.texts.items():
            file = Path(self._run.dir) / name
            file.write_text(text)
            self._run.save(str(file), base_path=self._run.dir, policy="now")
        return f"tracked by wandb, {_where(self._run)}"

    def scalars(self, folder: str, values: Mapping[str, float], step: int) -> None:
        """See the base class."""
        self._run.log({STEP: step, **{f"{folder}/{name}": value for name, value in values.items()}})

    def images(self, folder: str, name: str, images: Sequence[np.ndarray], step: int) -> None:
        """See the base class."""
        shown = {f"{folder}/{name}/{index}": wandb.Image(image) for index, image in enumerate(images)}
        self._run.log({STEP: step, **shown})

    def finish(self, outcome: Outcome) -> None:
        """See the base class."""
        if self._run is not None:
            self._run.finish(exit_code=0 if outcome is Outcome.FINISHED else 1)


TRACKER = WandbTracker


def record_export(model_dir: Path, identity: Mapping[str, str], values: Mapping[str, str]) -> str:
    """Adds to the config of a model's run where it was exported to.

    Args:
        model_dir: The model's folder.
        identity: The run's, as the tracker keeps it.
        values: By name.

    Returns:
        A line for people.

    Raises:
        UserError: The run cannot be gone on with.
    """
    run = _open(model_dir, identity)
    run.config.update(dict(values), allow_val_change=True)
    run.finish()
    return f"wandb knows of it, {_where(run)}"


def _open(model_dir: Path, identity: Mapping[str, str]) -> Any:
    try:
        return wandb.init(
            id=identity.get("id"),
            project=identity.get("project") or os.environ.get("WANDB_PROJECT") or DEFAULT_PROJECT,
            entity=identity.get("entity") or None,
            # Offline there is nobody to ask, and no need: what is sent later is put together by the id.
            resume="allow" if identity and os.environ.get("WANDB_MODE") != "offline" else None,
            name=os.environ.get("WANDB_NAME") or model_dir.resolve().name,
            dir=str(model_dir),
            settings=wandb.Settings(silent=True, console="off", force=True),
        )
    except (wandb.errors.Error, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"--track wandb: {reason}; log in with `wandb login`, or set WANDB_MODE=offline and send the run later "
            f"(if its run is gone: {model_dir / TRACKING_NAME} names it)"
        ) from None


def _where(run: Any) -> str:
    return f"offline: wandb sync {Path(run.dir).parent} sends it" if run.offline else str(run.url)
