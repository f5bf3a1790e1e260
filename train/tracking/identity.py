"""The file in a model's folder that names the run under which trackers know it, so that a resumed run goes on there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from data_prep.runtime.atomic_files import write_json
from data_prep.runtime.command_line import UserError

TRACKING_NAME = "tracking.json"


def read_identity(model_dir: Path) -> dict[str, dict[str, str]]:
    """Reads the runs of a model's folder, by tracker; empty where it has none.

    Raises:
        UserError: The file is there and cannot be read.
    """
    path = model_dir / TRACKING_NAME
    if not path.is_file():
        return {}
    try:
        return {
            str(tracker): {str(name): str(value) for name, value in identity.items()}
            for tracker, identity in json.loads(path.read_text()).items()
        }
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{path} cannot be read ({error}); delete it to begin new tracked runs") from None


def write_identity(model_dir: Path, tracker: str, identity: Mapping[str, str]) -> None:
    """Keeps a tracker's run beside those of the others."""
    write_json(model_dir / TRACKING_NAME, {**read_identity(model_dir), tracker: dict(identity)}, indent=1)
