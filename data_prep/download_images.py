"""Fetches the pictures of images.json into a folder, as ID.jpg, with many threads.

What is there already is not fetched again, so that running the command once more fetches what is missing. Each picture
is checked by its content before it is kept, and appears whole or not at all.
"""

from __future__ import annotations

import base64
import hashlib
import string
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.atomic_files import write_bytes
from data_prep.command_line import ArgumentParser, UsageError, UserError, positive_int, run_command
from data_prep.http_download import Downloader, DownloadError, DownloadLimits
from data_prep.images import ImageError, read_header
from data_prep.ledger import Ledger
from data_prep.points import check_image_id, read_json
from data_prep.progress import progress
from data_prep.worker_pool import map_as_completed

_TEMPLATE_FIELDS = frozenset({"id", "subset", "url"})


@dataclass(frozen=True)
class ImageSource:
    """One entry of images.json.

    Attributes:
        image_id: A plain file name.
        url: Where the picture lies.
        md5: Of the picture, in base64, as Open Images has it; empty where it is not known.
    """

    image_id: str
    url: str
    md5: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of one picture.

    Attributes:
        image_id: Its id.
        num_bytes: How many were fetched; 0 where it was there already or failed.
        reason: Why it failed; empty where it did not.
        detail: What was seen.
    """

    image_id: str
    num_bytes: int = 0
    reason: str = ""
    detail: str = ""


def read_image_sources(path: str | Path, url_template: str | None = None) -> list[ImageSource]:
    """Reads images.json: an array of `{"id", "url"}` with, optionally, `"subset"` and `"original_md5"`.

    Args:
        path: The file.
        url_template: Where the pictures lie instead of at their URL, with `{id}`, `{subset}` and `{url}` filled in.
            Such copies are often resized, so the original's MD5 is then not asked of them.

    Raises:
        UsageError: It is not of that shape (with the item's number, from 1), or an id is not a plain file name or comes
            twice.
    """
    entries = read_json(path)
    if not isinstance(entries, list):
        raise UsageError(f"{path}: must be a JSON array with one object an image")
    sources = []
    seen: set[str] = set()
    for number, entry in enumerate(entries, start=1):
        where = f"{path}: item {number}"
        if not isinstance(entry, dict):
            raise UsageError(f"{where}: must be an object with 'id' and 'url'")
        try:
            image_id = check_image_id(entry.get("id"))
        except UserError as error:
            raise UsageError(f"{where}: {error}") from error
        if image_id in seen:
            raise UsageError(f"{where}: image id {image_id!r} comes twice")
        seen.add(image_id)
        sources.append(_source(entry, image_id, url_template, where))
    return sources


def check_url_template(template: str) -> None:
    """Checks that `template` names no field but `{id}`, `{subset}` and `{url}`.

    Raises:
        UsageError: It does, or has no field, or its braces do not match.
    """
    try:
        fields = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise UsageError(f"--url_template {template!r}: {error}") from error
    if not fields or not fields <= _TEMPLATE_FIELDS:
        raise UsageError(f"--url_template {template!r}: the fields are {{id}}, {{subset}} and {{url}}")


def fetch_image(source: ImageSource, directory: Path, downloader: Downloader) -> Outcome:
    """Fetches one picture to `directory`/ID.jpg, unless a file that is not empty is there.

    Returns:
        What became of it; a picture that cannot be had is no exception.

    Raises:
        OSError: The file cannot be written.
    """
    target = directory / f"{source.image_id}.jpg"
    if target.is_file() and target.stat().st_size > 0:
        return Outcome(source.image_id)
    try:
        content = downloader.fetch(source.url)
        read_header(content)
    except DownloadError as error:
        return Outcome(source.image_id, reason=error.reason, detail=error.detail)
    except ImageError as error:
        return Outcome(source.image_id, reason=error.reason, detail=f"{source.url}: {error.detail}")
    if source.md5:
        # Not a matter of security: Open Images gives no stronger sum.
        found = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        if found != source.md5:
            detail = f"{source.url}: MD5 {found} instead of {source.md5}: not the picture that was annotated"
            return Outcome(source.image_id, reason="wrong MD5", detail=detail)
    write_bytes(target, content)
    return Outcome(source.image_id, num_bytes=len(content))


def download_images(
    sources: Sequence[ImageSource],
    directory: str | Path,
    *,
    limits: DownloadLimits,
    num_threads: int,
    ledger: Ledger,
) -> Counter[str]:
    """Fetches all of `sources` into `directory`.

    Args:
        sources: The pictures.
        directory: Made if missing.
        limits: Bounds on each picture.
        num_threads: How many are fetched at a time.
        ledger: Takes what cannot be had.

    Returns:
        How many were `fetched`, how many were `present`, and the `bytes` fetched.

    Raises:
        OSError: The folder cannot be written to.
    """
    folder = Path(directory)
    counts: Counter[str] = Counter(fetched=0, present=0, bytes=0)
    stop = threading.Event()
    downloader = Downloader(limits, stop=stop)
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(num_threads) as executor:
        try:
            outcomes = map_as_completed(
                executor,
                lambda source: fetch_image(source, folder, downloader),
                sources,
                num_workers=num_threads,
            )
            for outcome in progress(outcomes, description="download", total=len(sources), unit="images"):
                if outcome.reason:
                    ledger.reject(outcome.image_id, outcome.reason, outcome.detail)
                else:
                    counts["fetched" if outcome.num_bytes else "present"] += 1
                    counts["bytes"] += outcome.num_bytes
        finally:
            stop.set()  # whatever ended the loop, the threads need not wait out their back-offs
    return counts


def make_parser() -> ArgumentParser:
    """Returns the command's flags."""
    parser = ArgumentParser(
        description="Fetches the pictures of images.json into a folder, as ID.jpg.\n"
        "A second run fetches what is missing.",
        example="  python -m data_prep.download_images --images_path images.json --images_output_directory images",
    )
    parser.add_argument("--images_path", required=True, type=Path, help="images.json, as process_metadata writes it")
    parser.add_argument("--images_output_directory", required=True, type=Path, help="the folder for ID.jpg")
    parser.add_argument("--num_threads", type=positive_int, default=32, help="how many pictures are fetched at a time")
    parser.add_argument("--timeout_seconds", type=float, default=60.0, help="for one try at one picture, in all")
    parser.add_argument("--max_retries", type=int, default=3, help="further tries after the first, where one may help")
    parser.add_argument("--max_image_megabytes", type=float, default=64.0, help="larger files are not fetched")
    parser.add_argument(
        "--url_template",
        help="fetch from elsewhere than each picture's own URL, such as "
        "'https://open-images-dataset.s3.amazonaws.com/{subset}/{id}.jpg'; {id}, {subset} and {url} are filled in",
    )
    parser.add_argument(
        "--ledger_path", type=Path, help="where failures are listed (by default IMAGES_OUTPUT_DIRECTORY.rejected.jsonl)"
    )
    parser.add_argument("--max_failures", type=int, default=0, help="more failures than this end with exit code 3")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    flags = make_parser().parse_args(argv)
    if not flags.timeout_seconds > 0 or not flags.max_image_megabytes > 0 or flags.max_retries < 0:
        raise UsageError("--timeout_seconds and --max_image_megabytes must be above 0, --max_retries at least 0")
    if flags.url_template is not None:
        check_url_template(flags.url_template)
    sources = read_image_sources(flags.images_path, flags.url_template)
    if not sources:
        raise UserError(f"{flags.images_path} lists no pictures: nothing to fetch")
    directory: Path = flags.images_output_directory
    limits = DownloadLimits(
        timeout_seconds=flags.timeout_seconds,
        max_bytes=int(flags.max_image_megabytes * 2**20),
        max_retries=flags.max_retries,
    )
    ledger_path = flags.ledger_path or directory.with_name(directory.name + ".rejected.jsonl")
    try:
        with Ledger(ledger_path) as ledger:
            counts = download_images(
                sources, directory, limits=limits, num_threads=min(flags.num_threads, len(sources)), ledger=ledger
            )
    except OSError as error:
        raise UserError(f"cannot write pictures to {directory}: {error.strerror or error}") from error
    print(
        f"{len(sources)} pictures: {counts['fetched']} fetched ({counts['bytes'] / 1e6:.1f} MB), "
        f"{counts['present']} were there already, {ledger.summary()}"
    )
    if ledger.total == len(sources):
        raise UserError(f"none of the {len(sources)} pictures could be fetched; {ledger_path} says why for each")
    return ledger.exit_code(flags.max_failures)


def _source(entry: dict[str, Any], image_id: str, url_template: str | None, where: str) -> ImageSource:
    for key in ("url", "subset", "original_md5"):
        if not isinstance(entry.get(key) or "", str):
            raise UsageError(f"{where} (id {image_id}): {key!r} must be a text")
    url = entry.get("url") or ""
    if url_template is None:
        if not url:
            raise UsageError(f"{where} (id {image_id}): 'url' is missing; say where it lies with --url_template")
        return ImageSource(image_id, url, entry.get("original_md5") or "")
    subset = entry.get("subset") or ""
    if not subset and "{subset" in url_template:
        raise UsageError(f"{where} (id {image_id}): --url_template asks for {{subset}}, which is missing here")
    return ImageSource(image_id, url_template.format(id=image_id, subset=subset, url=url))


if __name__ == "__main__":
    run_command(main)
