"""The Object Detection API's package name over this project: what its scripts and notebooks import, thin.

`PYTHONPATH=compat` from the project's folder (or the folder's full path from anywhere) puts it on the path. Modules,
names, arguments and what comes back are those that the API documents; the work is done by `configs`, `train` and
`export`. What is not here says in one line what to use.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from object_detection.absent_modules import AbsentModules

# Notebooks of the API were written for Keras 2: tf.keras.backend.set_learning_phase, optimizers that take tf.Variables.
# TensorFlow reads this when `tf.keras` is first used, so that it holds where TensorFlow was imported before.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

# The folder of `data_prep` and the other packages: the checkout's, or the site-packages that they are installed into.
_PROJECT = next(folder for folder in Path(__file__).resolve().parents[2:] if (folder / "data_prep").is_dir())


def _find_project() -> None:
    """Puts the project's folder on the path, where it is not there already.

    Raises:
        ImportError: A file or folder of the caller's has the name of one of the project's packages.
    """
    if str(_PROJECT) not in sys.path:
        sys.path.append(str(_PROJECT))
    for package in ("configs", "data_prep", "train", "export"):
        # Not imported yet: somebody's own train.py would begin to train.
        found = importlib.util.find_spec(package)
        origin = Path(str(found.origin)).resolve() if found is not None else None
        if origin is None or origin.parent != _PROJECT / package:
            raise ImportError(
                f"object_detection needs the package {_PROJECT / package}, and {origin} is found first; rename that, "
                f"or put {_PROJECT} first in PYTHONPATH"
            )


_find_project()
if not any(isinstance(finder, AbsentModules) for finder in sys.meta_path):
    sys.meta_path.append(AbsentModules())
