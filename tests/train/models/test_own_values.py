"""Each family's network, losses and detections are what they were when they matched the Object Detection API's.

`own_values.json` was written by this code, when its models of these families gave the API's stored values:

    python tests/train/models/test_own_values.py

Write it anew only for a change that is meant, and that `tests.reference.compare` has passed.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

STORED = Path(__file__).with_name("own_values.json")
SIDE = 64
PLACES = 6
# Batch norm divides by the deviation of what these give. Two images leave the smallest feature maps two values a
# channel, often nearly equal, and the division then magnifies how a processor rounds.
STATISTICS_IMAGES = 32

_NORM = "activation: RELU_6 batch_norm { decay: 0.9 epsilon: 0.001 scale: true }"
_INITIALIZER = "regularizer { l2_regularizer { weight: 0.01 } }"
_HYPERPARAMS = f"conv_hyperparams {{ {_NORM} {_INITIALIZER} }}"
_FPN = f"fpn {{ min_level: 3 max_level: 6 additional_layer_depth: 16 }} {_HYPERPARAMS}"
_MULTISCALE = (
    "anchor_generator { multiscale_anchor_generator { min_level: 3 max_level: 6 anchor_scale: 4.0 "
    "aspect_ratios: [1.0, 2.0, 0.5] scales_per_octave: 2 } }"
)
_SHARED_HEAD = (
    "box_predictor { weight_shared_convolutional_box_predictor { depth: 16 num_layers_before_predictor: 2 "
    f"kernel_size: 3 class_prediction_bias_init: -1.0 {_HYPERPARAMS} %s }} }}"
)
_PLAIN = (
    "anchor_generator { ssd_anchor_generator { num_layers: 6 min_scale: 0.2 max_scale: 0.95 "
    "aspect_ratios: [1.0, 2.0, 0.5] } } box_predictor { convolutional_box_predictor { num_layers_before_predictor: 0 "
    f"kernel_size: 1 box_code_size: 4 {_HYPERPARAMS} }} }}"
)
_SSD = """
  num_classes: 3
  image_resizer { fixed_shape_resizer { height: 64 width: 64 } }
  box_coder { faster_rcnn_box_coder { y_scale: 10 x_scale: 10 height_scale: 5 width_scale: 5 } }
  matcher { argmax_matcher { matched_threshold: 0.5 unmatched_threshold: 0.5 force_match_for_each_row: true } }
  similarity_calculator { iou_similarity {} }
  encode_background_as_zeros: true normalize_loss_by_num_matches: true normalize_loc_loss_by_codesize: true
  loss {
    classification_loss { weighted_sigmoid_focal { alpha: 0.25 gamma: 2.0 } }
    localization_loss { weighted_smooth_l1 {} }
  }
  post_processing {
    batch_non_max_suppression {
      score_threshold: 1e-8 iou_threshold: 0.6 max_detections_per_class: 10 max_total_detections: 10
    }
    score_converter: SIGMOID
  }
"""
_FASTER_RCNN = f"""
  num_classes: 3
  image_resizer {{ fixed_shape_resizer {{ height: 64 width: 64 }} }}
  first_stage_box_predictor_conv_hyperparams {{ op: CONV {_INITIALIZER} }}
  first_stage_box_predictor_depth: 32
  first_stage_max_proposals: 8 first_stage_nms_iou_threshold: 0.7 second_stage_batch_size: 8
  initial_crop_size: 14 maxpool_kernel_size: 2 maxpool_stride: 2
  second_stage_box_predictor {{ mask_rcnn_box_predictor {{ fc_hyperparams {{ op: FC {_INITIALIZER} }} }} }}
  second_stage_post_processing {{
    batch_non_max_suppression {{ iou_threshold: 0.6 max_detections_per_class: 5 max_total_detections: 10 }}
    score_converter: SOFTMAX
  }}
"""
_GRID = "first_stage_anchor_generator { grid_anchor_generator { scales: [0.1, 0.2] aspect_ratios: [0.5, 1.0, 2.0] } }"
_LEVELS = (
    "first_stage_anchor_generator { multiscale_anchor_generator { min_level: 2 max_level: 6 anchor_scale: 4.0 "
    "aspect_ratios: [1.0, 2.0] scales_per_octave: 1 normalize_coordinates: false } }"
)


def _ssd(extractor: str, rest: str) -> str:
    return f"model {{ ssd {{ {_SSD} feature_extractor {{ {extractor} }} {rest} }} }}"


def _faster_rcnn(extractor: str, rest: str) -> str:
    return f"model {{ faster_rcnn {{ {_FASTER_RCNN} feature_extractor {{ {extractor} }} {rest} }} }}"


_OVERRIDE = "override_base_feature_extractor_hyperparams: true"
_DEPTHWISE = "use_depthwise: true"
CONFIGS = {
    "ssd_mobilenet_v1": _ssd(
        f'type: "ssd_mobilenet_v1_keras" depth_multiplier: 0.25 min_depth: 8 {_OVERRIDE} {_HYPERPARAMS}', _PLAIN
    ),
    "ssd_mobilenet_v2": _ssd(
        f'type: "ssd_mobilenet_v2_keras" depth_multiplier: 0.35 min_depth: 8 {_DEPTHWISE} {_HYPERPARAMS}', _PLAIN
    ),
    "ssd_mobilenet_v1_fpn": _ssd(
        f'type: "ssd_mobilenet_v1_fpn_keras" depth_multiplier: 0.25 {_FPN}', _MULTISCALE + _SHARED_HEAD % ""
    ),
    "ssd_mobilenet_v2_fpnlite": _ssd(
        f'type: "ssd_mobilenet_v2_fpn_keras" depth_multiplier: 0.35 min_depth: 8 {_DEPTHWISE} {_FPN}',
        _MULTISCALE + _SHARED_HEAD % f"share_prediction_tower: true {_DEPTHWISE}",
    ),
    "ssd_resnet50_fpn": _ssd(
        f'type: "ssd_resnet50_v1_fpn_keras" depth_multiplier: 0.125 {_OVERRIDE} {_FPN}',
        _MULTISCALE + _SHARED_HEAD % "",
    ),
    "efficientdet": _ssd(
        'type: "ssd_efficientnet-b0_bifpn_keras" bifpn { min_level: 3 max_level: 6 num_iterations: 2 num_filters: 16 } '
        "conv_hyperparams { force_use_bias: true activation: SWISH batch_norm { epsilon: 0.001 scale: true } }",
        "add_background_class: false " + _MULTISCALE + _SHARED_HEAD % _DEPTHWISE,
    ),
    "faster_rcnn_resnet50": _faster_rcnn('type: "faster_rcnn_resnet50_keras"', _GRID),
    "faster_rcnn_resnet50_fpn": _faster_rcnn(
        f'type: "faster_rcnn_resnet50_fpn_keras" fpn {{ additional_layer_depth: 16 }} {_HYPERPARAMS}', _LEVELS
    ),
    "faster_rcnn_inception_resnet_v2": _faster_rcnn('type: "faster_rcnn_inception_resnet_v2_keras"', _GRID),
}
_SLOW = ("faster_rcnn_inception_resnet_v2", "ssd_mobilenet_v1_fpn")


def fill(detector: Any, variables: Mapping[str, Any], images: Any) -> None:
    """Gives every variable values that follow from its path, and batch norm the statistics of these images."""
    import tf_keras

    for path, variable in variables.items():
        random = np.random.RandomState(zlib.crc32(path.encode()))
        noise = random.standard_normal(variable.shape)
        kind = path.split("/")[-1]
        if kind in ("gamma", "moving_variance", "bifpn_combine_weights"):
            values = 1.0 + 0.1 * np.clip(noise, -3, 3)
        elif "kernel" in kind:
            fan_in = np.prod(variable.shape[:-1]) if kind != "depthwise_kernel" else np.prod(variable.shape[:2])
            values = noise * np.sqrt(1.5 / fan_in)
        elif kind == "beta":
            # Most units are then active: a deep network that clips half of its values is chaotic, and would magnify
            # how a processor rounds.
            values = 1.5 + 0.1 * noise
        else:
            values = 0.1 * noise
        variable.assign(values.astype(np.float32))
    norms = [
        part for part in detector.network._flatten_layers() if isinstance(part, tf_keras.layers.BatchNormalization)
    ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum, norm.frozen = 0.0, False
    for part in detector.network._flatten_layers():
        if isinstance(part, tf_keras.layers.Dropout):
            part.rate = 0.0
    _predictions(detector, images, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _predictions(detector: Any, images: Any, *, training: bool) -> dict[str, Any]:
    import tensorflow as tf

    from train.models.proposals import Proposals
    from train.models.ssd import SsdDetector

    shapes = tf.constant([[SIDE, SIDE, 3]] * len(images))
    if isinstance(detector, SsdDetector):
        normalized = detector.preprocess(images, shapes)
        maps = detector.network.feature_maps(normalized, training=training)
        logits, codes, anchors = detector.predict(images, normalized, training=training)
        return {**maps, "logits": logits, "codes": codes, "anchors": anchors}
    maps, logits, codes, anchors, input_shape = detector.first_stage(images, shapes, training=training)
    boxes = np.array([[0, 0, 64, 64], [5, 7, 33, 61], [20, 10, 40, 30], [31, 1, 47, 63]], np.float32)
    proposals = Proposals(tf.constant([boxes] * len(images)), tf.ones([len(images), 4]), tf.constant([4] * len(images)))
    class_logits, box_codes = detector.second_stage(maps, proposals, input_shape, training=training)
    return {
        **{str(index): value for index, value in enumerate(maps)},
        **{"logits": logits, "codes": codes, "anchors": anchors.boxes},
        **{"class_logits": class_logits, "box_codes": box_codes},
    }


def values_of(name: str) -> dict[str, list[float]]:
    """Everything that is stored of one config: a few places of each tensor, its mean and deviation; and the losses."""
    import tensorflow as tf

    from configs.schema.pipeline_file import parse_pipeline_config
    from tests.small_models import build_detector
    from train.checkpoints.object_paths import variables_by_path

    detector = build_detector(parse_pipeline_config(CONFIGS[name]))
    random = np.random.RandomState(0)
    images = random.uniform(0, 255, (STATISTICS_IMAGES, SIDE // 8, SIDE // 8, 3)).repeat(8, axis=1).repeat(8, axis=2)
    images = tf.constant(images + random.uniform(-20, 20, images.shape), tf.float32)
    fill(detector, variables_by_path(detector.network.api_objects), images)
    images = images[:2]
    found = {}
    for key, tensor in _predictions(detector, images, training=False).items():
        flat = tensor.numpy().astype(np.float64).ravel()
        places = np.linspace(0, flat.size - 1, PLACES).astype(int)
        found[key] = [*flat[places], flat.mean(), flat.std()]
    labels = {
        "groundtruth_boxes": tf.constant([[[0.1, 0.1, 0.6, 0.5], [0.3, 0.5, 0.9, 0.95]]] * 2),
        "groundtruth_classes": tf.constant([[1, 3], [2, 0]]),
        "groundtruth_weights": tf.constant([[1.0, 1.0], [1.0, 0.0]]),
        "true_image_shape": tf.constant([[SIDE, SIDE, 3]] * 2),
    }
    losses = detector.compute_losses(images, labels, training=False)
    # That of objectness samples at random.
    found["losses"] = [float(value) for key, value in sorted(losses.items()) if "objectness" not in key]
    found["regularisation"] = [float(detector.regularization_loss())]
    scores = detector.detect(images, labels["true_image_shape"])["detection_scores"]
    found["detection_scores"] = scores.numpy().astype(np.float64)[:, :3].ravel().tolist()
    return {key: [float(f"{value:.6g}") for value in values] for key, values in found.items()}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in _SLOW else ()) for name in CONFIGS]
)
def test_values_are_the_stored_ones(name):
    # Other processors and libraries round otherwise, by up to a few ten-thousandths of the range.
    stored, found = json.loads(STORED.read_text())[name], values_of(name)
    assert found.keys() == stored.keys()
    for key, values in stored.items():
        size = max(map(abs, values))
        np.testing.assert_allclose(found[key], values, atol=1e-3 * size, rtol=0, err_msg=key)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    rows = [f'  "{name}": {json.dumps(values_of(name))}' for name in CONFIGS]
    STORED.write_text("{\n" + ",\n".join(rows) + "\n}\n")
