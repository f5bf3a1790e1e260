"""`kill -9` of a server with TensorFlow in it, under load: the client sends again, and loses no image."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
IMAGES = 400


@pytest.mark.slow
def test_a_killed_server_that_comes_back_costs_retries_not_results(start_server, write_model, image, tmp_path):
    write_model(tmp_path / "base" / "1", busy_seconds=0.05)
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(IMAGES):
        (folder / f"{index:03}.png").write_bytes(image((index % 40, 5, index % 40 + 10, 20)))
    results = tmp_path / "out" / "results.jsonl"
    with contextlib.ExitStack() as servers:
        server = servers.enter_context(start_server(tmp_path / "base"))
        flags = ["--server", server.address, "--model_name", "detector", str(folder), "--max_in_flight", "8"]
        flags += ["--json_lines_path", str(results), "--timeout_seconds", "240"]
        client = subprocess.Popen(
            [sys.executable, "-m", "serving.client", *flags],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            for line in client.stdout:  # the table grows: it is at work
                if "040.png" in line:
                    break
            for _ in range(2):
                os.kill(server.process.pid, signal.SIGKILL)
                server.process.wait(30)
                server = servers.enter_context(start_server(tmp_path / "base", port=server.port))
                time.sleep(1.0)
            rest = client.stdout.read()
            assert client.wait(60) == 0, rest
        finally:
            client.kill()
            client.wait(30)
            client.stdout.close()
    summary = rest.splitlines()[-1]
    assert summary.startswith(f"{IMAGES} of {IMAGES} images answered") and "requests sent again" in summary
    found = [json.loads(line) for line in results.read_text().splitlines()]
    assert [Path(entry["image"]).name for entry in found] == [f"{index:03}.png" for index in range(IMAGES)]
    assert [entry["detections"][0]["box_pixels"]["xmin"] for entry in found] == pytest.approx(
        [index % 40 for index in range(IMAGES)], abs=0.01
    )
