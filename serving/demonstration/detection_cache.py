"""Versions that a page can choose, and a cache of what each of them detected in an image."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import NamedTuple

from data_prep.runtime.command_line import UserError
from serving.client_library.client_errors import ImageRequestError
from serving.client_library.detection_client import DetectionClient
from serving.client_library.detections import ImageDetections, least_score
from serving.client_library.model_service import AVAILABLE, ModelServiceClient, states_text
from serving.demonstration.images import UploadedImage
from serving.demonstration.settings import Settings

STATUS_TIMEOUT_SECONDS = 10.0
RETRIES = 1  # a user is waiting for the page


class Version(NamedTuple):
    """A version that can be chosen.

    Attributes:
        number: Which.
        label: The label that says so, or an empty text.
    """

    number: int
    label: str = ""

    def __str__(self) -> str:
        """Returns the text of the choice."""
        return f"{self.label} (version {self.number})" if self.label else f"version {self.number}"


@dataclass(frozen=True)
class TimedDetections:
    """Detections of one version in one image.

    Attributes:
        found: All detections, however weak, or why there are none.
        seconds: How long the server took, the network included.
    """

    found: ImageDetections
    seconds: float


def open_client(settings: Settings, number: int | None = None) -> DetectionClient:
    """Returns a client of one version, of the newest where none is given."""
    return DetectionClient(
        settings.connection,
        settings.model_name,
        label_map=settings.label_map,
        model_version=number,
        signature_name=settings.signature_name,
        min_score=0.0,  # the page's slider leaves out
        timeout_seconds=settings.timeout_seconds,
        max_retries=RETRIES,
    )


def find_versions(settings: Settings) -> list[Version]:
    """Returns the available versions: labels first, as the settings have them, then versions, the newest first.

    Raises:
        UserError: No server answers, or it has no such model, or no detector of that name, or none that is loaded.
    """
    with open_client(settings) as client:
        client.connect()  # its error for a server that is down, or a wrong name, says what to do
    with ModelServiceClient(settings.connection, timeout_seconds=STATUS_TIMEOUT_SECONDS) as service:
        states = service.versions(settings.model_name)
        available = [number for number, state in states.items() if state.state == AVAILABLE]
        if not available:
            raise UserError(
                f"the server at {service.server} can answer with no version of model {settings.model_name!r} yet: "
                f"it has {states_text(states)}"
            )
        labelled = []
        for label in settings.version_labels:
            number = service.labelled_version(settings.model_name, label)
            if number is None:
                raise UserError(
                    f"the server at {service.server} knows no label {label!r} of model {settings.model_name!r}; "
                    f"it has {states_text(states)}"
                )
            labelled.append(Version(number, label))
    return [*labelled, *(Version(number) for number in sorted(available, reverse=True))]


def first_threshold(settings: Settings, number: int) -> float:
    """Returns where the threshold stands at first: 0 for a version that leaves out weak detections itself.

    Raises:
        UserError: The server cannot be asked.
    """
    with open_client(settings, number) as client:
        client.connect()
        return least_score(settings.min_score, has_thresholds=client.has_thresholds)


class DetectionCache:
    """Detections by version and image, so that moving the threshold sends no request. One for each open page."""

    def __init__(self) -> None:
        self._cache: dict[tuple[int, str], TimedDetections] = {}

    def detect(
        self,
        settings: Settings,
        number: int,
        images: Collection[UploadedImage],
        progress: Callable[[int, int], object] = lambda done, of: None,
    ) -> list[TimedDetections]:
        """Returns what a version detects in images; those that it has answered before are not sent again.

        Args:
            settings: Where to ask.
            number: Which version.
            images: Which images.
            progress: Called before each image that is sent, with how many were, and how many will be.

        Returns:
            As many answers, in order. One that the server refuses has a failure, which is not kept: the next time it
            is sent again.

        Raises:
            UserError: The server cannot be asked.
        """
        unknown = [image for image in images if (number, image.digest) not in self._cache]
        failed: dict[str, TimedDetections] = {}
        if unknown:
            with open_client(settings, number) as client:
                client.connect()
                for position, image in enumerate(unknown):
                    progress(position, len(unknown))
                    begin = time.perf_counter()
                    try:
                        found = client.detect(image.content)
                    except ImageRequestError as error:
                        found = ImageDetections(image.name, image.width, image.height, failure=error.failure)
                    answer = TimedDetections(found, time.perf_counter() - begin)
                    if found.failure is not None:
                        failed[image.digest] = answer
                    else:
                        self._cache[number, image.digest] = answer
        answers = []
        for image in images:
            answer = failed.get(image.digest) or self._cache[number, image.digest]
            answers.append(replace(answer, found=replace(answer.found, image=image.name)))
        return answers

    def drop_all_but(self, images: Collection[UploadedImage]) -> None:
        """Drops the detections of images that the page does not show any more."""
        kept = {image.digest for image in images}
        self._cache = {key: answer for key, answer in self._cache.items() if key[1] in kept}
