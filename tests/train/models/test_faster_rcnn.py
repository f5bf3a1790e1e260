"""Faster R-CNN as a whole: images of any size, both kinds of features, one stage or two, and what is refused."""

import numpy as np
import pytest
import tensorflow as tf

from configs.schema.pipeline_file import parse_pipeline_config, read_pipeline_config
from configs.settings.declaration import SettingsError
from configs.settings.layers import Hyperparams
from configs.settings.reading import read_settings_text
from tests.small_models import build_detector
from train.models.faster_rcnn_heads import RegionProposalPredictor

PYRAMID = """
  feature_extractor {
    type: "faster_rcnn_resnet50_fpn_keras"
    fpn { min_level: 2 max_level: 6 additional_layer_depth: 16 }
    conv_hyperparams {
      activation: RELU_6
      initializer { truncated_normal_initializer { stddev: 0.03 } }
      batch_norm { decay: 0.997 epsilon: 0.001 }
    }
  }
  first_stage_anchor_generator { multiscale_anchor_generator {
    min_level: 2 max_level: 6 anchor_scale: 4.0 aspect_ratios: [1.0] scales_per_octave: 1
    normalize_coordinates: false
  } }
"""
ANY_SIZE = "image_resizer { identity_resizer {} }"
# Sides that the strides of the pyramid do not divide.
ODD_SIZE = "image_resizer { fixed_shape_resizer { height: 40 width: 72 } }"


@pytest.fixture(scope="module")
def build(block_config):
    def build_with(*overrides: str):
        config = read_pipeline_config(block_config("faster_rcnn"))
        for override in overrides:
            config.MergeFrom(parse_pipeline_config(f"model {{ faster_rcnn {{ {override} }} }}"))
        return build_detector(config)

    return build_with


@pytest.fixture(scope="module")
def one_map(build):
    return build(ANY_SIZE)


@pytest.fixture(scope="module")
def pyramid(build):
    return build(PYRAMID + ANY_SIZE)


@pytest.fixture(scope="module")
def odd_pyramid(build):
    return build(PYRAMID + ODD_SIZE, "feature_extractor { batch_norm_trainable: false }")


def new_image(height: int, width: int, *, weight: float = 1.0):
    """A batch of one noisy image with a bright block, and its labels."""
    random = np.random.default_rng(height)
    image = random.uniform(0, 100, (1, height, width, 3)).astype(np.float32)
    image[:, 8:40, 16:56] += 150
    boxes = np.zeros((1, 5, 4), np.float32)
    boxes[0, 0] = np.array([8, 16, 40, 56]) / [height, width, height, width]
    labels = {
        "groundtruth_boxes": boxes,
        "groundtruth_classes": np.array([[2, 0, 0, 0, 0]], np.int32),
        "groundtruth_weights": np.array([[weight, 0, 0, 0, 0]], np.float32),
        "true_image_shape": np.array([[height, width, 3]], np.int32),
    }
    return tf.constant(image), {key: tf.constant(value) for key, value in labels.items()}


def step(detector, image, labels):
    """A training step without optimiser: losses and gradients."""
    with tf.GradientTape() as tape:
        losses = detector.compute_losses(image, labels, training=True)
        total = tf.add_n(list(losses.values()))
    return losses, tape.gradient(total, detector.network.trainable_variables)


def assert_learns(detector, losses, gradients):
    assert set(losses) == set(detector.loss_names)
    assert all(np.isfinite(loss) for loss in losses.values())
    assert any(float(loss) > 0 for loss in losses.values())
    assert all(gradient is not None for gradient in gradients)
    assert all(np.isfinite(tf.convert_to_tensor(gradient)).all() for gradient in gradients)


@pytest.mark.parametrize("name", ["one_map", "pyramid"])
def test_images_of_any_size_train_in_one_graph(name, request):
    detector = request.getfixturevalue(name)
    assert detector.input_shape == (None, None)
    assert detector.anchors is None
    labels = {key: tf.TensorSpec(value.shape, value.dtype) for key, value in new_image(64, 64)[1].items()}
    traced = tf.function(
        lambda image, labels: step(detector, image, labels),
        input_signature=[tf.TensorSpec([1, None, None, 3]), labels],
        autograph=False,
    )
    for height, width in ((64, 64), (75, 118)):
        assert_learns(detector, *traced(*new_image(height, width)))


@pytest.mark.parametrize("name", ["one_map", "pyramid"])
def test_a_size_that_varies_is_detected_in_as_one_that_is_known(name, build, request):
    anywhere = request.getfixturevalue(name)
    fixed = build(ODD_SIZE) if name == "one_map" else request.getfixturevalue("odd_pyramid")
    assert fixed.input_shape == (40, 72)
    saved = [variable.numpy() for variable in fixed.network.variables]
    for mine, theirs in zip(fixed.network.variables, anywhere.network.variables, strict=True):
        mine.assign(theirs)
    image, labels = new_image(40, 72)
    expected = fixed.detect(image, labels["true_image_shape"])
    detect = tf.function(
        anywhere.detect, input_signature=[tf.TensorSpec([None, None, None, 3]), tf.TensorSpec([None, 3], tf.int32)]
    )
    found = detect(image, labels["true_image_shape"])
    for key, value in expected.items():
        assert found[key].shape[1:] == value.shape[1:]
        np.testing.assert_allclose(found[key], value, atol=1e-4, err_msg=key)
    assert int(found["num_detections"][0]) > 0
    assert (found["detection_boxes"].numpy() >= 0).all() and (found["detection_boxes"].numpy() <= 1).all()
    for variable, value in zip(fixed.network.variables, saved, strict=True):
        variable.assign(value)


def test_anchors_of_an_odd_size_start_half_a_stride_in_on_every_map(odd_pyramid):
    # The pyramid sees 64x96: 16x24 cells of stride 4, down to 1x2 of stride 64.
    assert len(odd_pyramid.anchors) == 16 * 24 + 8 * 12 + 4 * 6 + 2 * 3 + 1 * 2
    centres = (odd_pyramid.anchors[:, :2] + odd_pyramid.anchors[:, 2:]) / 2
    np.testing.assert_array_equal(centres[0], [2, 2])
    np.testing.assert_array_equal(centres[-2:], [[32, 32], [32, 96]])


def test_frozen_batch_norm_keeps_its_statistics_and_trains_its_scales(odd_pyramid):
    names = ("moving_mean", "moving_variance")
    statistics = [v for v in odd_pyramid.network.variables if v.name.split("/")[-1].split(":")[0] in names]
    assert statistics
    before = [value.numpy() for value in statistics]
    assert_learns(odd_pyramid, *step(odd_pyramid, *new_image(40, 72)))
    assert all(np.array_equal(old, new) for old, new in zip(before, statistics, strict=True))
    assert any("gamma" in variable.name for variable in odd_pyramid.network.trainable_variables)


def test_one_stage_detects_its_proposals(build):
    # Nothing of the second stage is looked at.
    detector = build("number_of_stages: 1 initial_crop_size: 0 second_stage_batch_size: 100")
    assert detector.loss_names == ("Loss/RPNLoss/objectness_loss", "Loss/RPNLoss/localization_loss")
    assert not detector.network.detection_head
    image, labels = new_image(64, 64)
    assert_learns(detector, *step(detector, image, labels))
    found = {name: value.numpy() for name, value in detector.detect(image, tf.constant([[64, 48, 3]])).items()}
    count = int(found["num_detections"][0])
    assert 0 < count <= found["detection_boxes"].shape[1] == 12
    assert (found["detection_classes"][0, :count] == 1).all()
    assert not found["detection_classes"][0, count:].any()
    boxes = found["detection_boxes"][0, :count]
    assert boxes.min() >= 0
    assert boxes.max() <= 1
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_stride_8_dilates_conv4_and_hard_examples_train_both_stages(build, one_map):
    detector = build("""
        feature_extractor { first_stage_features_stride: 8 }
        hard_example_miner { num_hard_examples: 4 iou_threshold: 0.99 loss_type: BOTH }
    """)
    image, labels = new_image(64, 64)
    assert detector.network.feature_maps(image)["4"].shape == (1, 8, 8, 1024)
    assert one_map.network.feature_maps(image)["4"].shape == (1, 4, 4, 1024)
    assert [v.shape for v in detector.network.variables] == [v.shape for v in one_map.network.variables]
    assert len(detector.anchors) == 8 * 8 * 6
    assert_learns(detector, *step(detector, image, labels))


def test_an_object_that_weighs_nothing_has_no_localisation_loss(one_map):
    for weight, some in ((1.0, True), (0.0, False)):
        losses = one_map.compute_losses(*new_image(64, 64, weight=weight), training=False)
        assert (float(losses["Loss/RPNLoss/localization_loss"]) > 0) is some
        if not some:
            assert float(losses["Loss/BoxClassifierLoss/localization_loss"]) == 0.0


def test_heads_share_the_convolution_over_levels_and_nothing_else():
    hyperparams = read_settings_text(Hyperparams, "initializer { keras_initializer_by_name: 'ones' }")
    head = RegionProposalPredictor(
        hyperparams=hyperparams,
        depth=8,
        kernel_size=3,
        dilation_rate=2,
        anchors_per_location=[1, 3],
        levels=["2", "3"],
    )
    pixel = np.zeros((1, 9, 9, 4), np.float32)
    pixel[0, 4, 4, 0] = 2.5
    logits, codes = head({"2": tf.constant(pixel), "3": tf.fill([1, 2, 2, 4], 100.0)})
    assert logits["2"].shape[-1] == 2 and codes["2"].shape[-1] == 4
    assert logits["3"].shape[-1] == 6 and codes["3"].shape[-1] == 12
    # Dilated: a pixel reaches every second one around it. All ones: eight channels of it.
    reached = np.argwhere(logits["2"][0, ..., 0])
    np.testing.assert_array_equal(reached, [[y, x] for y in (2, 4, 6) for x in (2, 4, 6)])
    assert float(logits["2"][0, 4, 4, 0]) == 8 * 2.5
    # The convolution's activation is ReLU6, though the message has none: eight channels of 6.
    np.testing.assert_allclose(logits["3"], 48.0)
    assert len(head.trainable_variables) == 2 * (1 + 2 + 2)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("number_of_stages: 3", r"number_of_stages: the third stage predicts masks; use 2"),
        ("first_stage_anchor_generator { ssd_anchor_generator {} }", r"ssd_anchor_generator"),
        (
            "feature_extractor { first_stage_features_stride: 4 }",
            r"first_stage_features_stride: 4 is no stride of it; use 16 or 8",
        ),
    ],
)
def test_what_does_not_belong_together_is_refused_by_path(build, override, message):
    with pytest.raises(SettingsError, match=message):
        build(override)
