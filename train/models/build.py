"""From a pipeline config to a detector."""

from __future__ import annotations

from typing import Any

from train.inputs.resize import static_input_size
from train.models.detector import Detector


def build_detector(config: Any) -> Detector:
    """Composes the detector that a pipeline config describes.

    Args:
        config: A `TrainEvalPipelineConfig` message that `configs.settings.support` accepts.

    Raises:
        ValueError: Parts of the model do not belong together; the message names the fields.
    """
    kind = config.model.WhichOneof("model")
    if kind not in ("ssd", "faster_rcnn"):
        raise ValueError(f"model.{kind} is not a detector that can be built here; use model.ssd or model.faster_rcnn")
    model = getattr(config.model, kind)
    # Without sides where every image has a size of its own.
    input_shape = static_input_size(model.image_resizer)
    # Each family imports its own part of Model Garden, which takes a second.
    if kind == "ssd":
        from train.models.ssd import SsdDetector

        return SsdDetector(model, input_shape, config.extensions.model_garden_backbone)
    from train.models.faster_rcnn import FasterRcnnDetector

    return FasterRcnnDetector(model, input_shape)
