"""Settings of a model: the one detector that a `DetectionModel` message describes."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeAlias

from configs.schema.problem import Problem
from configs.settings.backbones import ModelGardenBackbone, check_backbone
from configs.settings.declaration import Choice, SettingsError
from configs.settings.extensions import Extensions
from configs.settings.extractors import check_plugin_extractor
from configs.settings.faster_rcnn import FasterRcnn
from configs.settings.plugins import PluginPart
from configs.settings.reading import read_choice, read_settings
from configs.settings.ssd import Ssd

Model: TypeAlias = Ssd | FasterRcnn

# What a `DetectionModel` message may be.
MODELS = Choice(
    alternatives={"ssd": Ssd, "faster_rcnn": FasterRcnn},
    refused={
        "center_net": ("CenterNet is not supported", "use model.ssd: configs/ssd_resnet50_v1_fpn_640.config"),
        "experimental_model": ("models registered by somebody's own code are not supported", "use model.ssd"),
    },
    required="write model { ssd { ... } } or model { faster_rcnn { ... } }",
)


@dataclasses.dataclass(frozen=True)
class ModelExtensions:
    """What a config's extensions add to its model; None where it is not written.

    Attributes:
        model_garden_backbone: What `ssd_model_garden_fpn` stands on.
        feature_extractor: What `ssd_plugin_fpn` stands on.
        classification_loss: In place of the model's.
    """

    model_garden_backbone: ModelGardenBackbone | None = None
    feature_extractor: PluginPart | None = None
    classification_loss: PluginPart | None = None

    @classmethod
    def of(cls, extensions: Extensions) -> ModelExtensions:
        """Picks of a config's extensions those that its model needs."""
        return cls(**{field.name: getattr(extensions, field.name) for field in dataclasses.fields(cls)})

    def require_used(self, extractor_type: str) -> None:
        """Checks that the model's feature extractor has what it stands on.

        Args:
            extractor_type: `feature_extractor.type`.

        Raises:
            SettingsError: It has not.
        """
        remarks = [
            *check_backbone(self.model_garden_backbone, extractor_type),
            *check_plugin_extractor(self.feature_extractor, extractor_type),
        ]
        problems = [remark for remark in remarks if isinstance(remark, Problem)]
        if problems:
            raise SettingsError(problems)


NO_EXTENSIONS = ModelExtensions()


def read_model_extensions(config: Any) -> ModelExtensions:
    """Reads of a `TrainEvalPipelineConfig` message's extensions those that its model needs, and no others.

    Raises:
        SettingsError: They say what cannot be honoured.
    """
    of_model = {field.name for field in dataclasses.fields(ModelExtensions)}
    message = type(config.extensions)()
    for field, value in config.extensions.ListFields():
        if field.name in of_model:
            getattr(message, field.name).CopyFrom(value)
    return ModelExtensions.of(read_settings(Extensions, message, "extensions"))


def read_model(config: Any) -> Model:
    """Reads the model of a `TrainEvalPipelineConfig` message.

    Raises:
        SettingsError: There is none, or it says what cannot be honoured.
    """
    model: Model = read_choice(MODELS, config.model, "model")
    return model
