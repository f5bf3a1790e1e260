"""Anchor coverage: the boxes that a config's anchors match, found by `train.anchor_coverage` in its own process.

This room neither imports the rooms above it nor waits for TensorFlow.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data_prep.inspection import data_set
from data_prep.inspection.data_set import DataSet
from data_prep.runtime.child_environment import command_environment
from data_prep.runtime.command_line import EXIT_USAGE, UsageError, UserError

_TIMEOUT_SECONDS = 3600
_MAX_BOXES = 50_000  # of all classes together; some 30 seconds for 50,000 anchors


def anchor_coverage(
    found: DataSet,
    pipeline_config_path: Path,
    *,
    config_override: str,
    ignore_unsupported: Sequence[str],
    plugins: Sequence[str],
    boxes_per_class: int,
    seed: int,
) -> dict[str, Any] | None:
    """Finds out which share of each class's boxes some anchor matches, and flags those that none does.

    Args:
        found: The data set; boxes of the sample that no anchor matches get the flag `NO_ANCHOR`.
        pipeline_config_path: The pipeline config.
        config_override: Protobuf text to merge over it.
        ignore_unsupported: Fields of it that are taken as not written.
        plugins: Modules that register parts which it names; imported by the process that reads it, not here.
        boxes_per_class: How many of each class are looked at, drawn at random.
        seed: Of the draw.

    Returns:
        What `train.anchor_coverage` writes, without `matched`, with `sampled` (boxes looked at), `usable` (boxes that
        could have been) and `share` (of these that some anchor matches, estimated from those); None where not one box
        lies in an image whose size is known.

    Raises:
        UsageError: The config cannot be used.
        UserError: The process fails otherwise, or takes more than an hour.
    """
    usable = _usable(found)
    rows = _sample(usable, found.box_classes, boxes_per_class, np.random.default_rng(seed))
    if not len(rows):
        return None
    images = found.box_images[rows]
    with tempfile.TemporaryDirectory(prefix="anchor-coverage-") as folder:
        boxes, output = Path(folder) / "boxes.npz", Path(folder) / "coverage.json"
        np.savez(
            boxes,
            boxes_ymin_xmin_ymax_xmax=found.clipped_boxes()[rows],
            heights=found.heights[images],
            widths=found.widths[images],
            classes=found.box_classes[rows],
        )
        command = [sys.executable, "-m", "train.anchor_coverage", "--pipeline_config_path", str(pipeline_config_path)]
        command += ["--boxes", str(boxes), "--output", str(output)]
        command += ["--config_override", config_override] if config_override else []
        command += ["--ignore_unsupported", *ignore_unsupported] if ignore_unsupported else []
        command += [f"--plugin={module}" for module in plugins]
        _run(command)
        coverage: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    matched = np.frombuffer(coverage.pop("matched").encode("ascii"), np.uint8) == ord("1")
    found.box_flags[rows[~matched]] |= np.uint16(data_set.NO_ANCHOR)
    class_sizes = np.bincount(found.box_classes[usable])
    expected = sum(
        class_sizes[int(row)] * sum(counts["matched"]) / sum(counts["boxes"])
        for row, counts in coverage["by_class"].items()
    )
    return {
        **coverage,
        "config": pipeline_config_path.name,
        "sampled": len(rows),
        "usable": len(usable),
        "share": float(expected / len(usable)),
    }


def _run(command: Sequence[str]) -> None:
    # A few boxes want no accelerator: on one, TensorFlow would take all the memory from under a training.
    environment = {**command_environment(), "CUDA_VISIBLE_DEVICES": "-1"}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=_TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"anchor coverage took more than {_TIMEOUT_SECONDS} seconds; lower --anchor_boxes_per_class"
        ) from None
    if done.returncode != 0:
        said = [line.removeprefix("error: ") for line in done.stderr.splitlines() if line.startswith("error: ")]
        last = done.stderr.strip().splitlines()[-1:] or ["train.anchor_coverage said nothing"]
        message = f"anchor coverage: {(said or last)[0]}"
        raise UsageError(message) if done.returncode == EXIT_USAGE else UserError(message)


def _usable(found: DataSet) -> npt.NDArray[np.int64]:
    """Returns the rows of boxes that are sound and whose images' sizes are known."""
    known = (found.heights > 0) & (found.widths > 0)
    return np.flatnonzero(known[found.box_images] & ((found.box_flags & data_set.UNUSABLE) == 0))


def _sample(
    rows: npt.NDArray[np.int64], box_classes: npt.NDArray[np.int32], per_class: int, generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Draws up to `per_class` rows of each class, fewer where that would be too many in all; ascending."""
    shuffled = generator.permutation(rows)
    by_class = shuffled[np.argsort(box_classes[shuffled], kind="stable")]
    classes = box_classes[by_class]
    starts = np.searchsorted(classes, classes)  # for each box, where its class begins
    rank = np.arange(len(by_class)) - starts
    num_classes = len(np.unique(classes))
    limit = min(per_class, max(1, _MAX_BOXES // max(num_classes, 1)))
    return np.sort(by_class[rank < limit])
