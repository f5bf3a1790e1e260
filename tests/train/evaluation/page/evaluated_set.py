"""A small evaluation with every kind of mistake in it: a COCO file with images, somebody's detections, and its page."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_prep.runtime.ledger import Ledger
from train.evaluate import main
from train.evaluation.coco_ground_truth import read_coco_ground_truth
from train.evaluation.given_detections import read_given_detections
from train.metrics.box_collection import BoxCollection
from train.metrics.box_matches import BoxMatches, match_collection

WIDTH, HEIGHT = 160, 120
# A name that would be markup, and would run, where it is taken for such.
HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"
NAMES = {1: "Cat", 2: "Dog", 5: HOSTILE, 9: "Owl"}
NUM_IMAGES = 12
MISSING = 11  # the image whose file is not there


@dataclass(frozen=True)
class EvaluatedSet:
    """Where the files are, and what was printed."""

    ground_truth: Path
    detections: Path
    images: Path
    page: Path
    printed: str

    def matches(self) -> BoxMatches:
        """What the metrics make of the files."""
        ledger = Ledger(None)
        truth = read_coco_ground_truth(self.ground_truth, ledger.reject)
        ids = {name: class_id for class_id, name in truth.names_by_id.items()}
        found = read_given_detections(self.detections, ids, ledger.reject)
        boxes = BoxCollection(truth.names_by_id)
        for image in truth.detected_images(found):
            boxes.add(image.measured())
        return match_collection(boxes)


def make_evaluated_set(folder: Path, *more: str) -> EvaluatedSet:
    """Writes the files and the page."""
    chance = np.random.default_rng(7)
    images, annotations, results = [], [], []
    (folder / "images").mkdir()
    for number in range(NUM_IMAGES):
        name = f"room_{number:02d}.jpg"
        images.append({"id": number + 1, "file_name": name, "width": WIDTH, "height": HEIGHT})
        pixels = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        for _ in range(int(chance.integers(1, 5))):
            box, class_id = _box(chance), int(chance.choice(list(NAMES)))
            x, y, width, height = map(round, box)
            pixels[y : y + height, x : x + width] = chance.integers(120, 256, 3)
            annotations.append(_annotation(number, class_id, box, len(annotations)))
            for _ in range(
                int(chance.integers(0, 4))
            ):  # the object, badly placed, of another class, twice, or not at all
                moved = np.array(box) + chance.normal(0, 4, 4)
                other = int(chance.choice(list(NAMES))) if chance.random() < 0.3 else class_id
                results.append(_result(number, other, moved.tolist(), float(chance.random())))
        results += [_result(number, int(chance.choice(list(NAMES))), _box(chance), float(chance.random() / 2))]
        if number != MISSING:
            Image.fromarray(pixels).save(folder / "images" / name, quality=90)
    annotations.append({**_annotation(0, 1, [0, 0, WIDTH, 20], len(annotations)), "iscrowd": 1})
    categories = [{"id": class_id, "name": name} for class_id, name in NAMES.items()]
    truth = folder / "truth.json"
    truth.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    detections = folder / "detections.json"
    detections.write_text(json.dumps(results))
    page = folder / "page.html"
    words = ["--ground_truth_path", truth, "--from_detections", detections, "--report_path", page]
    words += ["--image_directory", folder / "images", "--eval_dir", folder / "eval", *more]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(list(map(str, words))) == 0
    return EvaluatedSet(truth, detections, folder / "images", page, printed.getvalue())


def _box(chance: np.random.Generator) -> list[float]:
    width, height = chance.uniform(15, 70), chance.uniform(15, 60)
    return [chance.uniform(0, WIDTH - width), chance.uniform(0, HEIGHT - height), width, height]


def _annotation(number: int, class_id: int, box: list[float], count: int) -> dict[str, Any]:
    return {
        "id": count + 1,
        "image_id": number + 1,
        "category_id": class_id,
        "bbox": box,
        "area": box[2] * box[3],
        "iscrowd": 0,
    }


def _result(number: int, class_id: int, box: list[float], score: float) -> dict[str, Any]:
    x, y, width, height = box
    return {
        "image_id": number + 1,
        "category_id": class_id,
        "bbox": [x, y, max(width, 5), max(height, 5)],
        "score": score,
    }
