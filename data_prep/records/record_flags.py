"""The flags of commands that write records: shards, their order, and the rules about what goes into them."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from data_prep.formats.label_map import LabelMap
from data_prep.formats.shard_names import MAX_SHARDS
from data_prep.records import record_policies
from data_prep.records.point_index import PointIndex, shuffle_key
from data_prep.records.record_policies import RecordPolicies
from data_prep.runtime.command_line import UsageError, UserError, fraction, positive_int


def add_record_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that decide what is written, and into which shard."""
    parser.add_argument("--num_shards", type=positive_int, default=10, help="number of files")
    parser.add_argument("--shuffle_seed", type=int, default=0, help="of the chance that spreads images over shards")
    parser.add_argument("--no_shuffle", action="store_true", help="deal the images out in the order of the points")
    parser.add_argument(
        "--drop_unknown_labels", action="store_true", help="leave out boxes whose label is not in the label map"
    )
    parser.add_argument(
        "--images_without_boxes",
        type=_share_of_images_without_boxes,
        default="keep",
        metavar="keep|drop|FRACTION",
        help="images that have no box (left): keep them, drop them, or keep this share of them, by chance",
    )
    parser.add_argument(
        "--group_of_boxes",
        choices=record_policies.GROUP_OF_CHOICES,
        default="keep",
        help="boxes around a group: keep them with their flag, drop them, or keep them and flag them as a crowd too, "
        "which COCO's metrics leave out",
    )
    parser.add_argument(
        "--max_boxes_per_image", type=positive_int, help="keep no more than so many boxes of an image, the largest"
    )
    parser.add_argument(
        "--image_check",
        choices=record_policies.IMAGE_CHECKS,
        default="whole",
        help="whole: read every JPEG to its end; header: trust those whose header and end mark are there, as after "
        "validate_images",
    )


def check_num_shards(flags: argparse.Namespace) -> None:
    """Refuses more shards than their names have digits for; raises UsageError."""
    if flags.num_shards > MAX_SHARDS:
        raise UsageError(
            f"--num_shards {flags.num_shards}: at most {MAX_SHARDS}, a shard's name has five digits for it"
        )


def key_of_image(flags: argparse.Namespace, image_id: str, number: int) -> int:
    """Returns an image's key for `PointIndex.shards`, from its id and its number in points.json."""
    return number if flags.no_shuffle else shuffle_key(image_id, flags.shuffle_seed)


def policies_of(flags: argparse.Namespace) -> RecordPolicies:
    """Returns the rules that the flags name."""
    return RecordPolicies(
        without_boxes=flags.images_without_boxes,
        group_of=flags.group_of_boxes,
        max_boxes_per_image=flags.max_boxes_per_image,
        image_check=flags.image_check,
        seed=flags.shuffle_seed,
    )


def settings_of(flags: argparse.Namespace) -> dict[str, Any]:
    """Returns the flags as the manifest holds them."""
    shuffle_seed = None if flags.no_shuffle else flags.shuffle_seed
    return {"num_shards": flags.num_shards, "shuffle_seed": shuffle_seed, **policies_of(flags).as_json()}


def check_labels(
    points: PointIndex, label_map: LabelMap, flags: argparse.Namespace, *, points_path: Path | str, label_map_path: Any
) -> Counter[str]:
    """Returns how many boxes have a label that the label map lacks, by label, if the flags allow for such.

    Raises:
        UserError: There are no images.
        UsageError: A label is not in the map, and `--drop_unknown_labels` is not given.
    """
    if not len(points):
        raise UserError(f"{points_path} lists no images: no records to write")
    unknown = Counter({label: count for label, count in points.boxes_by_label.items() if label not in label_map})
    if unknown and not flags.drop_unknown_labels:
        label, count = unknown.most_common(1)[0]
        others = f" (and {len(unknown) - 1} more labels)" if len(unknown) > 1 else ""
        raise UsageError(
            f"{points_path}: label {label!r} of {count} boxes{others} is not in "
            f"{label_map_path}; add it there, or leave such boxes out with --drop_unknown_labels"
        )
    return unknown


def _share_of_images_without_boxes(text: str) -> float:
    named = {"keep": 1.0, "drop": 0.0}.get(text)
    if named is not None:
        return named
    try:
        return fraction(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither keep nor drop nor a number from 0 to 1") from None
