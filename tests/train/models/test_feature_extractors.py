"""Feature extractors by their names: maps' sizes, padding, hyperparameters, frozen batch norm."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from official.vision.configs import backbones

from configs.settings.backbones import MODEL_GARDEN_BACKBONES, ModelGardenBackbone
from configs.settings.declaration import SettingsError
from configs.settings.extractors import FasterRcnnFeatureExtractor, SsdFeatureExtractor
from configs.settings.model import ModelExtensions
from configs.settings.networks import NETWORKS
from configs.settings.reading import read_settings_text
from tests.small_models import ssd_settings
from train.models.feature_extractors.registry import build_faster_rcnn_extractor, build_ssd_extractor, registered_names

FPN = "fpn { min_level: 3 max_level: 7 additional_layer_depth: 8 } conv_hyperparams { batch_norm { } }"
BIFPN = (
    "bifpn { min_level: 3 max_level: 6 num_iterations: 2 num_filters: 16 } "
    "conv_hyperparams { activation: SWISH force_use_bias: true batch_norm { } }"
)
PLAIN = "num_layers: 6 conv_hyperparams { activation: RELU_6 batch_norm { } }"
SSD_TYPES = [
    ("ssd_mobilenet_v1_keras", "depth_multiplier: 0.25 " + PLAIN),
    ("ssd_mobilenet_v1_keras", "depth_multiplier: 0.25 use_explicit_padding: true " + PLAIN),
    ("ssd_mobilenet_v2_keras", "depth_multiplier: 0.35 use_depthwise: true " + PLAIN),
    ("ssd_mobilenet_v1_fpn_keras", "depth_multiplier: 0.25 use_depthwise: true " + FPN),
    ("ssd_mobilenet_v2_fpn_keras", "depth_multiplier: 0.35 " + FPN),
    ("ssd_mobilenet_v2_fpn_keras", "depth_multiplier: 0.35 use_explicit_padding: true " + FPN),
    ("ssd_resnet50_v1_fpn_keras", "depth_multiplier: 0.25 " + FPN),
    ("ssd_efficientnet-b0_bifpn_keras", BIFPN),
]
LARGE_SSD_TYPES = [
    ("ssd_resnet101_v1_fpn_keras", FPN),
    ("ssd_resnet152_v1_fpn_keras", FPN),
    *((f"ssd_efficientnet-b{size}_bifpn_keras", BIFPN) for size in range(1, 8)),
]


def ssd_extractor(kind: str, text: str, input_shape=(None, None), *, freeze_batch_norm: bool = False):
    settings = read_settings_text(SsdFeatureExtractor, f"type: '{kind}' {text}")
    return build_ssd_extractor(settings, input_shape=input_shape, freeze_batch_norm=freeze_batch_norm)


def norms_of(layer: tf_keras.layers.Layer) -> list[tf_keras.layers.BatchNormalization]:
    return [part for part in layer._flatten_layers() if isinstance(part, tf_keras.layers.BatchNormalization)]


def kernels_of(layer: tf_keras.layers.Layer) -> list[np.ndarray]:
    return [variable.numpy() for variable in layer.trainable_variables if "kernel" in variable.name]


def assert_maps(extractor, height: int, width: int) -> None:
    """What is said of the maps beforehand is what they are."""
    maps = extractor(tf.random.stateless_normal([1, height, width, 3], seed=[1, 2]), training=False)
    assert list(maps) == extractor.levels
    assert [tuple(x.shape[1:3]) for x in maps.values()] == extractor.feature_shapes((height, width))
    assert {level: x.shape[-1] for level, x in maps.items()} == dict(extractor.channels)
    assert all(np.isfinite(x).all() for x in maps.values())


@pytest.mark.parametrize(("kind", "text"), SSD_TYPES)
def test_ssd_feature_maps_are_as_large_as_said_beforehand(kind, text):
    extractor = ssd_extractor(kind, text)
    number = len(extractor.variables)
    # Sides that no stride divides: the extractor pads, as far as it must.
    assert_maps(extractor, 75, 100)
    assert len(extractor.variables) == number, "a variable was made by the call"


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "text"), LARGE_SSD_TYPES)
def test_large_ssd_feature_maps_are_as_large_as_said_beforehand(kind, text):
    assert_maps(ssd_extractor(kind, text), 64, 128)


def test_a_pyramid_refuses_sides_that_its_stride_does_not_divide_unless_it_pads_or_crops():
    pyramid = "depth_multiplier: 0.35 " + FPN

    def read(height: int, width: int, kind: str, text: str) -> None:
        max_level = 6 if "bifpn" in kind else 7
        ssd_settings(
            f"image_resizer {{ fixed_shape_resizer {{ height: {height} width: {width} }} }} "
            f"anchor_generator {{ multiscale_anchor_generator {{ aspect_ratios: 1.0 max_level: {max_level} }} }} "
            f"feature_extractor {{ type: '{kind}' {text} }}"
        )

    with pytest.raises(SettingsError, match=r"100 and 96 pixels.*multiples of 32.*pad_to_multiple: 32"):
        read(100, 96, "ssd_mobilenet_v2_fpn_keras", pyramid)
    with pytest.raises(SettingsError, match="multiples of 64"):
        read(96, 96, "ssd_efficientnet-b0_bifpn_keras", "depth_multiplier: 1.0 " + BIFPN)
    read(100, 96, "ssd_mobilenet_v2_fpn_keras", pyramid + " pad_to_multiple: 32")
    read(75, 96, "ssd_mobilenet_v2_fpn_keras", pyramid + " use_explicit_padding: true")
    assert_maps(ssd_extractor("ssd_mobilenet_v2_fpn_keras", pyramid + " pad_to_multiple: 32", (100, 96)), 100, 96)
    assert_maps(ssd_extractor("ssd_mobilenet_v2_fpn_keras", pyramid + " use_explicit_padding: true", (75, 96)), 75, 96)


def test_explicit_padding_gives_other_values_at_even_sides_only_by_its_place():
    explicit, same = (
        ssd_extractor("ssd_mobilenet_v1_keras", f"depth_multiplier: 0.25 use_explicit_padding: {flag} {PLAIN}")
        for flag in ("true", "false")
    )
    for mine, theirs in zip(explicit.variables, same.variables, strict=True):
        mine.assign(theirs)
    # At sides of 1 more than a multiple of all strides, both pad equally on both sides.
    for side, is_equal in ((65, True), (64, False)):
        images = tf.random.stateless_normal([1, side, side, 3], seed=[3, 4])
        found = [extractor(images, training=True)["0"] for extractor in (explicit, same)]
        assert np.allclose(*found, atol=1e-5) is is_equal


HYPERPARAMS = (
    "depth_multiplier: 0.35 num_layers: 2 conv_hyperparams { regularizer { l2_regularizer { weight: 0.5 } }"
    " initializer { random_normal_initializer { mean: 3.0 stddev: 0.01 } }"
    " batch_norm { decay: 0.5 epsilon: 0.25 scale: false train: false } }"
)


def test_a_trunk_has_its_own_layers_unless_the_message_overrides_them():
    own = ssd_extractor("ssd_mobilenet_v2_keras", HYPERPARAMS).classification_backbone
    assert {(norm.momentum, norm.epsilon) for norm in norms_of(own)} == {(0.9997, 0.001)}
    assert all(abs(kernel.mean()) < 1 and abs(kernel).max() <= 0.18001 for kernel in kernels_of(own))
    decay = sum(2e-5 * np.sum(kernel**2) for kernel in kernels_of(own))
    np.testing.assert_allclose(tf.add_n(own.losses), decay, rtol=1e-3)

    override = HYPERPARAMS + " override_base_feature_extractor_hyperparams: true"
    overridden = ssd_extractor("ssd_mobilenet_v2_keras", override).classification_backbone
    assert {(norm.momentum, norm.epsilon) for norm in norms_of(overridden)} == {(0.5, 0.25)}
    assert all(abs(kernel.mean() - 3) < 0.02 for kernel in kernels_of(overridden))
    decay = sum(0.25 * np.sum(kernel**2) for kernel in kernels_of(overridden))
    np.testing.assert_allclose(tf.add_n(overridden.losses), decay, rtol=1e-3)
    assert not any("gamma" in variable.name for variable in overridden.trainable_variables)
    overridden(tf.ones([1, 32, 32, 3]), training=True)
    assert not any(norm.moving_mean.numpy().any() for norm in norms_of(overridden))


def test_frozen_batch_norm_keeps_every_statistic():
    extractor = ssd_extractor("ssd_mobilenet_v2_fpn_keras", "depth_multiplier: 0.35 " + FPN, freeze_batch_norm=True)
    before = [norm.moving_mean.numpy() for norm in norms_of(extractor)]
    extractor(tf.random.stateless_normal([2, 64, 64, 3], seed=[5, 6]), training=True)
    assert before
    for norm, value in zip(norms_of(extractor), before, strict=True):
        np.testing.assert_array_equal(norm.moving_mean, value)
        assert norm.beta.trainable


def faster_rcnn_extractor(text: str):
    return build_faster_rcnn_extractor(read_settings_text(FasterRcnnFeatureExtractor, text))


@pytest.mark.parametrize(
    "text",
    [
        'type: "faster_rcnn_resnet50_keras"',
        'type: "faster_rcnn_resnet50_keras" first_stage_features_stride: 8',
        'type: "faster_rcnn_resnet50_fpn_keras" fpn { min_level: 2 max_level: 6 additional_layer_depth: 8 }',
        pytest.param('type: "faster_rcnn_resnet152_keras"', marks=pytest.mark.slow),
        pytest.param('type: "faster_rcnn_inception_resnet_v2_keras"', marks=pytest.mark.slow),
        pytest.param(
            'type: "faster_rcnn_inception_resnet_v2_keras" first_stage_features_stride: 8', marks=pytest.mark.slow
        ),
    ],
)
def test_faster_rcnn_feature_maps_are_as_large_as_said_beforehand(text):
    extractor = faster_rcnn_extractor(text)
    maps = extractor.proposal_maps(tf.random.stateless_normal([1, 75, 100, 3], seed=[1, 2]), False)
    assert list(maps) == extractor.levels
    assert [tuple(x.shape[1:3]) for x in maps.values()] == extractor.feature_shapes((75, 100))
    assert {x.shape[-1] for x in maps.values()} == {extractor.channels}
    features = extractor.box_classifier_features(tf.zeros([2, 7, 7, extractor.channels]), training=False)
    assert features.shape[0] == 2


def model_garden(text: str, backbone: str = ""):
    settings = read_settings_text(SsdFeatureExtractor, text)
    named = read_settings_text(ModelGardenBackbone, backbone, "extensions.model_garden_backbone") if backbone else None
    return build_ssd_extractor(settings, input_shape=(64, 96), extensions=ModelExtensions(model_garden_backbone=named))


ANY = 'type: "ssd_model_garden_fpn" fpn { min_level: 3 max_level: 6 additional_layer_depth: 8 } '


@pytest.mark.parametrize(
    ("text", "backbone"),
    [
        *(
            (f'type: "ssd_efficientnet-lite{size}_fpn_keras" fpn {{ max_level: 6 additional_layer_depth: 8 }}', "")
            for size in range(3)
        ),
        (ANY, "type: 'resnet' parameter: 'model_id: 18' parameter: 'depth_multiplier: 0.25'"),
        (ANY, "type: 'mobilenet' parameter: 'model_id: MobileNetV3Small'"),
    ],
)
def test_model_gardens_backbones_have_our_pyramid(text, backbone):
    assert_maps(model_garden(text, backbone), 64, 96)


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("", r"type: is not set; write one of Model Garden's: .*resnet"),
        ("type: 'vgg'", r"type: 'vgg' is none of them; write one of"),
        (
            "type: 'resnet' parameter: 'depth: 18'",
            r"parameter\[0\]: 'depth: 18' names no parameter of resnet.*model_id",
        ),
        ("type: 'resnet' parameter: 'model_id'", r"parameter\[0\]"),
    ],
)
def test_a_backbone_that_model_garden_lacks_is_named(backbone, message):
    with pytest.raises(SettingsError, match=f"^extensions.model_garden_backbone.{message}"):
        read_settings_text(ModelGardenBackbone, backbone, "extensions.model_garden_backbone")


def test_the_backbones_that_are_taken_are_model_gardens():
    kinds = {field.name for field in dataclasses.fields(backbones.Backbone)} - {"type"}
    found = {kind: tuple(sorted(getattr(backbones.Backbone(), kind).as_dict())) for kind in sorted(kinds)}
    assert {kind: tuple(sorted(names)) for kind, names in MODEL_GARDEN_BACKBONES.items()} == found


@pytest.mark.parametrize(
    ("text", "backbone", "message"),
    [
        (ANY.replace("min_level: 3", "min_level: 1"), "type: 'resnet'", "gives feature maps of levels .*needs 1 too"),
        (ANY, "type: 'resnet' parameter: 'model_id: 19'", "resnet cannot be built with model_id: 19"),
        (ANY, "type: 'vit' parameter: 'transformer: {\"x\": 1}'", "vit cannot be built with transformer: .*'x'"),
    ],
)
def test_what_only_model_garden_knows_is_told_when_it_is_built(text, backbone, message):
    with pytest.raises(ValueError, match=message):
        model_garden(text, backbone)


def test_every_network_of_the_table_is_registered_and_no_other():
    assert registered_names() == set(NETWORKS)
