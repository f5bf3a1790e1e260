"""Parity check of an import: the checkpoint predicts what the model that it was made of does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from data_prep.runtime.command_line import UserError
from export.comparison import Differences, compare_detections, compare_raw
from export.original_model import Run, frozen_graph, tflite_file
from export.parity import AFTER, BEFORE, Check, ParityReport, ask_checkpoint
from export.parity_images import SampleImage
from train.models.detector import Detector
from train.models.ssd import SsdDetector


def check_import(original: Path, detector: Detector, images: Sequence[SampleImage]) -> ParityReport:
    """Runs both on images and compares raw predictions and, of a graph that ends in an NMS, detections.

    Args:
        original: A frozen graph `*.pb` or a TensorFlow Lite file, which is run.
        detector: With the imported values.
        images: To compare on.

    Raises:
        UserError: The original cannot be run, or an image cannot be read.
    """
    pixels = [image.pixels() for image in images]
    expected = ask_checkpoint(detector, pixels)
    raw, found = Differences(), Differences()
    with _run_of(original, detector) as run:
        for image, array, ours in zip(images, pixels, expected, strict=True):
            theirs = dict(run(array[np.newaxis]))
            raw += compare_raw(image.name, array.shape[:2], ours, theirs)
            if "detection_scores" in theirs:
                # A graph of the zoo leaves out what scores little; the checkpoint's list goes on.
                cut = {**ours, "num_detections": theirs["num_detections"]}
                count = int(theirs["num_detections"])
                for name in ("detection_scores", "detection_boxes", "detection_classes"):
                    cut[name] = ours[name][:count]
                    theirs[name] = theirs[name][:count]
                found += compare_detections(image.name, array.shape[:2], cut, theirs, exported_name="original")
    read_as = "LiteRT" if original.suffix == ".tflite" else "Session"
    checks = [Check(original.name[:28], read_as, BEFORE, raw)]
    if found.num_images:
        checks.append(Check(original.name[:28], read_as, AFTER, found))
    return ParityReport(tuple(checks), tuple(image.name for image in images))


@contextlib.contextmanager
def _run_of(original: Path, detector: Detector) -> Iterator[Run]:
    if not original.is_file():
        raise UserError(f"{original}: no such file")
    if original.suffix == ".pb":
        with frozen_graph(original) as run:
            yield run
    elif original.suffix == ".tflite" and isinstance(detector, SsdDetector):
        with tflite_file(original, detector) as run:
            yield run
    else:
        raise UserError(f"{original}: only a frozen graph *.pb, and of an SSD a *.tflite, can be run to compare with")
