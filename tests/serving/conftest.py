"""A tiny SavedModel of the detectors' contract, images to ask about, and real server processes."""

from __future__ import annotations

import contextlib
import io
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from data_prep.runtime.command_line import run_command
from serving.local_server import LocalServer

REPOSITORY = Path(__file__).resolve().parents[2]
SECONDS_TO_START = 300
LABEL_MAP = """item { id: 1 name: "/m/red" display_name: "Red thing" }
item { id: 2 name: "/m/other" display_name: "Second version's thing" }
"""


def write_red_box_model(
    folder: Path, *, class_id: int = 1, input_type: str = "encoded_image_string_tensor", busy_seconds: float = 0.0
) -> Path:
    """Writes a SavedModel that answers the bounding box of each image's red pixels, computed from the pixels.

    Args:
        folder: Where.
        class_id: What class it says they are, so that versions can be told apart.
        input_type: `encoded_image_string_tensor` or `image_tensor`.
        busy_seconds: How long it takes for a request.
    """
    import tensorflow as tf
    from tensorflow.python.data.experimental.ops.testing import sleep

    def red_box(image):
        red = (image[..., 0] > 150) & (image[..., 1] < 100) & (image[..., 2] < 100)
        rows, columns = tf.where(tf.reduce_any(red, 1))[:, 0], tf.where(tf.reduce_any(red, 0))[:, 0]
        size = tf.cast(tf.shape(image)[:2], tf.float32)

        def some():
            corners = [tf.reduce_min(rows), tf.reduce_min(columns), tf.reduce_max(rows) + 1, tf.reduce_max(columns) + 1]
            return tf.cast(tf.stack(corners), tf.float32) / tf.concat([size, size], 0), tf.constant(0.9)

        box, score = tf.cond(tf.size(rows) > 0, some, lambda: (tf.zeros([4]), tf.constant(0.0)))
        return tf.stack([box, tf.zeros([4])]), tf.stack([score, 0.1])

    def answer(boxes, scores):
        classes = tf.ones_like(scores) * float(class_id)
        if busy_seconds:  # asleep, since a loop would take the time from whoever asks
            nothing = tf.data.Dataset.range(0).apply(sleep(int(busy_seconds * 1_000_000)))  # once, before its end
            scores += tf.cast(nothing.reduce(tf.constant(0, tf.int64), tf.maximum), tf.float32)
        return {
            "detection_boxes": boxes,
            "detection_scores": scores,
            "detection_classes": classes,
            "num_detections": tf.reduce_sum(tf.cast(scores > 0.05, tf.float32), 1),
        }

    outputs = (tf.TensorSpec([2, 4], tf.float32), tf.TensorSpec([2], tf.float32))

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="input_tensor")])
        def encoded(self, input_tensor):
            def one(photo):
                return red_box(tf.io.decode_image(photo, channels=3, expand_animations=False))

            return answer(*tf.map_fn(one, input_tensor, fn_output_signature=outputs))

        @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8, name="input_tensor")])
        def pixels(self, input_tensor):
            return answer(*tf.map_fn(red_box, input_tensor, fn_output_signature=outputs))

    model = Model()
    function = model.pixels if input_type == "image_tensor" else model.encoded
    tf.saved_model.save(model, str(folder), signatures={"serving_default": function})
    return folder


def encoded_image(
    red_box_xyxy: tuple[int, int, int, int] | None, size: tuple[int, int] = (64, 48), format: str = "PNG"
) -> bytes:
    """Encodes a grey image of `size` (width, height) with a red rectangle, given as left, top, right, bottom."""
    image = Image.new("RGB", size, (120, 120, 120))
    if red_box_xyxy is not None:
        left, top, right, bottom = red_box_xyxy
        ImageDraw.Draw(image).rectangle((left, top, right - 1, bottom - 1), fill=(230, 10, 10))
    encoded = io.BytesIO()
    image.save(encoded, format, **({"quality": 95} if format == "JPEG" else {}))
    return encoded.getvalue()


@dataclass
class ServerProcess:
    """`python -m serving.serve --backend local` in a process of its own."""

    process: subprocess.Popen
    lines: list[str] = field(default_factory=list)
    port: int = 0
    _queue: queue.Queue = field(default_factory=queue.Queue)

    @property
    def address(self) -> str:
        return f"localhost:{self.port}"

    def wait_for_line(self, pattern: str, seconds: float = SECONDS_TO_START) -> str:
        """Returns the first line of its output, from now on, that has `pattern` in it."""
        end = time.monotonic() + seconds
        while True:
            try:
                line = self._queue.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {pattern!r} within {seconds} s in:\n" + "".join(self.lines)) from None
            if line is None:
                raise AssertionError(f"the server ended before {pattern!r}:\n" + "".join(self.lines))
            if re.search(pattern, line):
                return line

    def read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line)
            self._queue.put(line)
        self._queue.put(None)


def environment() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    return {**own, "TF_NUM_INTRAOP_THREADS": "1", "PYTHONUNBUFFERED": "1"}


@contextlib.contextmanager
def serve(
    base_path: Path | None, *flags: str, model_name: str | None = "detector", port: int = 0
) -> Iterator[ServerProcess]:
    """Starts a server process and yields it when it is ready; without a base path, `flags` say what it serves."""
    command = [sys.executable, "-m", "serving.serve", "--backend", "local", "--port", str(port), *flags]
    if base_path is not None and model_name is not None:
        command += ["--model_name", model_name, "--model_base_path", str(base_path)]
    process = subprocess.Popen(
        command, cwd=REPOSITORY, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    server = ServerProcess(process)
    reader = threading.Thread(target=server.read, daemon=True)
    reader.start()
    try:
        ready = server.wait_for_line(r"^ready: ")
        server.port = int(ready.rsplit(":", 1)[1])
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait(30)
        reader.join(30)
        process.stdout.close()


@pytest.fixture(scope="session")
def start_server() -> Callable[..., contextlib.AbstractContextManager[ServerProcess]]:
    return serve


@pytest.fixture(scope="session")
def image() -> Callable[..., bytes]:
    return encoded_image


@pytest.fixture(scope="session")
def write_model() -> Callable[..., Path]:
    return write_red_box_model


@pytest.fixture(scope="session")
def encoded_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base path with version 1 of a model that takes encoded images."""
    base_path = tmp_path_factory.mktemp("encoded")
    write_red_box_model(base_path / "1")
    return base_path


@pytest.fixture(scope="session")
def pixel_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base path with version 1 of a model that takes one image's pixels."""
    base_path = tmp_path_factory.mktemp("pixels")
    write_red_box_model(base_path / "1", input_type="image_tensor")
    return base_path


@pytest.fixture(scope="session")
def server(encoded_model: Path) -> Iterator[ServerProcess]:
    """A server of `encoded_model`, called `detector`, for all tests that leave it as it is."""
    with serve(encoded_model, "--max_message_mebibytes", "64") as process:
        yield process


@pytest.fixture(scope="session")
def pixel_server(pixel_model: Path) -> Iterator[LocalServer]:
    """A server of `pixel_model`, called `pixels`, in this process."""
    with LocalServer.of_model("pixels", pixel_model) as local_server:
        yield local_server


@pytest.fixture
def run_words(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[Any, str, str]]:
    """Returns a function that runs a command's `main` and returns its exit code, output and error output."""

    def call(main: Callable[[Sequence[str] | None], int], *words: object) -> tuple[Any, str, str]:
        with pytest.raises(SystemExit) as exit_:
            run_command(main, [str(word) for word in words])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return exit_.value.code, captured.out, captured.err

    return call


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("localhost", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture
def label_map_path(tmp_path: Path) -> Path:
    path = tmp_path / "label_map.pbtxt"
    path.write_text(LABEL_MAP, encoding="utf-8")
    return path


@pytest.fixture
def red_pixels() -> Callable[[bytes], np.ndarray]:
    return lambda encoded: np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))
