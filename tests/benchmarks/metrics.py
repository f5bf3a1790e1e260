"""What the metrics of an evaluation take, next to pycocotools and faster-coco-eval on the same detections.

    python -m tests.benchmarks.metrics [--images 3353] [--classes 30] [--detections 100] [--libraries_python PYTHON]

Drawn images of 1 to 14 objects. Ours is all that an evaluation does with detections that are there: it takes the
images one by one, computes COCO's averages of all and of every class, precision, recall and F1 against score, best
thresholds and their intervals, the confusion matrix, calibration and TIDE's split, and writes the study's files. The
libraries compute COCO's averages from lists in memory. `--libraries_python` is an interpreter with NumPy, pycocotools
and faster-coco-eval; by default this one, with what it has. Seconds are of the processor, the best of the rounds, so
that the machine's load weighs little. Returns 1 where ours takes more than a third of pycocotools' time, the averages
differ by more than 1e-9, or a library's process was killed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.coco_libraries import LIBRARIES
from tests.benchmarks.measured_process import ROOT
from tests.train.metrics.pycocotools_reference import as_coco, ordinary_images
from train.evaluation.operating_study import OperatingStudy
from train.metrics.box_matches import match_collection
from train.metrics.coco import CocoEvaluator
from train.metrics.operating_points import BEST_F1, curves_by_class
from train.metrics.threshold_intervals import threshold_intervals

MOST = 1 / 3  # of pycocotools' time
AVERAGES_DIFFER = 1e-9
_SCRIPT = "tests.benchmarks.coco_libraries"


def measure_ours(flags: argparse.Namespace, folder: Path) -> tuple[dict[str, float], list[float], float]:
    """Returns seconds by part, the twelve averages, and the bytes that an image takes while it is collected."""
    names = {class_id: f"class {class_id}" for class_id in range(1, flags.classes + 1)}
    images = ordinary_images(flags.images, num_classes=flags.classes, num_detections=flags.detections)
    evaluator = CocoEvaluator(names)
    seconds = {"collecting": 0.0}
    for image in images:  # whose drawing is not counted
        started = time.process_time()
        evaluator.add(image)
        seconds["collecting"] += time.process_time() - started
    started = time.process_time()
    metrics = evaluator.evaluate()
    seconds["COCO's averages"] = time.process_time() - started
    started = time.process_time()
    study = OperatingStudy(match_collection(evaluator.boxes), BEST_F1, with_intervals=False)
    study.metrics()
    study.table()
    study.write(folder)
    seconds["study"] = time.process_time() - started
    started = time.process_time()
    threshold_intervals(study.matches, curves_by_class(study.matches), BEST_F1)
    seconds["intervals of thresholds"] = time.process_time() - started
    kept = [evaluator.boxes.groundtruth(), evaluator.boxes.detections()]
    num_bytes = sum(values.nbytes for boxes in kept for values in vars(boxes).values())
    return seconds, [value for name, value in metrics.items() if "ByCategory" not in name], num_bytes / flags.images


def _compare(library: str, theirs: dict[str, Any], parts: dict[str, float], averages: list[float]) -> bool:
    """Prints a library's figures beside ours; returns whether the bounds hold."""
    ours, seconds = sum(parts.values()), min(theirs["seconds"])
    differ = float(np.abs(np.array(averages) - theirs["averages"]).max())
    alone = parts["collecting"] + parts["COCO's averages"]
    print(
        f"{library}: {seconds:.2f} s; ours / theirs {ours / seconds:.3f}, of COCO's averages alone "
        f"{alone / seconds:.3f}; they differ by at most {differ:.1e}; peak memory {theirs['peak'] / 1e6:.0f} MB",
        flush=True,
    )
    return differ <= AVERAGES_DIFFER and (library != "pycocotools" or ours / seconds <= MOST)


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints; returns what the module says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("images", 3353), ("classes", 30), ("detections", 100), ("rounds", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--libraries_python", default=sys.executable)
    parser.add_argument("--no_libraries", action="store_true", help="measure ours alone, which compares with nothing")
    flags = parser.parse_args(argv)
    print(f"load at the start {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        found = [measure_ours(flags, folder) for _ in range(flags.rounds)]
        parts, averages, bytes_an_image = min(found, key=lambda one: sum(one[0].values()))
        ours = sum(parts.values())
        print(f"ours: {ours:.2f} s ({', '.join(f'{name} {value:.2f}' for name, value in parts.items())})")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(
            f"{bytes_an_image:.0f} bytes an image are kept; peak memory of the process {peak / 1e6:.0f} MB", flush=True
        )
        if flags.no_libraries:
            return 0
        images = list(ordinary_images(flags.images, num_classes=flags.classes, num_detections=flags.detections))
        data_set, results = as_coco(images, range(1, flags.classes + 1))
        (folder / "data_set.json").write_text(json.dumps(data_set))
        (folder / "results.json").write_text(json.dumps(results))
        del images, data_set, results
        failed = False
        for library in LIBRARIES:
            words = [flags.libraries_python, "-m", _SCRIPT, library, str(folder), str(flags.rounds)]
            done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
            if done.returncode:
                print(f"{library}: ended with {done.returncode}; -9 is what a process gets that takes too much memory")
                failed = True
            elif done.stdout:
                failed |= not _compare(library, json.loads(done.stdout), parts, averages)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
