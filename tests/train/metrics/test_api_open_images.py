"""Open Images metrics against the Object Detection API's own evaluators, on random images; of its package, a process.

The package is named by OBJECT_DETECTION_API_PATH (tests/configs/schema/test_descriptors.py says how it comes there).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.train.metrics.test_class_hierarchy import HIERARCHY, NAMES
from tests.train.metrics.test_open_images import random_images
from train.metrics.open_images import open_images_challenge, open_images_v2

_SCRIPT = """
import json, sys
import numpy as np
np.float, np.int, np.object = float, int, object  # names that NumPy had when it was written
from object_detection.core.standard_fields import DetectionResultFields as D, InputDataFields as G
from object_detection.utils import object_detection_evaluation as oid
given = json.load(open(sys.argv[1]))
for kind in (oid.OpenImagesDetectionEvaluator, oid.OpenImagesDetectionChallengeEvaluator):
    evaluator = kind(given["categories"])
    for number, one in enumerate(given["images"]):
        boxes = lambda name: np.array(one[name + "_boxes"], np.float32).reshape(-1, 4)
        evaluator.add_single_ground_truth_image_info(str(number), {
            G.groundtruth_boxes: boxes("groundtruth"),
            G.groundtruth_classes: np.array(one["groundtruth_classes"], int),
            G.groundtruth_group_of: np.array(one["groundtruth_group_of"], bool),
            G.groundtruth_image_classes: np.array(one["verified_class_ids"], int)})
        evaluator.add_single_detected_image_info(str(number), {
            D.detection_boxes: boxes("detection"),
            D.detection_scores: np.array(one["detection_scores"], np.float32),
            D.detection_classes: np.array(one["detection_classes"], int)})
    print(json.dumps({name: float(value) for name, value in evaluator.evaluate().items()}))
"""
_FIELDS = ("groundtruth_boxes", "groundtruth_classes", "groundtruth_group_of", "verified_class_ids",
           "detection_boxes", "detection_scores", "detection_classes")  # fmt: skip


@pytest.mark.slow
def test_random_images_along_a_hierarchy_have_the_apis_values(tmp_path: Path):
    named = os.environ.get("OBJECT_DETECTION_API_PATH")
    if not named:
        pytest.skip("no OBJECT_DETECTION_API_PATH: the package of the Object Detection API")
    random = np.random.default_rng(0)
    images = random_images(random, 150, list(NAMES))
    for number, one in enumerate(images):
        verified = np.flatnonzero(random.random(5)[1:] < 0.5).astype(np.int32) + 1
        # The API's challenge takes an image without verified classes for one in which nobody looked.
        images[number] = HIERARCHY.expanded(type(one)(**{**vars(one), "verified_class_ids": verified}))
    given = {
        "categories": [{"id": class_id, "name": name} for class_id, name in NAMES.items()],
        "images": [{name: getattr(one, name).tolist() for name in _FIELDS} for one in images],
    }
    (tmp_path / "given.json").write_text(json.dumps(given))
    words = [sys.executable, "-c", _SCRIPT, str(tmp_path / "given.json")]
    # Its messages were generated for protobuf 3.
    environment = {**os.environ, "PYTHONPATH": named, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
    done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = [json.loads(line) for line in done.stdout.splitlines()[-2:]]
    ours = [open_images_v2(NAMES), open_images_challenge(NAMES, image_classes_field_map_empty_to_ones=False)]
    for metric, expected in zip(ours, theirs, strict=True):
        for one in images:
            metric.add(one)
        found = metric.evaluate()
        same = [name for name in found if name in expected]
        assert len(same) == 1 + len(NAMES)
        for name in same:
            assert found[name] == pytest.approx(expected[name], abs=1e-6, nan_ok=True), name
        assert 0.1 < found[metric.mean_name] < 0.95
