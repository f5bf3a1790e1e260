"""Fills a recipe in, or any pipeline config: classes, paths, and training steps from the number of images.

The records' manifests tell how many images there are. Without --num_epochs and --num_steps, the recipe's own number of
steps stays where it makes 16 to 200 passes over the training images (5 to 200 where it begins with a whole detector,
fine_tune_checkpoint_type: "full"); else it becomes 16 (5) or 200 passes, within 300 and 100000 steps, of which the
recipe may have fewer or more. Schedules and intervals are stretched with it. The recipe's text stays, comments
included; its header is quoted. A file that was edited since it was filled in is not overwritten.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from configs.filling.header import is_as_written, seal_of, with_header
from configs.filling.recipe import CHECKPOINT, FROM_SCRATCH, FilledRecipe, Wishes, fill_recipe, read_records
from configs.schema.pipeline_file import read_config_text
from configs.schema.problem import ConfigError
from configs.settings.loading import examine
from configs.settings.plugins import add_plugin_argument
from data_prep.formats.label_map import read_label_map
from data_prep.runtime.atomic_files import remove_leftovers, write_text
from data_prep.runtime.command_line import (
    EXIT_DONE,
    ArgumentParser,
    UserError,
    number_above_zero,
    positive_int,
    refuse_same_paths,
    run_command,
)

EXAMPLE = """\
  python -m configs.fill --recipe configs/ssd_efficientnet-lite0_fpn_320.config --label_map_path data/label_map.pbtxt \\
      --train_manifest_path data/train.record.manifest.json \\
      --validation_manifest_path data/validation.record.manifest.json --output_path data/pipeline.config"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    flags = _parser().parse_args(argv)
    output: Path = flags.output_path
    for name in ("label_map_path", "train_manifest_path", "validation_manifest_path"):
        refuse_same_paths([(f"--{name}", getattr(flags, name)), ("--output_path", output)])
    filled = _fill(flags)
    command = (
        f"python -m train.train --pipeline_config_path {_word(output)} --model_dir {_word(output.parent / 'model')}"
    )
    new = with_header(filled.text, str(flags.recipe), filled.lines, command)
    done = _put(output, new, is_forced=flags.force, is_recipe=flags.recipe.resolve() == output.resolve())
    print(f"{done}, from {flags.recipe}")
    print("\n".join(f"  {line}" for line in filled.lines))
    if filled.unfilled:
        print(f"  to fill  {', '.join(filled.unfilled)}: replace PATH_TO_BE_CONFIGURED before a run")
        if CHECKPOINT in filled.unfilled:
            print(f"           --fine_tune_checkpoint PATH says what training starts from, {FROM_SCRATCH} from nothing")
    print(f"next: {command}")
    return EXIT_DONE


def _fill(flags: argparse.Namespace) -> FilledRecipe:
    """Fills the recipe in, and checks what has become of it as `configs.check` does."""
    label_map = read_label_map(flags.label_map_path)
    filled = fill_recipe(
        read_config_text(flags.recipe),
        str(flags.recipe),
        label_map=label_map,
        label_map_path=str(flags.label_map_path),
        training=read_records(flags.train_manifest_path, label_map),
        validation=read_records(flags.validation_manifest_path, label_map),
        wishes=Wishes(flags.num_epochs, flags.num_steps, flags.batch_size, flags.fine_tune_checkpoint),
    )
    problems = examine(filled.config, str(flags.recipe)).problems
    if problems:
        raise ConfigError(
            [
                *(f"{flags.recipe}: {problem}" for problem in problems),
                f"{flags.recipe}: cannot be used as a recipe, and nothing was written; mend a copy of it first",
            ]
        )
    return filled


def _put(path: Path, new: str, *, is_forced: bool, is_recipe: bool) -> str:
    """Writes a filled config, if there is anything to write and nobody's edits are lost by it; returns what was done.

    Args:
        path: Where to.
        new: The text.
        is_forced: Whether what is there does not matter.
        is_recipe: Whether `new` was made of what is there, so that edits are in it.

    Raises:
        UserError: The file was edited since it was written, or is not one of ours, and would become another.
    """
    try:
        found = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        found = None
    except UnicodeDecodeError:
        found = ""
    if found == new:
        return f"nothing to do: {path} is there already"
    if found is not None and not (is_forced or is_as_written(found) or (is_recipe and seal_of(found) is not None)):
        if seal_of(found) == seal_of(new):
            return f"kept {path}, which was edited since it was filled in with the same"
        what, anew = "was not written by configs.fill", ""
        if seal_of(found) is not None:
            what, anew = (
                "was edited since it was filled in",
                f", and --recipe {path} fills that file in anew, with its edits",
            )
        raise UserError(
            f"{path} {what}, and is left as it is; --force overwrites it, another --output_path writes beside it{anew}"
        )
    remove_leftovers(path)
    write_text(path, new)
    return f"wrote {path}"


def _word(path: Path) -> str:
    return shlex.quote(str(path))


def _parser() -> ArgumentParser:
    parser = ArgumentParser(description=__doc__ or "", example=EXAMPLE)
    parser.add_argument("--recipe", required=True, type=Path, help="a recipe of configs/, or any pipeline config")
    parser.add_argument(
        "--label_map_path", required=True, type=Path, help="the classes that the records were made with"
    )
    parser.add_argument(
        "--train_manifest_path", required=True, type=Path, help="NAME.record.manifest.json beside the training records"
    )
    parser.add_argument("--validation_manifest_path", required=True, type=Path, help="that of the evaluation's records")
    parser.add_argument(
        "--output_path",
        required=True,
        type=Path,
        help="pipeline.config to write; may be the recipe, if that was filled in before",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--num_epochs", type=number_above_zero, help="passes over the training images")
    length.add_argument("--num_steps", type=positive_int, help="steps of training, in place of passes")
    parser.add_argument("--batch_size", type=positive_int, help="images a step of training (default: the recipe's)")
    parser.add_argument(
        "--fine_tune_checkpoint",
        metavar="PATH",
        help=f"what training starts from, in place of the recipe's; {FROM_SCRATCH} takes it out, with its type",
    )
    parser.add_argument("--force", action="store_true", help="overwrite the output even if it was edited")
    add_plugin_argument(parser)
    return parser


if __name__ == "__main__":
    run_command(main)
