"""Fetches, validates, resizes and encodes images as records, on one machine or a cluster, by Apache Beam.

The work on an image is that of `download_images`, `validate_images` and `make_tfrecords`, without the folders between
them; the shards have the same bytes. Which machines do it is said in Beam's own options.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from data_prep.cleaning.image_validation import add_dimension_flags
from data_prep.downloading.http_download import DownloadLimits
from data_prep.downloading.image_sources import (
    NO_URL,
    NO_URL_DETAIL,
    bucket_template,
    check_url_template,
    hosts_named_by,
    read_image_sources,
)
from data_prep.formats.label_map import LabelMap, read_label_map
from data_prep.images.image_file import SUFFIXES
from data_prep.records.manifest import SUFFIX, Manifest
from data_prep.records.point_index import index_points
from data_prep.records.record_flags import (
    add_record_flags,
    check_labels,
    check_num_shards,
    key_of_image,
    policies_of,
    settings_of,
)
from data_prep.records.shard_report import print_contents
from data_prep.runtime.command_line import (
    ArgumentParser,
    UsageError,
    UserError,
    positive_int,
    run_command,
)
from data_prep.runtime.failure_limit import FailureLimit, Loss, add_max_failures_flag
from data_prep.runtime.missing_packages import how_to_install
from data_prep.runtime.url_credentials import without_credentials

if TYPE_CHECKING:
    from data_prep.beam.pipeline import BeamRun
    from data_prep.beam.plan import FoundImage, WorkSettings


def make_parser() -> ArgumentParser:
    """Returns the command's flags."""
    parser = ArgumentParser(
        description="Fetches, validates, resizes and encodes the images of points.json as TFRecords, by Apache\n"
        "Beam: in this process, or wherever --runner and the other options of Beam say, which may stand among these\n"
        "flags or after --. Paths may be those of any file system that Beam knows, such as gs://BUCKET/FOLDER. The\n"
        "shards and the manifest are those of make_tfrecords; run again, only shards for which something has\n"
        "changed, or failed for a passing reason, are written.",
        example="  python -m data_prep.beam_pipeline --datapoints_input_path points.json --images_path images.json \\\n"
        "      --label_map_path label_map.pbtxt --record_output_path train.record --num_shards 10 \\\n"
        "      --max_dimension 1024 -- --runner=FnApiRunner --direct_num_workers=4 \\\n"
        "      --direct_running_mode=multi_processing",
    )
    parser.add_argument("--datapoints_input_path", required=True, help="points.json")
    parser.add_argument("--label_map_path", required=True, help="label_map.pbtxt")
    parser.add_argument("--record_output_path", required=True, help="what the shards' names begin with")
    images = parser.add_mutually_exclusive_group(required=True)
    images.add_argument("--images_path", help="images.json: the images are fetched")
    images.add_argument("--image_directory", help="holds ID.jpg (or .jpeg, .png, .webp, ...) of images fetched before")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--base_url", help="fetch from a bucket laid out as Open Images' own, as with download_images")
    source.add_argument(
        "--url_template", help="fetch from elsewhere than each image's own URL, as with download_images"
    )
    add_dimension_flags(parser)
    parser.add_argument(
        "--image_saving_directory",
        help="keep sound images there, as max_MAX_DIMENSION/ID.jpg, and look there before fetching: a run that is "
        "broken off, or repeated with other flags, fetches none twice",
    )
    parser.add_argument(
        "--num_threads",
        type=positive_int,
        default=16,
        help="images that each of a worker's threads (as Beam starts them) has on the way at a time",
    )
    parser.add_argument(
        "--max_connections_per_host",
        type=positive_int,
        default=8,
        help="how many of these from one host, which sees this many times the threads of all workers",
    )
    parser.add_argument("--timeout_seconds", type=float, default=60.0, help="for one try at one image, in all")
    parser.add_argument("--max_retries", type=int, default=3, help="further tries after the first, where one may help")
    parser.add_argument("--max_image_megabytes", type=float, default=64.0, help="larger files are not fetched")
    parser.add_argument(
        "--allow_private_addresses",
        action="store_true",
        help="reach hosts that are not on the public internet; one named in --base_url or --url_template is reached "
        "anyway",
    )
    add_record_flags(parser)
    parser.add_argument("--rewrite", action="store_true", help="write every shard, whether or not something changed")
    parser.add_argument("--ledger_path", help="where rejects are listed (by default RECORD_OUTPUT_PATH.rejected.jsonl)")
    add_max_failures_flag(parser, FailureLimit(0), "more rejects than this end with exit code 3")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    end = words.index("--") if "--" in words else len(words)
    flags, others = make_parser().parse_known_args(words[:end])
    template = _check(flags)
    if importlib.util.find_spec("apache_beam") is None:
        raise UserError(f"Apache Beam is not installed; {how_to_install('beam')}")
    from data_prep.beam import files, pipeline

    options = pipeline.pipeline_options(others, words[end + 1 :])
    output_path = files.absolute(flags.record_output_path)
    ledger_path = files.absolute(flags.ledger_path or output_path + ".rejected.jsonl")
    with files.local_copy(flags.label_map_path) as local:
        label_map = read_label_map(local)
    with files.local_copy(flags.datapoints_input_path) as local:
        points = index_points(local, functools.partial(key_of_image, flags))
        unknown = check_labels(
            points, label_map, flags, points_path=flags.datapoints_input_path, label_map_path=flags.label_map_path
        )
        manifest = Manifest(
            name=files.split(output_path)[1],
            label_map=label_map,
            label_map_path=flags.label_map_path,
            settings=settings_of(flags),
            command=without_credentials(shlex.join(["python", "-m", "data_prep.beam_pipeline", *words])),
            shards=(),
        )
        done = pipeline.run(
            points,
            _finder(flags, template),
            _work_settings(flags, label_map, template),
            manifest,
            output_path=output_path,
            ledger_path=ledger_path,
            rewrite=flags.rewrite,
            options=options,
        )
    return _print_summary(done, unknown, output_path, ledger_path, flags.max_failures)


def _check(flags: argparse.Namespace) -> str | None:
    """Checks the flags and returns the URL template, if there is one."""
    check_num_shards(flags)
    if not flags.timeout_seconds > 0 or not flags.max_image_megabytes > 0 or flags.max_retries < 0:
        raise UsageError("--timeout_seconds and --max_image_megabytes must be above 0, --max_retries at least 0")
    if flags.image_directory is not None:
        unused = [name for name in ("base_url", "url_template", "image_saving_directory") if getattr(flags, name)]
        if unused:
            raise UsageError(f"--{unused[0]} is for images that are fetched: it goes with --images_path")
    if flags.base_url is not None:
        return bucket_template(flags.base_url)
    if flags.url_template is not None:
        check_url_template(flags.url_template)
    template: str | None = flags.url_template
    return template


def _finder(flags: argparse.Namespace, template: str | None) -> Callable[[str], FoundImage]:
    from data_prep.beam import files
    from data_prep.beam.plan import FoundImage

    if flags.images_path is not None:
        with files.local_copy(flags.images_path) as local:
            sources = {source.image_id: source for source in read_image_sources(local, template)}
        not_listed = FoundImage(problem=f"{flags.images_path} does not list it")
        without_url = FoundImage(problem=f"{NO_URL}: {NO_URL_DETAIL}")

        def find_source(image_id: str) -> FoundImage:
            source = sources.get(image_id)
            if source is None:
                return not_listed
            return FoundImage(source) if source.url else without_url

        return find_source

    folder = files.absolute(flags.image_directory)
    try:
        there = files.files_in(folder)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"--image_directory {flags.image_directory} is no folder") from None

    def find_file(image_id: str) -> FoundImage:
        name = next((image_id + suffix for suffix in SUFFIXES if image_id + suffix in there), None)
        if name is None:
            return FoundImage(problem=f"no {image_id}.jpg (.png, ...) in {flags.image_directory}")
        return FoundImage(path=files.join(folder, name), version=there[name])

    return find_file


def _work_settings(flags: argparse.Namespace, label_map: LabelMap, template: str | None) -> WorkSettings:
    from data_prep.beam import files
    from data_prep.beam.plan import WorkSettings

    saved = flags.image_saving_directory
    return WorkSettings(
        label_ids={item.name: item.id for item in label_map},
        policies=policies_of(flags),
        num_shards=flags.num_shards,
        max_dimension=flags.max_dimension,
        min_dimension=flags.min_dimension,
        limits=DownloadLimits(
            timeout_seconds=flags.timeout_seconds,
            max_bytes=int(flags.max_image_megabytes * 2**20),
            max_retries=flags.max_retries,
            connections_per_host=min(flags.max_connections_per_host, flags.num_threads),
            allow_private_addresses=flags.allow_private_addresses,
            trusted_hosts=hosts_named_by(template),
        ),
        num_threads=flags.num_threads,
        max_connections_per_host=flags.max_connections_per_host,
        saved_images=files.join(files.absolute(saved), f"max_{flags.max_dimension}") if saved else "",
    )


def _print_summary(
    done: BeamRun, unknown: Counter[str], output_path: str, ledger_path: str, max_failures: FailureLimit
) -> int:
    from data_prep.beam.image_work import FETCHED, FETCHED_BYTES, READ

    manifest, total = done.manifest, done.manifest.total()
    reasons = Counter(reason for entry in manifest.shards for _, reason, _ in entry.report.rejected)
    rejected = f"{reasons.total()} rejected"
    if reasons:
        rejected += f" ({', '.join(f'{count} {reason}' for reason, count in reasons.most_common())}; see {ledger_path})"
    print(
        f"{total.num_points} points: {total.num_images} records, {total.num_images_without_boxes} of them without a "
        f"box; {rejected}"
    )
    print_contents(total, manifest.label_map, unknown)
    num_shards, size = len(manifest.shards), f"{total.num_bytes / 1e6:.1f} MB"
    names = output_path
    if num_shards > 1:
        names += f"-00000-of-{num_shards:05d} .. {num_shards - 1:05d}-of-{num_shards:05d}"
    passing = sum(not entry.fingerprint for entry in manifest.shards)
    if done.is_unchanged:
        print(f"nothing to do: {num_shards} shards, {size}, are as they should be: {names}")
    else:
        counted = done.counters
        print(
            f"workers fetched {counted[FETCHED]} images ({counted[FETCHED_BYTES] / 1e6:.1f} MB) and read "
            f"{counted[READ]}"
        )
        print(
            f"wrote {done.num_written} of {num_shards} shards, {size} in all: {names}; {output_path}{SUFFIX} lists them"
        )
    if passing:
        print(f"{passing} shards lack images that failed for a reason that may pass: the same command tries again")
    return max_failures.exit_code(reasons.total(), [Loss("images", reasons.total(), total.num_points)])


if __name__ == "__main__":
    run_command(main)
