"""Settings of the smallest models that training takes, for tests of what reads them."""

from __future__ import annotations

from typing import Any

from google.protobuf import text_format

from configs.schema.descriptors import message_class
from configs.settings.faster_rcnn import FasterRcnn
from configs.settings.model import read_model, read_model_extensions
from configs.settings.reading import read_settings
from configs.settings.ssd import Ssd

SSD = """
num_classes: 2
image_resizer { fixed_shape_resizer { height: 32 width: 32 } }
feature_extractor { type: "ssd_mobilenet_v2_keras" depth_multiplier: 0.1 num_layers: 2 }
box_coder { faster_rcnn_box_coder { } }
matcher { argmax_matcher { } }
similarity_calculator { iou_similarity { } }
box_predictor { convolutional_box_predictor { } }
anchor_generator { ssd_anchor_generator { num_layers: 2 aspect_ratios: 1.0 } }
loss { classification_loss { weighted_sigmoid { } } localization_loss { weighted_smooth_l1 { } } }
"""
FASTER_RCNN = """
num_classes: 2
image_resizer { fixed_shape_resizer { height: 32 width: 32 } }
feature_extractor { type: "faster_rcnn_resnet50_keras" }
first_stage_anchor_generator { grid_anchor_generator { scales: 1.0 aspect_ratios: 1.0 } }
initial_crop_size: 4 maxpool_kernel_size: 2 maxpool_stride: 2
second_stage_box_predictor { mask_rcnn_box_predictor { } }
"""


def ssd_settings(text: str = "") -> Ssd:
    """The settings of `SSD` with a text merged over it."""
    return read_settings(Ssd, text_format.Merge(text, text_format.Parse(SSD, message_class("Ssd")())), "model.ssd")


def faster_rcnn_settings(text: str = "") -> FasterRcnn:
    """The settings of `FASTER_RCNN` with a text merged over it."""
    message = text_format.Merge(text, text_format.Parse(FASTER_RCNN, message_class("FasterRcnn")()))
    return read_settings(FasterRcnn, message, "model.faster_rcnn")


def build_detector(config: Any) -> Any:
    """The detector of a `TrainEvalPipelineConfig` message, of which only the model need be there."""
    from train.models import build

    return build.build_detector(read_model(config), read_model_extensions(config))
