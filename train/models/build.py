"""From settings of a model to its detector."""

from __future__ import annotations

from typing import Any

from configs.schema.problem import Problem
from configs.settings.backbones import ModelGardenBackbone, check_backbone
from configs.settings.declaration import SettingsError
from configs.settings.model import Model, read_model, read_model_garden_backbone
from configs.settings.ssd import Ssd
from train.models.detector import Detector


def build_detector(config: Any) -> Detector:
    """Composes the detector that a pipeline config describes.

    Args:
        config: A `TrainEvalPipelineConfig` message.

    Raises:
        SettingsError: The model says what cannot be honoured; the message names the fields.
        ValueError: Model Garden's backbone does not suit the pyramid.
    """
    return compose_detector(read_model(config), read_model_garden_backbone(config))


def compose_detector(model: Model, model_garden_backbone: ModelGardenBackbone | None = None) -> Detector:
    """Composes the detector that settings describe.

    Args:
        model: Of the detector.
        model_garden_backbone: What `feature_extractor.type: "ssd_model_garden_fpn"` stands on.

    Raises:
        SettingsError: That is missing.
        ValueError: It does not suit the pyramid.
    """
    found = check_backbone(model_garden_backbone, model.feature_extractor.type)
    problems = [problem for problem in found if isinstance(problem, Problem)]
    if problems:
        raise SettingsError(problems)
    # Each family imports its own part of Model Garden, which takes a second.
    if isinstance(model, Ssd):
        from train.models.ssd import SsdDetector

        return SsdDetector(model, model_garden_backbone)
    from train.models.faster_rcnn import FasterRcnnDetector

    return FasterRcnnDetector(model)
