"""A TensorFlow Lite detector at work: an image in, what `TFLite_Detection_PostProcess` gives out.

By LiteRT's interpreter (ai_edge_litert, which tf-models-official brings): TensorFlow's own is deprecated in its favour,
and what answers on a phone is LiteRT.
"""

from __future__ import annotations

import io
import time
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from data_prep.runtime.command_line import UsageError
from data_prep.runtime.standard_error import standard_error_aside

Outputs = dict[str, np.ndarray]

LABELS_NAME = "labels.txt"  # in the zip behind a model, a class a line from id 1 on
NO_CLASS = "???"  # the Task library's own for a row without a class
MAX_FILE_BYTES = 1 << 30
POST_PROCESS = "TFLite_Detection_PostProcess"
_MAX_LABEL_BYTES = 16 << 20
_MARK = b"TFL3"  # at the fifth byte of every such file
OUTPUT_NAMES = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")  # in the operator's order


class TfliteModel:
    """A `.tflite` file with detection's post-processing at its end.

    Attributes:
        content: The file.
        parsed: The same, as the schema has it.
        size: Height and width of its input, in pixels.
    """

    def __init__(self, path: Path, *, num_threads: int = 1) -> None:
        """Loads it.

        Args:
            path: The file.
            num_threads: Of LiteRT.

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
        self._interpreter = self.load(path, num_threads=num_threads)
        self.parsed = schema.ModelT.InitFromPackedBuf(self.content)
        try:
            self._outputs = [int(index) for index in detection_operator(self.parsed).outputs]
        except ValueError as error:
            raise UsageError(
                f"{path} is no detector: {error}, which export.export_tflite puts at a model's end"
            ) from error
        inputs = self._interpreter.get_input_details()
        shape = inputs[0]["shape"].tolist() if len(inputs) == 1 else []
        if len(shape) != 4 or shape[0] != 1 or shape[3] != 3 or min(shape) < 1:
            raise UsageError(f"{path}: its input must be one image of three colours and a fixed size, but is {shape}")
        if inputs[0]["dtype"] not in (np.float32, np.uint8):
            kind = np.dtype(inputs[0]["dtype"]).name
            raise UsageError(f"{path}: its input is {kind}; normalised float32 and uint8 pixels can be given")
        self._input = inputs[0]
        self.size = int(shape[1]), int(shape[2])

    def load(self, path: Path, *, num_threads: int = 1, **options: Any) -> Interpreter:
        """Returns an interpreter of the file's content.

        Args:
            path: The file, for messages.
            num_threads: Of LiteRT.
            **options: LiteRT's other ones.

        Raises:
            UsageError: It is damaged, or has operators that are not there.
        """
        try:
            with standard_error_aside(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that keeping tensors takes memory
                interpreter = Interpreter(model_content=self.content, num_threads=num_threads, **options)
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


def detection_operator(model: schema.ModelT) -> Any:
    """The NMS of a model: an `OperatorT` whose inputs are box codes, scores and anchors.

    Raises:
        ValueError: It has none.
    """
    for operator in model.subgraphs[0].operators:
        name = model.operatorCodes[operator.opcodeIndex].customCode
        if name is not None and name.decode() == POST_PROCESS:
            return operator
    raise ValueError(f"the model has no {POST_PROCESS}")


def class_names(content: bytes) -> dict[int, str] | None:
    """Returns the names in the zip behind a model by the ids of their classes, from 1; None where it has none.

    Args:
        content: The file.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if archive.getinfo(LABELS_NAME).file_size > _MAX_LABEL_BYTES:
                return None
            rows = archive.read(LABELS_NAME).decode("utf-8").splitlines()
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError):
        return None
    return {number: row for number, row in enumerate(rows, start=1) if row and row != NO_CLASS}


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
