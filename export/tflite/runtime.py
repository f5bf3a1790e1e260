"""Runtime of a TensorFlow Lite model beyond what an app sees: the inputs of its NMS as well.

By LiteRT's interpreter, which is not the converter's own code that checks the converter.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from train.evaluation.tflite_model import TfliteModel, detection_operator


class TfliteDetector(TfliteModel):
    """A `.tflite` file with `TFLite_Detection_PostProcess` at its end, on one thread."""

    def __init__(self, path: Path) -> None:
        """Loads it; `path` is a file that `file.finish` made."""
        super().__init__(path)
        inputs = detection_operator(self.parsed).inputs
        self._codes, self._scores, self._anchors = (int(index) for index in inputs)
        self._slow = self.load(path, experimental_preserve_all_tensors=True)

    def before_nms(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Inputs of the NMS: box codes float32 [A, 4], scores [A, slots], anchors [A, 4] (y, x, height, width)."""
        self._slow.set_tensor(self._input["index"], image)
        self._slow.invoke()
        codes, scores, anchors = (self._slow.get_tensor(index) for index in (self._codes, self._scores, self._anchors))
        return codes.reshape(-1, 4), scores.reshape(len(anchors), -1), anchors
