"""The flags of `prepare_open_images`, and what they mean for the steps."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from data_prep.downloading.image_sources import check_base_url
from data_prep.metadata.class_choice import MAX_SEED, add_filter_flags, filters_of_flags
from data_prep.preparing.fill_flags import CHECK, FILL, add_fill_flags, check_fill_flags
from data_prep.preparing.flag_words import flag_words
from data_prep.preparing.last_steps import VERIFY
from data_prep.preparing.open_images_steps import (
    BEAM,
    DOWNLOAD,
    IMAGES_A_SHARD,
    LEAST_SHARDS,
    POINTS,
    RECORDS,
    VALIDATE,
    OpenImagesChoice,
)
from data_prep.preparing.passed_flags import PassingParser
from data_prep.preparing.recipe_resolution import max_dimension_for
from data_prep.preparing.release_files import IMAGES_AT, PUBLISHED_AT, SPLITS, VERSIONS
from data_prep.records.record_flags import add_record_flags, check_num_shards
from data_prep.runtime.command_line import UsageError, UserError, int_between, number_above_zero, positive_int
from data_prep.runtime.failure_limit import failure_limit

_DECIDED_HERE = ("is_group_of", "group_of_boxes", "num_shards")  # flags of steps whose default depends on the split


class OpenImagesFlags:
    """The command line.

    Attributes:
        values: The flags.
        beam_options: Beam's own: what is not ours where a runner is named, and what stands after `--`.
    """

    def __init__(self, words: Sequence[str], *, description: str, example: str) -> None:
        """Reads a command line.

        Args:
            words: The words.
            description: Of the command.
            example: Of it.

        Raises:
            UsageError: A flag cannot be used as given.
            UserError: A runner is named, and Beam is not installed.
        """
        self._parser = _parser(description, example)
        end = words.index("--") if "--" in words else len(words)
        self.values, others = self._parser.parse_known_args(words[:end])
        self.beam_options = [*others, *words[end + 1 :]]
        _check(self._parser, self.values, [*others, *words[end:]])

    def choice(self, descriptions: Path, hierarchy: Path | None) -> OpenImagesChoice:
        """Returns what the steps share.

        Args:
            descriptions: The class descriptions.
            hierarchy: The classes' hierarchy, where a flag wants it.
        """
        flags, passed = self.values, {}
        for step in (POINTS, DOWNLOAD, VALIDATE, RECORDS, VERIFY, BEAM, CHECK, FILL):
            passed[step] = self._parser.words_for(step, flags, without=_DECIDED_HERE)
        if flags.expand_hierarchy and not flags.with_descendants:
            passed[POINTS] += flag_words(hierarchy_path=hierarchy)
        return OpenImagesChoice(
            classes=flag_words(
                classes=flags.classes,
                trainable_classes_path=flags.trainable_classes_path,
                with_descendants=flags.with_descendants,
                hierarchy_path=hierarchy if flags.with_descendants else None,
            ),
            class_descriptions=descriptions,
            passed=passed,
            is_group_of=flags.is_group_of,
            group_of_boxes=flags.group_of_boxes,
            fraction=flags.fraction,
            seed=flags.seed,
            images_base_url=flags.images_base_url,
            max_dimension=flags.max_dimension or max_dimension_for(flags.recipe),
            num_shards=flags.num_shards,
            max_failures=flags.max_failures,
            beam_runner=flags.runner,
            beam_options=self.beam_options,
        )


def _check(parser: PassingParser, flags: argparse.Namespace, unknown: Sequence[str]) -> None:
    """Refuses at once what a step would refuse when its turn came, and completes the flags."""
    if flags.runner is None and unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if flags.classes is None and flags.trainable_classes_path is None:
        raise UsageError("no classes given: --classes Bed Television, or a list by --trainable_classes_path")
    if flags.runner is not None and importlib.util.find_spec("apache_beam") is None:
        raise UserError("Apache Beam is not installed; pip install -r requirements-beam.txt")
    check_fill_flags(flags)
    filters_of_flags(flags)
    if flags.num_shards is not None:
        check_num_shards(flags)
    if flags.classes is not None:
        flags.classes = [name.strip() for name in flags.classes]  # a list with Windows' line ends, say
    flags.splits = [split for split in SPLITS if split in flags.splits]
    flags.metadata_base_url = check_base_url("--metadata_base_url", flags.metadata_base_url)
    flags.images_base_url = check_base_url("--images_base_url", flags.images_base_url)


def _parser(description: str, example: str) -> PassingParser:
    parser = PassingParser(description=description, example=example)
    parser.add_argument(
        "--classes", nargs="+", metavar="CLASS", help="names in any letter case, or MIDs; their order gives the ids"
    )
    parser.add_argument("--trainable_classes_path", type=Path, help="instead: a list, a MID or a name a line")
    parser.add_argument(
        "--with_descendants",
        action="store_true",
        help="with each class take its kinds too (Furniture: Bed, Chair, ...), as classes of their own",
    )
    parser.add_argument("--output_directory", required=True, type=Path, help="gets everything")
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
    _add_source_flags(parser)
    _add_choice_flags(parser)
    _add_record_flags(parser)
    add_fill_flags(parser)
    parser.add_argument(
        "--runner",
        help="fetch and clean images and write records by Apache Beam on this runner, such as DirectRunner; Beam's own "
        "options may stand among these flags or after --",
    )
    return parser


def _add_source_flags(parser: PassingParser) -> None:
    parser.add_argument(
        "--metadata_directory",
        type=Path,
        help="holds the release's files that are at hand, and gets the others (by default OUTPUT_DIRECTORY/metadata)",
    )
    parser.add_argument(
        "--metadata_base_url", default=PUBLISHED_AT, help="where the others are fetched from: a mirror, same paths"
    )
    parser.add_argument("--images_base_url", default=IMAGES_AT, help="where SPLIT/ID.jpg are fetched from")
    with parser.passing_to(DOWNLOAD, BEAM):
        parser.add_argument("--num_threads", type=positive_int, help="images fetched at a time, as the step has it")
        parser.add_argument(
            "--allow_private_addresses",
            action="store_true",
            help="follow redirects to hosts off the public internet, too",
        )


def _add_choice_flags(parser: PassingParser) -> None:
    with parser.passing_to(POINTS):
        add_filter_flags(parser)
        parser.add_argument(
            "--expand_hierarchy",
            action="store_true",
            help="as the challenge evaluates: repeat a box for each class asked for that is above its own",
        )
        parser.add_argument("--max_images_per_class", type=positive_int, help="of each split")
    parser.set_defaults(is_group_of=None)
    parser.add_argument(
        "--with_image_labels",
        action="store_true",
        help="fetch the labels of whole images that people verified, too; evaluation on Open Images looks for them",
    )
    parser.add_argument("--fraction", type=_part, help="this share of each split's images, every class in proportion")
    parser.add_argument(
        "--seed", type=int_between(0, MAX_SEED, "whole number"), default=0, help="of the draw of images"
    )


def _add_record_flags(parser: PassingParser) -> None:
    parser.add_argument(
        "--max_dimension",
        type=positive_int,
        help="longest side of the images kept, in pixels (by default twice what the recipe's network takes, at most "
        "1024)",
    )
    with parser.passing_to(RECORDS, BEAM):
        add_record_flags(parser)
    parser.set_defaults(num_shards=None, group_of_boxes=None)
    with parser.passing_to(VALIDATE, RECORDS, VERIFY):
        parser.add_argument("--num_processes", type=positive_int, help="of each step (default: as the step chooses)")
    parser.add_argument(
        "--earlier_label_map_path",
        type=Path,
        help="keep the ids of this label map, for a model trained with it; without it, the classes' order gives them",
    )
    parser.add_argument(
        "--max_failures",
        type=_limit,
        metavar="NUMBER|SHARE",
        help="what a step may reject without ending the command with exit code 3 (by default 1%% of the images, and "
        "of the boxes what process_metadata allows)",
    )
    parser.epilog = (
        f"without the flag, --num_shards is one for {IMAGES_A_SHARD} images of a split, at least {LEAST_SHARDS};\n"
        "boxes around groups are left out of train (as if --is_group_of exclude), and kept elsewhere but flagged as\n"
        f"crowds (as if --group_of_boxes crowd), which COCO's metrics leave out\n\n{parser.epilog}"
    )


def _limit(text: str) -> str:
    failure_limit(text)
    return text


def _part(text: str) -> float:
    value = float(text)
    if not 0.0 < value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0 and up to 1")
    return value
