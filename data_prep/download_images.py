"""Fetches the images of images.json into a folder, as ID.jpg, over many connections at a time.

Each image is checked by its content before it is kept, and appears whole or not at all. A second run fetches what is
missing, and asks again for what failed for a passing reason.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from data_prep.downloading.download_outcomes import OutcomeLog
from data_prep.downloading.http_download import DownloadLimits
from data_prep.downloading.image_download import DownloadOptions, DownloadReport, download_images
from data_prep.downloading.image_sources import (
    ImageSource,
    bucket_template,
    check_url_template,
    hosts_named_by,
    read_image_sources,
)
from data_prep.runtime.command_line import ArgumentParser, UsageError, UserError, positive_int, run_command
from data_prep.runtime.failure_limit import FailureLimit, Loss, add_max_failures_flag
from data_prep.runtime.ledger import Ledger
from data_prep.runtime.work_folders import exclusive_folder

_OPEN_FILES_WANTED = 8192  # two a connection, and those of hosts that were asked before are kept for a while


def make_parser() -> ArgumentParser:
    """Returns the command's flags."""
    defaults = DownloadOptions()
    parser = ArgumentParser(
        description="Fetches the images of images.json into a folder, as ID.jpg.\n"
        "A second run fetches what is missing, and asks again for what failed for a passing reason.",
        example="  python -m data_prep.download_images --images_path images.json --images_output_directory images \\\n"
        "      --max_dimension 1024",
    )
    parser.add_argument("--images_path", required=True, type=Path, help="images.json, as process_metadata writes it")
    parser.add_argument("--images_output_directory", required=True, type=Path, help="the folder for ID.jpg")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--base_url",
        help="fetch from a bucket laid out as Open Images' own, SUBSET/ID.jpg below this URL, such as "
        "https://open-images-dataset.s3.amazonaws.com, instead of from each image's own URL",
    )
    source.add_argument(
        "--url_template",
        help="fetch from elsewhere than each image's own URL, such as "
        "'https://example.org/copies/{subset}/{id}.jpg'; {id}, {subset} and {url} are filled in. Copies are not held "
        "against the original's MD5 and size: '{url}' takes originals that have changed",
    )
    parser.add_argument(
        "--max_dimension",
        type=positive_int,
        help="shrink on arrival what has a longer side, in pixels, so that originals are never stored",
    )
    parser.add_argument(
        "--num_threads", type=positive_int, default=defaults.num_threads, help="how many images are fetched at a time"
    )
    parser.add_argument(
        "--max_connections_per_host",
        type=positive_int,
        default=defaults.max_connections_per_host,
        help="how many of them from one host; one that answers 429 or 503 gets fewer",
    )
    parser.add_argument("--timeout_seconds", type=float, default=60.0, help="for one try at one image, in all")
    parser.add_argument("--max_retries", type=int, default=3, help="further tries after the first, where one may help")
    parser.add_argument("--max_image_megabytes", type=float, default=64.0, help="larger files are not fetched")
    parser.add_argument("--max_total_gigabytes", type=float, help="stop once so much has come in this run")
    parser.add_argument(
        "--retry_permanent",
        action="store_true",
        help="ask again for what has failed for good in an earlier run, such as with HTTP 404",
    )
    parser.add_argument(
        "--allow_private_addresses",
        action="store_true",
        help="reach hosts that are not on the public internet, such as localhost, also where an image's own URL or a "
        "redirect leads there; a host named in --base_url or --url_template is reached anyway",
    )
    parser.add_argument(
        "--outcomes_path",
        type=Path,
        help="what happened to every image, one line each (by default IMAGES_OUTPUT_DIRECTORY.downloads.jsonl); "
        "the next run reads it",
    )
    parser.add_argument(
        "--ledger_path", type=Path, help="where failures are listed (by default IMAGES_OUTPUT_DIRECTORY.rejected.jsonl)"
    )
    add_max_failures_flag(parser, FailureLimit(0), "more failures than this end with exit code 3")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    flags = make_parser().parse_args(argv)
    if not flags.timeout_seconds > 0 or not flags.max_image_megabytes > 0 or flags.max_retries < 0:
        raise UsageError("--timeout_seconds and --max_image_megabytes must be above 0, --max_retries at least 0")
    if flags.max_total_gigabytes is not None and not flags.max_total_gigabytes > 0:
        raise UsageError("--max_total_gigabytes must be above 0")
    template = flags.url_template
    if flags.base_url is not None:
        template = bucket_template(flags.base_url)
    elif template is not None:
        check_url_template(template)
    sources = read_image_sources(flags.images_path, template)
    if not sources:
        raise UserError(f"{flags.images_path} lists no images: nothing to fetch")
    directory: Path = flags.images_output_directory
    limits = DownloadLimits(
        timeout_seconds=flags.timeout_seconds,
        max_bytes=int(flags.max_image_megabytes * 2**20),
        max_retries=flags.max_retries,
        max_total_bytes=None if flags.max_total_gigabytes is None else int(flags.max_total_gigabytes * 1e9),
        connections_per_host=min(flags.max_connections_per_host, flags.num_threads),
        allow_private_addresses=flags.allow_private_addresses,
        trusted_hosts=hosts_named_by(template),
    )
    options = DownloadOptions(
        num_threads=flags.num_threads,
        max_connections_per_host=flags.max_connections_per_host,
        max_dimension=flags.max_dimension,
        retry_permanent=flags.retry_permanent,
    )
    _allow_open_files()
    outcomes_path = flags.outcomes_path or directory.with_name(directory.name + ".downloads.jsonl")
    ledger_path = flags.ledger_path or directory.with_name(directory.name + ".rejected.jsonl")
    try:
        with exclusive_folder(directory, outcomes_path, ledger_path), OutcomeLog(outcomes_path) as log:
            report = download_images(sources, directory, limits=limits, options=options, log=log)
            with Ledger(ledger_path) as ledger:
                _list_failures(sources, report, log, ledger)
    except OSError as error:
        raise UserError(f"cannot write images to {directory}: {error.strerror or error}") from error
    _print_summary(sources, report, ledger)
    if ledger.total == len(sources):
        raise UserError(f"none of the {len(sources)} images could be fetched; {ledger_path} says why for each")
    return flags.max_failures.exit_code(ledger.total, [Loss("images", ledger.total, len(sources))])


def _list_failures(sources: Sequence[ImageSource], report: DownloadReport, log: OutcomeLog, ledger: Ledger) -> None:
    for source in sources:
        if source.image_id in report.failed_ids and (outcome := log.get(source.image_id)) is not None:
            ledger.reject(outcome.image_id, outcome.reason, outcome.detail)


def _print_summary(sources: Sequence[ImageSource], report: DownloadReport, ledger: Ledger) -> None:
    counts = report.counts
    print(
        f"{len(sources)} images: {counts['fetched']} fetched ({report.received_bytes / 1e6:.1f} MB), "
        f"{counts['present']} were there already, {ledger.summary()}"
    )
    if counts["shrunk"]:
        print(f"{counts['shrunk']} of those that were there are smaller now")
    if counts["known"]:
        print(f"{counts['known']} failed for good in an earlier run and were not asked for: --retry_permanent does")
    if counts["passing"]:
        print(f"{counts['passing']} failed for a reason that may pass: the same command asks for them again")
    if counts["present"] - counts["shrunk"] + counts["known"] == len(sources):
        print("nothing had to be done")


def _allow_open_files() -> None:
    """Raises this process's limit of open files, which is 1,024 on many systems, as far as that is allowed."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _OPEN_FILES_WANTED if hard == resource.RLIM_INFINITY else min(_OPEN_FILES_WANTED, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    run_command(main)
