"""The flag of the images that what is exported or imported is compared on."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parity_images_flag(parser: argparse._ActionsContainer, *, help_text: str) -> None:
    """Adds `--parity_images`, a list of paths that is empty by default.

    Args:
        parser: A parser, or a group of one.
        help_text: What the images are for, and what is taken without them.
    """
    parser.add_argument(
        "--parity_images",
        "--parity_pictures",
        nargs="+",
        type=Path,
        default=[],
        metavar="IMAGE",
        help=f"{help_text}; --parity_pictures is its name in earlier versions",
    )
