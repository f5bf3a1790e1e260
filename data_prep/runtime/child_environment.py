"""Environment of a process that runs another command of the project with `python -m`."""

from __future__ import annotations

import os
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]


def command_environment() -> dict[str, str]:
    """Returns this process's environment, with the project's packages found first, and the working folder's last.

    So a `train.py` of one's own is not taken for the project's (on Python 3.10, which puts the working folder first
    whatever is set, it is), and modules that `--plugin` names are found in the working folder.
    """
    paths = [str(_ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), str(Path.cwd())]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), "PYTHONSAFEPATH": "1"}
