"""The trackers that `--track` may name, and whether their packages are there."""

from __future__ import annotations

import importlib
import importlib.util
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.runtime.command_line import UsageError
from data_prep.runtime.missing_packages import how_to_install
from train.tracking.identity import TRACKING_NAME, read_identity

# The module of each, which is imported only where it is asked for; it is called as its package is, and `_tracker`.
TRACKERS = ("wandb", "mlflow")
REQUIREMENTS = "requirements-tracking.txt"


def add_track_argument(parser: ArgumentParser, what: str) -> None:
    """Adds `--track`.

    Args:
        parser: Of a command.
        what: What is sent, for the help.
    """
    parser.add_argument(
        "--track", nargs="+", action="extend", choices=TRACKERS, default=[], help=f"send {what} there ({REQUIREMENTS})"
    )


def require_installed(trackers: Sequence[str]) -> None:
    """Checks that each tracker's package is installed.

    Raises:
        UsageError: One is not.
    """
    for name in trackers:
        spec = importlib.util.find_spec(name)
        # Without an origin it is a mere folder of that name, such as wandb makes for its runs.
        if spec is None or spec.origin is None:
            raise UsageError(f"--track {name}: the package {name} is not installed; {how_to_install('tracking')}")


def tracker_module(name: str) -> Any:
    """Imports the module of a tracker, of those in `TRACKERS`."""
    return importlib.import_module(f"train.tracking.{name}_tracker")


def require_tracked(trackers: Sequence[str], checkpoint: str | Path) -> tuple[Path, dict[str, dict[str, str]]]:
    """Finds the runs under which trackers know a checkpoint's training.

    Args:
        trackers: By name.
        checkpoint: A model's folder, or its `best`, or a checkpoint's prefix in one of them.

    Returns:
        The model's folder, and each tracker's run.

    Raises:
        UsageError: A tracker does not know it.
        UserError: The file that names the runs cannot be read.
    """
    path = Path(checkpoint)
    places = [*([path] if path.is_dir() else []), path.parent, path.parent.parent]
    folder = next((place for place in places if (place / TRACKING_NAME).is_file()), path)
    identities = read_identity(folder)
    for name in trackers:
        if name not in identities:
            raise UsageError(
                f"--track {name}: {checkpoint} was not trained with --track {name} (no {TRACKING_NAME} names its run)"
            )
    return folder, {name: identities[name] for name in trackers}


def record_export(trackers: Sequence[str], checkpoint: str | Path, exported: Mapping[str, Path]) -> list[str]:
    """Adds where a checkpoint was exported to, to the runs of its training.

    Args:
        trackers: By name.
        checkpoint: A folder, or a checkpoint's prefix.
        exported: Folders by what they are, such as `exported_model`.

    Returns:
        A line for people of each tracker.

    Raises:
        UsageError: A tracker does not know the training.
        UserError: It does not answer.
    """
    folder, identities = require_tracked(trackers, checkpoint)
    values = {name: str(path.resolve()) for name, path in exported.items()}
    return [tracker_module(name).record_export(folder, identity, values) for name, identity in identities.items()]
