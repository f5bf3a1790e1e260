"""Warm-up requests, which TensorFlow Serving runs through a version before it serves it.

A session optimises its graph when a signature is first asked, and cuDNN chooses algorithms for each new batch size; the
caller that comes first waits for that. `assets.extra/tf_serving_warmup_requests` has it done while the version loads:
a TFRecord file of PredictionLogs, of which one that fails keeps the version from being served. So all of them are
replayed here, from the bytes of the file and through a session as a C++ server has it, before the file gets its name.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from PIL import Image
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from data_prep.images.image_file import fitted_size
from data_prep.records.record_files import CorruptRecordError, RecordWriter, read_record_file
from data_prep.runtime.atomic_files import atomic_path
from data_prep.runtime.command_line import UsageError, UserError
from export.parity_images import SampleImage
from export.signatures import IMAGE_RESIZER, OUTPUT_NAMES

WARMUP_PATH = Path("assets.extra") / "tf_serving_warmup_requests"
DEFAULT_BATCH_SIZES = (1, 2, 3, 4)  # what batching allows on a CPU by default
MAX_RECORDS = 1000  # TensorFlow Serving refuses more
MAX_FILE_BYTES = 256 << 20  # read while the version loads
# Requests of pixels are made from images of at most this side: a file of them would be as large as a model.
MAX_PIXEL_SIDE = 640
_STRING_INPUTS = ("encoded_image_string_tensor", "tf_example")
_PIXEL_INPUTS = {tf.uint8: "image_tensor", tf.float32: "float_image_tensor"}


@dataclasses.dataclass(frozen=True)
class ReplayedRequest:
    """A warm-up request that was answered.

    Attributes:
        signature: Which one was asked.
        batch_size: Images in it.
        num_outputs: Outputs that were asked for.
        first_seconds: How long it took.
        again_seconds: How long the same took after it.
    """

    signature: str
    batch_size: int
    num_outputs: int
    first_seconds: float
    again_seconds: float


@dataclasses.dataclass(frozen=True)
class WarmupReport:
    """Contents and effects of a warm-up file.

    Attributes:
        path: Of the file.
        num_bytes: Its size.
        requests: In the file's order.
    """

    path: Path
    num_bytes: int
    requests: tuple[ReplayedRequest, ...]

    def summary(self) -> str:
        """One line for people."""
        signatures = sorted({request.signature for request in self.requests})
        sizes = sorted({request.batch_size for request in self.requests})
        first, again = (sum(getattr(r, name) for r in self.requests) for name in ("first_seconds", "again_seconds"))
        return (
            f"{len(self.requests)} warm-up requests ({', '.join(signatures)}; batches of "
            f"{', '.join(map(str, sizes))}; {self.num_bytes / 1e6:.1f} MB) replayed: {first:.2f} s at first, "
            f"{again:.2f} s once warm"
        )


def write_warmup(
    saved_model_dir: Path,
    images: Sequence[SampleImage],
    *,
    batch_sizes: Sequence[int] = DEFAULT_BATCH_SIZES,
    model_name: str = "detector",
    signatures: Sequence[str] = (),
    input_types: Mapping[str, str] | None = None,
) -> WarmupReport:
    """Writes a SavedModel's warm-up file, once all its requests have been replayed.

    Args:
        saved_model_dir: The folder with `saved_model.pb`.
        images: What the requests hold, in turn; those of a batch of strings have sizes of their own.
        batch_sizes: A request of each for every signature: all that batching allows, or 1 where it is off.
        model_name: As the requests call it; servers do not look at it.
        signatures: Which ones; all that take images where none is named.
        input_types: What each signature takes, as in `--input_type`; found out by asking where not given.

    Raises:
        UserError: A signature takes something else than images, a request fails, or the file would be too large;
            what was there before stays.
        UsageError: No such signature, or no batch size.
    """
    if not images or not batch_sizes or min(batch_sizes) < 1:
        raise UsageError("warm-up needs images, and batch sizes from 1")
    for image in images:
        image.pixels()  # says by name what does not decode, where a request would only fail
    with _Session(saved_model_dir) as session:
        chosen = _chosen(session.signatures, signatures)
        kinds = {name: (input_types or {}).get(name) or session.input_type(name, images) for name in chosen}
        path = saved_model_dir / WARMUP_PATH
        with atomic_path(path) as temporary:
            _write(temporary, _logs(session.signatures, kinds, images, sorted(set(batch_sizes)), model_name))
            report = replay_warmup(saved_model_dir, temporary)
    return dataclasses.replace(report, path=path)


def replay_warmup(saved_model_dir: Path, path: Path | None = None) -> WarmupReport:
    """Runs a warm-up file as TensorFlow Serving does when it loads the version, each request twice.

    Args:
        saved_model_dir: The folder with `saved_model.pb`.
        path: The file; by default the one that TensorFlow Serving looks for.

    Raises:
        UserError: There is no such file, it has no record or too many, or one of them fails.
    """
    path = path or saved_model_dir / WARMUP_PATH
    if not path.is_file():
        raise UserError(f"there is no {path}")
    replayed: list[ReplayedRequest] = []
    with _Session(saved_model_dir) as session:
        try:
            for number, record in enumerate(read_record_file(str(path))):
                if number == MAX_RECORDS:
                    raise UserError(f"{path} has more than {MAX_RECORDS} records, which TensorFlow Serving refuses")
                replayed.append(session.replay(record, f"{path}, record {number}"))
        except CorruptRecordError as error:
            raise UserError(f"{path}: {error}") from error
    if not replayed:
        raise UserError(f"{path} has no record")
    return WarmupReport(path, path.stat().st_size, tuple(replayed))


class _Session:
    """A SavedModel as a C++ server has it."""

    def __init__(self, saved_model_dir: Path) -> None:
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        try:
            with self._session.graph.as_default():
                meta_graph = tf.compat.v1.saved_model.load(
                    self._session, [tf.saved_model.SERVING], str(saved_model_dir)
                )
        except (OSError, RuntimeError, tf.errors.OpError) as error:
            self._session.close()
            raise UserError(f"{saved_model_dir} holds no SavedModel to serve: {_first_line(error)}") from error
        self.signatures: dict[str, Any] = {
            name: signature
            for name, signature in sorted(meta_graph.signature_def.items())
            if not name.startswith("__saved_model_")  # TensorFlow's own, not for people to call
        }

    def __enter__(self) -> _Session:
        return self

    def __exit__(self, *exception: object) -> None:
        self._session.close()

    def input_type(self, name: str, images: Sequence[SampleImage]) -> str:
        """Finds out what a signature takes; of strings, by asking it."""
        dtype = tf.dtypes.as_dtype(_only_input(name, self.signatures[name])[1].dtype)
        if dtype in _PIXEL_INPUTS:
            return _PIXEL_INPUTS[dtype]
        errors = []
        for candidate in _STRING_INPUTS if dtype == tf.string else ():
            request = next(_requests(name, self.signatures[name], candidate, images, [1], "detector"))
            try:
                self._run(request)
            except (tf.errors.InvalidArgumentError, UnicodeDecodeError) as error:
                errors.append(_first_line(error))
            else:
                return candidate
        why = f": {errors[0]}" if errors else f", but {dtype.name}"
        raise UserError(f"signature {name} takes neither images nor records{why}; name others with --signatures")

    def replay(self, record: bytes, where: str) -> ReplayedRequest:
        """Runs a record of a warm-up file twice, and looks at the answer."""
        try:
            log = prediction_log_pb2.PredictionLog.FromString(record)
        except DecodeError as error:
            raise UserError(f"{where} is no PredictionLog: {error}") from error
        request = log.predict_log.request
        name = request.model_spec.signature_name
        if log.WhichOneof("log_type") != "predict_log" or name not in self.signatures:
            raise UserError(f"{where} is no Predict request for one of {', '.join(self.signatures)}")
        try:
            first_seconds, outputs = self._timed(request)
            again_seconds, _ = self._timed(request)
        except (tf.errors.OpError, ValueError, KeyError) as error:
            raise UserError(f"{where}, signature {name}, fails: {_first_line(error)}") from error
        batch_size = next(iter(request.inputs.values())).tensor_shape.dim[0].size
        for output, array in outputs.items():
            if array.shape[:1] != (batch_size,):
                raise UserError(
                    f"{where}: {output} of signature {name} has shape {array.shape} for {batch_size} images"
                )
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise UserError(f"{where}: {output} of signature {name} is not finite")
        return ReplayedRequest(name, batch_size, len(outputs), first_seconds, again_seconds)

    def _timed(self, request: Any) -> tuple[float, dict[str, np.ndarray]]:
        begin = time.perf_counter()
        outputs = self._run(request)
        return time.perf_counter() - begin, outputs

    def _run(self, request: Any) -> dict[str, np.ndarray]:
        signature = self.signatures[request.model_spec.signature_name]
        outputs = list(request.output_filter) or list(signature.outputs)
        feeds = {signature.inputs[name].name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        return self._session.run({name: signature.outputs[name].name for name in outputs}, feeds)


def _logs(
    signatures: Mapping[str, Any],
    kinds: Mapping[str, str],
    images: Sequence[SampleImage],
    batch_sizes: Sequence[int],
    model_name: str,
) -> Iterator[bytes]:
    for name, kind in kinds.items():
        for request in _requests(name, signatures[name], kind, images, batch_sizes, model_name):
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            yield log.SerializeToString()


def _requests(
    name: str, signature: Any, kind: str, images: Sequence[SampleImage], batch_sizes: Sequence[int], model_name: str
) -> Iterator[Any]:
    """Yields a request for each batch size, and for each set of outputs that clients ask for."""
    input_name, tensor = _only_input(name, signature)
    fixed = tensor.tensor_shape.dim[0].size if tensor.tensor_shape.dim else -1
    # A session prepares a graph for each set of outputs: all of them, and the four that a detection client wants.
    filters: list[tuple[str, ...]] = [()]
    if set(OUTPUT_NAMES) < set(signature.outputs):
        filters.append(OUTPUT_NAMES)
    taken = 0
    for size in batch_sizes if fixed < 0 else [fixed]:
        batch = [images[(taken + number) % len(images)] for number in range(size)]
        taken += size
        value = _input_value(kind, batch)
        for names in filters:
            request = predict_pb2.PredictRequest()
            request.model_spec.name = model_name
            request.model_spec.signature_name = name
            request.inputs[input_name].CopyFrom(tf.make_tensor_proto(value))
            request.output_filter.extend(names)
            yield request


def _input_value(kind: str, batch: Sequence[SampleImage]) -> np.ndarray:
    if kind in _STRING_INPUTS:
        array = np.empty(len(batch), object)
        array[:] = [sample.encoded if kind == _STRING_INPUTS[0] else sample.record for sample in batch]
        return array
    # The images of an array have one size: the first one's.
    image = Image.fromarray(batch[0].pixels())
    image = image.resize(fitted_size(image.width, image.height, MAX_PIXEL_SIDE), Image.Resampling.BILINEAR)
    pixels = np.asarray(image, np.uint8 if kind == "image_tensor" else np.float32)
    return np.repeat(pixels[np.newaxis], len(batch), axis=0)


def _write(path: Path, logs: Iterator[bytes]) -> None:
    num_bytes = 0
    with RecordWriter(path) as writer:
        for number, log in enumerate(logs):
            num_bytes += len(log)
            if number == MAX_RECORDS or num_bytes > MAX_FILE_BYTES:
                raise UserError(
                    f"warm-up would take more than {MAX_RECORDS} requests or {MAX_FILE_BYTES >> 20} MiB; give smaller "
                    "images, fewer --batch_sizes, or --signatures"
                )
            writer.write(log)


def _first_line(error: Exception) -> str:
    """Returns what an error says; TensorFlow's Python fails on messages that quote an image, which is no text."""
    words = error.object.decode("utf-8", "replace") if isinstance(error, UnicodeDecodeError) else str(error)
    return "".join(letter if letter.isprintable() else " " for letter in (words.splitlines() or [""])[0])[:200]


def _only_input(name: str, signature: Any) -> tuple[str, Any]:
    if len(signature.inputs) != 1:
        raise UserError(
            f"signature {name} has {len(signature.inputs)} inputs, not one of images; name others with --signatures"
        )
    return next(iter(signature.inputs.items()))


def _chosen(signatures: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    unknown = [name for name in names if name not in signatures]
    if unknown:
        raise UsageError(f"there is no signature {unknown[0]!r}; there are {', '.join(signatures)}")
    return list(names) or [name for name in signatures if name != IMAGE_RESIZER]
