"""Trains, or with --checkpoint_dir evaluates: runs `train.train`, which takes the API's flags."""

from __future__ import annotations

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
if sys.path[0] == str(_HERE) and _HERE.name == "object_detection":
    # Called by its path: the package is found from the folder above it.
    sys.path[0] = str(_HERE.parent)

from object_detection.commands import run  # noqa: E402

if __name__ == "__main__":
    run("train.train")
