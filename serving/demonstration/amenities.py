"""Amenities that the photographs of a place show, and what its host corrects: the list of a listing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from serving.client_library.detections import Detection, ImageDetections

UNSURE_FRACTION = 0.5  # of the threshold: from there on the host is asked


@dataclass(frozen=True)
class Amenity:
    """One kind of thing that a place offers.

    Attributes:
        name: What people call it.
        count: How many there are: the most that one image shows. Images of a room show the same things again, so that
            their sum would list two lamps as six.
        num_images: How many images show it.
        score: That of the best detection, 0..1; None of what the host added.
        sure: Whether a detection reaches the threshold; otherwise the host has to say.
        listed: Whether it is in the listing.
    """

    name: str
    count: int
    num_images: int
    score: float | None
    sure: bool
    listed: bool

    def __str__(self) -> str:
        """Returns the line of the listing."""
        return f"{self.name} ({self.count})" if self.count > 1 else self.name


def find_amenities(answers: Iterable[ImageDetections], min_score: float, names: Collection[str] = ()) -> list[Amenity]:
    """Returns what the images of one place show, the surest first; what is sure is listed.

    Args:
        answers: Each image's detections, weak ones included.
        min_score: The threshold, 0..1; from half of it on an amenity is found, but not sure.
        names: Only these classes; all where there are none.
    """
    scores: dict[str, list[list[float]]] = {}  # by name, those of each image that shows it
    for found in answers:
        here: dict[str, list[float]] = {}
        for detection in found.detections:
            if detection.score >= UNSURE_FRACTION * min_score and (not names or detection.name in names):
                here.setdefault(detection.name, []).append(detection.score)
        for name, found_scores in here.items():
            scores.setdefault(name, []).append(found_scores)
    amenities = []
    for name, by_image in scores.items():
        best = max(map(max, by_image))
        sure = best >= min_score
        counts = [sum(score >= min_score for score in image) for image in by_image] if sure else [1] * len(by_image)
        num_images = sum(count > 0 for count in counts)
        amenities.append(Amenity(name, max(counts), num_images, best, sure=sure, listed=sure))
    return sorted(amenities, key=lambda amenity: (-(amenity.score or 0.0), amenity.name))


@dataclass
class Corrections:
    """What a host has said about amenities; it outlives what the images show, so that more images undo nothing.

    Attributes:
        listed: Which amenities are in the listing, of those that were ticked or unticked.
        counts: How many there are, of those whose number was changed.
        added: What no image shows.
    """

    listed: dict[str, bool] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    added: list[str] = field(default_factory=list)

    def applied_to(self, found: Sequence[Amenity]) -> list[Amenity]:
        """Returns the amenities that were found as the host has them, and after them those that were added."""
        names = {amenity.name for amenity in found}
        added = [
            Amenity(name, 1, 0, None, sure=True, listed=True) for name in dict.fromkeys(self.added) if name not in names
        ]
        return [
            replace(
                amenity,
                count=self.counts.get(amenity.name, amenity.count),
                # Added by its name before an image showed it: the host wants it in.
                listed=self.listed.get(amenity.name, amenity.listed or amenity.name in self.added),
            )
            for amenity in (*found, *added)
        ]


def listing_text(amenities: Iterable[Amenity]) -> str:
    """Returns what is in the listing, a line each."""
    return "\n".join(str(amenity) for amenity in amenities if amenity.listed)


def marks(found: ImageDetections, amenities: Iterable[Amenity], min_score: float) -> Iterator[tuple[Detection, str]]:
    """Yields what an image shows of amenities: the detection, and what is written at its box.

    What the host has unticked has no mark. What is not sure has one with a question mark, until it is ticked.

    Args:
        found: The image's detections, weak ones included.
        amenities: As the host has them.
        min_score: The threshold, 0..1.
    """
    by_name = {amenity.name: amenity for amenity in amenities}
    for detection in found.detections:
        amenity = by_name.get(detection.name)
        if amenity is None or not (amenity.listed or not amenity.sure):
            continue
        if detection.score >= (min_score if amenity.sure else UNSURE_FRACTION * min_score):
            yield detection, detection.name if amenity.listed else f"{detection.name}?"
