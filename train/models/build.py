"""Building of the detector that a model's settings describe."""

from __future__ import annotations

from configs.schema.problem import Problem
from configs.settings.backbones import ModelGardenBackbone, check_backbone
from configs.settings.declaration import SettingsError
from configs.settings.model import Model
from configs.settings.pipeline import PipelineSettings
from configs.settings.ssd import Ssd
from data_prep.runtime.command_line import UserError
from train.models.detector import Detector


def build_or_explain(settings: PipelineSettings) -> Detector:
    """Builds the detector of a pipeline config; one that cannot be built is the user's to mend.

    Raises:
        UserError: The model cannot be built; the message says which part and why.
    """
    try:
        return build_detector(settings.model, settings.extensions.model_garden_backbone)
    except ValueError as error:
        raise UserError(f"the model cannot be built: {error}") from error


def build_detector(model: Model, model_garden_backbone: ModelGardenBackbone | None = None) -> Detector:
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
