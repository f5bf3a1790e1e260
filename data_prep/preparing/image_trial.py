"""A trial with a few images: how large they are, and how many a second this machine fetches and decodes."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.cleaning.image_validation import DEFAULT_MIN_DIMENSION, validate_content
from data_prep.downloading.download_outcomes import OutcomeLog
from data_prep.downloading.http_download import DownloadLimits
from data_prep.downloading.image_download import DownloadOptions, download_images
from data_prep.downloading.image_sources import ImageSource, bucket_template, hosts_named_by
from data_prep.images.image_file import ImageError
from data_prep.runtime.command_line import UserError


class NoImagesError(UserError):
    """Not one image of a trial came."""


@dataclass(frozen=True)
class ImageTrial:
    """Result of a trial.

    Attributes:
        num_images: How many came.
        num_failed: How many did not.
        fetched_bytes: Of an image, on the way, on average.
        kept_bytes: Of an image, as it is kept, on average.
        fetched_a_second: Images, on the way and made smaller.
        decoded_a_second: Images, by one process.
    """

    num_images: int
    num_failed: int
    fetched_bytes: float
    kept_bytes: float
    fetched_a_second: float
    decoded_a_second: float


def try_images(
    subset: str,
    image_ids: Sequence[str],
    *,
    base_url: str,
    max_dimension: int,
    num_threads: int | None,
    allow_private_addresses: bool,
) -> ImageTrial:
    """Fetches a few images as `download_images` does, decodes them as `validate_images` does, and keeps none.

    Args:
        subset: Their split.
        image_ids: Which.
        base_url: Where SUBSET/ID.jpg are.
        max_dimension: The longest side kept, in pixels.
        num_threads: How many are fetched at a time; None for the default.
        allow_private_addresses: As `download_images` has it.

    Returns:
        What was measured.

    Raises:
        NoImagesError: None came.
    """
    template = bucket_template(base_url)
    sources = [ImageSource(name, template.format(id=name, subset=subset)) for name in image_ids]
    defaults = DownloadOptions(max_dimension=max_dimension)
    options = DownloadOptions(num_threads=num_threads or defaults.num_threads, max_dimension=max_dimension)
    limits = DownloadLimits(
        max_retries=1, allow_private_addresses=allow_private_addresses, trusted_hosts=hosts_named_by(template)
    )
    with tempfile.TemporaryDirectory(prefix="image-trial-") as name:
        folder = Path(name) / "images"
        folder.mkdir()
        started = time.monotonic()
        with OutcomeLog(Path(name) / "outcomes.jsonl") as log:
            report = download_images(sources, folder, limits=limits, options=options, log=log)
            outcomes = [log.get(source.image_id) for source in sources]
        seconds = time.monotonic() - started
        images = [path.read_bytes() for path in folder.glob("*.jpg")]
    reasons = Counter(outcome.reason for outcome in outcomes if outcome is not None and outcome.reason)
    if not images:
        why = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        raise NoImagesError(f"none of {len(sources)} could be fetched from {base_url} for a trial: {why}")
    started = time.monotonic()
    for content in images:
        _decode(content, max_dimension)
    decoding_seconds = time.monotonic() - started
    return ImageTrial(
        num_images=len(images),
        num_failed=len(report.failed_ids),
        fetched_bytes=report.received_bytes / len(images),
        kept_bytes=sum(map(len, images)) / len(images),
        fetched_a_second=len(images) / seconds,
        decoded_a_second=len(images) / decoding_seconds,
    )


def _decode(content: bytes, max_dimension: int) -> None:
    try:
        validate_content(content, max_dimension=max_dimension, min_dimension=DEFAULT_MIN_DIMENSION)
    except ImageError:
        return  # it costs about as much
