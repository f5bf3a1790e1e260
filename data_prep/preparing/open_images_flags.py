"""The flags of `prepare_open_images`, and what they mean for the steps."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from data_prep.formats.points import FLAGS
from data_prep.metadata.class_choice import INCLUDE, MAX_SEED, add_filter_flags, filters_of_flags
from data_prep.preparing.flag_words import flag_words
from data_prep.preparing.open_images_steps import IMAGES_A_SHARD, LEAST_SHARDS, OpenImagesChoice
from data_prep.preparing.recipe_resolution import max_dimension_for
from data_prep.preparing.release_files import IMAGES_AT, PUBLISHED_AT, SPLITS, VERSIONS, check_base_url
from data_prep.runtime.command_line import (
    ArgumentParser,
    UsageError,
    UserError,
    int_between,
    number_above_zero,
    positive_int,
)
from data_prep.runtime.failure_limit import failure_limit

RECIPE = Path("configs/ssd_efficientnet-lite0_fpn_320.config")
_ROOT = Path(__file__).resolve().parents[2]
_LEAST_SIZES = ("min_confidence", "min_box_side", "min_box_area")


def choice_of_flags(
    flags: argparse.Namespace, descriptions: Path, hierarchy: Path | None, beam_options: Sequence[str]
) -> OpenImagesChoice:
    """Returns what the steps share.

    Args:
        flags: Of `read_flags`.
        descriptions: The class descriptions.
        hierarchy: The classes' hierarchy, where kinds are asked for.
        beam_options: Of `read_flags`.
    """
    policies = {flag: getattr(flags, flag) for flag in FLAGS if flag != "is_group_of"}
    sizes = {name: getattr(flags, name) for name in _LEAST_SIZES}
    return OpenImagesChoice(
        classes=flag_words(
            classes=flags.classes,
            trainable_classes_path=flags.trainable_classes_path,
            with_descendants=flags.with_descendants,
            hierarchy_path=hierarchy,
        ),
        class_descriptions=descriptions,
        filters={
            **{name: value for name, value in policies.items() if value != INCLUDE},
            **{name: value for name, value in sizes.items() if value},
        },
        is_group_of=flags.is_group_of,
        max_images_per_class=flags.max_images_per_class,
        fraction=flags.fraction,
        seed=flags.seed,
        max_dimension=flags.max_dimension or max_dimension_for(flags.recipe),
        num_shards=flags.num_shards,
        max_failures=flags.max_failures,
        download={
            "base_url": flags.images_base_url,
            "num_threads": flags.num_threads,
            "allow_private_addresses": flags.allow_private_addresses,
        },
        beam_runner=flags.runner,
        beam_options=beam_options,
    )


def read_flags(words: list[str], *, description: str, example: str) -> tuple[argparse.Namespace, list[str]]:
    """Returns the flags, and Beam's own options: what is not ours where a runner is named, and what stands after --.

    Args:
        words: The command line.
        description: Of the command.
        example: Of it.

    Raises:
        UsageError: A flag cannot be used as given.
        UserError: A runner is named, and Beam is not installed.
    """
    parser = _parser(description, example)
    end = words.index("--") if "--" in words else len(words)
    flags, others = parser.parse_known_args(words[:end])
    if flags.runner is None and (others or words[end:]):
        parser.error(f"unrecognized arguments: {' '.join([*others, *words[end:]])}")
    if flags.runner is not None and importlib.util.find_spec("apache_beam") is None:
        raise UserError("Apache Beam is not installed; pip install -r requirements-beam.txt")
    if flags.classes is None and flags.trainable_classes_path is None:
        raise UsageError("no classes given: --classes Bed Television, or a list by --trainable_classes_path")
    flags.splits = [split for split in SPLITS if split in flags.splits]
    flags.recipe = _recipe(flags.recipe)
    flags.metadata_base_url = check_base_url("--metadata_base_url", flags.metadata_base_url)
    flags.images_base_url = check_base_url("--images_base_url", flags.images_base_url)
    filters_of_flags(flags)
    return flags, [*others, *words[end + 1 :]]


def _recipe(path: Path) -> Path:
    """Returns where the recipe is: there, or in the project's folder."""
    ours = _ROOT / path
    if path.is_file() or not ours.is_file():
        return path
    return ours


def _parser(description: str, example: str) -> ArgumentParser:
    parser = ArgumentParser(description=description, example=example)
    classes = parser.add_mutually_exclusive_group()
    classes.add_argument(
        "--classes", nargs="+", metavar="CLASS", help="names in any letter case, or MIDs; their order gives the ids"
    )
    classes.add_argument("--trainable_classes_path", type=Path, help="instead: a list, a MID or a name a line")
    parser.add_argument(
        "--with_descendants",
        action="store_true",
        help="with each class take its kinds too (Furniture: Bed, Chair, ...)",
    )
    parser.add_argument("--output_directory", required=True, type=Path, help="where everything goes")
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="config to fill in; docs/training.md lists them")
    parser.add_argument(
        "--num_epochs", type=number_above_zero, help="passes over the images to train for, as configs.fill takes it"
    )
    parser.add_argument("--version", type=str.lower, choices=VERSIONS, default="v7", help="release of Open Images")
    parser.add_argument(
        "--splits", nargs="+", choices=SPLITS, default=["train", "validation"], help="which of the release's splits"
    )
    parser.add_argument(
        "--estimate", action="store_true", help="tell images, boxes, gigabytes and minutes, and fetch nothing large"
    )
    parser.add_argument(
        "--estimate_megabytes",
        type=number_above_zero,
        default=16.0,
        help="how much of each boxes CSV that is not at hand an estimate is made from",
    )
    sources = parser.add_argument_group("where from")
    sources.add_argument(
        "--metadata_directory",
        type=Path,
        help="holds the release's files that are at hand, and gets the others (by default OUTPUT_DIRECTORY/metadata)",
    )
    sources.add_argument(
        "--metadata_base_url", default=PUBLISHED_AT, help="where the others are fetched from: a mirror, same paths"
    )
    sources.add_argument("--images_base_url", default=IMAGES_AT, help="where SPLIT/ID.jpg are fetched from")
    sources.add_argument(
        "--allow_private_addresses",
        action="store_true",
        help="reach images also where a redirect leads off the internet",
    )
    sources.add_argument("--num_threads", type=positive_int, help="images fetched at a time, as download_images has it")
    parts = parser.add_argument_group("which boxes and images")
    add_filter_flags(parts)
    parts.set_defaults(is_group_of=None)
    parts.add_argument(
        "--with_image_labels",
        action="store_true",
        help="fetch the labels of whole images that people verified, too; evaluation on Open Images looks for them",
    )
    parts.add_argument("--max_images_per_class", type=positive_int, help="of each split, as process_metadata has it")
    parts.add_argument("--fraction", type=_part, help="this share of each split's images, as choose_subset has it")
    parts.add_argument("--seed", type=int_between(0, MAX_SEED, "whole number"), default=0, help="of every draw")
    records = parser.add_argument_group("records")
    records.add_argument(
        "--max_dimension",
        type=positive_int,
        help="longest side of the images kept, in pixels (by default twice what the recipe's network takes, at most "
        "1024)",
    )
    records.add_argument(
        "--num_shards",
        type=positive_int,
        help=f"files of each split's records (by default one for {IMAGES_A_SHARD} images, at least {LEAST_SHARDS})",
    )
    records.add_argument(
        "--earlier_label_map_path",
        type=Path,
        help="keep the ids of this label map, for a model trained with it; without it, the classes' order gives them",
    )
    records.add_argument(
        "--max_failures",
        type=_limit,
        metavar="NUMBER|SHARE",
        help="what a step may reject without ending the command with exit code 3 (by default 1%% of the images, and of "
        "the boxes what process_metadata allows)",
    )
    parser.add_argument(
        "--runner",
        help="fetch and clean images and write records by Apache Beam on this runner, such as DirectRunner; Beam's own "
        "options follow, or stand after --",
    )
    return parser


def _limit(text: str) -> str:
    failure_limit(text)
    return text


def _part(text: str) -> float:
    value = float(text)
    if not 0.0 < value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0 and up to 1")
    return value
