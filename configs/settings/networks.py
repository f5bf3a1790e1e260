"""The names that `feature_extractor.type` can have, in the API's TensorFlow 2 and in its TensorFlow 1."""

from __future__ import annotations

SSD_FEATURE_EXTRACTORS = (
    "ssd_efficientnet-lite0_fpn_keras",
    "ssd_mobilenet_v1_keras",
    "ssd_mobilenet_v1_fpn_keras",
    "ssd_mobilenet_v2_keras",
    "ssd_mobilenet_v2_fpn_keras",
    "ssd_resnet50_v1_fpn_keras",
    "ssd_resnet101_v1_fpn_keras",
    "ssd_resnet152_v1_fpn_keras",
    *(f"ssd_efficientnet-b{size}_bifpn_keras" for size in range(8)),
    "ssd_model_garden_fpn",
)
FASTER_RCNN_FEATURE_EXTRACTORS = (
    "faster_rcnn_resnet50_keras",
    "faster_rcnn_resnet101_keras",
    "faster_rcnn_resnet152_keras",
    "faster_rcnn_resnet50_fpn_keras",
    "faster_rcnn_resnet101_fpn_keras",
    "faster_rcnn_resnet152_fpn_keras",
    "faster_rcnn_inception_resnet_v2_keras",
)

# Names of TensorFlow 1, and those of the same networks in TensorFlow 2.
TF1_EQUALS = {
    "ssd_mobilenet_v1": "ssd_mobilenet_v1_keras",
    "ssd_mobilenet_v1_fpn": "ssd_mobilenet_v1_fpn_keras",
    "ssd_mobilenet_v2": "ssd_mobilenet_v2_keras",
    "ssd_mobilenet_v2_fpn": "ssd_mobilenet_v2_fpn_keras",
    "ssd_resnet50_v1_fpn": "ssd_resnet50_v1_fpn_keras",
    "ssd_resnet101_v1_fpn": "ssd_resnet101_v1_fpn_keras",
    "ssd_resnet152_v1_fpn": "ssd_resnet152_v1_fpn_keras",
    "faster_rcnn_resnet50": "faster_rcnn_resnet50_keras",
    "faster_rcnn_resnet101": "faster_rcnn_resnet101_keras",
    "faster_rcnn_resnet152": "faster_rcnn_resnet152_keras",
    "faster_rcnn_inception_resnet_v2": "faster_rcnn_inception_resnet_v2_keras",
}

# Networks that the API has in TensorFlow 1 only, and the nearest of TensorFlow 2 that is here.
TF1_WITHOUT_EQUAL = {
    "ssd_inception_v2": "ssd_resnet50_v1_fpn_keras",
    "ssd_inception_v3": "ssd_resnet50_v1_fpn_keras",
    "ssd_mobilenet_v1_ppn": "ssd_mobilenet_v2_fpn_keras",
    "ssd_mobilenet_v2_mnasfpn": "ssd_mobilenet_v2_fpn_keras",
    "ssd_mobilenet_v3_large": "ssd_mobilenet_v2_fpn_keras",
    "ssd_mobilenet_v3_small": "ssd_mobilenet_v2_fpn_keras",
    "ssd_mobilenet_edgetpu": "ssd_mobilenet_v2_fpn_keras",
    "ssd_mobiledet_cpu": "ssd_mobilenet_v2_fpn_keras",
    "ssd_mobiledet_dsp": "ssd_mobilenet_v2_fpn_keras",
    "ssd_mobiledet_edgetpu": "ssd_mobilenet_v2_fpn_keras",
    "ssd_mobiledet_gpu": "ssd_mobilenet_v2_fpn_keras",
    "ssd_resnet50_v1_ppn": "ssd_resnet50_v1_fpn_keras",
    "ssd_resnet101_v1_ppn": "ssd_resnet101_v1_fpn_keras",
    "ssd_resnet152_v1_ppn": "ssd_resnet152_v1_fpn_keras",
    "ssd_pnasnet": "ssd_resnet101_v1_fpn_keras",
    "ssd_spaghettinet": "ssd_mobilenet_v2_fpn_keras",
    "embedded_ssd_mobilenet_v1": "ssd_mobilenet_v2_fpn_keras",
    "faster_rcnn_nas": "faster_rcnn_resnet152_keras",
    "faster_rcnn_pnas": "faster_rcnn_resnet152_keras",
    "faster_rcnn_inception_v2": "faster_rcnn_resnet50_keras",
}


def is_here(feature_extractor_type: str) -> bool:
    """Whether a detector can be built around a network of this name."""
    return feature_extractor_type in SSD_FEATURE_EXTRACTORS + FASTER_RCNN_FEATURE_EXTRACTORS


def has_pyramid(feature_extractor_type: str) -> bool:
    """Whether a network ends in a feature pyramid, whose levels `fpn` or `bifpn` names."""
    return "fpn" in feature_extractor_type
