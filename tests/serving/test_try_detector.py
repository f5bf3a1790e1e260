"""From a name of the zoo to drawn detections: a small detector's archive on a server, and all commands for real."""

from __future__ import annotations

import dataclasses
import functools
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from configs.schema.pipeline_file import parse_pipeline_config
from data_prep.runtime.command_line import UsageError
from export.parity_images import generated_images
from serving.try_detector import main
from tests.small_models import build_detector
from tests.train.importing.small_detector import SHAPE
from train.checkpoints.api_export import write_api_checkpoint
from train.checkpoints.detection_zoo import zoo_model
from train.checkpoints.tensorflow_1.frozen_graph import GraphFacts
from train.importing.ssd_config import config_text

REPOSITORY = Path(__file__).resolve().parents[2]
NAME = "ssd_mobilenet_v2_320x320_coco17_tpu-8"


@pytest.fixture
def zoo(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """A server of one archive: its address, and the requests that it got."""
    model = tmp_path / "made"
    model.mkdir()
    shape = dataclasses.replace(SHAPE, num_classes=90)
    text, _ = config_text(shape, GraphFacts(image_size=(96, 96)), header=(), folder="PATH_TO_BE_CONFIGURED")
    (model / "pipeline.config").write_text(text)
    write_api_checkpoint(build_detector(parse_pipeline_config(text)).network, model)
    archive = tmp_path / "site" / urlsplit(zoo_model(NAME).url("http://zoo")).path.lstrip("/")
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(model, NAME)
    requests: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *values: object) -> None:
            requests.append(self.requestline)

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(tmp_path / "site")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", requests
    server.shutdown()
    server.server_close()


def test_a_name_of_the_zoo_ends_in_drawn_images_and_a_second_run_only_asks(zoo, tmp_path):
    address, requests = zoo
    (tmp_path / "photograph.jpg").write_bytes(generated_images()[0].encoded)
    command = [sys.executable, "-m", "serving.try_detector", NAME, str(tmp_path / "photograph.jpg")]
    command += ["--base_url", address, "--output_directory", str(tmp_path / "tried"), "--min_score", "0"]

    def run() -> str:
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "fork" not in done.stderr
        return done.stdout

    said = run()
    steps = ["train.fetch_zoo_checkpoint", "export.export_saved_model", "serving.client"]
    assert [f"({step})" in said for step in steps] == [True] * 3
    assert "class names: COCO's" in said and "1 of 1 images answered" in said
    (drawn,) = (tmp_path / "tried" / "drawn").iterdir()
    assert drawn.read_bytes()[:2] == b"\xff\xd8"
    assert (tmp_path / "tried" / "serving_models" / "1" / "saved_model.pb").is_file()
    requests.clear()
    again = run()
    assert not requests and [f"({step})" in again for step in steps] == [False, False, True]


@pytest.mark.parametrize(
    ("model", "image", "message"),
    [
        (NAME, "nowhere.jpg", r"no such image: nowhere\.jpg"),
        ("empty", "photograph.jpg", r"empty: holds no pipeline\.config and checkpoint/"),
        ("ssd_of_nobody", "photograph.jpg", "ssd_of_nobody"),
    ],
)
def test_a_mistake_is_told_before_anything_is_fetched(tmp_path, monkeypatch, model, image, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photograph.jpg").write_bytes(generated_images()[0].encoded)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=message):
        main([model, image])
