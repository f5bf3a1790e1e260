"""Detector in this process: the same calls and answers as `DetectionClient`, over any model that is loaded here."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np

from data_prep.formats.label_map import LabelMap
from data_prep.images.image_file import MAX_BYTES, ImageError
from serving.client_library.client_errors import ImageRequestError
from serving.client_library.detections import (
    BY_THE_MODEL,
    Failure,
    ImageDetections,
    MinScore,
    least_score,
    read_detections,
)
from serving.client_library.image_batches import BatchMember, ImageBatch
from serving.client_library.image_requests import ImageInput
from serving.client_library.image_sources import ImageSource

Detector = TypeVar("Detector", bound="InProcessDetector")

MAX_PIXEL_BYTES = 3 * 100_000_000  # of an image whose pixels are handed over


class Model(Protocol):
    """A detector's model in memory; any number of threads may run it.

    Attributes:
        device: What it runs on, in words such as `CPU` or `NVIDIA H100`.
        takes_several: Whether several images go through it together.
        has_thresholds: Whether it leaves out itself what is below its class's threshold.
    """

    device: str
    takes_several: bool
    has_thresholds: bool

    def run(self, images: Sequence[ImageInput]) -> Mapping[str, np.ndarray]:
        """Returns the model's answer for some images, as `read_detections` takes it.

        Raises:
            ImageError: An image does not decode, or the model refuses them.
        """

    def close(self) -> None:
        """Frees the model."""


class InProcessDetector:
    """Asks a model in this process. Images are read in threads while the model is at work on those before.

    Attributes:
        batch_size: Images that go through the model together, where it takes several.
        device: What it runs on, in words such as `CPU` or `NVIDIA H100`.
        has_thresholds: Whether the model leaves out itself what is below its class's threshold.
    """

    def __init__(
        self,
        model: Model,
        *,
        label_map: LabelMap | None = None,
        min_score: MinScore = BY_THE_MODEL,
        batch_size: int = 8,
        max_in_flight: int = 2,
    ) -> None:
        """Takes over a model.

        Args:
            model: It is freed with the detector.
            label_map: Names the classes.
            min_score: Weaker detections are left out; `ThresholdsOr` leaves it to a model that has thresholds.
            batch_size: Images that go through the model together.
            max_in_flight: Batches that are read, run, or waited for at the same time.
        """
        self.device = model.device
        self.batch_size = batch_size
        self._model = model
        self._label_map = label_map
        self.has_thresholds = model.has_thresholds
        self._min_score = least_score(min_score, has_thresholds=model.has_thresholds)
        self._max_in_flight = max_in_flight

    def detect(self, image: ImageSource) -> ImageDetections:
        """Returns what is in one image.

        Args:
            image: A path, an encoded image's bytes, a PIL image, or pixels: RGB, uint8 [height, width, 3].

        Raises:
            ImageError: The image cannot be read, or the model refuses it.
            TypeError: It is none of these.
        """
        (result,) = self.detect_batch([image])
        if result.failure is not None:
            raise ImageRequestError(result.failure)
        return result

    def detect_many(self, images: Iterable[ImageSource]) -> Iterator[ImageDetections]:
        """Yields what is in each image, in the order given; a failure is yielded and costs the others nothing.

        Only a few batches are in memory at a time, however many images there are.

        Args:
            images: As `detect` takes them; taken as they are needed.
        """
        source = iter(images)
        waiting: deque[Future[list[ImageDetections]]] = deque()
        pool = ThreadPoolExecutor(self._max_in_flight, thread_name_prefix="detect")
        try:
            while True:
                while len(waiting) <= self._max_in_flight and (batch := list(islice(source, self.batch_size))):
                    waiting.append(pool.submit(self.detect_batch, batch))
                if not waiting:
                    return
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def detect_batch(self, sources: Sequence[ImageSource]) -> list[ImageDetections]:
        """Returns what is in some images, in one run of the model; where it refuses them, in one run each."""
        batch = ImageBatch(sources, MAX_BYTES, one_by_one=not self._model.takes_several)
        for group in batch.groups():
            try:
                answers = self._answers(group)
            except ImageError as error:
                batch.refuse(group, Failure(error.reason, error.detail))
            else:
                batch.answer(group, answers)
        return batch.results

    def close(self) -> None:
        """Frees the model."""
        self._model.close()

    def __enter__(self: Detector) -> Detector:
        """Returns the detector."""
        return self

    def __exit__(self, *error: object) -> None:
        """Frees the model."""
        self.close()

    def _answers(self, group: Sequence[BatchMember]) -> list[ImageDetections]:
        outputs = dict(self._model.run([member.image for member in group]))
        answers = []
        for position, (_, name, image) in enumerate(group):
            size = (image.width, image.height)
            found = read_detections(outputs, position, size, label_map=self._label_map, min_score=self._min_score)
            answers.append(ImageDetections(name, *size, found))
        return answers
