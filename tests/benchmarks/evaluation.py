"""What evaluating a checkpoint takes, next to the Object Detection API's own evaluation of the same checkpoint.

    python -m tests.benchmarks.evaluation [--baseline_python PYTHON] [--checkpoint_dir CHECKPOINT] [--images 128]

SSD MobileNetV2 FPNLite, 320 pixels, 80 classes; 128 images of 1024x768 in records, with 8 boxes each. Both read the
same checkpoint in the API's layout (as `train.export_checkpoint --format object_detection_api` writes it), config and
records, in processes that take turns: `train.evaluate --once` here, `eval_continuously` there, by the interpreter of an
environment with the API (object_detection_api_step.py says how to make one; without it only ours is measured, which
compares with nothing). Without `--checkpoint_dir` the network is
untrained: its boxes lie on each other, which gives suppression more to do than any trained one's, above all the API's.

The loop is all from the first record to the metrics, tracing included. The API evaluates one image at a time; ours
is measured at its default batch, and once at 1, where the losses of both must agree.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.measured_process import run_process
from tests.benchmarks.write_records import photograph

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "configs" / "ssd_mobilenet_v2_fpnlite_320.config"
CLASSES, BOXES = 80, 8
MOST = 0.2  # of the API's loop
LOSSES_DIFFER = 1e-4
OURS, THEIRS = "train.evaluate", "the API"


def make_inputs(folder: Path, num_images: int, checkpoint_dir: Path | None) -> None:
    """Writes records, a label map, and a checkpoint with its config."""
    from configs.schema.pipeline_file import merge, read_pipeline_config
    from tests.small_models import build_detector
    from train.checkpoints.api_export import export_for_api
    from train.checkpoints.restore import restore
    from train.loop.processor import prepare_tensorflow

    prepare_tensorflow()
    write_records(folder, num_images)
    reader = (
        f'label_map_path: "{folder}/label_map.pbtxt" tf_record_input_reader {{ input_path: "{folder}/test.record" }}'
    )
    config = read_pipeline_config(RECIPE)
    config.ClearField("train_input_reader")
    config.ClearField("eval_input_reader")
    config.ClearField("eval_config")
    config.train_config.ClearField("fine_tune_checkpoint")
    words = 'eval_config { metrics_set: "coco_detection_metrics" batch_size: 1 num_visualizations: 0 }'
    config = merge(config, f"model {{ ssd {{ num_classes: {CLASSES} }} }} train_input_reader {{ {reader} }} {words}")
    config = merge(config, f"eval_input_reader {{ shuffle: false num_epochs: 1 {reader} }}")
    network = build_detector(config).network
    if checkpoint_dir:
        restore(network, checkpoint_dir, "full", exact=True)
    export_for_api(network, config, folder / "model")


def write_records(folder: Path, num_images: int) -> None:
    """Writes the images with random boxes."""
    import numpy as np
    import tensorflow as tf

    from data_prep.formats.label_map import LabelMap, LabelMapItem, write_label_map
    from data_prep.formats.tf_example import make_example

    items = [LabelMapItem(number, f"class {number}") for number in range(1, CLASSES + 1)]
    write_label_map(folder / "label_map.pbtxt", LabelMap(items))
    random = np.random.default_rng(0)
    with tf.io.TFRecordWriter(str(folder / "test.record")) as writer:
        for number in range(num_images):
            corners = np.sort(random.uniform(0, 1, (BOXES, 2, 2)), axis=1).reshape(BOXES, 4)
            labels = random.integers(1, CLASSES + 1, BOXES).tolist()
            example = make_example(
                encoded_image=photograph(number),
                image_format="jpeg",
                source_id=f"{number:08d}",
                height=768,
                width=1024,
                boxes_ymin_xmin_ymax_xmax=corners,
                class_labels=labels,
                class_texts=[f"class {label}" for label in labels],
            )
            writer.write(example)


def evaluate_here(folder: Path, batch_size: int, num_images: int) -> dict[str, Any]:
    """Runs `train.evaluate`."""
    flags = {
        "pipeline_config_path": folder / "model" / "pipeline.config",
        "checkpoint_dir": folder / "model" / "checkpoint",
        "eval_dir": folder / "eval",
        "config_override": f"eval_config {{ batch_size: {batch_size} }}",
    }
    words = [str(word) for flag, value in flags.items() for word in (f"--{flag}", value)]
    wall, processor, _ = run_process([sys.executable, "-m", "train.evaluate", "--once", *words])
    metrics = json.loads((folder / "eval" / "metrics.json").read_text())["metrics"]
    loop = num_images / metrics["images_per_second"]
    return {"loop s": loop, "command s": wall, "command CPU s": processor, "metrics": metrics}


def evaluate_there(folder: Path, python: str) -> dict[str, Any]:
    """Runs the API's evaluation."""
    script = Path(__file__).parent / "object_detection_api_evaluation.py"
    model = folder / "model"
    words = [python, str(script), str(model / "pipeline.config"), str(model / "checkpoint"), str(folder / "api")]
    wall, processor, output = run_process(words)
    return {**json.loads(output.splitlines()[-1]), "command s": wall, "command CPU s": processor}


def losses(metrics: dict[str, float]) -> dict[str, float]:
    """The losses among an evaluation's metrics, by their last name."""
    return {name.rpartition("/")[2]: value for name, value in metrics.items() if name.startswith("Loss/")}


def ap(found: dict[str, Any]) -> float:
    """COCO's AP among the metrics."""
    return float(found["metrics"]["DetectionBoxes_Precision/mAP"])


def in_words(name: str, found: dict[str, Any]) -> str:
    """The figures in one line."""
    return f"{name}: " + "  ".join(f"{what} {value:.1f}" for what, value in found.items() if what != "metrics")


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints; returns 1 where more than a fifth of the API's time is taken, or the losses differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--baseline_python", help="interpreter of an environment with the API")
    parser.add_argument("--checkpoint_dir", type=Path, help="a trained one of this network, in the API's layout")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--batch_size", type=int, default=8, help="of ours; the API evaluates one at a time")
    parser.add_argument("--rounds", type=int, default=2)
    flags = parser.parse_args(argv)
    print(f"load at the start {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_inputs(folder, flags.images, flags.checkpoint_dir)
        candidates: dict[str, Callable[[], dict[str, Any]]] = {
            OURS: lambda: evaluate_here(folder, flags.batch_size, flags.images)
        }
        if flags.baseline_python:
            candidates[THEIRS] = lambda: evaluate_there(folder, flags.baseline_python)
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in candidates}
        for name in list(candidates) * flags.rounds:
            found[name].append(candidates[name]())
            print(in_words(name, found[name][-1]), flush=True)
        single = evaluate_here(folder, 1, flags.images)
    print(in_words(f"{OURS}, one image at a time", single))
    return compare(found[OURS], found[THEIRS], single) if flags.baseline_python else 0


def compare(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], single: dict[str, Any]) -> int:
    """Prints the ratios, and returns what `main` does.

    Args:
        ours: What each round found.
        theirs: So the API's.
        single: Ours of one image at a time, as the API evaluates.
    """
    ratios = {
        what: min(each[what] for each in ours) / min(each[what] for each in theirs)
        for what in ("loop s", "command s", "command CPU s")
    }
    print(f"{OURS} / {THEIRS}: " + "  ".join(f"{what} {ratio:.3f}" for what, ratio in ratios.items()))
    print(f"the loop's bound: {MOST}")
    here, there = losses(single["metrics"]), losses(theirs[0]["metrics"])
    differ = max(abs(here[name] - value) / abs(value) for name, value in there.items())
    print(f"losses differ by at most {differ:.1e} of their value; AP {ap(single):.4f} and {ap(theirs[0]):.4f}")
    return int(ratios["loop s"] > MOST or differ > LOSSES_DIFFER)


if __name__ == "__main__":
    raise SystemExit(main())
