"""What a training step costs, from a cold start: three models at 320 pixels with 80 classes, each in its own process.

    python -m tests.benchmarks.train_step [--steps 6] [--baseline_python PYTHON] [ssd_mobilenet_v2_fpnlite ...]

Prints seconds a step (the median after the first two), CPU seconds a step, seconds and CPU seconds from the process'
start until the first step is done, and peak memory. Images are noise, with 8 boxes each, already in memory: the step
alone is measured, as the trainer takes it. Figures of another machine, or of a busy one, do not compare:
`--baseline_python`, the interpreter of an environment with the Object Detection API (object_detection_api_step.py says
how to make one), measures the API on the same config in the same run, and prints the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train.loop.processor import garbage_kept, prepare_tensorflow

ROOT = Path(__file__).resolve().parents[2]
SIDE, CLASSES, BOXES = 320, 80, 8
# The recipe, and the batch.
MODELS = {
    "ssd_mobilenet_v2_fpnlite": ("ssd_mobilenet_v2_fpnlite_320.config", 8),
    "ssd_resnet50_fpn": ("ssd_resnet50_v1_fpn_640.config", 4),
    "faster_rcnn_resnet50": ("faster_rcnn_resnet50_v1_640.config", 2),
}


def started_seconds_ago() -> float:
    """How long this process has been there, its interpreter's start included."""
    fields = Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return uptime - int(fields[19]) / os.sysconf("SC_CLK_TCK")


def config_of(name: str) -> Any:
    """The recipe at the benchmark's size."""
    from configs.schema.pipeline_file import merge, read_pipeline_config

    config = read_pipeline_config(ROOT / "configs" / MODELS[name][0])
    kind = config.model.WhichOneof("model")
    getattr(config.model, kind).ClearField("image_resizer")
    size = f"image_resizer {{ fixed_shape_resizer {{ height: {SIDE} width: {SIDE} }} }}"
    return merge(config, f"model {{ {kind} {{ num_classes: {CLASSES} {size} }} }}")


def measure_baseline(name: str, python: str, num_steps: int) -> dict[str, float]:
    """Trains the same model with the Object Detection API, in a process of `python`."""
    from configs.schema.pipeline_file import format_pipeline_config

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.config"
        path.write_text(format_pipeline_config(config_of(name)))
        script = Path(__file__).parent / "object_detection_api_step.py"
        numbers = [str(number) for number in (MODELS[name][1], SIDE, CLASSES, BOXES, num_steps)]
        return last_json([python, str(script), str(path), *numbers])


def last_json(command: Sequence[str]) -> dict[str, float]:
    """Runs a command and reads the JSON in its last line."""
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(name: str, num_steps: int) -> dict[str, float]:
    """Trains one model for a few steps, in this process."""

    prepare_tensorflow()
    import numpy as np
    import tensorflow as tf

    from configs.settings.optimizers import Optimizer
    from configs.settings.reading import read_settings
    from tests.small_models import build_detector
    from train.loop.optimization import build_optimizer, create_slots

    batch_size = MODELS[name][1]
    config = config_of(name)

    random = np.random.default_rng(0)
    corners = np.sort(random.uniform(0, 1, (batch_size, BOXES, 2, 2)), axis=2).reshape(batch_size, BOXES, 4)
    padding = ((0, 0), (0, 100 - BOXES))
    images = tf.constant(random.uniform(0, 255, (batch_size, SIDE, SIDE, 3)), tf.float32)
    labels = {
        "groundtruth_boxes": tf.constant(np.pad(corners, (*padding, (0, 0))), tf.float32),
        "groundtruth_classes": tf.constant(np.pad(random.integers(1, CLASSES, (batch_size, BOXES)), padding), tf.int32),
        "groundtruth_weights": tf.constant(np.pad(np.ones((batch_size, BOXES)), padding), tf.float32),
        "true_image_shape": tf.constant([[SIDE, SIDE, 3]] * batch_size),
    }
    with garbage_kept():  # as the trainer
        detector = build_detector(config)
    optimizer, _ = build_optimizer(read_settings(Optimizer, config.train_config.optimizer))
    variables = detector.network.trainable_variables

    create_slots(optimizer, variables)

    @tf.function(autograph=False)  # as the trainer's
    def step(images: tf.Tensor, labels: dict[str, tf.Tensor]) -> tf.Tensor:
        with tf.GradientTape() as tape:
            losses = detector.compute_losses(images, labels, training=True)
            total = tf.add_n([*losses.values(), detector.regularization_loss()])
        pairs = zip(tape.gradient(total, variables), variables, strict=True)
        optimizer.apply_gradients([(gradient, variable) for gradient, variable in pairs if gradient is not None])
        return total

    with garbage_kept():
        step(images, labels).numpy()
    first, first_processor = started_seconds_ago(), time.process_time()
    wall, processor = [], []
    for _ in range(num_steps):
        before, before_processor = time.perf_counter(), time.process_time()
        step(images, labels).numpy()
        wall.append(time.perf_counter() - before)
        processor.append(time.process_time() - before_processor)
    return {
        "seconds a step": statistics.median(wall[1:]),
        "CPU seconds a step": statistics.median(processor[1:]),
        "seconds to the first step": first,
        "CPU seconds to the first step": first_processor,
        "peak GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def in_words(figures: dict[str, float]) -> str:
    """The figures in one line."""
    return "  ".join(f"{what} {value:.2f}" for what, value in figures.items())


def main(argv: Sequence[str] | None = None) -> int:
    """Measures each model in a process of its own, and prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", choices=[[], *MODELS], default=[])
    parser.add_argument("--steps", type=int, default=6, help="after the first one")
    parser.add_argument("--baseline_python", help="the interpreter of an environment with the Object Detection API")
    parser.add_argument("--in_this_process", action="store_true", help="measures one model and prints JSON")
    arguments = parser.parse_args(argv)
    if arguments.in_this_process:
        print(json.dumps(measure(arguments.models[0], arguments.steps)))
        return 0
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for name in arguments.models or MODELS:
        command = [sys.executable, "-m", "tests.benchmarks.train_step", name, "--in_this_process"]
        found = last_json([*command, "--steps", str(arguments.steps)])
        print(f"{name} (batch {MODELS[name][1]}): {in_words(found)}", flush=True)
        if arguments.baseline_python:
            baseline = measure_baseline(name, arguments.baseline_python, arguments.steps)
            print(f"    the Object Detection API: {in_words(baseline)}")
            ratios = {what: value / baseline[what] for what, value in found.items()}
            print(f"    ratios: {in_words(ratios)}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
