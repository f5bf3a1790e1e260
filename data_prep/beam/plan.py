"""The plan of a run: the shards that must be written, and the images that they need; finished shards are left alone.

The plan is a file of JSON lines, each with a few dozen images: what a worker takes at a time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from data_prep.downloading.http_download import DownloadLimits
from data_prep.downloading.image_sources import ImageSource
from data_prep.records.point_index import PointIndex
from data_prep.records.record_policies import RecordPolicies

IMAGES_A_LINE = 64

# Part of every fingerprint: to be counted up when the same input is to give other bytes.
_VERSION = 2


@dataclass(frozen=True)
class ImageTask:
    """One image that is to become a record.

    Attributes:
        key: Its place among all; see `point_index`.
        order: Where it stands in points.json, which decides where keys are the same.
        point: The image, as in points.json.
        source: Where it is to be fetched; None where it is not.
        path: The file that it is in; empty where it is to be fetched.
        problem: Why it is not available; else empty.
    """

    key: int
    order: int
    point: dict[str, Any]
    source: ImageSource | None = None
    path: str = ""
    problem: str = ""

    @property
    def image_id(self) -> str:
        """The image's id."""
        return str(self.point["id"])


@dataclass(frozen=True)
class FoundImage:
    """Location of an image: a URL or a file.

    Attributes:
        source: A URL.
        path: Or a file.
        version: Of that file: its size in bytes and time of change.
        problem: Or why it is not.
    """

    source: ImageSource | None = None
    path: str = ""
    version: tuple[int, float] | None = None
    problem: str = ""

    def as_json(self) -> dict[str, Any]:
        """Returns what a worker needs to know."""
        values: dict[str, Any] = {"path": self.path, "problem": self.problem}
        if self.source is not None:
            values |= {"url": self.source.url, "md5": self.source.md5, "num_bytes": self.source.num_bytes}
        return {key: value for key, value in values.items() if value}


@dataclass(frozen=True)
class Plan:
    """Shards and images that a run has to write.

    Attributes:
        fingerprints: Of the shards that are to be written, by their number.
        num_images: In those shards.
    """

    fingerprints: dict[int, str]
    num_images: int


def write_plan(
    file: IO[bytes],
    points: PointIndex,
    find: Callable[[str], FoundImage],
    settings: WorkSettings,
    known: Mapping[int, str],
) -> Plan:
    """Writes the plan.

    Args:
        file: Where to.
        points: The images, with their keys.
        find: Returns the URL or the file of an image.
        settings: What is done to each.
        known: Fingerprints of shards that are in place, by their number.
    """
    fingerprints: dict[int, str] = {}
    num_images = 0
    lines = _LineWriter(file)
    for shard, part in enumerate(points.shards(settings.num_shards)):
        if shard in known and _fingerprint(part, find, settings) == known[shard]:
            continue
        num_images += len(part)
        fingerprints[shard] = _fingerprint(part, find, settings, lines)
    lines.end()
    return Plan(fingerprints, num_images)


def read_plan_line(line: str) -> Iterator[ImageTask]:
    """Yields the images of a line of the plan."""
    for values in json.loads(line):
        point, url = values["point"], values.get("url", "")
        source = ImageSource(point["id"], url, values.get("md5", ""), values.get("num_bytes")) if url else None
        yield ImageTask(
            values["key"], values["order"], point, source, values.get("path", ""), values.get("problem", "")
        )


class _LineWriter:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._waiting: list[dict[str, Any]] = []

    def add(self, task: dict[str, Any]) -> None:
        self._waiting.append(task)
        if len(self._waiting) == IMAGES_A_LINE:
            self.end()

    def end(self) -> None:
        if self._waiting:
            self._file.write(json.dumps(self._waiting).encode("ascii") + b"\n")
        self._waiting = []


def _fingerprint(
    part: PointIndex, find: Callable[[str], FoundImage], settings: WorkSettings, lines: _LineWriter | None = None
) -> str:
    """Returns a hash of all that decides a shard's bytes; adds its images to `lines`."""
    head = [_VERSION, settings.policies.as_json(), settings.max_dimension, settings.min_dimension]
    digest = hashlib.blake2b(f"beam {json.dumps(head, sort_keys=True)}\n".encode(), digest_size=16)
    labels: set[str] = set()
    keys = zip(part.keys.tolist(), part.places.places[:, 0].tolist(), strict=True)
    for text, (key, offset) in zip(part.texts(), keys, strict=True):
        point = json.loads(text)
        found = find(point["id"])
        labels.update(annotation["label"] for annotation in point["annotations"])
        labels.update(entry["label"] for entry in point.get("image_labels", ()))
        digest.update(text + json.dumps([found.as_json(), found.version]).encode("ascii") + b"\n")
        if lines is not None:
            lines.add({"key": key, "order": offset, "point": point, **found.as_json()})
    digest.update(json.dumps({label: settings.label_ids.get(label) for label in sorted(labels)}).encode("ascii"))
    return digest.hexdigest()


@dataclass(frozen=True)
class WorkSettings:
    """Settings of the work on each image.

    Attributes:
        label_ids: The label map: ids by label. Annotations of other labels are left out.
        policies: What of an image's annotations goes into its record.
        num_shards: An image belongs to shard `key % num_shards`.
        max_dimension: The longest side, in pixels, that is kept.
        min_dimension: The shortest side, in pixels, below which an image is rejected.
        limits: Bounds on what is fetched.
        num_threads: Images that each of a worker's threads has on the way at a time.
        max_connections_per_host: How many of these from one host.
        saved_images: The folder where sound images of this `max_dimension` are kept as ID.jpg, and looked for
            before they are fetched; empty for none.
    """

    label_ids: Mapping[str, int]
    policies: RecordPolicies
    num_shards: int
    max_dimension: int
    min_dimension: int
    limits: DownloadLimits
    num_threads: int
    max_connections_per_host: int
    saved_images: str = ""
