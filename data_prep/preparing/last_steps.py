"""The steps that every preparation has: the recipe checked at first; records verified, the recipe filled at last."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data_prep.formats.shard_names import shard_path
from data_prep.preparing.command_step import CommandStep
from data_prep.preparing.fill_flags import CHECK, FILL
from data_prep.preparing.flag_words import flag_words
from data_prep.preparing.prepared_folder import TRAIN, VALIDATION, PreparedFolder
from data_prep.runtime.step_stamp import Step

VERIFY = "data_prep.verify_tfrecords"


def check_step(recipe: Path, passed: Sequence[str]) -> CommandStep:
    """Returns the step that reads the recipe, before hours go into images for it.

    Args:
        recipe: The config to be filled in.
        passed: Words that go to it as they are; so in the other steps.
    """
    return CommandStep("the recipe checked", CHECK, [str(recipe), *passed])


def verify_step(title: str, folder: PreparedFolder, split: str, num_shards: int, passed: Sequence[str]) -> CommandStep:
    """Returns the step that reads a split's records through; done once for the same files."""
    files = folder.split(split)
    words = [*flag_words(input_path=f"{files.record}@{num_shards}", label_map_path=folder.label_map), *passed]
    shards = [shard_path(files.record, number, num_shards) for number in range(num_shards)]
    read = {**{path.name: path for path in shards}, "label_map": folder.label_map, "manifest": files.manifest}
    return CommandStep(title, VERIFY, words, Step(VERIFY, {"words": words}, read, [files.manifest]))


def fill_step(folder: PreparedFolder, recipe: Path, passed: Sequence[str]) -> CommandStep:
    """Returns the step that fills the recipe in."""
    words = flag_words(
        recipe=recipe,
        label_map_path=folder.label_map,
        train_manifest_path=folder.split(TRAIN).manifest,
        validation_manifest_path=folder.split(VALIDATION).manifest,
        output_path=folder.pipeline_config,
    )
    return CommandStep("the pipeline config", FILL, [*words, *passed])
