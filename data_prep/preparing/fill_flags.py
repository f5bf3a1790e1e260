"""Flags of `configs.fill` and `configs.check`, for commands that fill a recipe in at their end."""

from __future__ import annotations

import argparse
from pathlib import Path

from data_prep.preparing.passed_flags import PassingParser
from data_prep.runtime.command_line import UsageError, number_above_zero, positive_int

CHECK, FILL = "configs.check", "configs.fill"
RECIPE = Path("configs/ssd_efficientnet-lite0_fpn_320.config")
_ROOT = Path(__file__).resolve().parents[2]


def add_fill_flags(parser: PassingParser) -> None:
    """Adds `--recipe`, and the others, to be passed on."""
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="config to fill in; docs/training.md lists them")
    with parser.passing_to(FILL):
        parser.add_argument(
            "--num_epochs", type=number_above_zero, help="passes over the training images, for --recipe"
        )
        parser.add_argument("--num_steps", type=positive_int, help="steps of training, in place of passes")
        parser.add_argument("--batch_size", type=positive_int, help="images a step of training (default: the recipe's)")
        parser.add_argument(
            "--fine_tune_checkpoint",
            metavar="PATH",
            help="what training starts from, in place of the recipe's; or none",
        )
    with parser.passing_to(CHECK, FILL):
        parser.add_argument(
            "--plugin",
            action="append",
            default=[],
            metavar="MODULE",
            help="a module that the recipe needs (docs/extending.md)",
        )


def check_fill_flags(flags: argparse.Namespace) -> None:
    """Makes `--recipe` the file itself, and refuses two ways to say how long training is to be; raises UsageError."""
    if not flags.recipe.is_file() and (_ROOT / flags.recipe).is_file():
        flags.recipe = _ROOT / flags.recipe  # a recipe of ours, from whatever folder the command is run
    if flags.num_epochs is not None and flags.num_steps is not None:
        raise UsageError("--num_epochs and --num_steps say the same thing twice; give one")
