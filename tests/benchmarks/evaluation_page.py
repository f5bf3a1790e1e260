"""What the page of an evaluation takes: seconds, memory, megabytes, and how fast its threshold moves in Chromium.

    python -m tests.benchmarks.evaluation_page [--images 3353] [--classes 30] [--detections 100] [--page page.html]

The images are photographs of 1024x768 (as decoded: what an evaluation shows the page), with 8 objects and 100
detections each. Measured apart are what each image costs while the evaluation runs (its thumbnails), and the writing
at the end. The process that does it measures its own peak memory; a quarter of the images goes first, in a process of
its own, so that what grows with their number shows.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tests.benchmarks.measured_process import run_process
from tests.benchmarks.write_records import photograph

MOST_SECONDS = 30.0
MOST_BYTES_AN_IMAGE = 100_000  # that memory may grow by: its detections as numbers, not its pixels (2.4 MB)
OBJECTS, DISTINCT = 8, 8
HEIGHT, WIDTH = 768, 1024


def detected_images(num_images: int, num_classes: int, num_detections: int) -> Iterator[object]:
    """Yields `DetectedImage`s: half of the objects found, the other detections anywhere with low scores."""
    from train.evaluation.detected_image import DetectedImage

    chance = np.random.default_rng(0)
    photographs = [np.asarray(Image.open(io.BytesIO(photograph(seed)))) for seed in range(DISTINCT)]
    flags = np.zeros(OBJECTS, bool)
    for number in range(num_images):
        objects, others = _boxes(chance, OBJECTS), _boxes(chance, num_detections - OBJECTS)
        classes = chance.integers(1, num_classes + 1, OBJECTS)
        moved = np.clip(objects + chance.normal(0, 0.02, objects.shape), 0, 1)
        taken_for = np.where(chance.random(OBJECTS) < 0.8, classes, chance.integers(1, num_classes + 1, OBJECTS))
        more = chance.integers(1, num_classes + 1, num_detections - OBJECTS)
        scores = np.concatenate([chance.beta(3, 2, OBJECTS), chance.beta(1, 12, num_detections - OBJECTS)])
        truth = {"boxes": objects, "classes": classes, "area": np.zeros(OBJECTS)}
        truth.update(dict.fromkeys(("is_crowd", "difficult", "group_of"), flags))
        found = {
            "boxes": np.concatenate([moved, others]),
            "classes": np.concatenate([taken_for, more]),
            "scores": scores,
        }
        pixels, shape = photographs[number % DISTINCT], (HEIGHT, WIDTH)
        yield DetectedImage(f"{number:016x}", pixels, truth, found, shape, np.zeros(0, np.int32))


def _boxes(chance: np.random.Generator, count: int) -> np.ndarray:
    start = chance.uniform(0, 0.8, (count, 2))
    return np.concatenate([start, start + chance.uniform(0.03, 0.2, (count, 2))], axis=1).astype(np.float32)


def measure(num_images: int, num_classes: int, num_detections: int, path: Path) -> dict[str, float | str]:
    """Writes one page in this process."""
    from train.evaluation.operating_study import OperatingStudy
    from train.evaluation.page.report import EvaluationReport, Findings, ReportOptions
    from train.metrics.box_collection import BoxCollection
    from train.metrics.box_matches import match_collection
    from train.metrics.operating_points import BEST_F1

    names = {number: f"class {number}" for number in range(1, num_classes + 1)}
    boxes, report = BoxCollection(names), EvaluationReport(ReportOptions(path), {})
    adding = adding_processor = 0.0
    for detected in detected_images(num_images, num_classes, num_detections):
        measured = detected.measured()
        boxes.add(measured)
        start, processor = time.perf_counter(), time.process_time()
        report.add(detected, measured)
        adding, adding_processor = (
            adding + time.perf_counter() - start,
            adding_processor + time.process_time() - processor,
        )
    study = OperatingStudy(match_collection(boxes), BEST_F1)
    start, processor = time.perf_counter(), time.process_time()
    findings = Findings(
        study.matches, study.errors, study.costs, study.metrics(), study.points, study.one_threshold().threshold, "f1"
    )
    said = report.write(findings, source="a benchmark")
    return {
        "adding": adding,
        "writing": time.perf_counter() - start,
        "processor": adding_processor + time.process_time() - processor,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "said": said,
    }


def in_browser(path: Path) -> None:
    """Prints how long the page takes to open, and a move of its threshold with all that follows."""
    from tests.chromium import chromium

    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1366, "height": 800})
        start = time.perf_counter()
        page.goto(path.as_uri())
        page.wait_for_selector(".image")
        opened = time.perf_counter() - start
        moves = page.evaluate(
            """() => [0.1, 0.35, 0.6, 0.05].map((value) => {
                const number = document.getElementById("threshold-number");
                number.value = value;
                const start = performance.now();
                number.dispatchEvent(new Event("input", { bubbles: true }));
                return performance.now() - start;
            })"""
        )
        print(f"in Chromium: opened in {opened:.1f} s, a threshold's counts in {max(moves):.0f} ms at most")


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints; returns 1 where a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=3353)
    parser.add_argument("--classes", type=int, default=30)
    parser.add_argument("--detections", type=int, default=100)
    parser.add_argument("--page", type=Path, help="keep the page there")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    flags = parser.parse_args(argv)
    if flags.alone:
        print(json.dumps(measure(flags.images, flags.classes, flags.detections, flags.page)))
        return 0
    print(f"load at the start {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        path = flags.page or Path(folder) / "page.html"
        peaks, seconds = [], 0.0
        for count in (flags.images // 4, flags.images):
            sizes = ["--images", count, "--classes", flags.classes, "--detections", flags.detections]
            words = [*map(str, sizes), "--page", str(path), "--alone"]
            wall, processor, said = run_process([sys.executable, "-m", "tests.benchmarks.evaluation_page", *words])
            found = json.loads(said.splitlines()[-1])
            peaks.append(found["peak"])
            seconds = found["adding"] + found["writing"]
            print(
                f"{count} images: thumbnails {found['adding']:.1f} s, writing {found['writing']:.1f} s (of a processor "
                f"{found['processor']:.1f} s), peak memory {found['peak'] / 1e6:.0f} MB; with metrics and making "
                f"the input {wall:.0f} s ({processor:.0f} s)"
            )
            print(f"  {found['said']}", flush=True)
        growth = (peaks[1] - peaks[0]) / (flags.images - flags.images // 4)
        print(f"memory grows by {growth / 1e3:.0f} kB an image; bounds: {MOST_SECONDS:.0f} s, "
              f"{MOST_BYTES_AN_IMAGE / 1e3:.0f} kB")  # fmt: skip
        in_browser(path)
    return int(seconds > MOST_SECONDS or growth > MOST_BYTES_AN_IMAGE)


if __name__ == "__main__":
    sys.exit(main())
