"""Images a second from a server that answers after 100 ms: `download_images` against a pool of 16 processes.

    python -m tests.benchmarks.download [IMAGES]

The baseline is what the Open Images tutorials of 2018 do, for Python 3: a `ProcessPoolExecutor` of 16, a fresh
`requests.get` an image without a check of the certificate, whatever comes written under the id. Ours decodes every
image, writes it whole or not at all, and keeps the log of outcomes. The server is a process of its own; both take
turns, three times each, and the best of each counts: what else runs on the machine disturbs it least.
"""

import contextlib
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import requests
from PIL import Image
from tqdm import tqdm

from data_prep.download_images import main as download_images
from tests.benchmarks.measured_process import cpu_seconds

ROOT = Path(__file__).resolve().parents[2]
DELAY_SECONDS = 0.1
ROUNDS = 3
AT_LEAST = 5.0
NUM_PROCESSES = 16
AGENTS = [
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_5) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{n} Safari/537.36"
    for n in ("51.0.2704", "52.0.2743")
]


def photograph_jpeg(width: int, height: int, quality: int = 85) -> bytes:
    """A JPEG with the detail of a photograph: smooth areas, edges, and some noise."""
    numbers = np.random.default_rng(0)
    areas = Image.fromarray(numbers.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    noisy = np.asarray(areas, np.int16) + numbers.normal(0, 6, (height, width, 3))
    buffer = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def tutorial_download(element: dict[str, str], folder: Path) -> None:
    """Fetches one image as the tutorial does; what fails is forgotten."""
    content = None
    with contextlib.suppress(Exception):
        answer = requests.get(element["url"], headers={"User-Agent": random.choice(AGENTS)}, verify=False)
        content = answer.content
    if content:
        with (folder / f"{element['id']}.{element['url'].split('.')[-1]}").open("wb") as file:
            file.write(content)


def tutorial(images_path: Path, folder: Path) -> None:
    """Runs the tutorial's procedure: three images first, the rest in 16 processes, results collected at the end."""
    folder.mkdir()
    images = json.loads(images_path.read_text())
    download = partial(tutorial_download, folder=folder)
    for image in images[:3]:
        download(image)
    with ProcessPoolExecutor(max_workers=NUM_PROCESSES) as pool:
        futures = [pool.submit(download, image) for image in images[3:]]
        for _ in tqdm(as_completed(futures), total=len(futures), unit="it", unit_scale=True, disable=None):
            pass
        for future in futures:
            future.result()


def ours(images_path: Path, folder: Path) -> None:
    """Runs our command with the flags that a person would give it here."""
    flags = ["--images_path", str(images_path), "--images_output_directory", str(folder), "--allow_private_addresses"]
    with contextlib.redirect_stdout(io.StringIO()):
        if download_images(flags):
            raise SystemExit("our command failed")


@contextlib.contextmanager
def server(image: Path) -> Iterator[int]:
    """Runs the server and yields its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.slow_server", str(image), str(DELAY_SECONDS)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def measure(width: int, height: int, num_images: int) -> float:
    """Prints both candidates' figures for images of one size, and returns the ratio of images a second."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image = folder / "image.jpg"
        image.write_bytes(photograph_jpeg(width, height))
        rates: dict[str, list[float]] = {"tutorial": [], "ours": []}
        costs: dict[str, list[float]] = {"tutorial": [], "ours": []}
        candidates: dict[str, Callable[[Path, Path], Any]] = {"tutorial": tutorial, "ours": ours}
        with server(image) as port:
            entries = [
                {"id": f"{number:016x}", "url": f"http://127.0.0.1:{port}/{number:016x}.jpg"}
                for number in range(num_images)
            ]
            for round_number in range(ROUNDS):
                for candidate, run in candidates.items():
                    # The pool needs as long for a quarter of the images as we do for all of them.
                    share = entries[: num_images // 4] if candidate == "tutorial" else entries
                    images_path = folder / f"{candidate}.json"
                    images_path.write_text(json.dumps(share))
                    target = folder / f"{candidate}{round_number}"
                    start, cpu_start = time.perf_counter(), cpu_seconds()
                    run(images_path, target)
                    rates[candidate].append(len(share) / (time.perf_counter() - start))
                    costs[candidate].append(1000 * (cpu_seconds() - cpu_start) / len(share))
                    sizes = {path.stat().st_size for path in target.iterdir()}
                    assert sizes == {image.stat().st_size}
                    assert len(list(target.iterdir())) == len(share)
    print(f"{width}x{height}, {len(photograph_jpeg(width, height)) / 1000:.0f} kB:")
    for candidate in candidates:
        per_second, milliseconds = max(rates[candidate]), min(costs[candidate])
        print(f"  {candidate:<9}{per_second:7.0f} images/s {milliseconds:7.2f} ms of CPU time an image")
    ratio = max(rates["ours"]) / max(rates["tutorial"])
    print(f"  ratio of images a second: {ratio:.1f}")
    return ratio


def main() -> int:
    """Measures and prints; returns 1 when we fetch fewer than five times as many images a second."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"load at the start: {load} on {os.cpu_count()} cores; answers after {1000 * DELAY_SECONDS:.0f} ms")
    num_images = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    ratio = measure(320, 240, num_images)
    measure(1024, 768, num_images // 2)
    print(f"at 320x240: {ratio:.1f} (at least {AT_LEAST})")
    return int(ratio < AT_LEAST)


if __name__ == "__main__":
    raise SystemExit(main())
