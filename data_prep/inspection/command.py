"""Writes one HTML page to look through a data set with, before a day of training.

Shows classes, sizes, aspect ratios, what comes together, and the images with their boxes, suspicious ones first, to
be sorted and filtered in the page. On records it shows what training will really see. With a pipeline config it shows
which boxes its anchors can match at all. The page needs no network and no other file.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.formats.label_map import read_label_map
from data_prep.formats.shard_names import find_shards
from data_prep.inspection import data_set
from data_prep.inspection.anchors import anchor_coverage
from data_prep.inspection.data_set import DataSet
from data_prep.inspection.page import choose_listed, page
from data_prep.inspection.points_source import read_points_data_set
from data_prep.inspection.statistics import statistics
from data_prep.inspection.suspicion import Limits, mark_suspicious, suspicion_scores
from data_prep.inspection.thumbnails import choose_images, make_thumbnails
from data_prep.metadata.open_images import read_class_descriptions
from data_prep.records.shard_checks import ShardSummary
from data_prep.runtime.atomic_files import write_text
from data_prep.runtime.command_line import (
    ArgumentParser,
    UsageError,
    fraction,
    int_between,
    int_from_zero,
    number_above_zero,
    positive_int,
    require_folder,
)
from data_prep.runtime.failure_limit import FailureLimit, Loss, add_max_failures_flag
from data_prep.runtime.ledger import Ledger
from data_prep.runtime.worker_pool import default_num_processes

_BOX_WORDS = {
    data_set.UNUSABLE: "without area or outside their image",
    data_set.DUPLICATE: "drawn twice",
    data_set.TWO_CLASSES: "of two classes in one place",
    data_set.TINY: "tiny",
    data_set.EXTREME_RATIO: "of an extreme aspect ratio",
    data_set.HUGE: "as large as their image",
}
_IMAGE_WORDS = {
    data_set.NO_IMAGE: "missing or not readable",
    data_set.BAD_RECORD: "with a record that would stop training",
    data_set.REPEATED_ID: "with the id of another",
    data_set.NO_BOXES: "without boxes",
    data_set.MANY_BOXES: "with very many boxes",
    data_set.SMALL_IMAGE: "small",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    flags = make_parser().parse_args(argv)
    _check(flags)
    start = time.monotonic()
    limits = Limits(
        tiny_pixels=flags.tiny_pixels,
        huge_share=flags.huge_share,
        extreme_ratio=flags.extreme_ratio,
        duplicate_iou=flags.duplicate_iou,
        many_boxes=flags.many_boxes,
    )
    output_path: Path = flags.output_path
    with Ledger(output_path.with_name(output_path.name + ".rejected.jsonl")) as ledger:
        found = _read(flags, ledger)
        unread = ledger.total
        mark_suspicious(found, limits)
        coverage = None
        if flags.pipeline_config_path is not None:
            coverage = anchor_coverage(
                found,
                flags.pipeline_config_path,
                config_override=flags.config_override,
                ignore_unsupported=flags.ignore_unsupported,
                plugins=flags.plugin,
                boxes_per_class=flags.anchor_boxes_per_class,
                seed=flags.seed,
            )
        scores = suspicion_scores(found)
        chosen = choose_images(found, scores, flags.max_thumbnails, flags.seed)
        thumbnails = make_thumbnails(
            found,
            chosen,
            flags.image_directory,
            side=flags.thumbnail_side,
            max_bytes=int(flags.max_thumbnail_megabytes * 1e6),
            ledger=ledger,
            num_threads=flags.num_threads,
        )
        scores = suspicion_scores(found)  # again: some images may not have decoded
        listed = choose_listed(found, thumbnails, scores, flags.max_listed_images, flags.seed)
        text = page(
            found,
            statistics(found),
            thumbnails,
            listed,
            scores,
            title=flags.title or f"Data set: {_name(flags)}",
            limits=dataclasses.asdict(limits),
            coverage=coverage,
        )
        write_text(output_path, text)
    print("\n".join(_describe(found, coverage, num_thumbnails=len(thumbnails), num_listed=len(listed))))
    print(ledger.summary())
    print(f"wrote {output_path}, {len(text) / 1e6:.1f} MB, in {time.monotonic() - start:.1f} s")
    losses = [
        Loss("images or records", unread, found.num_images + unread),
        Loss("thumbnails", ledger.total - unread, len(chosen)),
    ]
    return flags.max_failures.exit_code(ledger.total, losses)


def make_parser() -> ArgumentParser:
    """Returns the command's flags."""
    limits = Limits()
    parser = ArgumentParser(
        description=__doc__ or "",
        example="  python -m data_prep.inspect_data --datapoints_input_path points.json --image_directory images \\\n"
        "      --class_description_path class-descriptions-boxable.csv --output_path points.html\n"
        "  python -m data_prep.inspect_data --input_path 'train.record-*' --label_map_path label_map.pbtxt \\\n"
        "      --pipeline_config_path pipeline.config --output_path records.html",
    )
    parser.add_argument("--datapoints_input_path", type=Path, help="points.json to look at")
    parser.add_argument("--image_directory", type=Path, help="with points: holds ID.jpg (.png, ...)")
    parser.add_argument(
        "--input_path", nargs="+", help="records to look at: paths, a glob, NAME@10, or several with commas"
    )
    parser.add_argument("--label_map_path", type=Path, help="names the classes, and lists those without a box too")
    parser.add_argument("--class_description_path", type=Path, help="names the classes: MID,Name a line")
    parser.add_argument("--pipeline_config_path", type=Path, help="show which boxes this config's anchors match")
    parser.add_argument("--config_override", default="", metavar="TEXT", help="protobuf text merged over the config")
    parser.add_argument(
        "--ignore_unsupported",
        nargs="+",
        action="extend",
        default=[],
        metavar="FIELD",
        help="fields of the config that cannot be honoured here, taken as not written",
    )
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module of your own that registers parts which the config names, as train.train takes it: its code runs",
    )
    parser.add_argument("--output_path", type=Path, default=Path("inspection.html"), help="the page to write")
    parser.add_argument("--title", default="", help="of the page; by default what was read")
    parser.add_argument(
        "--tiny_pixels",
        type=number_above_zero,
        default=limits.tiny_pixels,
        help="a box with a shorter side below this is tiny, in pixels of its image",
    )
    parser.add_argument(
        "--huge_share", type=fraction, default=limits.huge_share, help="a box over this share of its image is huge"
    )
    parser.add_argument(
        "--extreme_ratio",
        type=number_above_zero,
        default=limits.extreme_ratio,
        help="length to width of an extreme box",
    )
    parser.add_argument(
        "--duplicate_iou", type=fraction, default=limits.duplicate_iou, help="two boxes as alike as this are one"
    )
    parser.add_argument(
        "--many_boxes", type=positive_int, default=limits.many_boxes, help="more in one image are suspicious"
    )
    parser.add_argument("--max_thumbnails", type=int_from_zero, default=800, help="images shown as such")
    parser.add_argument(
        "--max_thumbnail_megabytes", type=number_above_zero, default=16.0, help="of all thumbnails together"
    )
    parser.add_argument(
        "--thumbnail_side",
        type=int_between(32, 2048, "number of pixels"),
        default=320,
        help="the longest of a thumbnail, in pixels",
    )
    parser.add_argument(
        "--max_listed_images",
        "--max_listed_pictures",
        type=positive_int,
        default=100_000,
        help="images in the page, most without thumbnail; --max_listed_pictures is its name in earlier versions",
    )
    parser.add_argument(
        "--anchor_boxes_per_class", type=positive_int, default=1000, help="boxes drawn to be compared with anchors"
    )
    parser.add_argument(
        "--decode_fraction",
        type=fraction,
        default=1.0,
        help="with records: the share of the images, by chance, that is decoded to check it, as verify_tfrecords "
        "does; of the others only the header is read, and images with a thumbnail are decoded anyway",
    )
    parser.add_argument("--seed", type=int_from_zero, default=0, help="of what is drawn at random")
    parser.add_argument(
        "--num_threads", type=positive_int, default=default_num_processes(), help="files read at a time"
    )
    use = "more unreadable images, or problems of records, than this end with code 3; the page is written all the same"
    add_max_failures_flag(parser, FailureLimit(0), use)
    return parser


def _check(flags: argparse.Namespace) -> None:
    if (flags.datapoints_input_path is None) == (flags.input_path is None):
        raise UsageError("give --datapoints_input_path (points.json) or --input_path (records), and not both")
    if flags.input_path is not None and flags.image_directory is not None:
        raise UsageError("--image_directory goes with --datapoints_input_path; records hold their images")
    if flags.input_path is not None and flags.class_description_path is not None:
        raise UsageError("--class_description_path goes with points; records are named by --label_map_path")
    if flags.label_map_path is not None and flags.class_description_path is not None:
        raise UsageError("--label_map_path and --class_description_path exclude each other; give one of them")
    if flags.image_directory is not None:
        require_folder("--image_directory", flags.image_directory)
    if flags.pipeline_config_path is not None:
        if not flags.pipeline_config_path.is_file():
            raise UsageError(f"--pipeline_config_path {flags.pipeline_config_path}: no such file, or not a regular one")
        if flags.datapoints_input_path is not None and flags.image_directory is None:
            raise UsageError("--pipeline_config_path needs the images' sizes: give --image_directory too")


def _read(flags: argparse.Namespace, ledger: Ledger) -> DataSet:
    label_map = read_label_map(flags.label_map_path) if flags.label_map_path is not None else None
    if flags.input_path is not None:
        from data_prep.inspection.records_source import read_records_data_set

        shards = find_shards(flags.input_path)
        return read_records_data_set(shards, label_map, ledger=ledger, decode_fraction=flags.decode_fraction)
    names: dict[str, str] = {}
    if label_map is not None:
        names = {item.name: item.display_name or item.name for item in label_map}
    elif flags.class_description_path is not None:
        names = read_class_descriptions(flags.class_description_path)
    return read_points_data_set(
        flags.datapoints_input_path,
        flags.image_directory,
        names,
        lists_all=label_map is not None,
        ledger=ledger,
        num_threads=flags.num_threads,
    )


def _name(flags: argparse.Namespace) -> str:
    return str(Path(flags.input_path[0] if flags.input_path is not None else flags.datapoints_input_path).name)


def _describe(found: DataSet, coverage: Mapping[str, Any] | None, *, num_thumbnails: int, num_listed: int) -> list[str]:
    """Returns what the page shows, in a few lines.

    Args:
        found: The data set, marked.
        coverage: What the anchors match, or None.
        num_thumbnails: Images shown as such.
        num_listed: Images in the page.
    """
    num_classes = int(np.count_nonzero(np.bincount(found.box_classes, minlength=1)))
    lines = [
        f"{found.num_images} images with {found.num_boxes} boxes of {num_classes} classes, from {found.source}",
        f"suspicious images: {_counts(found.image_flags, _IMAGE_WORDS)}",
        f"suspicious boxes: {_counts(found.box_flags, _BOX_WORDS)}",
    ]
    if found.checked is not None:
        lines.append(f"verify_tfrecords would report: {_problems(found.checked)}")
    if coverage is not None:
        compared = "all" if coverage["sampled"] == coverage["usable"] else f"{coverage['sampled']} of"
        lines.append(
            f"anchors of {coverage['config']}: {100 * coverage['share']:.1f}% of the boxes have one that matches "
            f"(compared: {compared} {coverage['usable']})"
        )
    lines.append(f"the page lists {num_listed} of the {found.num_images} images and shows {num_thumbnails} of them")
    return lines


def _problems(checked: ShardSummary) -> str:
    """Returns the problems of records by kind, most frequent first, and the warnings, in words."""
    kinds, warnings = (
        ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
        for counts in (checked.problems, checked.warnings)
    )
    found = f"{kinds}, in {checked.num_bad_records} of {checked.num_records} records" if kinds else "nothing"
    return found + (f"; warnings: {warnings}" if warnings else "")


def _counts(flags: Any, words: Mapping[int, str]) -> str:
    counts = {word: int(np.count_nonzero(flags & bit)) for bit, word in words.items()}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "none"
