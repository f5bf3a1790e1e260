"""From names of classes to records, a label map and a filled pipeline config: all of Open Images' steps in one command.

It fetches a release's CSVs, and calls the commands of this project one after the other, each shown as a person would type
it. Stopped or killed, the same command goes on; with one more class, it fetches only the images that are new.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from data_prep.formats.label_map import read_label_map
from data_prep.formats.points import FLAGS
from data_prep.metadata.class_choice import MAX_SEED, add_filter_flags, filters_of_flags
from data_prep.metadata.hierarchy import read_hierarchy
from data_prep.metadata.open_images import read_class_descriptions, wanted_classes, with_descendants
from data_prep.preparing import open_images_steps, release_files
from data_prep.preparing.class_table import class_table
from data_prep.preparing.filled_config import fill_config
from data_prep.preparing.flag_words import flag_words
from data_prep.preparing.open_images_steps import OpenImagesChoice
from data_prep.preparing.prepared_folder import PreparedFolder
from data_prep.preparing.recipe_resolution import max_dimension_for
from data_prep.preparing.release_files import IMAGES_AT, PUBLISHED_AT, SPLITS, VERSIONS, check_base_url, split_files
from data_prep.preparing.release_metadata import ReleaseMetadata
from data_prep.preparing.step_runner import StepRunner
from data_prep.records.manifest import Manifest, read_manifest
from data_prep.runtime.command_line import (
    EXIT_DONE,
    ArgumentParser,
    UsageError,
    UserError,
    int_between,
    number_above_zero,
    positive_int,
    run_command,
)
from data_prep.runtime.failure_limit import failure_limit
from data_prep.runtime.work_folders import exclusive_folder

EXAMPLE = """\
  python -m data_prep.prepare_open_images --classes Bed Television --output_directory data --estimate
  python -m data_prep.prepare_open_images --classes Bed Television --output_directory data
  python -m train.train --pipeline_config_path data/pipeline.config --model_dir data/model"""
RECIPE = Path("configs/ssd_efficientnet-lite0_fpn_320.config")
_LEAST_SIZES = ("min_confidence", "min_box_side", "min_box_area")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    flags, beam_options = _flags_of(list(sys.argv[1:] if argv is None else argv))
    folder = PreparedFolder(flags.output_directory)
    recipe = _recipe(flags.recipe)
    base_url = check_base_url("--metadata_base_url", flags.metadata_base_url)
    check_base_url("--images_base_url", flags.images_base_url)
    filters_of_flags(flags)
    metadata = ReleaseMetadata(flags.metadata_directory or folder.metadata, base_url)
    with exclusive_folder(folder.path):
        descriptions, hierarchy = _class_files(flags, metadata)
        choice = _choice(flags, descriptions, hierarchy, recipe, beam_options)
        runner = _run(flags, choice, folder, metadata)
        is_filled = fill_config(runner, recipe, folder, flags.num_epochs) if _has_both(flags.splits) else False
        _print_summary(runner, folder, flags.splits, is_filled)
    return EXIT_DONE


def _run(
    flags: argparse.Namespace, choice: OpenImagesChoice, folder: PreparedFolder, metadata: ReleaseMetadata
) -> StepRunner:
    files = {split: split_files(flags.version, split) for split in flags.splits}
    names = [name for found in files.values() for name in (found.boxes, found.image_index)]
    if flags.with_image_labels:
        names += [found.image_labels for found in files.values()]
    at_hand = dict(zip(names, metadata.have(names), strict=True))
    runner = StepRunner(choice.num_steps(len(files)) + _has_both(files))
    for split, found in files.items():
        boxes, index, labels = (at_hand.get(name) for name in (found.boxes, found.image_index, found.image_labels))
        assert boxes is not None and index is not None
        for step in open_images_steps.points_steps(choice, folder.split(split), boxes, index, labels):
            runner.run(step)
    earlier = read_label_map(folder.label_map) if folder.label_map.exists() else None
    runner.run(open_images_steps.label_map_step(choice, folder, flags.earlier_label_map_path))
    label_map = read_label_map(folder.label_map)
    changed = [item for item in earlier or () if item.name in label_map and label_map.id_of(item.name) != item.id]
    if changed:
        print(
            f"note: {len(changed)} classes have another id than before, such as {changed[0].display_name!r}: "
            f"{changed[0].id} then, {label_map.id_of(changed[0].name)} now. Records are written anew; a model trained "
            "before does not know these ids (new classes at the end of --classes leave the others theirs)"
        )
    for split in files:
        for step in open_images_steps.record_steps(choice, folder, folder.split(split)):
            runner.run(step)
        manifest = _manifest(folder, split)
        shards = [entry.name for entry in manifest.shards]
        runner.run(open_images_steps.verify_step(folder, folder.split(split), shards))
    return runner


def _class_files(flags: argparse.Namespace, metadata: ReleaseMetadata) -> tuple[Path, Path | None]:
    """Returns class descriptions and, where it is needed, the hierarchy, after looking up every class asked for."""
    names = [release_files.CLASS_DESCRIPTIONS[flags.version]]
    names += [release_files.HIERARCHY] * flags.with_descendants
    paths = metadata.have(names)
    descriptions = read_class_descriptions(paths[0])
    labels = wanted_classes(flags.trainable_classes_path, flags.classes, descriptions)
    if not flags.with_descendants:
        return paths[0], None
    with_descendants(labels, read_hierarchy(paths[1]), descriptions)
    return paths[0], paths[1]


def _choice(
    flags: argparse.Namespace,
    descriptions: Path,
    hierarchy: Path | None,
    recipe: Path,
    beam_options: Sequence[str] | None,
) -> OpenImagesChoice:
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
            **{name: value for name, value in policies.items() if value != "include"},
            **{name: value for name, value in sizes.items() if value},
        },
        is_group_of=flags.is_group_of,
        max_images_per_class=flags.max_images_per_class,
        fraction=flags.fraction,
        seed=flags.seed,
        max_dimension=flags.max_dimension or max_dimension_for(recipe),
        num_shards=flags.num_shards,
        max_failures=flags.max_failures,
        download={
            "base_url": flags.images_base_url,
            "num_threads": flags.num_threads,
            "allow_private_addresses": flags.allow_private_addresses,
        },
        beam_options=beam_options,
    )


def _print_summary(runner: StepRunner, folder: PreparedFolder, splits: Sequence[str], is_filled: bool) -> None:
    print()
    print("\n".join(runner.summary_lines()))
    manifests = {split: _manifest(folder, split) for split in splits}
    print()
    print("\n".join(class_table(manifests)))
    for split, manifest in manifests.items():
        print(
            f"{split}: {len(manifest.shards)} shards, {manifest.total().num_bytes / 1e6:,.1f} MB, {folder.split(split).record}-*"
        )
    if is_filled:
        print("\nnext:")
        print(f"  python -m train.train --pipeline_config_path {folder.pipeline_config} --model_dir {folder.model}")


def _manifest(folder: PreparedFolder, split: str) -> Manifest:
    path = folder.split(split).manifest
    manifest = read_manifest(path)
    if manifest is None:
        raise UserError(f"{path} is not there, though the records were written")
    return manifest


def _has_both(splits: Sequence[str] | dict[str, object]) -> bool:
    return "train" in splits and "validation" in splits


def _recipe(path: Path) -> Path:
    """Returns where the recipe is: there, or in the project's folder."""
    if path.is_file():
        return path
    ours = Path(__file__).resolve().parents[1] / path
    if not path.is_absolute() and ours.is_file():
        return ours
    raise UsageError(f"--recipe {path}: no such file; docs/training.md lists the recipes in configs/")


def _flags_of(words: list[str]) -> tuple[argparse.Namespace, list[str] | None]:
    """Returns the flags, and Beam's own options where a runner is named: what is not ours, and what stands after --."""
    parser = _parser()
    end = words.index("--") if "--" in words else len(words)
    flags, others = parser.parse_known_args(words[:end])
    beam_options = None
    if flags.runner is not None:
        beam_options = [f"--runner={flags.runner}", *others, *words[end + 1 :]]
    elif others or words[end:]:
        parser.error(f"unrecognized arguments: {' '.join([*others, *words[end:]])}")
    if flags.classes is None and flags.trainable_classes_path is None:
        raise UsageError("no classes given: --classes Bed Television, or a list by --trainable_classes_path")
    flags.splits = [split for split in SPLITS if split in flags.splits]
    return flags, beam_options


def _parser() -> ArgumentParser:
    parser = ArgumentParser(description=__doc__ or "", example=EXAMPLE)
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
        help=f"files of each split's records (by default one for {open_images_steps.IMAGES_A_SHARD} images, at least "
        f"{open_images_steps.LEAST_SHARDS})",
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
        help="what may be rejected by a step without ending the command with exit code 3 (by default 1%% of the images, "
        "and of the boxes what process_metadata allows)",
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


if __name__ == "__main__":
    run_command(main)
