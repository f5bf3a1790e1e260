"""A SavedModel in this process: its signature checked, images run through it.

TensorFlow is imported when a model is loaded, and not before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from data_prep.formats.label_map import LABEL_MAP_NAME, LabelMap, read_label_map
from data_prep.images.image_file import ImageError
from data_prep.runtime.command_line import UsageError, UserError
from data_prep.runtime.missing_packages import how_to_install
from data_prep.runtime.quiet_tensorflow import quiet_tensorflow
from serving.client_library.channels import SERVING_DEFAULT
from serving.client_library.detections import CLASS_NAMES, OUTPUT_NAMES, THRESHOLDS
from serving.client_library.image_requests import INPUT_NAME, ImageInput, encoded_array, not_a_detector, pixels_of
from serving.in_process.detector import MAX_PIXEL_BYTES
from serving.wire.tensors import DT_STRING, DT_UINT8, type_name

DEVICES = ("auto", "cpu", "gpu")


def label_map_of(saved_model_dir: Path) -> LabelMap | None:
    """Returns the label map in the assets of a SavedModel, in its folder, or beside that; None where there is none.

    Raises:
        UserError: It cannot be read.
    """
    places = (saved_model_dir / "assets", saved_model_dir, saved_model_dir.resolve().parent)
    found = next((path for place in places if (path := place / LABEL_MAP_NAME).is_file()), None)
    return read_label_map(found) if found is not None else None


class SavedModel:
    """A SavedModel in memory; see `serving.in_process.detector.Model`."""

    def __init__(self, saved_model_dir: Path, *, signature_name: str = SERVING_DEFAULT, device: str = "auto") -> None:
        """Loads the model.

        Args:
            saved_model_dir: The folder that holds `saved_model.pb`.
            signature_name: Which of its signatures.
            device: `auto` takes a GPU where there is one, `cpu` leaves it alone, `gpu` insists on one.

        Raises:
            UserError: TensorFlow is not installed, the model cannot be loaded, or there is no GPU.
            UsageError: There is no such signature, or it is no detector's.
        """
        quiet_tensorflow()
        try:
            import tensorflow as tf
        except ImportError as error:
            raise UserError(
                f"a SavedModel in this process needs TensorFlow ({error}): {how_to_install('serve')}, or ask a server "
                "with --server and --model_name"
            ) from error
        from serving.saved_models.loaded_model import LoadedModel, ModelLoadError

        gpus = tf.config.list_physical_devices("GPU") if device != "cpu" else []
        if device == "gpu" and not gpus:
            raise UserError("TensorFlow sees no GPU here; install tensorflow[and-cuda], or use --device cpu")
        self.device = (
            str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")) if gpus else "CPU"
        )
        try:
            self._model = LoadedModel(0, saved_model_dir, hide_gpus=device == "cpu")
        except ModelLoadError as error:
            raise UserError(str(error)) from error
        self._signature, self._takes_encoded = self._check_signature(saved_model_dir, signature_name)
        named = [CLASS_NAMES] if CLASS_NAMES in self._signature.outputs else []  # type: ignore[attr-defined]
        self._output_names = [*OUTPUT_NAMES, *named]

    def run(self, images: Sequence[ImageInput]) -> Mapping[str, np.ndarray]:
        """Returns the model's answer for some images.

        Raises:
            ImageError: They do not decode, or the model refuses them.
        """
        from serving.saved_models.status_errors import StatusError

        inputs = encoded_array(images) if self._takes_encoded else pixels_of(images[0], MAX_PIXEL_BYTES)
        try:
            return self._model.run(self._signature, {INPUT_NAME: inputs}, self._output_names)
        except StatusError as error:
            raise ImageError("refused by the model", error.message) from error

    def close(self) -> None:
        """Frees the model."""
        self._model.close()

    def _check_signature(self, saved_model_dir: Path, name: str) -> tuple[object, bool]:
        signatures = self._model.signatures
        if name not in signatures:
            raise UsageError(f"{saved_model_dir} has no signature {name!r}; it has: {', '.join(sorted(signatures))}")
        signature = signatures[name]
        if reason := not_a_detector(name, signature):
            raise UsageError(f"{saved_model_dir} {reason}")
        self.has_thresholds = THRESHOLDS in signature.outputs
        tensor = signature.inputs[INPUT_NAME]
        if tensor.dtype not in (DT_STRING, DT_UINT8):
            raise UsageError(
                f"{saved_model_dir} takes {type_name(tensor.dtype)}; export with --input_type "
                "encoded_image_string_tensor or image_tensor"
            )
        sizes = [dimension.size for dimension in tensor.tensor_shape.dim]
        # Pixels of images of several sizes do not go into one array.
        self.takes_several = tensor.dtype == DT_STRING and (not sizes or sizes[0] == -1)
        return signature, tensor.dtype == DT_STRING
