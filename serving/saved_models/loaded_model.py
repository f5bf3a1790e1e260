"""A SavedModel in memory, run through a session as TensorFlow Serving's C++ server runs it."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from serving.client_library.image_requests import INPUT_NAME
from serving.saved_models.status_errors import StatusError, code_of_number, invalid_argument

MAX_WARM_UP_RECORDS = 1000  # TensorFlow Serving's limit
WARM_UP_PATH = Path("assets.extra") / "tf_serving_warmup_requests"
# What TensorFlow's decoders go by. Bytes that begin otherwise reach no decoder: they may be a tf.Example, for instance.
IMAGE_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"RIFF")

_NODE_NAMES = re.compile(r"\{\{[^}]*\}\}\s*")
_DECORATION = re.compile(r"^\(\d+\) [A-Z_ ]+: | \[Op:\w+\]")
_LINES_OF_NO_USE = (
    *("Graph execution error", "Detected at node", "Node: ", "<stack traces", "File "),
    *("[[", "1 root", "2 root"),
)
_LOADING_ERRORS = (
    OSError,
    tf.errors.OpError,
    DecodeError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    RuntimeError,
    MemoryError,
)


class ModelLoadError(Exception):
    """A version that cannot be loaded; the message is one line.

    Attributes:
        code: The gRPC status code that says it best.
    """

    def __init__(self, message: str, code: grpc.StatusCode = grpc.StatusCode.UNKNOWN) -> None:
        super().__init__(" ".join(message.split())[:500])
        self.code = code


class LoadedModel:
    """A SavedModel in a session of its own.

    Attributes:
        version: Its number.
        signatures: Signature name -> SignatureDef, as GetModelMetadata reports them.
    """

    def __init__(
        self,
        version: int,
        path: Path,
        *,
        intra_op_threads: int = 0,
        inter_op_threads: int = 0,
        hide_gpus: bool = False,
    ) -> None:
        """Loads the SavedModel; what it needs of the graph's variables is in memory when this returns.

        Args:
            version: Its number.
            path: The folder that holds `saved_model.pb`.
            intra_op_threads: Threads of one op; 0 leaves it to TensorFlow.
            inter_op_threads: Ops at the same time; 0 leaves it to TensorFlow.
            hide_gpus: Run on the CPU, whatever else there is.

        Raises:
            ModelLoadError: It cannot be loaded.
        """
        self.version = version
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=intra_op_threads,
            inter_op_parallelism_threads=inter_op_threads,
            device_count={"GPU": 0} if hide_gpus else {},
        )
        self._lock = threading.Lock()
        self._running = 0
        self._closing = False
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        try:
            with self._session.graph.as_default():
                meta_graph = tf.compat.v1.saved_model.load(self._session, [tf.saved_model.SERVING], str(path))
        except _LOADING_ERRORS as error:
            self._session.close()
            code = code_of_number(error.error_code) if isinstance(error, tf.errors.OpError) else grpc.StatusCode.UNKNOWN
            raise ModelLoadError(f"{path} cannot be loaded: {_first_line(error)}", code) from error
        self.signatures = {
            name: signature
            for name, signature in meta_graph.signature_def.items()
            if not name.startswith("__saved_model_")  # how TensorFlow keeps its initialisers, not for people to call
        }

    def run(
        self,
        signature: Any,
        inputs: dict[str, np.ndarray],
        output_names: list[str],
        *,
        timeout_seconds: float | None = None,
    ) -> dict[str, np.ndarray]:
        """Runs one of the signatures; any number of threads may at the same time.

        Args:
            signature: One of `signatures`' values.
            inputs: Input name -> array, checked against it.
            output_names: Which of its outputs to compute.
            timeout_seconds: TensorFlow stops working on it after this; None never.

        Returns:
            Output name -> array.

        Raises:
            StatusError: INVALID_ARGUMENT with the position of an image that does not decode, DEADLINE_EXCEEDED, or
                what else TensorFlow's error says.
        """
        options = None
        if timeout_seconds is not None:
            options = tf.compat.v1.RunOptions(timeout_in_ms=max(1, int(timeout_seconds * 1000)))
        with self._lock:
            if self._closing:
                raise StatusError(grpc.StatusCode.UNAVAILABLE, f"version {self.version} is no longer loaded")
            self._running += 1
        try:
            return self._session.run(
                {name: signature.outputs[name].name for name in output_names},
                {signature.inputs[name].name: array for name, array in inputs.items()},
                options=options,
            )
        except tf.errors.InvalidArgumentError as error:
            raise invalid_argument(_broken_images(inputs) or _first_line(error)) from error
        except (ValueError, TypeError) as error:  # what a session says of an array that it cannot be fed
            raise invalid_argument(_first_line(error)) from error
        except tf.errors.OpError as error:
            raise StatusError(code_of_number(error.error_code), _first_line(error)) from error
        finally:
            with self._lock:
                self._running -= 1
                last = self._closing and not self._running
            if last:
                self._session.close()

    def warm_up_requests(self, path: Path) -> list[bytes]:
        """Reads the serialised PredictionLogs of a version's warm-up file; none if there is no file.

        Raises:
            ModelLoadError: It is not a TFRecord file, or has more than 1000 records.
        """
        file = path / WARM_UP_PATH
        if not file.is_file():
            return []
        records = tf.data.TFRecordDataset(str(file)).take(MAX_WARM_UP_RECORDS + 1)
        try:
            found = list(records.as_numpy_iterator())
        except tf.errors.OpError as error:
            raise ModelLoadError(f"{file} cannot be read: {_first_line(error)}", grpc.StatusCode.DATA_LOSS) from error
        if len(found) > MAX_WARM_UP_RECORDS:
            raise ModelLoadError(f"{file} has more than {MAX_WARM_UP_RECORDS} records")
        return found

    def close(self) -> None:
        """Frees what the version holds, once its running requests, also those of disconnected callers, have ended."""
        with self._lock:
            self._closing = True
            unused = not self._running
        if unused:
            self._session.close()


def _first_line(error: BaseException) -> str:
    """Returns the line of TensorFlow's message that says what was wrong, without where in the graph that was."""
    text = str(error.message) if isinstance(error, tf.errors.OpError) else str(error)
    lines = [line.strip() for line in _NODE_NAMES.sub("", text).splitlines()]
    telling = [_DECORATION.sub("", line) for line in lines if line and not line.startswith(_LINES_OF_NO_USE)]
    return telling[0] if telling else type(error).__name__


@functools.cache
def _decoder() -> Callable[[bytes], Any]:
    """Returns what decodes an encoded image as the models do.

    In a session: run eagerly, every image that does not decode leaves an object behind in TensorFlow 2.20, which
    splits the memory that was freed, so that a server grew by 0.6 MB with each.
    """
    with tf.Graph().as_default():
        encoded = tf.compat.v1.placeholder(tf.string, [])
        # A shape in place of the pixels: they need not become an array.
        size = tf.shape(tf.io.decode_image(encoded, channels=3, expand_animations=False))
        session = tf.compat.v1.Session(config=tf.compat.v1.ConfigProto(device_count={"GPU": 0}))
    return session.make_callable(size, [encoded])


def _broken_images(inputs: dict[str, np.ndarray]) -> str:
    """Says which encoded images TensorFlow cannot decode; the graph's own error does not say where they stand."""
    images = inputs.get(INPUT_NAME)
    if images is None or images.dtype != object:
        return ""
    broken: dict[int, str] = {}
    decode = _decoder()
    candidates = images.ravel().tolist()
    for position, image in enumerate(candidates):
        try:
            decode(image)
        except tf.errors.InvalidArgumentError as error:
            broken[position] = _first_line(error)
    if len(broken) == len(candidates) and not any(image.startswith(IMAGE_BEGINNINGS) for image in candidates):
        return ""  # it may not be images that this model takes
    return "; ".join(f"{INPUT_NAME}[{position}] does not decode: {why}" for position, why in broken.items())
