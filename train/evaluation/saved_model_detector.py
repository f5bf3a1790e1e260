"""Detections of an exported SavedModel, asked image by image as a client would."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from data_prep.runtime.command_line import UsageError
from train.checkpoints.files import READ_ERRORS
from train.evaluation.evaluator import valid_detections
from train.evaluation.saved_model_folder import find_saved_model
from train.inputs.decode import DecodedRecord

SAVED_MODEL_INPUT = "input_tensor"


class SavedModelDetector:
    """A SavedModel with the signature that the exporter gives it; see `ImageDetector`.

    Attributes:
        folder: With `saved_model.pb`.
    """

    def __init__(self, path: str | Path) -> None:
        """Loads it.

        Args:
            path: What `find_saved_model` takes.

        Raises:
            UsageError: There is no SavedModel, it cannot be loaded, or its signature is not a detector's.
        """
        folder = find_saved_model(path)
        if folder is None:
            raise UsageError(
                f"{path} has no saved_model.pb; give the folder that the exporter wrote, a base folder with versions, "
                "or one of them (BASE/3)"
            )
        self.folder = folder
        try:
            self._loaded = tf.saved_model.load(str(folder))
        except (*READ_ERRORS, OSError) as error:
            problem = str(error).strip().partition("\n")[0]
            raise UsageError(f"{folder}: the SavedModel cannot be loaded: {problem}") from error
        signature = self._loaded.signatures.get("serving_default")
        if signature is None:
            raise UsageError(f"{folder} has no signature serving_default")
        inputs = signature.structured_input_signature[1]
        if list(inputs) != [SAVED_MODEL_INPUT]:
            raise UsageError(f"{folder}: the input must be {SAVED_MODEL_INPUT}, but is {', '.join(inputs)}")
        self._signature, self._dtype = signature, inputs[SAVED_MODEL_INPUT].dtype

    def detect(self, encoded: tf.Tensor, decoded: DecodedRecord) -> Mapping[str, np.ndarray]:
        """See `ImageDetector.detect`."""
        pixels = encoded if self._dtype == tf.string else tf.cast(decoded.image, self._dtype)
        outputs = self._signature(**{SAVED_MODEL_INPUT: pixels[tf.newaxis]})
        return valid_detections({name: value.numpy()[0] for name, value in outputs.items()})
