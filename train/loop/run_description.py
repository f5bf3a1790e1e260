"""The description of a run by what people compare runs by, read from its config."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from google.protobuf import text_format

from configs.schema.pipeline_file import CONFIG_NAME
from configs.settings.learning_rates import Schedule
from configs.settings.model import MODELS
from configs.settings.pipeline import PipelineSettings
from configs.views.leaves import leaves
from train.evaluation.evaluator import evaluation_folder
from train.pipeline import Pipeline
from train.tracking.tensorboard_tracker import TRAIN
from train.tracking.tracker import Hyperparameter, RunDescription

RESTORE_REPORT_NAME = "restore_report.json"
# By the metrics set that measures them, those that stand beside the hyperparameters.
_METRICS = {
    "coco_detection_metrics": (
        "DetectionBoxes_Precision/mAP",
        "DetectionBoxes_Precision/mAP@.50IOU",
        "DetectionBoxes_Recall/AR@100",
    ),
    "pascal_voc_detection_metrics": ("PascalBoxes_Precision/mAP@0.5IOU",),
    "weighted_pascal_voc_detection_metrics": ("WeightedPascalBoxes_Precision/mAP@0.5IOU",),
    "oid_V2_detection_metrics": ("OpenImagesV2_Precision/mAP@0.5IOU",),
    "oid_challenge_detection_metrics": ("OpenImagesDetectionChallenge_Precision/mAP@0.5IOU",),
}
_LOSS = "Loss/total_loss"


def describe_run(
    pipeline: Pipeline,
    *,
    model_dir: Path,
    num_steps: int,
    seed: int | None,
    inputs: np.ndarray,
) -> RunDescription:
    """Describes a run.

    Args:
        pipeline: What is trained.
        model_dir: Holds the restore report, where something was restored.
        num_steps: The step to train up to.
        seed: Of the run.
        inputs: Images of the first batch as the model is given them, uint8 [B, H, W, 3].
    """
    texts = {CONFIG_NAME: text_format.MessageToString(pipeline.config)}
    report = model_dir / RESTORE_REPORT_NAME
    if report.is_file():
        texts[RESTORE_REPORT_NAME] = report.read_text()
    eval_config = pipeline.settings.eval_config
    metrics = [name for metrics_set in eval_config.metrics_sets for name in _METRICS.get(metrics_set, ())]
    return RunDescription(
        hyperparameters=hyperparameters(pipeline, num_steps=num_steps, seed=seed),
        metrics=[*metrics, *([_LOSS] if eval_config.has_losses else [])],
        metrics_folder=str(evaluation_folder(pipeline, 0)) if pipeline.settings.eval_input_reader else TRAIN,
        texts=texts,
        inputs=inputs,
    )


def hyperparameters(pipeline: Pipeline, *, num_steps: int, seed: int | None) -> dict[str, Hyperparameter]:
    """What people compare runs by, and everything that `extensions` says besides.

    Args:
        pipeline: What is trained.
        num_steps: The step to train up to.
        seed: Of the run.
    """
    settings, train_config = pipeline.settings, pipeline.train_config
    optimizer = settings.extensions.optimizer_over(train_config.optimizer)
    schedule = settings.extensions.schedule_over(train_config.optimizer)
    found: dict[str, Hyperparameter] = {
        "model": MODELS.name_of(settings.model),
        "feature_extractor": settings.model.feature_extractor.type,
        "image_size": _image_size(settings),
        "num_classes": settings.model.num_classes,
        "batch_size": train_config.batch_size,
        "num_steps": num_steps,
        "optimizer": optimizer.message_name,
        "learning_rate": _highest_rate(schedule, num_steps),
        "schedule": schedule.message_name,
        "augmentations": ", ".join(
            option.WhichOneof("preprocessing_step") for option in pipeline.config.train_config.data_augmentation_options
        ),
        "precision": settings.precision_policy,
        "starts_from": train_config.checkpoint_type if train_config.fine_tune_checkpoint else "scratch",
        "seed": "none" if seed is None else seed,
    }
    written = leaves(pipeline.config.extensions, "extensions")
    return found | {leaf.path: leaf.value for leaf in written if not leaf.is_default}


def _image_size(settings: PipelineSettings) -> str:
    """Height x width in pixels where all images have them, else the resizer's kind."""
    resizer = settings.model.image_resizer
    height, width = resizer.static_size
    return f"{height}x{width}" if height and width else type(resizer).message_name


def _highest_rate(schedule: Schedule, num_steps: int) -> float:
    steps = [0, *(turn.step for turn in schedule.turns() if turn.step < num_steps)]
    return float(np.max(schedule.rate(np.array(steps, np.float64), np)))
