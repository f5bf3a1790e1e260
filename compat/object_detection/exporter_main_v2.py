"""Exports as the API does by default, image_tensor and all outputs: runs `export.export_saved_model`."""

from __future__ import annotations

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
if sys.path[0] == str(_HERE) and _HERE.name == "object_detection":
    # Called by its path: the package is found from the folder above it.
    sys.path[0] = str(_HERE.parent)

from object_detection.commands import run  # noqa: E402

if __name__ == "__main__":
    run(
        "export.export_saved_model",
        input_type=["image_tensor"],
        output=[
            "raw_detection_boxes",
            "raw_detection_scores",
            "detection_multiclass_scores",
            "detection_anchor_indices",
        ],
    )
