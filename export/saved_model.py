"""Writing an export: elsewhere first, checked there, then renamed into place."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from data_prep.formats.label_map import LABEL_MAP_NAME
from data_prep.runtime.atomic_files import write_json
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.staged_folder import staged
from export.agreement import Agreement
from export.approximation import Approximation
from export.frozen_graph import FROZEN_GRAPH_NAME, check_frozen_graph, write_frozen_graph
from export.parity import ParityReport, check_parity
from export.parity_images import images_for
from export.signatures import (
    DEFAULT_SIGNATURE,
    SAVE_OPTIONS,
    BakedThresholds,
    Labels,
    ServingModule,
    signature_names,
)
from export.warmup import write_warmup
from export.weights_dtype import rounded_weights
from train.checkpoints.files import CHECKPOINT_NAME
from train.checkpoints.trunk_check import CHILD_NAME, TrunkExpectations
from train.evaluation.thresholds_file import THRESHOLDS_NAME
from train.models.detector import Detector
from train.pipeline import Pipeline, write_config_and_label_map

PARITY_NAME = "parity.json"
EXACT = Approximation()


@dataclasses.dataclass(frozen=True)
class Written:
    """What is known of a SavedModel that was written.

    Attributes:
        parity: Its differences from the checkpoint, with the weights and images that the approximation leaves.
        approximation: What was given up.
        agreement: Detections in common with the checkpoint as it is; None where nothing was given up.
        num_bytes: Of the SavedModel's files.
    """

    parity: ParityReport
    approximation: Approximation
    agreement: Agreement | None
    num_bytes: int

    def summary(self) -> str:
        """For people."""
        lines = [self.parity.summary()]
        if self.agreement is not None:
            lines.append(self.approximation.summary(self.agreement))
        return "\n".join([*lines, f"the SavedModel has {self.num_bytes / 1e6:.1f} MB"])

    def to_json(self) -> dict[str, Any]:
        """For a file beside the export."""
        written = self.parity.to_json()
        if self.agreement is not None:
            found = {**dataclasses.asdict(self.agreement), "share": self.agreement.share}
            written["approximation"] = {**dataclasses.asdict(self.approximation), **found}
        return written


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
    input_types: Sequence[str],
    output_directory: Path,
    version_directory: Path | None = None,
    more_outputs: Sequence[str] = (),
    baked: BakedThresholds | None = None,
    parity_images: Sequence[Path] = (),
    warmup_batch_sizes: Sequence[int] = (),
    also_frozen_graph: bool = False,
    approximation: Approximation = EXACT,
) -> Written:
    """Writes a detector as the Object Detection API's exporter does, and as a version folder for TensorFlow Serving.

    `output_directory` gets `saved_model/`, `checkpoint/`, `pipeline.config`, `label_map.pbtxt` and `parity.json`; the
    version folder gets the SavedModel alone, which has the label map among its `assets/`. Thresholds stand as
    `thresholds.json` in `output_directory` and among the `assets/`. Both folders appear whole or not at all.

    Args:
        pipeline: What the detector was built from.
        detector: With the weights to export.
        input_types: Keys of `INPUT_SPECS`, a signature each: the first is `serving_default`.
        output_directory: Must be new or empty.
        version_directory: Must be new; None writes none.
        more_outputs: Of `MORE_OUTPUTS`, beside the four that every signature has.
        baked: Thresholds that the SavedModel, and the frozen graph, shall apply; None for none.
        parity_images: What to compare detections on. Without them, the first evaluation records; without these,
            generated images.
        warmup_batch_sizes: The version folder gets warm-up requests of these sizes, made from the same images.
        also_frozen_graph: Whether `output_directory` gets `frozen_inference_graph.pb` too, which is exact.
        approximation: What to give up for a smaller or faster SavedModel.

    Returns:
        How well what was written equals the checkpoint, and its size.

    Raises:
        UsageError: Something would be overwritten, or an output has no source.
        UserError: What was written does not detect what the checkpoint does; nothing is left behind.
    """
    require_new(output_directory, version_directory)
    approximation.require_encoded(input_types)
    images = images_for(parity_images, pipeline)
    with staged(output_directory) as staging:
        saved_model_dir, before_nms_dir = staging / "saved_model", staging / "before_nms"
        write_config_and_label_map(staging, _as_exported(pipeline))
        labels = Labels(pipeline.label_map, staging / LABEL_MAP_NAME)
        in_assets = baked
        if baked is not None:  # an asset goes by the name of its file
            copy = shutil.copyfile(baked.thresholds.path, staging / THRESHOLDS_NAME)
            in_assets = dataclasses.replace(baked, thresholds=dataclasses.replace(baked.thresholds, path=copy))
        with rounded_weights(detector, approximation.weights_dtype):
            module = ServingModule(
                detector,
                input_types,
                more_outputs=more_outputs,
                labels=labels,
                baked=in_assets,
                scaled_jpeg=approximation.scaled_jpeg,
                weights_dtype=approximation.weights_dtype,
            )
            tf.saved_model.save(module, str(saved_model_dir), signatures=module.signatures, options=SAVE_OPTIONS)
            if module.before_nms is not None:
                before_nms = {DEFAULT_SIGNATURE: module.before_nms}
                tf.saved_model.save(module, str(before_nms_dir), signatures=before_nms, options=SAVE_OPTIONS)
            report = check_parity(
                saved_model_dir,
                detector,
                input_types,
                images,
                before_nms_dir=before_nms_dir if module.before_nms is not None else None,
                baked=baked,
                scaled_jpeg=approximation.scaled_jpeg,
            )
        agreement = None
        if not approximation.is_exact:
            agreement = approximation.check(saved_model_dir, detector, input_types, images, baked)
        shutil.rmtree(before_nms_dir, ignore_errors=True)
        if also_frozen_graph:
            applied = baked.thresholds if baked is not None else None
            write_frozen_graph(staging / FROZEN_GRAPH_NAME, detector, applied)
            check_frozen_graph(staging / FROZEN_GRAPH_NAME, detector, images, applied)
        num_bytes = sum(path.stat().st_size for path in saved_model_dir.rglob("*") if path.is_file())
        written = Written(report, approximation, agreement, num_bytes)
        write_json(staging / PARITY_NAME, written.to_json(), indent=1)
        checkpoint = tf.train.Checkpoint(model=detector.network, **{CHILD_NAME: TrunkExpectations(detector.network)})
        tf.train.CheckpointManager(
            checkpoint, str(staging / "checkpoint"), max_to_keep=1, checkpoint_name=CHECKPOINT_NAME
        ).save(checkpoint_number=0)
        if version_directory is not None:
            with staged(version_directory) as version_staging:
                shutil.copytree(saved_model_dir, version_staging, dirs_exist_ok=True)
                if warmup_batch_sizes:
                    write_warmup(
                        version_staging,
                        images,
                        batch_sizes=warmup_batch_sizes,
                        input_types=signature_names(input_types, baked),
                    )
    return written


def _as_exported(pipeline: Pipeline) -> Pipeline:
    """The pipeline of an exported checkpoint, whose values are the moving averages already where those were asked for.

    As the API's `exporter.py`, which turns `use_moving_averages` off in the config that it writes.
    """
    if not pipeline.settings.eval_config.use_moving_averages:
        return pipeline
    config = type(pipeline.config)()
    config.CopyFrom(pipeline.config)
    config.eval_config.use_moving_averages = False
    return dataclasses.replace(pipeline, config=config)
