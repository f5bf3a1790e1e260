"""Choosing a tenth of Open Images' size: seconds and megabytes, and how near it comes to the distribution of all.

    python -m tests.benchmarks.choose_subset [--num_images 200000] [--most 1700000]

Made-up images of 600 classes whose shares fall as those of Open Images do, 8.4 boxes an image. Two baselines: the
same algorithm as it is usually written, over a dense matrix of images and classes (one row of it at a time, all rows
looked through for each class), and a random draw. All run in one process, one after the other.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.splitting.stratification import group_images, stratify

NUM_CLASSES = 600
FRACTION = 0.1
BASELINE_IMAGES = 20_000
COMMAND = """
import sys
from data_prep.choose_subset import main
code = main(sys.argv[1:])
status = open("/proc/self/status").read()  # getrusage would count what the parent had when it started us
print("peak", int(status.split("VmHWM:")[1].split()[0]) // 1024, "MB")
sys.exit(code)
"""


def new_images(num_images: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns pairs of image and class, each once, and how many boxes the image has of the class."""
    random = np.random.default_rng(0)
    weights = 1 / np.arange(1, NUM_CLASSES + 1) ** 1.3
    num_boxes = 1 + random.poisson(7.4, num_images)
    images = np.repeat(np.arange(num_images), num_boxes)
    classes = random.choice(NUM_CLASSES, len(images), p=weights / weights.sum())
    keys, boxes = np.unique(images * NUM_CLASSES + classes, return_counts=True)
    return keys // NUM_CLASSES, keys % NUM_CLASSES, boxes


def dense_stratification(images: np.ndarray, classes: np.ndarray, num_images: int) -> np.ndarray:
    """Sechidis et al., Algorithm 1, over a dense matrix; returns [N], 0 for the subset."""
    random = np.random.default_rng(0)
    matrix = np.zeros((num_images, NUM_CLASSES), bool)
    matrix[images, classes] = True
    splits = np.full(num_images, -1)
    fractions = np.array([FRACTION, 1 - FRACTION])
    wanted_of_class = matrix.sum(axis=0)[None, :] * fractions[:, None]
    wanted = num_images * fractions
    while (splits < 0).any():
        left = matrix[splits < 0].sum(axis=0)
        if not left.any():
            rest = np.flatnonzero(splits < 0)
            splits[rest] = (random.permutation(len(rest)) >= wanted[0]).astype(int)
            break
        rarest = int(np.argmin(np.where(left > 0, left, num_images + 1)))
        for image in np.flatnonzero(matrix[:, rarest] & (splits < 0)):
            split = int(np.argmax(wanted_of_class[:, rarest] + 1e-9 * wanted))
            splits[image] = split
            wanted_of_class[split] -= matrix[image]
            wanted[split] -= 1
    return splits


def stratified(images: np.ndarray, classes: np.ndarray, num_images: int) -> np.ndarray:
    """What data_prep.choose_subset does with the pairs."""
    groups = group_images(images, classes, np.arange(num_images), NUM_CLASSES)
    size = round(FRACTION * num_images)
    return stratify(groups, (size, num_images - size), required=(), seed=0, strict_sizes=True)


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Returns the processor time that `work` takes, and what it returns."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def largest_difference(images: np.ndarray, classes: np.ndarray, splits: np.ndarray) -> float:
    """Returns the largest difference between shares of images that have a class, in points of a hundred."""
    chosen = splits == 0
    of_all = np.bincount(classes, minlength=NUM_CLASSES) / len(splits)
    of_chosen = np.bincount(classes[chosen[images]], minlength=NUM_CLASSES) / chosen.sum()
    return 100 * float(np.abs(of_all - of_chosen).max())


def write_points(path: Path, images: np.ndarray, classes: np.ndarray, boxes: np.ndarray, num_images: int) -> None:
    """Writes a points.json of these images, in the manner of process_metadata."""
    box = (
        '{"label": "/m/0%s", "confidence": 1.0, "x0": 0.123456, "x1": 0.654321, "y0": 0.234567, "y1": 0.876543, '
        '"is_occluded": false, "is_truncated": false, "is_group_of": false, "is_depiction": false, "is_inside": false}'
    )
    texts = [box % number for number in range(NUM_CLASSES)]
    ends = np.searchsorted(images, np.arange(1, num_images + 1)).tolist()
    all_classes, all_boxes = classes.tolist(), boxes.tolist()
    start = 0
    with path.open("w") as file:
        for image, end in enumerate(ends):
            cells = [texts[all_classes[pair]] for pair in range(start, end) for _ in range(all_boxes[pair])]
            file.write(
                ("[" if image == 0 else ",") + f'\n{{"id": "{image:016x}", "annotations": [{", ".join(cells)}]}}'
            )
            start = end
        file.write("\n]\n")


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num_images", type=int, default=200_000)
    parser.add_argument("--most", type=int, default=0)
    flags = parser.parse_args()
    print(f"load of the machine at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    images, classes, _ = new_images(BASELINE_IMAGES)
    ours, splits = cpu_seconds(lambda: stratified(images, classes, BASELINE_IMAGES))
    dense, dense_splits = cpu_seconds(lambda: dense_stratification(images, classes, BASELINE_IMAGES))
    drawn = (np.random.default_rng(0).permutation(BASELINE_IMAGES) >= FRACTION * BASELINE_IMAGES).astype(int)
    print(f"{BASELINE_IMAGES} images: {ours:.2f} s, the dense way {dense:.2f} s: {dense / ours:.1f} times")
    print(
        "  largest difference of a class's share: "
        f"{largest_difference(images, classes, splits):.4f} points, the dense way "
        f"{largest_difference(images, classes, dense_splits):.4f}, a random draw "
        f"{largest_difference(images, classes, drawn):.4f}"
    )
    for num_images in (flags.num_images // 4, flags.num_images, *([flags.most] if flags.most else [])):
        images, classes, _ = new_images(num_images)
        seconds, splits = cpu_seconds(lambda i=images, c=classes, n=num_images: stratified(i, c, n))  # type: ignore[misc]
        difference = largest_difference(images, classes, splits)
        print(f"{num_images} images: {seconds:.2f} s, largest difference {difference:.4f} points", flush=True)
    print(f"peak of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "points.json"
        write_points(path, *new_images(flags.num_images), flags.num_images)
        words = ["--fraction", str(FRACTION), "--datapoints_input_path", str(path)]
        words += ["--datapoints_output_path", str(Path(folder) / "small.json"), "--num_classes_shown", "3"]
        before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        done = subprocess.run([sys.executable, "-c", COMMAND, *words], check=True, capture_output=True, text=True)
        wall = time.perf_counter() - before[0]
        user = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before[1]
        count = len(json.loads((Path(folder) / "small.json").read_text()))
        size = path.stat().st_size / 2**20
        print(f"the command, {flags.num_images} images in {size:.0f} MB: {wall:.1f} s, {user:.1f} s of processor time")
        print(f"  {count} images chosen; {done.stdout.splitlines()[-1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
