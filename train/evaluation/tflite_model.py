"""A TensorFlow Lite detector at work: an image in, what `TFLite_Detection_PostProcess` gives out.

By LiteRT's interpreter (ai_edge_litert, which tf-models-official brings): TensorFlow's own is deprecated in its favour,
and what answers on a phone is LiteRT.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from data_prep.runtime.command_line import UsageError
from data_prep.runtime.standard_error import standard_error_aside

Outputs = dict[str, np.ndarray]

LABELS_NAME = "labels.txt"  # in the zip behind a model, a class a line from id 1 on
NO_CLASS = "???"  # the Task library's own for a row without a class
MAX_FILE_BYTES = 1 << 30
_MARK = b"TFL3"  # at the fifth byte of every such file
OUTPUT_NAMES = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")  # in the operator's order
_RANKS = (3, 2, 2, 1)


class TfliteModel:
    """A `.tflite` file with detection's post-processing at its end, on one thread.

    Attributes:
        content: The file.
        size: Height and width of its input, in pixels.
    """

    def __init__(self, path: Path) -> None:
        """Loads it.

        Raises:
            UsageError: It is no such file, or not one that detects.
        """
        try:
            with path.open("rb") as file:
                self.content = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror or error}") from error
        if self.content[4:8] != _MARK or len(self.content) > MAX_FILE_BYTES:
            raise UsageError(f"{path}: no TensorFlow Lite file (of at most {MAX_FILE_BYTES >> 20} MiB)")
        self._interpreter = self.load(path)
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        shape = inputs[0]["shape"].tolist() if len(inputs) == 1 else []
        if len(shape) != 4 or shape[0] != 1 or shape[3] != 3 or min(shape) < 1:
            raise UsageError(f"{path}: its input must be one image of three colours and a fixed size, but is {shape}")
        if inputs[0]["dtype"] not in (np.float32, np.uint8):
            kind = np.dtype(inputs[0]["dtype"]).name
            raise UsageError(f"{path}: its input is {kind}; normalised float32 and uint8 pixels can be given")
        if tuple(len(output["shape"]) for output in outputs) != _RANKS:
            shapes = ", ".join(str(output["shape"].tolist()) for output in outputs)
            raise UsageError(
                f"{path}: its outputs are {shapes}, not the boxes, classes, scores and number of detections of "
                "TFLite_Detection_PostProcess, which export.export_tflite puts at a model's end"
            )
        self._input, self._outputs = inputs[0], [output["index"] for output in outputs]
        self.size = int(shape[1]), int(shape[2])

    def load(self, path: Path, **options: Any) -> Interpreter:
        """Returns an interpreter of the file's content.

        Args:
            path: The file, for messages.
            **options: LiteRT's.

        Raises:
            UsageError: It is damaged, or has operators that are not there.
        """
        try:
            with standard_error_aside(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that keeping tensors takes memory
                interpreter = Interpreter(model_content=self.content, num_threads=1, **options)
                interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            problem = str(error).strip().partition("\n")[0]
            raise UsageError(f"{path}: LiteRT cannot run it: {problem}") from error
        return interpreter

    @property
    def input_type(self) -> type:
        """`np.float32` for normalised images, `np.uint8` for pixels."""
        return self._input["dtype"]

    def detect(self, image: np.ndarray) -> tuple[Outputs, float]:
        """Detects as an app does.

        Args:
            image: [1, height, width, 3] of `input_type`.

        Returns:
            By position: `detection_boxes` float32 [D, 4] (ymin xmin ymax xmax in 0..1 of the input, not clipped),
            `detection_classes` [D] from 0, `detection_scores` [D] and `num_detections`; and the seconds of a
            core that it took.
        """
        self._interpreter.set_tensor(self._input["index"], image)
        start = time.process_time()
        self._interpreter.invoke()
        seconds = time.process_time() - start
        values = (self._interpreter.get_tensor(index)[0] for index in self._outputs)
        return dict(zip(OUTPUT_NAMES, values, strict=True)), seconds


def detections_in_image(found: Mapping[str, np.ndarray], input_in_image: np.ndarray) -> Outputs:
    """Returns detections as a checkpoint gives them: clipped to the image, those that have an area, ids from 1.

    Args:
        found: As `TfliteModel.detect` returns them.
        input_in_image: float32 [4], by which boxes in 0..1 of the input are multiplied to be in 0..1 of the image.

    Returns:
        `detection_boxes` float32 [D, 4], `detection_scores` [D] and `detection_classes` [D].
    """
    count = int(found["num_detections"])
    boxes = np.clip(found["detection_boxes"][:count] * input_in_image, 0.0, 1.0)
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return {
        "detection_boxes": boxes[has_area],
        "detection_scores": found["detection_scores"][:count][has_area],
        "detection_classes": found["detection_classes"][:count][has_area] + 1.0,
    }
