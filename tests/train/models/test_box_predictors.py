"""SSD's heads: shapes, sharing, order of layers, and what each field changes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from configs.settings.declaration import SettingsError
from configs.settings.heads import SSD_BOX_PREDICTORS
from configs.settings.reading import read_settings_text
from tests.small_models import ssd_settings
from train.models.ssd_network import build_ssd_box_predictor

WEIGHT_SHARED = "weight_shared_convolutional_box_predictor"
CONVOLUTIONAL = "convolutional_box_predictor"
SIZES = {"3": 4, "4": 2}


def build(kind: str, text: str, *, anchors=(2, 2), slots=3, depths=(5, 5), **kwargs):
    settings = read_settings_text(SSD_BOX_PREDICTORS.alternatives[kind], text, kind)
    predictor = build_ssd_box_predictor(
        settings, num_class_slots=slots, anchors_per_location=list(anchors), levels=list(SIZES), **kwargs
    )
    features = {
        level: tf.random.stateless_normal([2, size, size, depth], seed=[size, 1])
        for (level, size), depth in zip(SIZES.items(), depths, strict=True)
    }
    predictor(features)
    return predictor, features


def shapes(predictor) -> list[tuple[int, ...]]:
    return sorted(tuple(variable.shape) for variable in predictor.trainable_variables)


class TestWeightShared:
    def test_levels_share_convolutions_and_have_batch_norms_of_their_own(self):
        text = "depth: 6 num_layers_before_predictor: 2 kernel_size: 3 conv_hyperparams { batch_norm { scale: true } }"
        predictor, features = build(WEIGHT_SHARED, text)
        towers = [(3, 3, 5, 6), (3, 3, 6, 6)] * 2
        norms = [(6,)] * (2 * 2 * 2 * 2)  # scale and offset, layers, levels, towers
        heads = [(3, 3, 6, 6), (6,), (3, 3, 6, 8), (8,)]
        assert shapes(predictor) == sorted(towers + norms + heads)
        logits, codes, attributes = predictor(features)
        assert {level: tuple(x.shape) for level, x in logits.items()} == {"3": (2, 4, 4, 6), "4": (2, 2, 2, 6)}
        assert {level: tuple(x.shape) for level, x in codes.items()} == {"3": (2, 4, 4, 8), "4": (2, 2, 2, 8)}
        assert attributes == {}

    def test_one_tower_may_serve_both(self):
        text = "depth: 6 num_layers_before_predictor: 2 share_prediction_tower: true conv_hyperparams { batch_norm {} }"
        predictor, _ = build(WEIGHT_SHARED, text)
        heads = [(3, 3, 6, 6), (6,), (3, 3, 6, 8), (8,)]
        assert shapes(predictor) == sorted([(3, 3, 5, 6), (3, 3, 6, 6)] + [(6,)] * 4 + heads)

    def test_a_tower_is_convolution_then_norm_then_activation(self):
        text = (
            "depth: 4 num_layers_before_predictor: 1 kernel_size: 1 share_prediction_tower: true"
            " conv_hyperparams { activation: RELU_6 batch_norm { epsilon: 0.001 }"
            " initializer { random_normal_initializer { stddev: 1.0 } } }"
        )
        predictor, features = build(WEIGHT_SHARED, text)
        norm = predictor._norms["shared"]["4"][0]
        norm.moving_mean.assign([0.5, -0.5, 0.1, 0.2])
        norm.beta.assign([3.0, 0.0, 1.0, -1.0])
        x = features["4"].numpy() @ predictor._towers["shared"][0].kernel.numpy()[0, 0]
        x = np.clip((x - norm.moving_mean.numpy()) / np.sqrt(1.001) + norm.beta.numpy(), 0, 6)
        logits, codes, _ = predictor(features)
        for found, head in ((logits, predictor._class_predictor), (codes, predictor._box_predictor)):
            np.testing.assert_allclose(found["4"], x @ head.kernel.numpy()[0, 0] + head.bias.numpy(), atol=1e-4)

    @pytest.mark.parametrize(
        ("norm", "has_bias"), [("", True), ("batch_norm {}", False), ("batch_norm {} force_use_bias: true", True)]
    )
    def test_towers_have_a_bias_where_nothing_is_normalised_or_it_is_forced(self, norm, has_bias):
        predictor, _ = build(WEIGHT_SHARED, f"depth: 4 num_layers_before_predictor: 1 conv_hyperparams {{ {norm} }}")
        assert predictor._towers["classes"][0].use_bias == has_bias
        assert predictor._class_predictor.use_bias and predictor._box_predictor.use_bias

    def test_maps_of_other_depths_are_projected_to_the_commonest(self):
        predictor, features = build(
            WEIGHT_SHARED,
            "depth: 4 num_layers_before_predictor: 1 conv_hyperparams { batch_norm { scale: true } }",
            depths=(7, 5),
        )
        commonest = max({7, 5}, key=[7, 5].count)
        kernels = [tuple(predictor._projections[level].kernel.shape) for level in SIZES]
        assert kernels == [(1, 1, 7, commonest), (1, 1, 5, commonest)]
        level = features["3"].numpy() @ predictor._projections["3"].kernel.numpy()[0, 0] / np.sqrt(1.001)
        # No activation follows a projection: what enters the tower may be negative.
        entered = []
        predictor._towers["boxes"][0].call = lambda x: entered.append(x) or tf.zeros([2, x.shape[1], x.shape[2], 4])
        predictor(features)
        np.testing.assert_allclose(entered[0], level, atol=1e-5)
        assert level.min() < 0

    def test_separable_kernels_are_described_only_where_the_message_says(self):
        base = (
            "depth: 4 num_layers_before_predictor: 1 use_depthwise: true share_prediction_tower: true"
            " conv_hyperparams { regularizer { l2_regularizer { weight: 2.0 } }"
            " initializer { random_normal_initializer { mean: 10.0 stddev: 0.1 } } }"
        )
        predictor, _ = build(WEIGHT_SHARED, base)
        tower, heads = predictor._towers["shared"][0], [predictor._class_predictor, predictor._box_predictor]
        assert tower.depthwise_kernel.numpy().min() > 9
        assert abs(tower.pointwise_kernel.numpy()).max() < 2
        assert all(abs(head.depthwise_kernel.numpy()).max() < 2 for head in heads)
        np.testing.assert_allclose(predictor.losses, [np.sum(tower.depthwise_kernel.numpy() ** 2)], rtol=1e-5)

        predictor, _ = build(
            WEIGHT_SHARED, base + " apply_conv_hyperparams_pointwise: true apply_conv_hyperparams_to_heads: true"
        )
        layers = [predictor._towers["shared"][0], predictor._class_predictor, predictor._box_predictor]
        for layer in layers:
            assert layer.depthwise_kernel.numpy().min() > 9 and layer.pointwise_kernel.numpy().min() > 9
        assert len(predictor.losses) == 6

    def test_dropout_is_for_classes_in_training(self):
        text = (
            "depth: 32 num_layers_before_predictor: 1 use_dropout: true dropout_keep_probability: 0.5"
            " share_prediction_tower: true"
        )
        predictor, features = build(WEIGHT_SHARED, text)
        resting, training = predictor(features), predictor(features, training=True)
        assert not np.allclose(resting[0]["3"], training[0]["3"])
        np.testing.assert_allclose(resting[1]["3"], training[1]["3"], atol=1e-6)
        np.testing.assert_array_equal(resting[0]["3"], predictor(features)[0]["3"])

    def test_class_bias_clip_range_and_code_size(self):
        text = (
            "depth: 4 class_prediction_bias_init: -4.5 box_code_size: 7 box_encodings_clip_range { min: -0.1 max: 0.2 }"
            " conv_hyperparams { initializer { random_normal_initializer { stddev: 1.0 } } }"
        )
        predictor, features = build(WEIGHT_SHARED, text)
        np.testing.assert_array_equal(predictor._class_predictor.bias, [-4.5] * 6)
        codes = predictor(features)[1]["3"].numpy()
        assert codes.shape == (2, 4, 4, 14)
        assert (codes.min(), codes.max()) == pytest.approx((-0.1, 0.2))

    def test_a_score_converter_acts_outside_training(self):
        predictor, features = build(WEIGHT_SHARED, "depth: 4 score_converter: SIGMOID")
        logits = predictor(features, training=True)[0]["3"]
        np.testing.assert_allclose(predictor(features, training=False)[0]["3"], tf.sigmoid(logits), rtol=1e-5)

    def test_maps_with_unequal_numbers_of_anchors_are_refused(self):
        anchors = "anchor_generator { ssd_anchor_generator { aspect_ratios: [2.0, 3.0, 0.5, 0.25] } }"
        with pytest.raises(SettingsError, match=r"one head for .* 3, 6 anchors.*convolutional_box_predictor"):
            ssd_settings(f"{anchors} box_predictor {{ {WEIGHT_SHARED} {{ depth: 4 }} }}")


class TestConvolutional:
    def test_each_level_has_heads_for_its_own_anchors(self):
        predictor, features = build(CONVOLUTIONAL, "kernel_size: 3 use_dropout: false", anchors=(2, 4), depths=(5, 7))
        expected = [(3, 3, 5, 6), (6,), (3, 3, 5, 8), (8,), (3, 3, 7, 12), (12,), (3, 3, 7, 16), (16,)]
        assert shapes(predictor) == sorted(expected)
        logits, codes, _ = predictor(features)
        assert (tuple(logits["4"].shape), tuple(codes["4"].shape)) == ((2, 2, 2, 12), (2, 2, 2, 16))

    @pytest.mark.parametrize(
        ("bounds", "depths"),
        [
            ("min_depth: 0 max_depth: 0", []),
            ("min_depth: 0 max_depth: 6", [5, 6]),
            ("min_depth: 6 max_depth: 32", [6, 7]),
        ],
    )
    def test_layers_before_the_heads_have_the_maps_depth_between_the_bounds(self, bounds, depths):
        text = f"{bounds} num_layers_before_predictor: 2 conv_hyperparams {{ batch_norm {{ }} }}"
        predictor, _ = build(CONVOLUTIONAL, text, depths=(5, 7))
        found = [[tuple(layer.kernel.shape) for layer in predictor._towers[level]] for level in SIZES]
        assert found == (
            [[(1, 1, own, d), (1, 1, d, d)] for own, d in zip((5, 7), depths, strict=True)] if depths else [[], []]
        )

    def test_depthwise_heads_are_depthwise_norm_activation_and_1x1(self):
        text = (
            "kernel_size: 3 use_depthwise: true use_dropout: false class_prediction_bias_init: -4.5 conv_hyperparams {"
            " activation: RELU_6 batch_norm { scale: true } regularizer { l2_regularizer { weight: 2.0 } } }"
        )
        predictor, features = build(CONVOLUTIONAL, text)
        per_head = [(3, 3, 5, 1), (5,), (5,)]
        expected = [*per_head, *per_head, (1, 1, 5, 6), (6,), (1, 1, 5, 8), (8,)] * 2
        assert shapes(predictor) == sorted(expected)
        depthwise, norm = predictor._class_depthwise["3"]
        norm.beta.assign(tf.range(5.0))
        x = tf.nn.depthwise_conv2d(features["3"], depthwise.depthwise_kernel, [1, 1, 1, 1], "SAME")
        x = tf.nn.relu6(x / np.sqrt(1.001) + norm.beta)
        head = predictor._class_predictor["3"]
        np.testing.assert_allclose(predictor(features)[0]["3"], tf.nn.conv2d(x, head.kernel, 1, "SAME"), atol=1e-4)
        # As in the API, neither the depthwise kernel's regularizer nor the classes' bias is set here.
        np.testing.assert_array_equal(head.bias, [0] * 6)
        assert len(predictor.losses) == 4

    def test_class_bias_dropout_and_clip_range(self):
        text = (
            "class_prediction_bias_init: -4.5 use_dropout: true dropout_keep_probability: 0.5"
            " box_encodings_clip_range { min: -0.1 max: 0.2 }"
            " conv_hyperparams { initializer { random_normal_initializer { stddev: 1.0 } } }"
        )
        predictor, features = build(CONVOLUTIONAL, text, depths=(16, 16))
        np.testing.assert_array_equal(predictor._class_predictor["4"].bias, [-4.5] * 6)
        resting, training = predictor(features), predictor(features, training=True)
        assert not np.allclose(resting[0]["3"], training[0]["3"])
        np.testing.assert_array_equal(resting[1]["3"], training[1]["3"])
        assert (resting[1]["3"].numpy().min(), resting[1]["3"].numpy().max()) == pytest.approx((-0.1, 0.2))

    def test_contradictions_are_refused(self):
        with pytest.raises(SettingsError, match="min_depth: 8 is above max_depth, 4"):
            build(CONVOLUTIONAL, "min_depth: 8 max_depth: 4")
        with pytest.raises(SettingsError, match=r"use_depthwise: a depthwise kernel of 1.*kernel_size: 3"):
            build(CONVOLUTIONAL, "use_depthwise: true kernel_size: 1")
        with pytest.raises(SettingsError, match=r"use_depthwise: a depthwise kernel of 1.*kernel_size: 3"):
            build(WEIGHT_SHARED, "use_depthwise: true kernel_size: 1")
        with pytest.raises(SettingsError, match=r"box_predictor\.mask_rcnn_box_predictor: is Faster R-CNN's head"):
            ssd_settings("box_predictor { mask_rcnn_box_predictor { } }")


def test_batch_norm_that_does_not_train_stays_as_it_is():
    text = "depth: 4 num_layers_before_predictor: 1 conv_hyperparams { batch_norm { train: false } }"
    predictor, features = build(WEIGHT_SHARED, text)
    before = predictor(features)[0]["3"].numpy()
    np.testing.assert_allclose(predictor(features, training=True)[0]["3"], before, atol=1e-6)
    norm = predictor._norms["classes"]["3"][0]
    np.testing.assert_array_equal(norm.moving_mean, [0.0] * 4)
