"""Reads a config of the API's TensorFlow 1 as the equal one of its TensorFlow 2, and says so in a line each."""

from __future__ import annotations

from typing import Any

from configs.schema.descriptors import ROOT_MESSAGE, message_class
from configs.schema.problem import Note
from configs.settings.networks import FASTER_RCNN_FEATURE_EXTRACTORS, TF1_EQUALS, has_pyramid

# The API's class has these where no `fpn` is written; the message's own defaults are SSD's.
_FASTER_RCNN_PYRAMID = (2, 6)

# What metrics were called before the API gave them their present names.
_OLDER_METRICS = {
    "pascal_voc_metrics": "pascal_voc_detection_metrics",
    "weighted_pascal_voc_metrics": "weighted_pascal_voc_detection_metrics",
    "open_images_metrics": "oid_V2_detection_metrics",
    "open_images_detection_metrics": "oid_V2_detection_metrics",
    "open_images_V2_detection_metrics": "oid_V2_detection_metrics",
    "oid_challenge_object_detection_metrics": "oid_challenge_detection_metrics",
}


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
        *_explain_checkpoint(migrated.train_config),
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
    is_pyramid = extractor.type in FASTER_RCNN_FEATURE_EXTRACTORS and has_pyramid(extractor.type)
    if is_pyramid and not extractor.HasField("fpn"):
        extractor.fpn.min_level, extractor.fpn.max_level = _FASTER_RCNN_PYRAMID
        notes.append(Note(f"{path}.fpn", "unset, which means levels 2 to 6 with this network"))
    if model.second_stage_box_predictor.HasField("mask_rcnn_box_predictor"):
        at = f"model.{kind}.second_stage_box_predictor.mask_rcnn_box_predictor"
        if not model.second_stage_box_predictor.mask_rcnn_box_predictor.predict_instance_masks:
            notes.append(Note(at, "is read as Faster R-CNN's box head, which it is without masks"))
    return notes


def _explain_checkpoint(train: Any) -> list[Note]:
    """What the API's older ways of saying where to start from mean here."""
    notes = []
    at = "train_config.fine_tune_checkpoint"
    if train.from_detection_checkpoint:
        if train.fine_tune_checkpoint_type:
            text = f'has no effect: fine_tune_checkpoint_type: "{train.fine_tune_checkpoint_type}" says more'
        else:
            text = 'is read as fine_tune_checkpoint_type: "detection"'
        notes.append(Note("train_config.from_detection_checkpoint", text))
    version = train.DESCRIPTOR.fields_by_name["fine_tune_checkpoint_version"].enum_type.values_by_number
    chosen = version[train.fine_tune_checkpoint_version].name
    if train.HasField("fine_tune_checkpoint_version") and chosen == "V1":
        text = (
            "V1 is a checkpoint of TensorFlow 1, whose variables no network of TensorFlow 2 has: if it really is one, "
            "it is refused when it is read; the API's TensorFlow 2 model zoo has most models' V2 ones"
        )
        notes.append(Note(f"{at}_version", text))
    elif not train.HasField("fine_tune_checkpoint_version") and train.fine_tune_checkpoint:
        text = (
            "unset, which in the API means V1, a checkpoint of TensorFlow 1; here the file itself tells, and one of "
            "TensorFlow 1 is refused when it is read"
        )
        notes.append(Note(f"{at}_version", text))
    return notes


def _migrate_metrics(evaluation: Any) -> list[Note]:
    notes = []
    for index, name in enumerate(evaluation.metrics_set if evaluation is not None else ()):
        if name in _OLDER_METRICS:
            text = f'"{name}" is read as "{_OLDER_METRICS[name]}", its present name'
            notes.append(Note(f"eval_config.metrics_set[{index}]", text))
            evaluation.metrics_set[index] = _OLDER_METRICS[name]
    return notes
