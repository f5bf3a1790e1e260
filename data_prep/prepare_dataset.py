"""Makes records, a label map and a pipeline config of one's own annotations: the whole way in one command.

Imports the annotations, verifies and shrinks the images, splits them (or takes a validation set of its own), writes and
verifies records, and fills a recipe in. Near-duplicate images never lie on both sides. Each step is a command that is
shown and can be run alone; stopped or killed, the same command goes on where it was, and run again it does only what
has changed. Formats, and what --annotations_path is for each:
{formats}
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_prep.annotations.source_flags import (
    add_conversion_flags,
    add_source_flags,
    check_source_flags,
    format_lines,
)
from data_prep.annotations.source_formats import FORMATS
from data_prep.formats.shard_names import refuse_pattern
from data_prep.preparing import own_data
from data_prep.preparing.fill_flags import add_fill_flags, check_fill_flags
from data_prep.preparing.last_steps import VERIFY
from data_prep.preparing.own_data import Preparation
from data_prep.preparing.passed_flags import PassingParser
from data_prep.preparing.step_runner import StepRunner
from data_prep.records.manifest import read_manifest
from data_prep.records.record_flags import add_record_flags, check_num_shards
from data_prep.runtime.command_line import (
    EXIT_DONE,
    UsageError,
    fraction,
    int_between,
    positive_int,
    require_folder,
    run_command,
)
from data_prep.runtime.failure_limit import FailureLimit, add_max_failures_flag
from data_prep.runtime.work_folders import exclusive_folder
from data_prep.splitting.image_hash import DEFAULT_MAX_DISTANCE, LARGEST_MAX_DISTANCE

EXAMPLE = """\
  python -m data_prep.prepare_dataset --format coco --annotations_path annotations.json --image_directory photos \\
      --output_directory data
  python -m data_prep.prepare_dataset --format pascal_voc --annotations_path VOC2012/Annotations \\
      --image_directory VOC2012/JPEGImages --image_list_path VOC2012/ImageSets/Main/train.txt \\
      --validation_image_list_path VOC2012/ImageSets/Main/val.txt --output_directory data"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = _parser()
    flags = parser.parse_args(argv)
    _check_flags(flags)
    preparation = Preparation(parser, flags)
    steps = preparation.steps()
    if flags.dry_run:
        print("\n\n".join(f"# {step.title}\n{step.wrapped_command()}" for step in steps))
        return EXIT_DONE
    runner = StepRunner(len(steps))
    with exclusive_folder(preparation.folder.path):
        for step in steps:
            runner.run(step)
    print("\n== done")
    print("\n".join([*runner.summary_lines(), *_result_lines(preparation), *_rejected_lines(preparation)]))
    words = ["--pipeline_config_path", preparation.folder.pipeline_config, "--model_dir", preparation.folder.model]
    print(f"next: {shlex.join(['python', '-m', 'train.train', *map(str, words)])}")
    return EXIT_DONE


def _result_lines(preparation: Preparation) -> Iterator[str]:
    for split in preparation.splits:
        manifest = read_manifest(preparation.folder.split(split).manifest)
        assert manifest is not None, "make_tfrecords has ended well"
        total = manifest.total()
        yield f"{split}: {total.num_images} images with {total.boxes_by_label.total()} boxes"
    test = preparation.folder.split(own_data.TEST).manifest
    if own_data.TEST not in preparation.splits and test.exists():
        yield f"note: {test} and its records are an earlier run's, and their images may be in these splits; delete them"


def _rejected_lines(preparation: Preparation) -> Iterator[str]:
    for step, path in preparation.ledgers():
        if path.is_file():
            with path.open(encoding="utf-8") as lines:
                reasons = Counter(str(json.loads(line)["reason"]) for line in lines)
            shown = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(5))
            yield f"left out by {step}: {shown}{', ...' * (len(reasons) > 5)}; {path} names each"


def _parser() -> PassingParser:
    parser = PassingParser(description=(__doc__ or "").format(formats=format_lines()), example=EXAMPLE)
    with parser.passing_to(own_data.IMPORT):
        add_source_flags(parser)
        add_conversion_flags(parser)
        parser.add_argument(
            "--earlier_label_map_path", type=Path, help="a label map of an earlier data set, whose ids are kept"
        )
    parser.add_argument(
        "--validation_annotations_path", nargs="+", type=Path, help="a validation set of its own: nothing is split then"
    )
    parser.add_argument(
        "--validation_image_directory", nargs="+", type=Path, help="its images (default: --image_directory)"
    )
    parser.add_argument(
        "--validation_splits",
        nargs="+",
        metavar="SPLIT",
        help="the splits to evaluate on, as --splits names those to train on",
    )
    parser.add_argument("--validation_image_list_path", type=Path, help="the list of its images, as --image_list_path")
    parser.add_argument(
        "--output_directory", required=True, type=Path, help="gets the records, the label map, the config, and the rest"
    )
    parser.add_argument(
        "--validation_fraction", type=fraction, default=0.2, help="of the images, where there is one set to split"
    )
    parser.add_argument("--test_fraction", type=fraction, default=0.0, help="of the images; 0 writes no test records")
    with parser.passing_to(own_data.SPLIT):
        parser.add_argument("--seed", type=int, default=0, help="of the split; another seed gives another one")
    parser.add_argument(
        "--keep_near_duplicates",
        action="store_true",
        help="do not look for images that are alike, which are kept on one side of a split, and dropped from the "
        "larger of two sets",
    )
    with parser.passing_to(own_data.SPLIT, own_data.DUPLICATES):
        parser.add_argument(
            "--max_distance",
            type=int_between(0, LARGEST_MAX_DISTANCE, "number of bits"),
            default=DEFAULT_MAX_DISTANCE,
            help="how unlike, of 64 bits, near-duplicates may be",
        )
    parser.add_argument(
        "--max_dimension",
        type=positive_int,
        help="the longest side kept, in pixels (by default twice what the recipe's network takes, at most 1024)",
    )
    with parser.passing_to(own_data.RECORDS):
        add_record_flags(parser)
    with parser.passing_to(own_data.VALIDATE, own_data.SPLIT, own_data.DUPLICATES, own_data.RECORDS, VERIFY):
        parser.add_argument("--num_processes", type=positive_int, help="of each step (default: as the step chooses)")
    add_fill_flags(parser)
    add_max_failures_flag(
        parser, FailureLimit(percent=1.0), "more rejects of a step than this end it, with exit code 3"
    )
    parser.add_argument("--dry_run", action="store_true", help="only show the commands")
    return parser


def _check_flags(flags: argparse.Namespace) -> None:
    """Refuses at once what a step would refuse when its turn came.

    Raises:
        UsageError: With the flag.
    """
    check_source_flags(flags)
    check_fill_flags(flags)
    check_num_shards(flags)
    output: Path = flags.output_directory
    refuse_pattern(output)
    folders = [*(flags.image_directory or []), *(flags.validation_image_directory or [])]
    if not folders and not FORMATS[flags.format].has_images:
        raise UsageError("--image_directory is missing: where the images are")
    for folder in folders:
        require_folder("--validation_image_directory", folder)
        if output.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"--output_directory {output} is within {folder}, whose images are read; give another")
    for path in flags.validation_annotations_path or []:
        if not path.exists():
            raise UsageError(f"--validation_annotations_path {path} does not exist")
    for path in (flags.recipe, flags.image_list_path, flags.validation_image_list_path, flags.earlier_label_map_path):
        if path is not None and not path.is_file():
            raise UsageError(f"{path}: no such file")
    _check_split(flags)


def _check_split(flags: argparse.Namespace) -> None:
    of_its_own = own_data.has_validation_set(flags)
    if flags.validation_splits and not flags.splits:
        raise UsageError("--validation_splits says which splits to evaluate on; say by --splits which to train on")
    if flags.validation_image_directory and not of_its_own:
        raise UsageError("--validation_image_directory is for --validation_annotations_path, which is missing")
    if of_its_own and flags.test_fraction:
        raise UsageError("--test_fraction splits one set; with a validation set of its own nothing is split")
    if not of_its_own and not 0.0 < flags.validation_fraction < 1.0 - flags.test_fraction:
        raise UsageError(
            f"--validation_fraction {flags.validation_fraction:g} and --test_fraction {flags.test_fraction:g} leave "
            "nothing to train on, or nothing to evaluate on"
        )


if __name__ == "__main__":
    run_command(main)
