"""Import of a detector of TensorFlow 1: its values into our network, with the config and label map that go with it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from configs.schema import pipeline_file
from data_prep.formats.label_map import LABEL_MAP_NAME, LabelMap, write_label_map
from data_prep.runtime.command_line import UsageError, UserError
from data_prep.runtime.staged_folder import staged
from train.checkpoints.api_export import require_new_folder, write_api_checkpoint
from train.checkpoints.architecture import Architecture
from train.checkpoints.folded_norms import CHILD_NAME as FOLDED_NAME
from train.checkpoints.folded_norms import FoldedBatchNorm
from train.checkpoints.model_config import build_model
from train.checkpoints.object_checkpoint import ObjectCheckpoint
from train.checkpoints.restore import open_source, plan_restore
from train.checkpoints.restore_report import RestoreReport
from train.checkpoints.tensorflow_1.frozen_graph import FrozenGraph, GraphFacts
from train.checkpoints.tensorflow_1.named_source import NamedSource
from train.checkpoints.tensorflow_1.slim_architecture import slim_architecture, unknown_trunk
from train.importing.calibration import calibrate, calibration_images
from train.importing.class_names import label_map_for
from train.importing.ssd_config import SsdShape, config_text
from train.importing.tflite_file import SUFFIX as TFLITE_SUFFIX
from train.importing.tflite_file import TfliteFile

REPORT_NAME = "import_report.json"
_TORCH_SUFFIXES = (".pth", ".pt")
_PLAIN_SSDS = ("ssd_mobilenet_v1_keras", "ssd_mobilenet_v2_keras")
_FOLDED = (
    "batch norms: were folded into convolutions; unfolded with gamma 1, which is exact in inference and has no "
    "statistics to train with: freeze_batchnorm is true, or give --calibration_images"
)
_UNFILLED = "PATH_TO_BE_CONFIGURED"


@dataclasses.dataclass(frozen=True)
class Imported:
    """What an import made.

    Attributes:
        architecture: What the file looked like.
        report: Of the values.
        label_map: Of the classes.
        notes: Sentences on what was taken for granted, and what to know.
    """

    architecture: Architecture
    report: RestoreReport
    label_map: LabelMap
    notes: tuple[str, ...]

    def summary(self) -> str:
        """Lines for people."""
        return "\n".join([f"looks like {self.architecture.describe()}", self.report.summary(), *self.notes])


def import_model(
    path: Path,
    folder: Path,
    *,
    config: Any | None = None,
    label_map_path: Path | None = None,
    calibration_folder: Path | None = None,
) -> Imported:
    """Writes `checkpoint/ckpt-0`, `pipeline.config` and `label_map.pbtxt` of a model of TensorFlow 1.

    Args:
        path: A frozen graph `*.pb`, a checkpoint of TensorFlow 1, or a TensorFlow Lite file `*.tflite`.
        folder: New or empty; it appears whole or not at all.
        config: The `TrainEvalPipelineConfig` of its model; None writes one for it, where names and shapes say enough.
        label_map_path: As `label_map_for` takes it.
        calibration_folder: Images, for the statistics of batch norms that were folded away.

    Raises:
        UsageError: The folder is not empty, or a config is needed and not given.
        UserError: The file cannot be read, is of no network here, or does not have every variable of it.
    """
    require_new_folder(folder)
    source = _open(path)
    is_folded = isinstance(source, TfliteFile)
    if calibration_folder is not None and not is_folded:
        raise UsageError(f"--calibration_images: {path} has statistics of its own; they are for a TensorFlow Lite file")
    images = calibration_images(calibration_folder) if calibration_folder is not None else []
    architecture = _recognised(source)
    notes: list[str] = []
    averages = config is not None and config.eval_config.use_moving_averages and source.has_moving_averages
    if config is None:
        config_source, config_notes = _own_config(
            source, architecture, folder, freeze_batch_norm=is_folded and not images
        )
        notes += config_notes
        config = pipeline_file.parse_pipeline_config(config_source, "the config that fits")
    else:
        config = _at_home(config, folder)
        config_source = pipeline_file.format_pipeline_config(config)
    detector = build_model(config)
    plan = plan_restore(detector.network, source, "full", exact=True, moving_averages=averages)
    report = plan.apply()
    label_map, sentence = label_map_for(label_map_path, detector.num_classes)
    more: dict[str, Any] = {}
    if images:
        notes.append(calibrate(detector, images))
    elif is_folded:
        more[FOLDED_NAME] = FoldedBatchNorm()
        notes.append(_FOLDED)
    imported = Imported(architecture, report, label_map, (*notes, *_facts_against(source, config), sentence))
    with staged(folder) as staging:
        write_api_checkpoint(detector.network, staging, **more)
        (staging / pipeline_file.CONFIG_NAME).write_text(config_source, encoding="utf-8")
        write_label_map(staging / LABEL_MAP_NAME, label_map)
        told = {**report.to_json(), "import_notes": list(imported.notes)}
        (staging / REPORT_NAME).write_text(json.dumps(told, indent=2) + "\n")
    return imported


def _open(path: Path) -> NamedSource:
    if path.suffix in _TORCH_SUFFIXES:
        raise UsageError(
            f"{path}: a torch file holds a classifier and no detector; write it as train_config.fine_tune_checkpoint "
            'with fine_tune_checkpoint_type: "classification"'
        )
    if path.suffix == TFLITE_SUFFIX:
        return TfliteFile(path)
    source = open_source(path)
    if isinstance(source, ObjectCheckpoint):
        raise UsageError(
            f"{path}: a checkpoint of TensorFlow 2 needs no import; write it as train_config.fine_tune_checkpoint"
        )
    return source


def _recognised(source: NamedSource) -> Architecture:
    found = slim_architecture(source)
    if found is None:
        other = unknown_trunk(source)
        held = f"of {other}, a network that is not here" if other else "of no network that is known here"
        raise UserError(
            f"{source.prefix}: {source.kind} {held}; read are SSDs on MobileNet v1 and v2, SSDs with FPN on those and "
            "on ResNet v1, and Faster R-CNN on ResNet v1 and Inception ResNet v2"
        )
    if found.feature_extractor_type is None:
        raise UserError(
            f"{source.prefix}: {source.kind} of {found.trunk} without a detector that is here; as "
            'train_config.fine_tune_checkpoint with fine_tune_checkpoint_type: "classification" it starts a trunk'
        )
    return found


def _own_config(
    source: NamedSource, found: Architecture, folder: Path, *, freeze_batch_norm: bool
) -> tuple[str, list[str]]:
    kind = found.feature_extractor_type
    if kind not in _PLAIN_SSDS or found.num_classes is None:
        beside = Path(source.prefix).with_name(pipeline_file.CONFIG_NAME)
        raise UsageError(
            f"{source.prefix}: {found.describe()}, whose sizes and anchors the weights do not tell; give its config "
            f"with --pipeline_config_path{f' {beside}' if beside.is_file() else ''}"
        )
    shape = SsdShape.of(source, kind, found.trunk, found.num_classes)
    facts = source.facts if isinstance(source, (FrozenGraph, TfliteFile)) else GraphFacts()
    header = [f"The model of {Path(source.prefix).name}, {source.kind}, written by train.import_checkpoint."]
    if facts.score_threshold:
        header.append(f"Its graph left out what scores less than {facts.score_threshold:g}; this gives all.")
    return config_text(shape, facts, header=header, folder=_quoted(folder), freeze_batch_norm=freeze_batch_norm)


def _quoted(folder: Path) -> str:
    return str(folder).replace("\\", "\\\\").replace('"', '\\"')


def _at_home(config: Any, folder: Path) -> Any:
    """A config given with the import, with the paths of what is written and of records beside it."""
    written = type(config)()
    written.CopyFrom(config)
    if written.HasField("train_config"):
        train = written.train_config
        train.fine_tune_checkpoint = str(folder / "checkpoint" / "ckpt-0")
        train.fine_tune_checkpoint_version = (
            type(train).DESCRIPTOR.fields_by_name["fine_tune_checkpoint_version"].enum_type.values_by_name["V2"].number
        )
        if not train.fine_tune_checkpoint_type and not train.from_detection_checkpoint:
            train.fine_tune_checkpoint_type = "full"
    if not written.HasField("train_input_reader") and not written.eval_input_reader:
        written.eval_input_reader.add()
    readers = [*written.eval_input_reader]
    if written.HasField("train_input_reader"):
        readers.append(written.train_input_reader)
    for reader in readers:
        reader.label_map_path = str(folder / LABEL_MAP_NAME)
    written.eval_config.ClearField("use_moving_averages")
    text = pipeline_file.format_pipeline_config(written).replace(_UNFILLED, _quoted(folder))
    return pipeline_file.parse_pipeline_config(text, "the config")


def _facts_against(source: NamedSource, config: Any) -> list[str]:
    """What a graph says otherwise than the config does."""
    if not isinstance(source, FrozenGraph):
        return []
    facts, notes = source.facts, []
    if facts.is_simulating_quantization:
        notes.append("the graph rounds weights and activations as an integer model would, and the import does not")
    if config.model.HasField("ssd") and facts.image_size:
        resizer = config.model.ssd.image_resizer.fixed_shape_resizer
        if (resizer.height, resizer.width) != facts.image_size:
            notes.append(f"the graph resizes to {facts.image_size}, the config to {(resizer.height, resizer.width)}")
    return notes
