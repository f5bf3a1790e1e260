"""The work on each image, in a worker: fetched, validated, resized and encoded by what the commands use."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from data_prep.beam import files
from data_prep.beam.plan import ImageTask, WorkSettings, read_plan_line
from data_prep.cleaning.image_validation import MISSING, validate_content
from data_prep.downloading.download_errors import DownloadError
from data_prep.downloading.fetched_image import accept_image, check_start
from data_prep.downloading.http_download import Downloader, Fetched
from data_prep.downloading.image_sources import ImageSource
from data_prep.downloading.parallel_download import ParallelDownload
from data_prep.images.image_file import MAX_BYTES, ImageError
from data_prep.records.record_shards import example_of_image
from data_prep.records.shard_report import ShardReport

NAMESPACE = "data_prep"
FETCHED, FETCHED_BYTES, READ, RECORDS, REJECTED = "fetched", "fetched bytes", "read", "records", "rejected"


@dataclass(frozen=True)
class ImageResult:
    """Result of the work on one image.

    Attributes:
        key: Its place among all.
        order: Its place among those of the same key.
        record: A serialised `tf.train.Example`; None where there is none.
        report: The same in numbers, and why it was rejected if it was.
        origin: `FETCHED` or `READ`; empty where it could not be read.
        is_passing: Whether another run may have it.
    """

    key: int
    order: int
    record: bytes | None
    report: ShardReport
    origin: str = ""
    is_passing: bool = False


class MakeRecords(beam.DoFn):
    """Turns a line of the plan into (shard, `ImageResult`) pairs.

    Its counters (of namespace `data_prep`) count work that was done, what a runner had done twice among it.
    """

    def __init__(self, settings: WorkSettings) -> None:
        self._settings = settings

    def setup(self) -> None:
        """Opens what a worker keeps between images: connections, mostly."""
        self._downloader = Downloader(self._settings.limits)

    def process(self, line: str) -> Iterator[tuple[int, ImageResult]]:
        """Yields the images of a line as they are done."""
        received_bytes = self._downloader.received_bytes
        for result in image_results(list(read_plan_line(line)), self._settings, self._downloader):
            # Here and not where it is done: Beam counts only in the thread that it called.
            _count(RECORDS, result.record is not None)
            if result.origin:
                _count(result.origin, 1)
            for _, reason, _ in result.report.rejected:
                _count(REJECTED, 1)
                _count(f"{REJECTED}: {reason}", 1)
            yield result.key % self._settings.num_shards, result
        _count(FETCHED_BYTES, self._downloader.received_bytes - received_bytes)


def image_results(tasks: Sequence[ImageTask], settings: WorkSettings, downloader: Downloader) -> Iterator[ImageResult]:
    """Yields the result of each of `tasks`, as they come.

    Raises:
        OSError: A file cannot be read or written.
    """
    to_fetch: list[ImageTask] = []

    def read(task: ImageTask) -> ImageResult | None:
        if task.problem:
            return _rejected(task, MISSING, task.problem)
        if task.path:
            return _read_image(task, settings)
        return _saved_image(task, settings)

    with ThreadPoolExecutor(settings.num_threads) as executor:
        for task, result in zip(tasks, executor.map(read, tasks), strict=True):
            if result is None:
                to_fetch.append(task)
            else:
                yield result
    if to_fetch:
        yield from _fetched_images(to_fetch, settings, downloader)


def _fetched_images(
    tasks: Sequence[ImageTask], settings: WorkSettings, downloader: Downloader
) -> Iterator[ImageResult]:
    def accept(task: ImageTask, fetched: Fetched) -> ImageResult:
        image = accept_image(_source(task), fetched, None)
        return _validated(task, lambda: image.content, settings, is_new=True)

    def reject(task: ImageTask, error: DownloadError) -> ImageResult:
        return _rejected(task, error.reason, error.detail, is_passing=not error.permanent)

    download: ParallelDownload[ImageTask, ImageResult] = ParallelDownload(
        downloader, url_of=lambda task: _source(task).url, accept=accept, reject=reject, check_start=check_start
    )
    results = download.run(
        tasks,
        num_threads=min(settings.num_threads, len(tasks)),
        max_per_host=settings.max_connections_per_host,
        stop=threading.Event(),  # not the downloader's, which goes on to the next images
    )
    with contextlib.closing(results):
        yield from results


def _source(task: ImageTask) -> ImageSource:
    assert task.source is not None, "an image without a file or a problem has a URL"
    return task.source


def _read_image(task: ImageTask, settings: WorkSettings) -> ImageResult:
    def read() -> bytes:
        if not files.exists(task.path):
            raise ImageError(MISSING, f"{task.path} is gone")
        return _content(task.path)

    return _validated(task, read, settings, is_new=False)


def _saved_image(task: ImageTask, settings: WorkSettings) -> ImageResult | None:
    """Makes the record from the image that an earlier run has kept; None where there is none, or it is broken."""
    if not settings.saved_images:
        return None
    path = files.join(settings.saved_images, f"{task.image_id}.jpg")
    if not files.exists(path):
        return None
    result = _validated(task, lambda: _content(path), settings, is_new=False)
    return None if result.report.rejected and result.record is None else result


def _content(path: str) -> bytes:
    with files.open_to_read(path) as file:
        content = file.read(MAX_BYTES + 1)
    if not content:
        raise ImageError("empty file", path)
    if len(content) > MAX_BYTES:
        raise ImageError("too many bytes", f"{path}: more than {MAX_BYTES / 2**20:g} MiB")
    return content


def _validated(task: ImageTask, read: Callable[[], bytes], settings: WorkSettings, *, is_new: bool) -> ImageResult:
    report = ShardReport(num_points=1)
    try:
        image = validate_content(read(), max_dimension=settings.max_dimension, min_dimension=settings.min_dimension)
        if is_new and settings.saved_images:
            files.put(files.join(settings.saved_images, f"{task.image_id}.jpg"), image.content)
        record = example_of_image(
            task.point, lambda: image.content, settings.label_ids, report, policies=settings.policies
        )
    except ImageError as error:
        return _rejected(task, error.reason, error.detail)
    return ImageResult(task.key, task.order, record, report, origin=FETCHED if is_new else READ)


def _rejected(task: ImageTask, reason: str, detail: str, *, is_passing: bool = False) -> ImageResult:
    report = ShardReport(num_points=1, rejected=[(task.image_id, reason, detail)])
    return ImageResult(task.key, task.order, None, report, is_passing=is_passing)


def _count(name: str, number: Any) -> None:
    if number:
        Metrics.counter(NAMESPACE, name).inc(int(number))
