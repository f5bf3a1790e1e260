"""From a pipeline config to a detector."""

from __future__ import annotations

from typing import Any

from train.inputs.resize import static_input_size
from train.models.detector import Detector


def build_detector(config: Any) -> Detector:
    """Composes the detector that a pipeline config describes.

    Args:
        config: A `TrainEvalPipelineConfig` message that `configs.support` accepts.

    Raises:
        ValueError: Parts of the model do not belong together; the message names the fields.
    """
    kind = config.model.WhichOneof("model")
    if kind not in ("ssd", "faster_rcnn"):
        raise ValueError(f"model.{kind} is not a detector that can be built here; use model.ssd or model.faster_rcnn")
    model = getattr(config.model, kind)
    height, width = static_input_size(model.image_resizer)
    if height is None or width is None:
        raise ValueError(
            f"model.{kind}.image_resizer.keep_aspect_ratio_resizer gives every picture another size; add "
            "pad_to_max_dimension: true"
        )
    # Each family imports its own part of Model Garden, which takes a second.
    if kind == "ssd":
        from train.models.ssd import SsdDetector

        return SsdDetector(model, (height, width))
    from train.models.faster_rcnn import FasterRcnnDetector

    return FasterRcnnDetector(model, (height, width))
