"""The whole way from a release's files to records and a config, step after step."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_prep.formats.label_map import LabelMap, read_label_map
from data_prep.preparing import open_images_steps
from data_prep.preparing.class_table import class_table
from data_prep.preparing.fill_flags import CHECK, FILL
from data_prep.preparing.last_steps import VERIFY, check_step, fill_step, verify_step
from data_prep.preparing.open_images_steps import OpenImagesChoice, fills_config
from data_prep.preparing.prepared_folder import PreparedFolder
from data_prep.preparing.release_files import SplitFiles, split_files
from data_prep.preparing.release_metadata import ReleaseMetadata
from data_prep.preparing.step_runner import StepRunner
from data_prep.records.manifest import Manifest, read_manifest
from data_prep.runtime.command_line import UserError


def files_of(flags: argparse.Namespace) -> dict[str, SplitFiles]:
    """Returns the files of the splits asked for, those that are not asked for left empty."""
    return {split: split_files(flags.version, split) for split in flags.splits}


def run_steps(
    flags: argparse.Namespace, choice: OpenImagesChoice, folder: PreparedFolder, metadata: ReleaseMetadata
) -> None:
    """Fetches what is missing and runs all steps; prints what came of them.

    Raises:
        StepFailedError: One of them did not end well.
        UserError: A file cannot be had.
    """
    files = files_of(flags)
    runner = StepRunner(choice.num_steps(flags.splits))
    if fills_config(flags.splits):
        runner.run(check_step(flags.recipe, choice.passed[CHECK]))
    at_hand = _fetched(files, metadata, with_image_labels=flags.with_image_labels)
    for split, found in files.items():
        labels = at_hand.get(found.image_labels)
        boxes, index = at_hand[found.boxes], at_hand[found.image_index]
        for step in open_images_steps.points_steps(choice, folder.split(split), boxes, index, labels):
            runner.run(step)
    earlier = read_label_map(folder.label_map) if folder.label_map.exists() else None
    runner.run(open_images_steps.label_map_step(choice, folder, flags.earlier_label_map_path))
    _note_other_ids(earlier, read_label_map(folder.label_map))
    for split in files:
        for step in open_images_steps.record_steps(choice, folder, folder.split(split)):
            runner.run(step)
        num_shards = len(_manifest(folder, split).shards)
        runner.run(verify_step(f"verification of {split}", folder, split, num_shards, choice.passed[VERIFY]))
    if fills_config(flags.splits):
        runner.run(fill_step(folder, flags.recipe, choice.passed[FILL]))
    print()
    print("\n".join([*runner.summary_lines(), "", *_summary_lines(folder, flags.splits)]))
    if fills_config(flags.splits):
        print("\nnext:")
        print(f"  python -m train.train --pipeline_config_path {folder.pipeline_config} --model_dir {folder.model}")


def _fetched(files: Mapping[str, SplitFiles], metadata: ReleaseMetadata, *, with_image_labels: bool) -> dict[str, Path]:
    names = [name for found in files.values() for name in (found.boxes, found.image_index)]
    if with_image_labels:
        names += [found.image_labels for found in files.values()]
    return dict(zip(names, metadata.have(names), strict=True))


def _note_other_ids(earlier: LabelMap | None, label_map: LabelMap) -> None:
    changed = [item for item in earlier or () if item.name in label_map and label_map.id_of(item.name) != item.id]
    if changed:
        now = label_map.id_of(changed[0].name)
        print(
            f"note: {len(changed)} classes have another id than before, such as "
            f"{changed[0].display_name or changed[0].name}: {changed[0].id} then, {now} now. A model trained before "
            "has the earlier ones, which stay where new classes come last, and with --earlier_label_map_path"
        )


def _summary_lines(folder: PreparedFolder, splits: Sequence[str]) -> list[str]:
    manifests = {split: _manifest(folder, split) for split in splits}
    lines = class_table(manifests)
    for split, manifest in manifests.items():
        total, record = manifest.total(), folder.split(split).record
        size = f"{total.num_images} records in {len(manifest.shards)} shards, {total.num_bytes / 1e6:,.1f} MB"
        lines.append(f"{split}: {size}: {record}-*")
    return lines


def _manifest(folder: PreparedFolder, split: str) -> Manifest:
    path = folder.split(split).manifest
    manifest = read_manifest(path)
    if manifest is None:
        raise UserError(f"{path} is not there, though the records were written")
    return manifest
