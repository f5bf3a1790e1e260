"""Settings of a model: the one detector that a `DetectionModel` message describes."""

from __future__ import annotations

from typing import Any, TypeAlias

from configs.settings.backbones import ModelGardenBackbone
from configs.settings.declaration import Choice
from configs.settings.faster_rcnn import FasterRcnn
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


def read_model_garden_backbone(config: Any) -> ModelGardenBackbone | None:
    """Reads the backbone of a `TrainEvalPipelineConfig` message's extensions; None where there is none.

    Raises:
        SettingsError: It says what cannot be honoured.
    """
    if not config.extensions.HasField("model_garden_backbone"):
        return None
    message = config.extensions.model_garden_backbone
    return read_settings(ModelGardenBackbone, message, "extensions.model_garden_backbone")


def read_model(config: Any) -> Model:
    """Reads the model of a `TrainEvalPipelineConfig` message.

    Raises:
        SettingsError: There is none, or it says what cannot be honoured.
    """
    model: Model = read_choice(MODELS, config.model, "model")
    return model
