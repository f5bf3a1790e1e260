"""The flags of commands that look for near-duplicates."""

from __future__ import annotations

import argparse
from pathlib import Path

from data_prep.runtime.command_line import int_between, positive_int
from data_prep.runtime.worker_pool import default_num_processes
from data_prep.splitting.image_hash import DEFAULT_MAX_DISTANCE, LARGEST_MAX_DISTANCE


def add_hash_flags(parser: argparse.ArgumentParser) -> None:
    """Adds --max_distance, --num_processes and --hash_cache_directory."""
    parser.add_argument(
        "--max_distance",
        type=int_between(0, LARGEST_MAX_DISTANCE, "number of bits"),
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
