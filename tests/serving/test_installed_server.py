"""The wheel with `[serve]`, installed into an empty environment, serves a model and is asked from there."""

from __future__ import annotations

import json
import queue
import re
import signal
import subprocess
import threading

import pytest

from tests.built_distributions import new_environment, wheel
from tests.serving.test_installed_client import run


@pytest.mark.slow
def test_the_wheel_with_serve_serves_loads_and_detects_without_a_checkout(encoded_model, image, tmp_path, free_port):
    requirement = f"object-detection-road[serve] @ {wheel().as_uri()}"
    programs = new_environment(tmp_path / "environment", requirement)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "photo.png").write_bytes(image((10, 8, 30, 40)))

    flags = ("--backend", "local", "--model_name", "detector", "--model_base_path", encoded_model, "--port", "0")
    words = [str(word) for word in (programs / "detection", "serve", *flags, "--rest_api_port", free_port)]
    process = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=lambda: [lines.put(line) for line in process.stdout], daemon=True)
    reader.start()
    try:
        said = ""
        while (ready := re.search(r"^ready: .* gRPC at (\S+)", said, re.MULTILINE)) is None:
            said += lines.get(timeout=300)
        server = ("--server", ready[1], "--model_name", "detector")
        done = run(folder, programs / "detection-client", *server, "--json", "photo.png")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[0])["detections"][0]["box_pixels"]["xmax"] == 30
        load = ("--concurrency", "1", "--max_requests", "5", ".")
        done = run(folder, programs / "detection", "load_test", *server, *load)
        assert done.returncode == 0 and "server MB" in done.stdout, done.stdout + done.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        reader.join(30)
        process.stdout.close()

    code = f"from serving.local_detector import LocalDetector as D; d = D({str(encoded_model / '1')!r}); "
    code += "print(round(d.detect('photo.png').detections[0].box_pixels[3]))"
    done = run(folder, programs / "python", "-c", code)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "30", done.stdout + done.stderr
