"""The flags of commands that look for near-duplicates."""

from __future__ import annotations

import argparse
from pathlib import Path

from data_prep.command_line import positive_int
from data_prep.image_hash import DEFAULT_MAX_DISTANCE, LARGEST_MAX_DISTANCE
from data_prep.worker_pool import default_num_processes


def add_hash_flags(parser: argparse.ArgumentParser) -> None:
    """Adds --max_distance, --num_processes and --hash_cache_directory."""
    parser.add_argument(
        "--max_distance",
        type=_distance,
        default=DEFAULT_MAX_DISTANCE,
        help="bits, of 64, in which the hashes of near-duplicates may differ: 0 finds copies of another size or "
        f"quality, 4 light retouching too, 8 small crops and now and then a wrong pair; at most {LARGEST_MAX_DISTANCE}",
    )
    parser.add_argument(
        "--num_processes", type=positive_int, default=default_num_processes(), help="pictures hashed at a time"
    )
    parser.add_argument(
        "--hash_cache_directory",
        type=Path,
        help="where hashes are kept between runs (default: beside each picture folder, FOLDER.hashes.sqlite)",
    )


def _distance(text: str) -> int:
    value = int(text)
    if not 0 <= value <= LARGEST_MAX_DISTANCE:
        raise argparse.ArgumentTypeError(f"{text} is not a number of bits from 0 to {LARGEST_MAX_DISTANCE}")
    return value
