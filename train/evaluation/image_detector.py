"""What detects in the images of an evaluation input one by one, and how long it takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import tensorflow as tf

from train.inputs.decode import DecodedRecord


class ImageDetector(Protocol):
    """A model, a server, or detections that are there already."""

    def detect(self, encoded: tf.Tensor, decoded: DecodedRecord) -> Mapping[str, np.ndarray]:
        """Detects in one image.

        Args:
            encoded: A string scalar, the image's file.
            decoded: The record that it is in.

        Returns:
            `boxes` float32 [D, 4] (ymin xmin ymax xmax in 0..1), `scores` float32 [D] and `classes` [D], label map
            ids.
        """


class TimedDetector:
    """Another detector, on a clock."""

    def __init__(self, detector: ImageDetector) -> None:
        self._detector = detector
        self._seconds: list[float] = []

    def detect(self, encoded: tf.Tensor, decoded: DecodedRecord) -> Mapping[str, np.ndarray]:
        """See `ImageDetector.detect`."""
        start = time.perf_counter()
        found = self._detector.detect(encoded, decoded)
        self._seconds.append(time.perf_counter() - start)
        return found

    @property
    def milliseconds(self) -> float | None:
        """The median over the images; the first one, at which much is set up, does not move it. None without any."""
        return 1000.0 * statistics.median(self._seconds) if self._seconds else None
