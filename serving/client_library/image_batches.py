"""Batches of images for one request, with a retry of each image alone where a batch is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from data_prep.images.image_file import ImageError
from serving.client_library.detections import Failure, ImageDetections
from serving.client_library.image_requests import ImageInput, read_image
from serving.client_library.image_sources import ImageSource, name_of


class BatchMember(NamedTuple):
    """One readable image of a batch.

    Attributes:
        position: Where its answer stands among the batch's results.
        name: What its answer calls it.
        image: The image.
    """

    position: int
    name: str
    image: ImageInput


class ImageBatch:
    """The images of one batch: `for group in batch.groups():` ask, then `answer` or `refuse` the group.

    Attributes:
        results: An answer for each source, in their order; a failure for what cannot be read.
    """

    def __init__(
        self,
        sources: Sequence[ImageSource],
        max_image_bytes: int,
        *,
        max_group_bytes: int | None = None,
        one_by_one: bool = False,
        prepare: Callable[[ImageInput], ImageInput] | None = None,
    ) -> None:
        """Reads the images.

        Args:
            sources: Encoded images, or paths.
            max_image_bytes: Larger files are failures.
            max_group_bytes: Where all of them together are larger, each is asked about alone; None for no limit.
            one_by_one: Whether each is asked about alone in any case.
            prepare: Makes of each image what is sent; it may raise ImageError.
        """
        self.results = [ImageDetections(name_of(source)) for source in sources]
        members = []
        for position, source in enumerate(sources):
            try:
                image = read_image(source, max_image_bytes)
                if prepare is not None:
                    image = prepare(image)
            except ImageError as error:
                self._fail(position, Failure(error.reason, error.detail))
            else:
                members.append(BatchMember(position, self.results[position].image, image))
        size = sum(len(member.image.encoded) for member in members)
        if one_by_one or (max_group_bytes is not None and size > max_group_bytes):
            self._groups = [[member] for member in members]
        else:
            self._groups = [members] if members else []

    def groups(self) -> Iterator[list[BatchMember]]:
        """Yields what is to be asked about in one request, until all have an answer or a failure."""
        while self._groups:
            yield self._groups.pop()

    def answer(self, group: Sequence[BatchMember], answers: Sequence[ImageDetections]) -> None:
        """Keeps a group's answers."""
        for member, answer in zip(group, answers, strict=True):
            self.results[member.position] = answer

    def refuse(self, group: Sequence[BatchMember], failure: Failure) -> None:
        """Keeps an image's failure; the images of a group that was refused are asked about again, each alone."""
        if len(group) > 1:
            self._groups += [[member] for member in group]
        else:
            self._fail(group[0].position, failure)

    def _fail(self, position: int, failure: Failure) -> None:
        name = self.results[position].image
        detail = failure.detail if failure.detail != name else ""
        self.results[position] = ImageDetections(name, failure=Failure(failure.reason, detail))
