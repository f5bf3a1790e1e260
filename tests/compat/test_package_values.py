"""Every function of the package gives what the API's own gives, where its package is at hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import FASTER_RCNN_CONFIG, RUN_CONFIG, SSD_CONFIG

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("package_values.py")
LABEL_MAPS = {
    "plain": "item { id: 1 name: 'cat' } item { id: 2 name: 'dog' }",
    "displayed": "item { id: 1 name: '/m/01' display_name: 'Cat' } item { id: 3 name: '/m/03' display_name: 'Dog' }",
    "display_only": "item { id: 1 display_name: 'cat' } item { id: 2 display_name: 'dog' }",
    "background": "item { id: 0 display_name: 'background' } item { id: 1 name: 'cat' }",
    "zero": "item { id: 0 name: 'cat' }",
    "twice": "item { id: 1 name: 'cat' } item { id: 1 name: 'dog' } item { id: 2 name: 'cow' }",
    "lvis": "item { id: 1 name: 'cat' frequency: COMMON instance_count: 4 keypoints { id: 2 label: 'ear' } }",
}
KINDS = ("boxes", "tensors", "fields", "annotations", "label maps", "configs", "messages")


def run(package: Path, folder: Path) -> dict[str, Any]:
    """The script's values with one package on the path; the API's generated modules need protobuf in Python."""
    environment = os.environ | {
        "PYTHONPATH": str(package),
        "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    done = subprocess.run(
        [sys.executable, SCRIPT, folder], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[dict[str, Any], dict[str, Any]]:
    named = os.environ.get("OBJECT_DETECTION_API_PATH")
    if not named:
        pytest.skip("no OBJECT_DETECTION_API_PATH: the package of the Object Detection API")
    folder = tmp_path_factory.mktemp("inputs")
    for name, text in LABEL_MAPS.items():
        (folder / f"{name}.pbtxt").write_text(text)
    (folder / "ssd.config").write_text(SSD_CONFIG + RUN_CONFIG)
    schedule = "cosine_decay_learning_rate { learning_rate_base: 0.2 warmup_learning_rate: 0.1 total_steps: 9 }"
    cosine = RUN_CONFIG.replace("constant_learning_rate { learning_rate: 0.01 }", schedule)
    assert cosine != RUN_CONFIG
    (folder / "faster_rcnn.config").write_text(FASTER_RCNN_CONFIG + cosine)
    return run(ROOT / "compat", folder), run(Path(named).resolve(), folder)


def differences(found: Any, expected: Any, path: str = "") -> list[str]:
    """Where two values differ by more than the rounding of float32."""
    if isinstance(expected, dict) and isinstance(found, dict):
        keys = sorted(found.keys() | expected.keys())
        return [line for key in keys for line in differences(found.get(key), expected.get(key), f"{path}/{key}")]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(found, expected, strict=True))
        return [line for index, (one, other) in pairs for line in differences(one, other, f"{path}/{index}")]
    if isinstance(expected, float) and isinstance(found, float):
        is_same = found == pytest.approx(expected, rel=1e-5, abs=1e-6, nan_ok=True)
    else:
        is_same = found == expected
    return [] if is_same else [f"{path}: {found!r}, and the API's {expected!r}"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_package_gives_is_what_the_apis_gives(both, kind):
    ours, theirs = both
    assert not (found := differences(ours[kind], theirs[kind])), "\n".join(found[:20])
