"""Detections of a TensorFlow Lite file, given each image as an app that follows the file's metadata gives it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from configs.settings.ssd import Ssd
from data_prep.runtime.command_line import UsageError
from train.evaluation.tflite_model import TfliteModel, class_names, detections_in_image
from train.inputs.decode import DecodedRecord
from train.inputs.resize import resize_image
from train.models.build import build_or_explain
from train.pipeline import Pipeline


class TfliteImageDetector:
    """A `.tflite` file of the pipeline's network, float or integer; see `ImageDetector`.

    Images are resized as the pipeline's config says, and normalised as its network does where the file takes floats.
    """

    def __init__(self, path: Path, pipeline: Pipeline) -> None:
        """Loads it.

        Args:
            path: The file.
            pipeline: Whose network it was made of.

        Raises:
            UsageError: It is no TensorFlow Lite file that detects, or one of another network or other classes.
        """
        self._model = TfliteModel(path)
        model = pipeline.settings.model
        self._resizer = model.image_resizer
        if not isinstance(model, Ssd) or self._resizer.static_size != self._model.size:
            size, wanted = (f"{height} x {width}" for height, width in (self._model.size, self._resizer.static_size))
            raise UsageError(
                f"{path}: takes images of {size} pixels, but the config's network takes {wanted}; give the config that "
                "it was exported with"
            )
        check_labels(path, self._model.content, pipeline.names_by_id)
        self._preprocess = None
        if self._model.input_type == np.float32:
            self._preprocess = build_or_explain(pipeline.settings).preprocess

    def detect(self, encoded: tf.Tensor, decoded: DecodedRecord) -> Mapping[str, np.ndarray]:
        """See `ImageDetector.detect`."""
        pixels, true_shape = resize_image(decoded.image[tf.newaxis], self._resizer)
        if self._preprocess is not None:
            image = self._preprocess(pixels, true_shape).numpy()
        else:
            image = np.clip(np.rint(pixels.numpy()), 0, 255).astype(np.uint8)
        found, _ = self._model.detect(image)
        height, width = self._model.size
        true_height, true_width = true_shape.numpy()[0, :2].tolist()
        in_image = np.array([height / true_height, width / true_width] * 2, np.float32)
        outputs = detections_in_image(found, in_image)
        return {name.removeprefix("detection_"): values for name, values in outputs.items()}


def check_labels(path: Path, content: bytes, names_by_id: Mapping[int, str]) -> None:
    """Refuses a file that carries the names of other classes; one without names is taken as it is.

    Raises:
        UsageError: With the first class that differs.
    """
    names = class_names(content)
    if names is None:
        return
    for class_id in sorted({*names, *names_by_id}):
        if names.get(class_id) != names_by_id.get(class_id):
            raise UsageError(
                f"{path}: its class {class_id} is {names.get(class_id)!r}, but in the config's label map "
                f"{names_by_id.get(class_id)!r}; it was made with another label map"
            )
