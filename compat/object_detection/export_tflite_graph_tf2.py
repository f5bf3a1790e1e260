"""Writes a SavedModel for TensorFlow Lite's converter, and a converted model: runs `export.export_tflite`."""

from __future__ import annotations

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
if sys.path[0] == str(_HERE) and _HERE.name == "object_detection":
    # Called by its path: the package is found from the folder above it.
    sys.path[0] = str(_HERE.parent)

from object_detection.commands import run  # noqa: E402

if __name__ == "__main__":
    run("export.export_tflite", also_saved_model=["true"])
