"""Writing an export: elsewhere first, checked there, then renamed into place."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow as tf

from export.parity import ParityReport, check_parity
from export.signatures import ServingModule
from train.checkpoints.trunk_check import CHILD_NAME, TrunkExpectations
from train.commands import Pipeline, UsageError
from train.models.detector import Detector
from train.training import write_config_and_label_map
from train.training_run import CHECKPOINT_NAME

_TEMPORARY_PREFIX = ".partial-export-"


def next_version(model_base_path: Path) -> int:
    """The number after the highest version folder under `model_base_path`, from 1."""
    if not model_base_path.is_dir():
        return 1
    return max((int(folder.name) for folder in model_base_path.iterdir() if folder.name.isdigit()), default=0) + 1


def require_new(output_directory: Path, version_directory: Path | None) -> None:
    """Checks that nothing would be overwritten.

    Raises:
        UsageError: A folder exists and is not empty.
    """
    if output_directory.exists() and (not output_directory.is_dir() or any(output_directory.iterdir())):
        raise UsageError(f"--output_directory {output_directory} exists and is not empty; give another, or remove it")
    if version_directory is not None and version_directory.exists():
        raise UsageError(
            f"version {version_directory.name} exists under {version_directory.parent} and may be served; "
            f"give --model_version {next_version(version_directory.parent)}, or none to take the next"
        )


def export(
    *,
    pipeline: Pipeline,
    detector: Detector,
    input_type: str,
    output_directory: Path,
    version_directory: Path | None = None,
    parity_pictures: Sequence[Path] = (),
) -> ParityReport:
    """Writes a detector as the Object Detection API's exporter does, and as a version folder for TensorFlow Serving.

    `output_directory` gets `saved_model/`, `checkpoint/`, `pipeline.config` and `label_map.pbtxt`; the version folder
    gets the SavedModel alone. Both appear whole or not at all.

    Args:
        pipeline: What the detector was built from.
        detector: With the weights to export.
        input_type: `image_tensor` or `encoded_image_string_tensor`.
        output_directory: Must be new or empty.
        version_directory: Must be new; None writes none.
        parity_pictures: What to compare detections on; generated pictures where none are given.

    Returns:
        How well what was written equals the checkpoint.

    Raises:
        UsageError: Something would be overwritten.
        UserError: What was written does not detect what the checkpoint does; nothing is left behind.
    """
    require_new(output_directory, version_directory)
    image_resizer = pipeline.model.image_resizer
    with _staged(output_directory) as staging:
        saved_model_dir = staging / "saved_model"
        module = ServingModule(detector, image_resizer, input_type)
        tf.saved_model.save(module, str(saved_model_dir), signatures={"serving_default": module.serve})
        report = check_parity(saved_model_dir, detector, image_resizer, input_type, parity_pictures)
        checkpoint = tf.train.Checkpoint(model=detector.network, **{CHILD_NAME: TrunkExpectations(detector.network)})
        tf.train.CheckpointManager(
            checkpoint, str(staging / "checkpoint"), max_to_keep=1, checkpoint_name=CHECKPOINT_NAME
        ).save(checkpoint_number=0)
        write_config_and_label_map(staging, _as_exported(pipeline))
        if version_directory is not None:
            with _staged(version_directory) as version_staging:
                shutil.copytree(saved_model_dir, version_staging, dirs_exist_ok=True)
    return report


def _as_exported(pipeline: Pipeline) -> Pipeline:
    """The pipeline of an exported checkpoint, whose values are the moving averages already where those were asked for.

    As the API's `exporter.py`, which turns `use_moving_averages` off in the config that it writes.
    """
    if not pipeline.config.eval_config.use_moving_averages:
        return pipeline
    config = type(pipeline.config)()
    config.CopyFrom(pipeline.config)
    config.eval_config.use_moving_averages = False
    return dataclasses.replace(pipeline, config=config)


@contextlib.contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `target`, which takes its place when all went well, and goes otherwise."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=_TEMPORARY_PREFIX))
    try:
        yield staging
        staging.chmod(0o755)  # mkdtemp's folders can be read by their owner only, and a server is another user
        if target.is_dir() and not any(target.iterdir()):
            target.rmdir()
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
