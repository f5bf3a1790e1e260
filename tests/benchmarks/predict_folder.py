"""Images a second of `serving.predict_folder`, against the plain loop that one would write first.

    python -m tests.benchmarks.predict_folder [--num_images 32] [--rounds 3] [--saved_model_dir DIR] [--images DIR]

The loop opens each image, decodes it with Pillow, calls the SavedModel's signature `image_tensor` with its pixels,
and writes a line of JSON. `predict_folder` reads, batches and writes as the command does. Both have the same SavedModel
loaded and warm, and take turns in one process; each must find the same number of things. Without a model of one's own
it is the MobileNetV2 FPNLite recipe with random weights, without --images 1024x768 images with a photograph's detail.
A busy machine disturbs CPU time least; wall time is what counts on a quiet one. Figures of another machine do not
compare.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_prep.runtime.quiet_tensorflow import quiet_tensorflow
from serving.client_library.image_requests import find_images
from serving.folders.predictions_file import PredictionsFile, read_predictions
from serving.in_process.detector import InProcessDetector
from serving.in_process.saved_model import SavedModel

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "configs" / "ssd_mobilenet_v2_fpnlite_320.config"
NUM_CLASSES = 80
MIN_SCORE = 0.05
AT_LEAST = 1.05  # the network has both cores busy already: what is left is to decode meanwhile


def write_photographs(folder: Path, count: int) -> None:
    """Writes JPEGs of 1024x768 with smooth areas, edges and some noise."""
    random = np.random.default_rng(0)
    for number in range(count):
        areas = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        smooth = np.asarray(areas.resize((1024, 768), Image.Resampling.BICUBIC), np.int16)
        pixels = np.clip(smooth + random.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
        (folder / f"{number:04}.jpg").write_bytes(buffer.getvalue())


def write_model(folder: Path) -> None:
    """Writes the recipe's SavedModel, random weights, with a signature for files and one for pixels."""
    import tensorflow as tf

    from configs.schema.pipeline_file import merge, read_pipeline_config
    from export.signatures import ServingModule
    from tests.small_models import build_detector

    config = merge(read_pipeline_config(RECIPE), f"model {{ ssd {{ num_classes: {NUM_CLASSES} }} }}")
    inputs = ["encoded_image_string_tensor", "image_tensor"]
    module = ServingModule(build_detector(config), inputs)
    tf.saved_model.save(module, str(folder), signatures=module.signatures)


def plain_loop(signature: Any, images: list[Path], path: Path) -> int:
    """The loop of a first afternoon; returns how many things it found."""
    found = 0
    with path.open("w", encoding="utf-8") as file:
        for photo in images:
            with Image.open(photo) as image:
                pixels = np.asarray(image.convert("RGB"))
            height, width = pixels.shape[:2]
            outputs = {name: value.numpy()[0] for name, value in signature(input_tensor=pixels[np.newaxis]).items()}
            detections = [
                {
                    "box_pixels": [float(y0 * height), float(x0 * width), float(y1 * height), float(x1 * width)],
                    "class_id": int(class_id),
                    "score": float(score),
                }
                for (y0, x0, y1, x1), class_id, score in zip(
                    outputs["detection_boxes"], outputs["detection_classes"], outputs["detection_scores"], strict=True
                )
                if score >= MIN_SCORE
            ]
            found += len(detections)
            file.write(json.dumps({"image": photo.name, "detections": detections}) + "\n")
    return found


def ours(detector: InProcessDetector, images: list[Path], folder: Path) -> int:
    """What the command does with the images that have no line yet; returns how many things it found."""
    with PredictionsFile(folder, {}) as file:
        for result in detector.detect_many(images):
            file.add(result)
        return sum(len(result.detections) for result in read_predictions(file.path))


def timed(run: Callable[[], int]) -> tuple[int, float, float]:
    """Returns what `run` returns, and the wall-clock and the CPU seconds that it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = run()
    return found, time.perf_counter() - wall, time.process_time() - cpu


def main() -> int:
    """Measures and prints; returns 1 when the command is not clearly faster."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num_images", type=int, default=32, help="how many")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way takes its turn")
    parser.add_argument("--batch_size", type=int, default=8, help="the command's --batch_size")
    parser.add_argument("--max_in_flight", type=int, default=2, help="the command's --max_in_flight")
    parser.add_argument(
        "--saved_model_dir", type=Path, help="a SavedModel with the signature image_tensor beside its own"
    )
    parser.add_argument("--images", type=Path, help="a folder of images of one's own")
    arguments = parser.parse_args()
    print(f"load at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    quiet_tensorflow()
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        images, saved_model = arguments.images, arguments.saved_model_dir
        if images is None:
            images = folder / "images"
            images.mkdir()
            write_photographs(images, arguments.num_images)
        if saved_model is None:
            saved_model = folder / "model"
            write_model(saved_model)
        photos = find_images([images])[: arguments.num_images]
        loaded = tf.saved_model.load(str(saved_model))
        sizes = {"batch_size": arguments.batch_size, "max_in_flight": arguments.max_in_flight}
        with InProcessDetector(SavedModel(saved_model, device="cpu"), min_score=MIN_SCORE, **sizes) as detector:
            ways = {
                "plain loop": lambda place: plain_loop(loaded.signatures["image_tensor"], photos, place / "loop.jsonl"),
                "predict_folder": lambda place: ours(detector, photos, place),
            }
            spent: dict[str, list[tuple[int, float, float]]] = {name: [] for name in ways}
            for number in range(arguments.rounds + 1):
                for name, way in ways.items():
                    place = folder / f"{number}-{name}"
                    place.mkdir()
                    measured = timed(lambda way=way, place=place: way(place))
                    if number:  # the first warms up
                        spent[name].append(measured)
    medians = {
        name: (statistics.median(run[1] for run in runs), statistics.median(run[2] for run in runs))
        for name, runs in spent.items()
    }
    for name, (wall, cpu) in medians.items():
        found = spent[name][0][0] / len(photos)
        print(
            f"{name:<16}{len(photos) / wall:8.1f} images/s, {1000 * cpu / len(photos):7.1f} ms of CPU an image, "
            f"{found:.1f} detections an image"
        )
    (loop_wall, loop_cpu), (our_wall, our_cpu) = medians["plain loop"], medians["predict_folder"]
    print(f"predict_folder / plain loop: {loop_wall / our_wall:.2f} in wall time, {loop_cpu / our_cpu:.2f} in CPU time")
    return int(loop_wall / our_wall < AT_LEAST)


if __name__ == "__main__":
    sys.exit(main())
