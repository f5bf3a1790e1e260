"""Migration of a config of the API's TensorFlow 1 to the equal one of its TensorFlow 2, with a note for each change."""

from __future__ import annotations

from typing import Any

from configs.schema.descriptors import ROOT_MESSAGE, message_class
from configs.schema.problem import Note
from configs.settings.evaluation import OLDER_METRICS_SETS
from configs.settings.networks import NETWORKS, TF1_EQUALS

# The API's class has these where no `fpn` is written; the message's own defaults are SSD's.
_FASTER_RCNN_PYRAMID = (2, 6)


def migrate(config: Any) -> tuple[Any, list[Note]]:
    """Rewrites what has an equal under another name, and explains what older configs leave unsaid.

    Args:
        config: A `TrainEvalPipelineConfig`; left as it is.

    Returns:
        A new message, and a note for each thing that a person should know.
    """
    migrated = message_class(ROOT_MESSAGE)()
    migrated.CopyFrom(config)
    return migrated, [
        *_migrate_model(migrated),
        *_migrate_metrics(migrated.eval_config if migrated.HasField("eval_config") else None),
    ]


def _migrate_model(config: Any) -> list[Note]:
    kind = config.model.WhichOneof("model")
    if kind not in ("ssd", "faster_rcnn"):
        return []
    notes = []
    model = getattr(config.model, kind)
    extractor = model.feature_extractor
    path = f"model.{kind}.feature_extractor"
    equal = TF1_EQUALS.get(extractor.type)
    if equal is not None and equal.startswith(kind):
        text = f'"{extractor.type}", a name of TensorFlow 1, is read as "{equal}", the same network in TensorFlow 2'
        notes.append(Note(f"{path}.type", text))
        extractor.type = equal
    if kind == "ssd":
        return notes
    network = NETWORKS.get(extractor.type)
    is_pyramid = network is not None and network.model == kind and bool(network.pyramid)
    if is_pyramid and not extractor.HasField("fpn"):
        extractor.fpn.min_level, extractor.fpn.max_level = _FASTER_RCNN_PYRAMID
        notes.append(Note(f"{path}.fpn", "unset, which means levels 2 to 6 with this network"))
    if model.second_stage_box_predictor.HasField("mask_rcnn_box_predictor"):
        at = f"model.{kind}.second_stage_box_predictor.mask_rcnn_box_predictor"
        if not model.second_stage_box_predictor.mask_rcnn_box_predictor.predict_instance_masks:
            notes.append(Note(at, "is read as Faster R-CNN's box head, which it is without masks"))
    return notes


def _migrate_metrics(evaluation: Any) -> list[Note]:
    notes = []
    for index, name in enumerate(evaluation.metrics_set if evaluation is not None else ()):
        if name in OLDER_METRICS_SETS:
            text = f'"{name}" is read as "{OLDER_METRICS_SETS[name]}", its present name'
            notes.append(Note(f"eval_config.metrics_set[{index}]", text))
            evaluation.metrics_set[index] = OLDER_METRICS_SETS[name]
    return notes
