"""Validating and shrinking photographs from 2560 to 640 pixels, against the way of a well-known tutorial with Pillow.

    python -m tests.benchmarks.clean_images [--num_images 6] [--rounds 30] [--images DIR]

The baseline opens each image, verifies it, opens it again (a verified image of Pillow's cannot be used any more),
makes a thumbnail and saves it as JPEG at Pillow's own quality. It decodes no image that needs no shrinking, and what
is cut short it may take; ours reads every coefficient and refuses what is damaged.

Both run in turn in one process. Quality is the structural similarity (SSIM, of brightness, with a Gaussian window of
1.5 pixels) of the files that they leave with a full decode and a Lanczos filter. Then the command itself runs over
copies of the images in 1, 2, 4, ... processes, and once more over what it has done. Figures of another machine do not
compare. --images takes photographs of one's own, each at least 2560 pixels wide.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from data_prep.images.prepared_image import prepare_image
from data_prep.runtime.worker_pool import default_num_processes
from tests.benchmarks.measured_process import cpu_seconds

ROOT = Path(__file__).resolve().parents[2]
WIDTH, HEIGHT, SIDE = 2560, 1920, 640
AT_LEAST = 2.5


def photograph_jpeg(seed: int) -> bytes:
    """A JPEG with contrast at every size, as photographs have it, hard edges and some noise."""
    random = np.random.default_rng(seed)
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for octave in range(10):
        cells = 3 * 2**octave
        grey = random.normal(0, 1, (cells, cells, 1))
        noise = np.uint8(np.clip(128 + 40 * (grey + random.normal(0, 0.4, (cells, cells, 3))), 0, 255))
        pixels += (np.asarray(Image.fromarray(noise).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)) - 128.0) * (
            1.1 / 1.75**octave
        )
    image = Image.fromarray(np.uint8(np.clip(128 + pixels + random.normal(0, 3, pixels.shape), 0, 255)))
    draw = ImageDraw.Draw(image)
    for _ in range(60):
        left, top, across, down = (int(value) for value in random.integers(0, (WIDTH, HEIGHT, 300, 300)))
        colour = tuple(int(value) for value in random.integers(0, 256, 3))
        draw.rectangle((left, top, left + across, top + down), fill=colour)
        draw.line((left, top, left + 2 * across, top - down), fill=colour, width=3)
    return jpeg_of(image, 90)


def jpeg_of(image: Image.Image, quality: int) -> bytes:
    """Returns the image as a JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def tutorial_way(content: bytes, quality: int = 75) -> bytes:
    """Verifies an image and makes a thumbnail of it, as the tutorial does; 75 is Pillow's own quality."""
    Image.open(io.BytesIO(content)).verify()
    image = Image.open(io.BytesIO(content))
    image.thumbnail((SIDE, SIDE))
    return jpeg_of(image, quality)


def our_way(content: bytes) -> bytes:
    """What `validate_images` does with the image's content."""
    return prepare_image(content, max_dimension=SIDE, keep_grey=False, refuse_animations=True).content


def similarity(left: Image.Image, right: Image.Image) -> float:
    """Returns the mean SSIM of two images' brightness.

    Source: Wang, Bovik, Sheikh, Simoncelli: "Image Quality Assessment", IEEE Transactions on Image Processing, 2004.
    """
    a, b = np.asarray(left.convert("L"), float), np.asarray(right.convert("L"), float)

    def blurred(values: np.ndarray) -> np.ndarray:
        return gaussian_filter(values, 1.5, truncate=3.5)

    mean_a, mean_b = blurred(a), blurred(b)
    variance_a, variance_b = blurred(a * a) - mean_a**2, blurred(b * b) - mean_b**2
    covariance = blurred(a * b) - mean_a * mean_b
    first, second = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    ratio = (2 * mean_a * mean_b + first) * (2 * covariance + second)
    return float((ratio / ((mean_a**2 + mean_b**2 + first) * (variance_a + variance_b + second))).mean())


def quality_of(way: Callable[[bytes], bytes], images: Sequence[bytes]) -> tuple[float, float]:
    """Returns the mean SSIM with a full decode and Lanczos, and the mean size of the files in kilobytes."""
    similarities, sizes = [], []
    for content in images:
        left = way(content)
        with Image.open(io.BytesIO(left)) as image, Image.open(io.BytesIO(content)) as original:
            lanczos = original.convert("RGB").resize(image.size, Image.Resampling.LANCZOS)
            similarities.append(similarity(image, lanczos))
        sizes.append(len(left))
    return float(np.mean(similarities)), float(np.mean(sizes)) / 1000


def in_turn(
    ways: dict[str, Callable[[bytes], bytes]], images: Sequence[bytes], rounds: int
) -> dict[str, tuple[float, float]]:
    """Returns the CPU and wall-clock seconds an image of each way: the mean of each image's least over the rounds.

    Other work on the machine disturbs some calls, and never makes one faster.
    """
    least: dict[str, list[tuple[float, float]]] = {name: [(np.inf, np.inf)] * len(images) for name in ways}
    for _ in range(rounds):
        for row, content in enumerate(images):
            for name, way in ways.items():
                cpu, wall = time.process_time(), time.perf_counter()
                way(content)
                taken = time.process_time() - cpu, time.perf_counter() - wall
                least[name][row] = min(least[name][row][0], taken[0]), min(least[name][row][1], taken[1])
    return {
        name: (float(np.mean([cpu for cpu, _ in taken])), float(np.mean([wall for _, wall in taken])))
        for name, taken in least.items()
    }


def run_command(folder: Path, num_processes: int, target: str) -> tuple[float, float]:
    """Runs the command over the folder; returns its wall-clock seconds and its CPU seconds, processes included."""
    words = [
        "--image_directory", folder / "images", "--image_saving_directory", folder / target,
        "--datapoints_input_path", folder / "points.json", "--datapoints_output_path", folder / f"{target}.json",
        "--max_dimension", SIDE, "--num_processes", num_processes,
    ]  # fmt: skip
    wall, cpu = time.perf_counter(), cpu_seconds()
    command = [sys.executable, "-m", "data_prep.validate_images", *map(str, words)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - wall, cpu_seconds() - cpu


def print_scaling(images: Sequence[bytes], num_copies: int) -> None:
    """Prints images a second of the command by the number of processes, and what a second run takes."""
    cores = default_num_processes()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        for number in range(num_copies):
            (folder / "images" / f"{number}.jpg").write_bytes(images[number % len(images)])
        points = [{"id": str(number), "annotations": []} for number in range(num_copies)]
        (folder / "points.json").write_text(json.dumps(points))
        print(f"the command from its start (half a second a process), {num_copies} images, {cores} cores:")
        num_processes = 1
        walls = {}
        while True:
            wall, cpu = run_command(folder, num_processes, f"clean{num_processes}")
            walls[num_processes] = wall
            rates = f"{num_copies / wall:6.1f} a second, {num_copies / cpu:6.1f} a CPU second"
            print(f"  {num_processes:2} processes: {rates}")
            if num_processes >= cores:
                break
            num_processes = min(2 * num_processes, cores)
        print(f"  scaling: {num_processes} processes do {walls[1] / walls[num_processes]:.2f} times the images of one")
        wall, cpu = run_command(folder, num_processes, f"clean{num_processes}")
        print(f"  run again: {1e6 * wall / num_copies:.0f} microseconds an image")


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints; returns 1 when ours is not 2.5 times as fast, or of lower quality."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num_images", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--copies", type=int, default=400, help="how many images the command runs over")
    parser.add_argument("--images", type=Path, help="a folder of JPEGs to take instead of made ones")
    flags = parser.parse_args(argv)
    print(f"load at the start: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    if flags.images:
        images = [path.read_bytes() for path in sorted(flags.images.glob("*.jpg"))[: flags.num_images]]
    else:
        images = [photograph_jpeg(seed) for seed in range(flags.num_images)]
    ways = {
        "tutorial": tutorial_way,
        "tutorial, at our JPEG quality": lambda content: tutorial_way(content, 92),
        "validate_images": our_way,
    }
    taken = in_turn(ways, images, flags.rounds)
    qualities = {name: quality_of(way, images) for name, way in ways.items()}
    for name, (cpu, wall) in taken.items():
        ssim, kilobytes = qualities[name]
        print(
            f"{name:<30} {1 / cpu:6.1f} images a CPU second, {1 / wall:6.1f} a second; SSIM {ssim:.4f}, "
            f"{kilobytes:.0f} kB"
        )
    ratio = taken["tutorial"][0] / taken["validate_images"][0]
    wall_ratio = taken["tutorial"][1] / taken["validate_images"][1]
    print(f"validate_images / tutorial: {ratio:.2f} by CPU time (at least {AT_LEAST}), {wall_ratio:.2f} by the clock")
    print_scaling(images, flags.copies)
    return int(ratio < AT_LEAST or qualities["validate_images"][0] < qualities["tutorial"][0])


if __name__ == "__main__":
    raise SystemExit(main())
