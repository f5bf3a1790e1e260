"""A TensorFlow Lite detector in this process, run by LiteRT as a phone runs it.

The file says itself how its input is normalised and what its classes are called, where `export.export_tflite` wrote it.
"""

from __future__ import annotations

import io
import os
import threading
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.formats.label_map import LabelMap, LabelMapItem
from data_prep.images.image_file import decode_rgb
from data_prep.runtime.command_line import UsageError, UserError
from data_prep.runtime.missing_packages import how_to_install
from serving.client_library.image_requests import ImageInput
from serving.in_process.resize import resize_bilinear

_MAX_LABEL_BYTES = 16 * 1024 * 1024


class TfliteModel:
    """A `.tflite` file with `TFLite_Detection_PostProcess` at its end; see `serving.in_process.detector.Model`.

    Attributes:
        label_map: The names that lie in the file; None where there are none.
        has_thresholds: Whether it was exported with thresholds of its classes.
    """

    device = "CPU"
    takes_several = False

    def __init__(self, path: Path, *, normalization: tuple[float, float] | None = None) -> None:
        """Loads the file.

        Args:
            path: The file.
            normalization: Mean and deviation by which its input is normalised; None where the file says it, or takes
                pixels as they are.

        Raises:
            UserError: LiteRT is not installed, or the file cannot be read as a model.
            UsageError: It is no detector, or nothing says how its input is normalised.
        """
        try:
            from ai_edge_litert import schema_py_generated as schema
            from ai_edge_litert.interpreter import Interpreter

            from data_prep.runtime.standard_error import standard_error_aside
            from export.tflite.file import METADATA_NAME, detection_operator
            from export.tflite.metadata import read_input_meaning
            from train.evaluation.tflite_model import LABELS_NAME, NO_CLASS, OUTPUT_NAMES, detections_in_image
            from train.evaluation.thresholds_file import THRESHOLDS_NAME
        except ImportError as error:
            raise UserError(f"a .tflite file needs LiteRT ({error}): {how_to_install('serve')}") from error
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from error
        if content[4:8] != b"TFL3":
            raise UserError(f"{path} is no TensorFlow Lite model: bytes 4 to 8 are {content[4:8]!r}, not b'TFL3'")
        try:
            with standard_error_aside():
                model = schema.ModelT.InitFromPackedBuf(content)
                self._interpreter = Interpreter(model_content=content, num_threads=os.cpu_count() or 1)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError, IndexError, TypeError, AttributeError) as error:
            raise UserError(f"{path} cannot be loaded: {' '.join(str(error).split())[:300]}") from error
        try:
            operator = detection_operator(model)
            self._outputs = dict(zip(OUTPUT_NAMES, map(int, operator.outputs), strict=True))
        except ValueError as error:
            raise UsageError(f"{path} is no detector: {error}") from error
        (self._input,) = self._interpreter.get_input_details()
        _, self._height, self._width, channels = self._input["shape"].tolist()
        if channels != 3:
            raise UsageError(f"{path} takes {self._input['shape'].tolist()}, no RGB image")
        meaning = read_input_meaning(_metadata(model, METADATA_NAME))
        self._is_padded = meaning is not None and meaning.is_padded
        self._normalization: tuple[Any, Any] | None = normalization
        if normalization is None and meaning is not None:
            self._normalization = (np.asarray(meaning.mean, np.float32), np.asarray(meaning.deviation, np.float32))
        if self._normalization is None and self._input["dtype"] == np.float32:
            raise UsageError(f"{path} does not say how its input is normalised; give normalization=(mean, deviation)")
        self.label_map = _label_map(content, LABELS_NAME, NO_CLASS)
        self.has_thresholds = _has_file(content, THRESHOLDS_NAME)
        self._detections_in_image = detections_in_image
        self._lock = threading.Lock()

    def run(self, images: Sequence[ImageInput]) -> Mapping[str, np.ndarray]:
        """Returns the model's answer for one image, as a SavedModel gives it.

        Raises:
            ImageError: It does not decode.
        """
        (image,) = images
        pixels = np.asarray(decode_rgb(image.encoded), np.float32)
        sides, size = np.array(pixels.shape[:2]), np.array([self._height, self._width])
        true_size = np.rint(sides * (size / sides).min()).astype(int) if self._is_padded else size
        resized = resize_bilinear(pixels, (int(true_size[0]), int(true_size[1])))
        # From fractions of the input to those of the image, which fills a part of it where it was padded.
        input_in_image = np.tile(size / true_size, 2).astype(np.float32)
        found = self._detections_in_image(self._invoke(self._as_input(resized)), input_in_image)
        batch = {name: values[np.newaxis] for name, values in found.items()}
        return {**batch, "num_detections": np.array([len(found["detection_scores"])], np.float32)}

    def close(self) -> None:
        """Frees the model, once no thread runs it."""
        with self._lock:
            self._interpreter = None

    def _as_input(self, resized: np.ndarray) -> np.ndarray:
        """Returns [1, height, width, 3] of the input's type; what is not image is 0, once it is normalised."""
        if self._input["dtype"] == np.uint8:
            resized = np.clip(np.rint(resized), 0, 255)
        elif self._normalization is not None:
            mean, deviation = self._normalization
            resized = (resized - mean) / deviation
        padded = np.zeros((1, self._height, self._width, 3), self._input["dtype"])
        padded[0, : resized.shape[0], : resized.shape[1]] = resized
        return padded

    def _invoke(self, image: np.ndarray) -> dict[str, np.ndarray]:
        with self._lock:
            if self._interpreter is None:
                raise UserError("the detector was closed")
            self._interpreter.set_tensor(self._input["index"], image)
            self._interpreter.invoke()
            return {name: self._interpreter.get_tensor(index)[0] for name, index in self._outputs.items()}


def _metadata(model: Any, name: str) -> bytes | None:
    """Returns the metadata table of a model, None where it has none."""
    for entry in model.metadata or []:
        if entry.name == name.encode():
            return bytes(bytearray(model.buffers[entry.buffer].data))
    return None


def _has_file(content: bytes, name: str) -> bool:
    """Returns whether the zip behind a model has a file."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return name in archive.namelist()
    except zipfile.BadZipFile:
        return False


def _label_map(content: bytes, name: str, no_class: str) -> LabelMap | None:
    """Returns the names in the zip behind a model, line n for id n + 1, None where it has none."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if archive.getinfo(name).file_size > _MAX_LABEL_BYTES:
                return None
            rows = archive.read(name).decode("utf-8").splitlines()
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError):
        return None
    # A name may come twice; ids may not, and the id that nobody reads here is what makes names unique.
    items = [
        LabelMapItem(number, f"class {number}", row) for number, row in enumerate(rows, 1) if row and row != no_class
    ]
    return LabelMap(items) if items else None
