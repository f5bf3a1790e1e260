"""The wheel, installed alone into an empty environment, asks a real server from there, and is type-checked there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.built_distributions import new_environment, wheel

MAX_MEGABYTES = 150
PROGRAM = """
import io
import sys

import numpy as np
from PIL import Image

from serving.client_library.detection_client import DetectionClient
from serving.client_library.detections import ImageDetections


def ask(address: str, path: str) -> list[ImageDetections]:
    with open(path, "rb") as file:
        content = file.read()
    image = Image.open(io.BytesIO(content)).convert("RGB")
    with DetectionClient(address, "detector", min_score=0.5) as client:
        return [client.detect(path), client.detect(content), client.detect(image), client.detect(np.asarray(image))]


if __name__ == "__main__":
    for found in ask(sys.argv[1], sys.argv[2]):
        (detection,) = found.detections
        print([round(side) for side in detection.box_pixels], found.draw(sys.argv[2]).size)
    print([name for name in sys.modules if name in ("tensorflow", "tensorflow_serving", "pandas", "cv2")])
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> Path:
    """The folder of programs of an environment with nothing but the wheel and its base."""
    return new_environment(tmp_path_factory.mktemp("base") / "environment", wheel())


def run(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(word) for word in words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def photograph(tmp_path, image) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(image((10, 8, 30, 40)))
    return path


def test_the_base_is_small(programs):
    files = [path for path in programs.parent.rglob("*") if path.is_file() and not path.is_symlink()]
    assert sum(path.stat().st_size for path in files) < MAX_MEGABYTES * 1e6


def test_a_program_of_somebody_elses_asks_a_server(programs, server, photograph, tmp_path):
    (tmp_path / "ask.py").write_text(PROGRAM)
    done = run(tmp_path, programs / "python", "ask.py", server.address, photograph)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[8, 10, 40, 30] (64, 48)"] * 4 + ["[]"]


def test_the_command_asks_a_server(programs, server, photograph, tmp_path):
    flags = ("--server", server.address, "--model_name", "detector", "--json", photograph)
    for command in ([programs / "detection-client"], [programs / "detection", "client"]):
        done = run(tmp_path, *command, *flags)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[0])["detections"][0]["box_pixels"]["xmax"] == 30


@pytest.mark.parametrize(
    ("command", "package", "extra"),
    [
        ("serving.load_test", "requests", "serve"),
        ("train.evaluate", "pycocotools", "train"),
        ("train.check_gpu", "tensorflow", "train"),
        ("data_prep.process_metadata", "google-crc32c", "train"),
    ],
)
def test_a_missing_extra_is_named_in_one_line(programs, tmp_path, command, package, extra):
    line = f"error: {command} needs the package {package}, which is not installed; "
    line += f"pip install 'object-detection-road[{extra}]'\n"
    for words in ([programs / "python", "-m", command], [programs / "detection", command]):
        done = run(tmp_path, *words)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", line)


def test_the_recipes_and_the_schema_are_installed(programs, tmp_path):
    done = run(tmp_path, programs / "detection", "check", "--help")
    assert done.returncode == 0, done.stderr
    folder = run(tmp_path, programs / "python", "-c", "import configs; print(configs.__path__[0])").stdout.strip()
    recipe = Path(folder) / "ssd_efficientnet-lite0_fpn_320.config"
    done = run(tmp_path, programs / "detection", "show", "--no_model", recipe)
    assert done.returncode == 0, done.stderr
    assert 'type: "ssd_efficientnet-lite0_fpn_keras"' in done.stdout


def test_mypy_reads_the_installed_types(programs, tmp_path):
    pytest.importorskip("mypy", reason="mypy is not installed (requirements-dev.txt)")
    mypy = (sys.executable, "-m", "mypy", "--python-executable", programs / "python", "--cache-dir", tmp_path / "cache")
    (tmp_path / "ask.py").write_text(PROGRAM)
    done = run(tmp_path, *mypy, "--strict", "ask.py")
    assert done.returncode == 0, done.stdout + done.stderr
    (tmp_path / "wrong.py").write_text(PROGRAM + '\nDetectionClient(8500, "detector").detect("a.jpg").width.upper()\n')
    done = run(tmp_path, *mypy, "wrong.py")
    assert "arg-type" in done.stdout, done.stdout
    assert "attr-defined" in done.stdout, done.stdout


@pytest.mark.slow  # TensorFlow: 2 GB
def test_the_extra_serve_serves_and_detects_in_ones_own_process(encoded_model, photograph, tmp_path, free_port):
    programs = new_environment(tmp_path / "environment", f"object-detection-road[serve] @ {wheel().as_uri()}")
    code = "from serving.local_detector import LocalDetector as L; import sys; "
    code += "print(L(sys.argv[1]).detect(sys.argv[2]).detections[0].box_pixels.xmax)"
    done = run(tmp_path, programs / "python", "-c", code, encoded_model, photograph)
    assert done.stdout.strip() == "30.0", done.stderr
    flags = ("--model_name", "detector", "--model_base_path", encoded_model, "--port", free_port, "--rest_api_port", 0)
    command = [str(word) for word in (programs / "detection-serve", "--backend", "local", *flags)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        try:
            address = ("--server", f"localhost:{free_port}", "--model_name", "detector", "--max_retries", 60)
            done = run(tmp_path, programs / "detection-client", *address, "--json", photograph)
            assert json.loads(done.stdout.splitlines()[0])["detections"][0]["box_pixels"]["xmax"] == 30, done.stderr
        finally:
            process.kill()
