"""Runtime of a TensorFlow Lite model: an image in, detections and the inputs of the NMS out.

By LiteRT's interpreter (ai_edge_litert, which tf-models-official brings): TensorFlow's own is deprecated in its favour,
and what answers on a phone is LiteRT. It is also not the converter's own code that checks the converter.
"""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from export.standard_error import standard_error_aside
from export.tflite.file import detection_operator

Outputs = dict[str, np.ndarray]


class TfliteDetector:
    """A `.tflite` file with `TFLite_Detection_PostProcess` at its end, on one thread."""

    def __init__(self, path: Path) -> None:
        """Loads it; `path` is a file that `file.finish` made."""
        content = path.read_bytes()
        operator = detection_operator(schema.ModelT.InitFromPackedBuf(content))
        self._codes, self._scores, self._anchors = (int(index) for index in operator.inputs)
        with standard_error_aside(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that keeping tensors takes memory
            self._quick = Interpreter(model_content=content, num_threads=1)
            self._slow = Interpreter(model_content=content, num_threads=1, experimental_preserve_all_tensors=True)
            for interpreter in (self._quick, self._slow):
                interpreter.allocate_tensors()
        (self._input,) = self._quick.get_input_details()
        self._outputs = [detail["index"] for detail in self._quick.get_output_details()]

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
        self._quick.set_tensor(self._input["index"], image)
        start = time.process_time()
        self._quick.invoke()
        seconds = time.process_time() - start
        boxes, classes, scores, count = (self._quick.get_tensor(index)[0] for index in self._outputs)
        found = {"detection_boxes": boxes, "detection_classes": classes, "detection_scores": scores}
        return {**found, "num_detections": count}, seconds

    def before_nms(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Inputs of the NMS: box codes float32 [A, 4], scores [A, slots], anchors [A, 4] (y, x, height, width)."""
        self._slow.set_tensor(self._input["index"], image)
        self._slow.invoke()
        codes, scores, anchors = (self._slow.get_tensor(index) for index in (self._codes, self._scores, self._anchors))
        return codes.reshape(-1, 4), scores.reshape(len(anchors), -1), anchors
