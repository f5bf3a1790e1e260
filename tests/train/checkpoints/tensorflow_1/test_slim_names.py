"""The names of TensorFlow 1 for each of our networks, and values that come back by them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from configs.schema.pipeline_file import merge, read_pipeline_config
from configs.settings.migration import migrate
from tests.small_models import build_detector
from tests.train.checkpoints.tensorflow_1.named_checkpoints import scramble, values_by_name, write_checkpoint
from train.checkpoints.object_paths import variables_by_path
from train.checkpoints.restore import restore
from train.checkpoints.tensorflow_1.slim_names import slim_names

ROOT = Path(__file__).resolve().parents[4]
SSD = "ssd_mobilenet_v1_in_tf1_terms.config"
SEPARATE_HEADS = (
    "box_predictor { convolutional_box_predictor { use_depthwise: true kernel_size: 3 min_depth: 8 max_depth: 8 "
    "num_layers_before_predictor: 1 } }"
)
NETWORKS = {
    "mobilenet_v1": (SSD, "model { ssd { feature_extractor { depth_multiplier: 0.25 min_depth: 8 } } }"),
    "mobilenet_v2": (
        SSD,
        'model { ssd { feature_extractor { type: "ssd_mobilenet_v2_keras" use_depthwise: true } } }',
    ),
    "separate heads": (SSD, f"model {{ ssd {{ {SEPARATE_HEADS} }} }}"),
    "fpnlite": ("../../configs/ssd_mobilenet_v2_fpnlite_320.config", ""),
    "resnet fpn": ("ssd_resnet50_fpn_in_tf1_terms.config", ""),
    "faster": ("faster_rcnn_resnet50_in_tf1_terms.config", ""),
    "inception": (
        "faster_rcnn_resnet50_in_tf1_terms.config",
        'model { faster_rcnn { feature_extractor { type: "faster_rcnn_inception_resnet_v2_keras" } } }',
    ),
}
# As files of the zoo, the API's own tests of its TensorFlow 1 heads, and slim have them.
KNOWN = {
    "mobilenet_v1": {
        "FeatureExtractor/MobilenetV1/Conv2d_0/weights": (3, 3, 3, 8),
        "FeatureExtractor/MobilenetV1/Conv2d_13_pointwise/BatchNorm/moving_variance": (256,),
        "FeatureExtractor/MobilenetV1/Conv2d_1_depthwise/depthwise_weights": (3, 3, 8, 1),
        "FeatureExtractor/MobilenetV1/Conv2d_13_pointwise_2_Conv2d_2_3x3_s2_128/weights": (3, 3, 64, 128),
        "BoxPredictor_0/ClassPredictor/biases": (273,),
        "BoxPredictor_5/BoxEncodingPredictor/weights": (1, 1, 32, 24),
    },
    "mobilenet_v2": {
        "FeatureExtractor/MobilenetV2/Conv/BatchNorm/gamma": (32,),
        "FeatureExtractor/MobilenetV2/expanded_conv/project/weights": (1, 1, 32, 16),
        "FeatureExtractor/MobilenetV2/expanded_conv_16/depthwise/depthwise_weights": (3, 3, 960, 1),
        "FeatureExtractor/MobilenetV2/Conv_1/weights": (1, 1, 320, 1280),
        "FeatureExtractor/MobilenetV2/layer_19_2_Conv2d_5_3x3_s2_128_depthwise/depthwise_weights": (3, 3, 64, 1),
        "FeatureExtractor/MobilenetV2/layer_19_2_Conv2d_5_3x3_s2_128/weights": (1, 1, 64, 128),
    },
    "separate heads": {
        "BoxPredictor_0/Conv2d_0_1x1_8/weights": (1, 1, 512, 8),
        "BoxPredictor_0/BoxEncodingPredictor_depthwise/depthwise_weights": (3, 3, 8, 1),
        "BoxPredictor_0/ClassPredictor_depthwise/BatchNorm/beta": (8,),
        "BoxPredictor_0/BoxEncodingPredictor/weights": (1, 1, 8, 12),
    },
    "fpnlite": {
        "FeatureExtractor/MobilenetV2/fpn/projection_3/biases": (128,),
        "FeatureExtractor/MobilenetV2/fpn/smoothing_1/pointwise_weights": (1, 1, 128, 128),
        "FeatureExtractor/MobilenetV2/fpn/bottom_up_Conv2d_20/depthwise_weights": (3, 3, 128, 1),
        "WeightSharedConvolutionalBoxPredictor/PredictionTower/conv2d_3/BatchNorm/feature_4/beta": (128,),
        "WeightSharedConvolutionalBoxPredictor/PredictionTower/conv2d_0/depthwise_weights": (3, 3, 128, 1),
        "WeightSharedConvolutionalBoxPredictor/ClassPredictor/pointwise_weights": (1, 1, 128, 54),
    },
    "resnet fpn": {
        "FeatureExtractor/resnet_v1_50/conv1/weights": (7, 7, 3, 64),
        "FeatureExtractor/resnet_v1_50/block1/unit_1/bottleneck_v1/shortcut/weights": (1, 1, 64, 256),
        "FeatureExtractor/resnet_v1_50/block4/unit_3/bottleneck_v1/conv3/BatchNorm/gamma": (2048,),
        "FeatureExtractor/resnet_v1_50/fpn/bottom_up_block5/weights": (3, 3, 256, 256),
        "WeightSharedConvolutionalBoxPredictor/BoxPredictionTower/conv2d_0/BatchNorm/feature_1/beta": (256,),
        "WeightSharedConvolutionalBoxPredictor/ClassPredictionTower/conv2d_3/weights": (3, 3, 256, 256),
        "WeightSharedConvolutionalBoxPredictor/BoxPredictor/biases": (24,),
    },
    "faster": {
        "FirstStageFeatureExtractor/resnet_v1_50/block3/unit_6/bottleneck_v1/conv2/weights": (3, 3, 256, 256),
        "SecondStageFeatureExtractor/resnet_v1_50/block4/unit_1/bottleneck_v1/conv1/weights": (1, 1, 1024, 512),
        "Conv/weights": (3, 3, 1024, 512),
        "FirstStageBoxPredictor/ClassPredictor/weights": (1, 1, 512, 24),
        "FirstStageBoxPredictor/BoxEncodingPredictor/biases": (48,),
    },
    "inception": {
        "FirstStageFeatureExtractor/InceptionResnetV2/Conv2d_1a_3x3/weights": (3, 3, 3, 32),
        "FirstStageFeatureExtractor/InceptionResnetV2/Mixed_5b/Branch_1/Conv2d_0b_5x5/weights": (5, 5, 48, 64),
        "FirstStageFeatureExtractor/InceptionResnetV2/Repeat/block35_10/Conv2d_1x1/biases": (320,),
        "FirstStageFeatureExtractor/InceptionResnetV2/Repeat_1/block17_20/Branch_1/Conv2d_0b_1x7/weights": (
            1,
            7,
            128,
            160,
        ),
        "SecondStageFeatureExtractor/InceptionResnetV2/Mixed_7a/Branch_2/Conv2d_1a_3x3/BatchNorm/beta": (320,),
        "SecondStageFeatureExtractor/InceptionResnetV2/Repeat/block8_9/Branch_1/Conv2d_0c_3x1/weights": (
            3,
            1,
            224,
            256,
        ),
        "SecondStageFeatureExtractor/InceptionResnetV2/Block8/Conv2d_1x1/weights": (1, 1, 448, 2080),
        "SecondStageFeatureExtractor/InceptionResnetV2/Conv2d_7b_1x1/weights": (1, 1, 2080, 1536),
    },
}

# What the same values do otherwise than in TensorFlow 1.
DIFFERENCES = {
    "fpnlite": ["differs: each level"],
    "resnet fpn": ["differs: each level"],
    "faster": ["differs: the second stage's block (conv5) has a stride"],
}


def build(name: str):
    path, override = NETWORKS[name]
    config = read_pipeline_config(ROOT / "tests" / "pipelines" / path)
    config, _ = migrate(config)
    return build_detector(merge(config, override) if override else config).network


@pytest.mark.parametrize("name", NETWORKS)
def test_every_variable_has_the_name_that_tensorflow_1_gave_it_and_comes_back_by_it(name, tmp_path):
    network = build(name)
    paths = variables_by_path(network.api_objects)
    names = slim_names(network)
    assert [path for path, variable in paths.items() if id(variable) not in names] == []
    first = {names[id(variable)][0]: tuple(variable.shape) for variable in paths.values()}
    assert Counter(names[id(variable)][0] for variable in paths.values()).most_common(1)[0][1] == 1
    assert {known: first.get(known) for known in KNOWN[name]} == KNOWN[name]

    scramble(network, seed=1)
    saved = {path: variable.numpy() for path, variable in paths.items()}
    prefix = write_checkpoint(tmp_path / "model.ckpt", values_by_name(network))
    scramble(network, seed=2)
    report = restore(network, prefix, "full", exact=True)
    assert len(report.restored) == len(saved) and report.unused == {}
    assert [note.partition(" of ")[0] for note in report.notes] == DIFFERENCES.get(name, [])
    assert all(np.array_equal(variable.numpy(), saved[path]) for path, variable in paths.items())
