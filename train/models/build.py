"""Building of the detector that a model's settings describe."""

from __future__ import annotations

import tensorflow as tf

from configs.settings.model import NO_EXTENSIONS, Model, ModelExtensions
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
        return build_detector(settings.model, ModelExtensions.of(settings.extensions))
    except ValueError as error:
        raise UserError(f"the model cannot be built: {error}") from error


@tf.autograph.experimental.do_not_convert  # nothing to convert; looking through every layer took a tenth of the time
def build_detector(model: Model, extensions: ModelExtensions = NO_EXTENSIONS) -> Detector:
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
