"""From settings of a model to its detector."""

from __future__ import annotations

from typing import Any

from configs.settings.model import NO_EXTENSIONS, Model, ModelExtensions, read_model, read_model_extensions
from configs.settings.ssd import Ssd
from train.models.detector import Detector


def build_detector(config: Any) -> Detector:
    """Composes the detector that a pipeline config describes.

    Args:
        config: A `TrainEvalPipelineConfig` message.

    Raises:
        SettingsError: The model says what cannot be honoured; the message names the fields.
        UsageError: A plugin's function is not where the plugin says.
        ValueError: Model Garden's backbone, or a plugin's network, does not suit the pyramid.
    """
    return compose_detector(read_model(config), read_model_extensions(config))


def compose_detector(model: Model, extensions: ModelExtensions = NO_EXTENSIONS) -> Detector:
    """Composes the detector that settings describe.

    Args:
        model: Of the detector.
        extensions: What the config adds to it.

    Raises:
        SettingsError: What the feature extractor stands on is missing.
        UsageError: A plugin's function is not where the plugin says.
        ValueError: What it stands on does not suit the pyramid.
    """
    extensions.require_used(model.feature_extractor.type)
    # Each family imports its own part of Model Garden, which takes a second.
    if isinstance(model, Ssd):
        from train.models.ssd import SsdDetector

        return SsdDetector(model, extensions)
    from train.models.faster_rcnn import FasterRcnnDetector

    return FasterRcnnDetector(model)
