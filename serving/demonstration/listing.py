"""A place's amenities, as a listing has them: each once, in however many images it is, for the host to confirm."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from serving.client_library.detections import ImageDetections

UNSURE_FRACTION = 0.5  # of the threshold: from there on a host is asked, below it not bothered


@dataclass(frozen=True)
class Amenity:
    """One kind of thing that a place offers.

    Attributes:
        name: What people call it.
        count: The most that one image shows. Images of a room show the same things again, so that their sum
            would list two lamps as six.
        score: That of the best detection, 0..1.
        sure: Whether a detection reaches the threshold; otherwise the host has to say.
    """

    name: str
    count: int
    score: float
    sure: bool

    def __str__(self) -> str:
        """Returns the line of the listing."""
        return f"{self.name} ({self.count})" if self.count > 1 else self.name


def list_amenities(answers: Iterable[ImageDetections], min_score: float, names: Collection[str] = ()) -> list[Amenity]:
    """Returns what the images of one place show, the surest first.

    Args:
        answers: Each image's detections, weak ones included.
        min_score: The threshold, 0..1; from half of it on an amenity is listed as not sure.
        names: Only these classes; all where there are none.
    """
    best: dict[str, float] = {}
    counts: dict[str, int] = {}
    for found in answers:
        here: dict[str, int] = {}
        for detection in found.detections:
            if names and detection.name not in names:
                continue
            if detection.score < UNSURE_FRACTION * min_score:
                continue
            best[detection.name] = max(best.get(detection.name, 0.0), detection.score)
            here[detection.name] = here.get(detection.name, 0) + int(detection.score >= min_score)
        for name, count in here.items():
            counts[name] = max(counts.get(name, 0), count)
    amenities = [Amenity(name, max(1, counts[name]), score, score >= min_score) for name, score in best.items()]
    return sorted(amenities, key=lambda amenity: (-amenity.score, amenity.name))
