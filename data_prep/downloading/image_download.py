"""Download of a list of images into a folder, as ID.jpg: present files are kept, the rest is fetched and checked."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from data_prep.downloading.download_errors import DownloadError
from data_prep.downloading.download_outcomes import DOWNLOADED, FAILED, PRESENT, Outcome, OutcomeLog
from data_prep.downloading.fetched_image import FetchedImage, accept_image, check_start, decoded_image
from data_prep.downloading.http_download import Downloader, DownloadLimits, Fetched
from data_prep.downloading.image_sources import NO_URL, NO_URL_DETAIL, ImageSource
from data_prep.downloading.parallel_download import ParallelDownload
from data_prep.images.image_file import ImageError, read_image_file
from data_prep.runtime.atomic_files import TEMPORARY_PREFIX
from data_prep.runtime.progress import progress
from data_prep.runtime.url_credentials import without_credentials
from data_prep.runtime.worker_pool import default_num_processes, map_as_completed


@dataclass(frozen=True)
class DownloadOptions:
    """Options of a download.

    Attributes:
        num_threads: How many at a time.
        max_connections_per_host: How many of one host at a time.
        max_dimension: The longest side, in pixels, of what is kept; None keeps what comes.
        retry_permanent: Whether what is known to fail is tried again.
    """

    num_threads: int = 128
    max_connections_per_host: int = 100
    max_dimension: int | None = None
    retry_permanent: bool = False


@dataclass
class _Plan:
    """Work of a run.

    Attributes:
        fetch: Images to ask for.
        look_at: Images whose files are there, but not as the log knows them or as they should be.
        counts: How many need nothing: `present`, and `known` to fail.
        failed_ids: The latter's ids.
    """

    fetch: list[ImageSource]
    look_at: list[ImageSource]
    counts: Counter[str]
    failed_ids: set[str]


@dataclass(frozen=True)
class DownloadReport:
    """Report of a run.

    Attributes:
        counts: Of images: `fetched`, `present`, `shrunk` (of those present), `failed` and, of the failed, `known`,
            that were not asked for again, and `passing`, that another run tries.
        received_bytes: Of all answers.
        failed_ids: The ids of what failed, now or before.
    """

    counts: Counter[str]
    received_bytes: int
    failed_ids: set[str]


def download_images(
    sources: Sequence[ImageSource],
    directory: str | Path,
    *,
    limits: DownloadLimits,
    options: DownloadOptions,
    log: OutcomeLog,
) -> DownloadReport:
    """Fetches those of `sources` into `directory` that are not there and not known to fail.

    A file that `log` knows is taken as it is, when it has the size it was written with. Others are decoded first, and
    fetched again where they do not.

    Args:
        sources: The images.
        directory: Held by `work_folders.exclusive_folder`.
        limits: Bounds on each image.
        options: How they are fetched.
        log: What happened in earlier runs; gets what happens in this one.

    Returns:
        What was done.

    Raises:
        OSError: The folder cannot be written to.
    """
    folder = Path(directory)
    plan = _plan(sources, folder, log, options)
    _look_at_files(plan, folder, log, options.max_dimension)
    _reject_without_url(plan, log)
    received_bytes = _fetch(plan, folder, log, limits, options) if plan.fetch else 0
    log.tidy(source.image_id for source in sources)
    return DownloadReport(plan.counts, received_bytes, plan.failed_ids)


def _plan(sources: Sequence[ImageSource], folder: Path, log: OutcomeLog, options: DownloadOptions) -> _Plan:
    plan = _Plan([], [], Counter(fetched=0, present=0, shrunk=0, failed=0, known=0, passing=0), set())
    for source in progress(sources, description="looking at what is there", unit="images"):
        known = log.get(source.image_id)
        try:
            num_bytes = os.stat(f"{folder}/{source.image_id}.jpg").st_size  # noqa: PTH116 - millions, at 5 times the speed
        except FileNotFoundError:
            num_bytes = 0
        if num_bytes:
            if known is None or known.outcome == FAILED or known.num_bytes != num_bytes:
                plan.look_at.append(source)
            elif known.shrunk_to and (options.max_dimension or float("inf")) > known.shrunk_to:
                plan.fetch.append(source)  # there was more of it than was kept
            elif options.max_dimension is not None and max(known.width, known.height) > options.max_dimension:
                plan.look_at.append(source)
            else:
                plan.counts["present"] += 1
        elif (
            known is not None
            and known.outcome == FAILED
            and known.permanent
            and known.url == without_credentials(source.url)
            and not options.retry_permanent
        ):
            plan.counts["failed"] += 1
            plan.counts["known"] += 1
            plan.failed_ids.add(source.image_id)
        else:
            plan.fetch.append(source)
    return plan


def _look_at_files(plan: _Plan, folder: Path, log: OutcomeLog, max_dimension: int | None) -> None:
    def look(source: ImageSource) -> tuple[ImageSource, bool, bool]:
        path = folder / f"{source.image_id}.jpg"
        try:
            content = read_image_file(path)
            image = decoded_image(content, max_dimension)
        except ImageError:
            return source, False, False
        known = log.get(source.image_id)
        origin = DOWNLOADED if known is not None and known.outcome == DOWNLOADED else PRESENT
        changed = image.content != content
        if changed:
            _write(path, image, log, _success(source, origin, image, max_dimension))
        else:
            log.add(_success(source, origin, image, max_dimension))
        return source, True, changed

    if not plan.look_at:
        return
    num_threads = default_num_processes()
    with ThreadPoolExecutor(num_threads) as executor:
        looked_at = map_as_completed(executor, look, plan.look_at, num_workers=num_threads)
        for source, good, changed in progress(
            looked_at, description="decoding what is there", total=len(plan.look_at), unit="images"
        ):
            if good:
                plan.counts["present"] += 1
                plan.counts["shrunk"] += changed
            else:
                plan.fetch.append(source)


def _reject_without_url(plan: _Plan, log: OutcomeLog) -> None:
    """Takes images that nothing says where to fetch out of the plan: each is a failure of its own."""
    for source in plan.fetch:
        if not source.url:
            log.add(_failure(source, DownloadError(NO_URL, NO_URL_DETAIL)))
            plan.counts["failed"] += 1
            plan.failed_ids.add(source.image_id)
    plan.fetch = [source for source in plan.fetch if source.url]


def _fetch(plan: _Plan, folder: Path, log: OutcomeLog, limits: DownloadLimits, options: DownloadOptions) -> int:
    """Fetches what is planned and returns how many bytes came."""

    def accept(source: ImageSource, fetched: Fetched) -> Outcome:
        image = accept_image(source, fetched, options.max_dimension)
        outcome = _success(source, DOWNLOADED, image, options.max_dimension)
        _write(folder / f"{source.image_id}.jpg", image, log, outcome)
        return outcome

    def reject(source: ImageSource, error: DownloadError) -> Outcome:
        outcome = _failure(source, error)
        log.add(outcome)
        return outcome

    stop = threading.Event()
    downloader = Downloader(limits, stop=stop)
    download = ParallelDownload(
        downloader, url_of=lambda source: source.url, accept=accept, reject=reject, check_start=check_start
    )
    outcomes = download.run(
        plan.fetch,
        num_threads=min(options.num_threads, len(plan.fetch)),
        max_per_host=options.max_connections_per_host,
        stop=stop,
    )
    with contextlib.closing(outcomes):
        for outcome in progress(outcomes, description="download", total=len(plan.fetch), unit="images"):
            if outcome.outcome == DOWNLOADED:
                plan.counts["fetched"] += 1
                continue
            plan.counts["failed"] += 1
            plan.counts["passing"] += not outcome.permanent
            plan.failed_ids.add(outcome.image_id)
    return downloader.received_bytes


def _write(path: Path, image: FetchedImage, log: OutcomeLog, outcome: Outcome) -> None:
    """Puts an image in its place; its line is in the log before it is there."""
    # atomic_files' way in half the time, which counts at a thousand images a second: we hold the folder, and no two
    # threads write the same image.
    target = str(path)
    temporary = f"{path.parent}/{TEMPORARY_PREFIX}{path.name}"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            rest = memoryview(image.content)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        finally:
            os.close(descriptor)
        log.add(outcome)
        os.replace(temporary, target)  # noqa: PTH105
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def _success(source: ImageSource, outcome: str, image: FetchedImage, max_dimension: int | None) -> Outcome:
    return Outcome(
        source.image_id,
        outcome,
        url=without_credentials(source.url) if outcome == DOWNLOADED else "",
        num_bytes=len(image.content),
        width=image.width,
        height=image.height,
        shrunk_to=max_dimension or 0 if image.shrunk else 0,
    )


def _failure(source: ImageSource, error: DownloadError) -> Outcome:
    return Outcome(
        source.image_id,
        FAILED,
        without_credentials(source.url),
        reason=error.reason,
        detail=error.detail,
        permanent=error.permanent,
    )
