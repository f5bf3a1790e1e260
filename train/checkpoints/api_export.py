"""Writer of checkpoints as the Object Detection API's exporter lays them out, for the API to read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tensorflow as tf

from configs.schema import pipeline_file
from configs.settings.model import MODELS, read_model
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.staged_folder import staged
from train.checkpoints.trunk_check import FILE_NAME, trunk_statistics

CHECKPOINT_FOLDER = "checkpoint"


def require_new_folder(folder: Path) -> None:
    """Checks that nothing would be overwritten.

    Raises:
        UsageError: The folder exists and is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"--output_directory {folder} exists and is not empty; give another, or remove it")


def export_for_api(network: Any, config: Any, folder: Path) -> int:
    """Writes `checkpoint/ckpt-0` and `pipeline.config` as the API's exporter_lib_v2.py lays them out.

    Beside the checkpoint lies what its trunk makes of a test image, which the API does not read and we compare.

    Args:
        network: With `api_objects`.
        config: The `TrainEvalPipelineConfig` that the network was built from.
        folder: New or empty; it appears whole or not at all.

    Returns:
        How many variables were written.

    Raises:
        UsageError: The folder is not empty, or the API has no such network.
    """
    require_new_folder(folder)
    api_objects = getattr(network, "api_objects", None)
    if api_objects is None:
        model = read_model(config)
        name = model.feature_extractor.type
        raise UsageError(
            f'model.{MODELS.name_of(model)}.feature_extractor.type: "{name}" is none of the '
            "Object Detection API's networks; it could not be read back there"
        )
    with staged(folder) as staging:
        prefix = write_api_checkpoint(network, staging)
        pipeline_file.write_pipeline_config(staging / pipeline_file.CONFIG_NAME, _for_api(config))
    names = tf.train.list_variables(str(folder / CHECKPOINT_FOLDER / prefix.name))
    return sum(name.startswith("model/") for name, _ in names)


def write_api_checkpoint(network: Any, folder: Path, **more: Any) -> Path:
    """Writes `checkpoint/ckpt-0` into a folder, and what the trunk makes of a test image beside it.

    Args:
        network: With `api_objects`.
        folder: Where to.
        **more: Objects that the checkpoint holds besides, by name.

    Returns:
        The checkpoint's prefix.
    """
    checkpoint = tf.train.Checkpoint(model=network.api_objects, **more)
    prefix = tf.train.CheckpointManager(checkpoint, str(folder / CHECKPOINT_FOLDER), max_to_keep=1).save(
        checkpoint_number=0
    )
    statistics = trunk_statistics(network)
    if statistics is not None:
        (folder / CHECKPOINT_FOLDER / FILE_NAME).write_text(json.dumps(statistics))
    return Path(prefix)


def _for_api(config: Any) -> Any:
    """The config without what only we read, and with weights that are averages already where those were asked for."""
    written = type(config)()
    written.CopyFrom(config)
    written.ClearField("extensions")
    written.eval_config.use_moving_averages = False
    return written
