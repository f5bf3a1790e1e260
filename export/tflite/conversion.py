"""TensorFlow Lite's converter, in the three ways that a detector is made smaller."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert import ConverterError

from configs.settings.resizers import ImageResizer
from data_prep.runtime.command_line import UserError
from data_prep.runtime.standard_error import standard_error_aside
from export.parity_images import SampleImage
from export.tflite.requirements import FLOAT, FULL_INTEGER
from train.inputs.resize import resize_image


def convert(saved_model_dir: Path, quantization: str, representative: Sequence[np.ndarray] = ()) -> bytes:
    """Converts what `graph.write_graph` wrote.

    Args:
        saved_model_dir: Its folder.
        quantization: `float`; `dynamic_range`: weights in 8 bits; `full_integer`: everything up to the NMS in 8 bits,
            and images come in as uint8.
        representative: For `full_integer`, images float32 [1, height, width, 3] as the graph takes them, from whose
            activations the ranges come.

    Raises:
        UserError: The converter has no way to say something of this model.
    """
    try:
        with standard_error_aside():
            converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model_dir))
            converter.allow_custom_ops = True
            if quantization != FLOAT:
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            if quantization == FULL_INTEGER:
                converter.representative_dataset = lambda: ([image] for image in representative)
                converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
                converter.inference_input_type = tf.uint8
            return bytes(converter.convert())
    except (ConverterError, RuntimeError, ValueError) as error:
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(f"TensorFlow Lite's converter cannot make a {quantization} model of it: {first}") from error


def representative_inputs(images: Sequence[SampleImage], resizer: ImageResizer) -> list[np.ndarray]:
    """Makes of images what the detector gets before it normalises.

    The contrast of the first is stretched, so that the input's range is 0..255 whatever the images: it is quantised
    by 1 then, and a uint8 of the input is a pixel.

    Args:
        images: At least one.
        resizer: The model's.

    Returns:
        float32 [1, height, width, 3], RGB 0..255.

    Raises:
        UserError: One does not decode.
    """
    found = [resize_image(image.pixels(), resizer)[0].numpy()[np.newaxis] for image in images]
    low, high = found[0].min(), found[0].max()
    found[0] = (found[0] - low) * (255.0 / (high - low)) if high > low else _ramp(found[0].shape)
    return found


def _ramp(shape: tuple[int, ...]) -> np.ndarray:
    """From black on the left to white on the right; float32 of this shape."""
    across = np.linspace(0.0, 255.0, shape[2], dtype=np.float32)[:, np.newaxis]
    return np.broadcast_to(across, shape).copy()
