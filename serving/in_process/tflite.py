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
            from export.tflite.file import METADATA_NAME
            from export.tflite.metadata import read_input_meaning
            from train.evaluation.tflite_model import TfliteModel as LiteModel
            from train.evaluation.tflite_model import class_names, detections_in_image
            from train.evaluation.thresholds_file import THRESHOLDS_NAME
        except ImportError as error:
            raise UserError(f"a .tflite file needs LiteRT ({error}): {how_to_install('serve')}") from error
        model = LiteModel(path, num_threads=os.cpu_count() or 1)
        meaning = read_input_meaning(_metadata(model.parsed, METADATA_NAME))
        self._is_padded = meaning is not None and meaning.is_padded
        self._normalization: tuple[Any, Any] | None = normalization
        if normalization is None and meaning is not None:
            self._normalization = (np.asarray(meaning.mean, np.float32), np.asarray(meaning.deviation, np.float32))
        if self._normalization is None and model.input_type == np.float32:
            raise UsageError(f"{path} does not say how its input is normalised; give normalization=(mean, deviation)")
        self.label_map = _label_map(class_names(model.content))
        self.has_thresholds = _has_file(model.content, THRESHOLDS_NAME)
        self._model: LiteModel | None = model
        self._size, self._input_type = model.size, model.input_type
        self._detections_in_image = detections_in_image
        self._lock = threading.Lock()

    def run(self, images: Sequence[ImageInput]) -> Mapping[str, np.ndarray]:
        """Returns the model's answer for one image, as a SavedModel gives it.

        Raises:
            ImageError: It does not decode.
        """
        (image,) = images
        pixels = np.asarray(decode_rgb(image.encoded), np.float32)
        sides, size = np.array(pixels.shape[:2]), np.array(self._size)
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
            self._model = None

    def _as_input(self, resized: np.ndarray) -> np.ndarray:
        """Returns [1, height, width, 3] of the input's type; what is not image is 0, once it is normalised."""
        if self._input_type == np.uint8:
            resized = np.clip(np.rint(resized), 0, 255)
        elif self._normalization is not None:
            mean, deviation = self._normalization
            resized = (resized - mean) / deviation
        padded: np.ndarray = np.zeros((1, *self._size, 3), self._input_type)
        padded[0, : resized.shape[0], : resized.shape[1]] = resized
        return padded

    def _invoke(self, image: np.ndarray) -> dict[str, np.ndarray]:
        with self._lock:
            if self._model is None:
                raise UserError("the detector was closed")
            return self._model.detect(image)[0]


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


def _label_map(names_by_id: Mapping[int, str] | None) -> LabelMap | None:
    if not names_by_id:
        return None
    # A name may come twice; ids may not, and the id that nobody reads here is what makes names unique.
    return LabelMap([LabelMapItem(number, f"class {number}", name) for number, name in names_by_id.items()])
