"""Plugins' functions as training calls them, and what is said where they give something else than they must."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from configs.schema import pipeline_file
from configs.settings import plugins
from configs.settings.evaluation import EvalConfig
from configs.settings.plugins import (
    PluginPart,
    register_augmentation,
    register_classification_loss,
    register_feature_extractor,
    register_metric,
)
from configs.settings.reading import read_settings_text
from data_prep.runtime.command_line import UserError
from tests.small_models import build_detector, ssd_settings
from train.inputs.augmentations.pipeline import build_augmentation
from train.metrics.measured_image import measured_image
from train.metrics.sets import MetricSets
from train.models.box_coders import build_box_coder
from train.models.ssd_losses import SsdLosses
from train.models.ssd_targets import ClassSlots, SsdTargets


@dataclasses.dataclass(frozen=True)
class Factor:
    factor: float = 2.0


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_REGISTERED", {kind: {} for kind in plugins._REGISTERED})


def part(factor: float | None = None) -> PluginPart:
    number = "" if factor is None else f'numbers {{ key: "factor" value: {factor} }}'
    return read_settings_text(PluginPart, f'name: "mine" {number}')


def test_augmentations_run_in_their_order_after_the_configs_own_each_with_a_seed_of_its_own():
    seeds = []

    def scale(image: tf.Tensor, ground_truth: Any, seed: tf.Tensor, settings: Factor) -> Any:
        assert image.dtype == tf.float32
        seeds.append(tuple(seed.numpy().tolist()))
        return image * settings.factor + 1.0, ground_truth

    register_augmentation("mine", settings=Factor, function=scale)
    augment = build_augmentation((), [part(3.0), part()])
    image, truth = augment(tf.ones([1, 1, 3], tf.uint8), {"groundtruth_classes": tf.constant([1])}, tf.constant([1, 2]))
    assert image.numpy().ravel().tolist() == [9.0, 9.0, 9.0]  # (1 x 3 + 1) x 2 + 1
    assert list(truth) == ["groundtruth_classes"]
    assert len(set(seeds)) == 2


class TestLoss:
    def losses(self, plugin: PluginPart) -> dict[str, tf.Tensor]:
        settings = ssd_settings()
        coder = build_box_coder(settings.box_coder)
        compute = SsdLosses(
            settings.loss,
            slots=ClassSlots.from_settings(settings),
            box_coder=coder,
            normalize_loss_by_num_matches=False,
            normalize_loc_loss_by_codesize=False,
            plugin=plugin,
        )
        slots = ClassSlots.from_settings(settings).num_slots
        targets = SsdTargets(
            class_targets=tf.zeros([1, 2, slots]),
            class_weights=tf.constant([[[1.0], [0.5]]]),
            codes=tf.zeros([1, 2, 4]),
            box_weights=tf.zeros([1, 2]),
            matches=tf.constant([[-1, -1]]),
        )
        anchors = tf.constant([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]])
        return compute(targets, tf.ones([1, 2, slots]), tf.zeros([1, 2, 4]), anchors)

    def test_it_takes_the_place_of_the_models_and_is_weighted_by_what_it_is_given(self):
        def loss(logits: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor, settings: Factor) -> tf.Tensor:
            assert logits.shape == targets.shape == weights.shape
            return settings.factor * tf.reduce_mean(logits * weights, axis=-1)

        register_classification_loss("mine", settings=Factor, function=loss)
        assert float(self.losses(part(10.0))["Loss/classification_loss"]) == pytest.approx(15.0)

    def test_one_that_has_no_value_an_anchor_is_refused(self):
        register_classification_loss("mine", settings=Factor, function=lambda logits, *_: logits)
        with pytest.raises(UserError, match=r'"mine" gives values of shape \(1, 2, \d\); it must give one for each'):
            self.losses(part())


class TestFeatureExtractor:
    CONFIG = (
        'model { ssd { feature_extractor { type: "ssd_plugin_fpn" depth_multiplier: 1.0 use_depthwise: false } '
        'freeze_batchnorm: false } } extensions { feature_extractor { name: "mine" } }'
    )

    def detector(self, block_config: Any, build: Any) -> Any:
        register_feature_extractor("mine", settings=Factor, function=build)
        config = pipeline_file.read_pipeline_config(block_config("ssd"))
        return build_detector(pipeline_file.merge(config, self.CONFIG))

    def test_its_network_is_trained_and_a_checkpoints_backbone(self, block_config):
        def build(extractor: Any, settings: Factor) -> tf_keras.Model:
            features = images = tf_keras.Input((None, None, 3))
            maps = []
            for _ in range(extractor.pyramid.max_level):
                features = tf_keras.layers.Conv2D(8, 3, strides=2, padding="same")(features)
                maps.append(tf_keras.layers.BatchNormalization()(features))
            return tf_keras.Model(images, maps[extractor.pyramid.min_level - 1 :])

        detector = self.detector(block_config, build)
        assert detector.network.feature_extractor.channels == {"3": 8, "4": 8, "5": 8}
        backbone = detector.network.checkpoint_items["backbone"]
        assert len(backbone.trainable_variables) == 5 * 2 + 3 * 2
        assert {id(v) for v in backbone.trainable_variables} <= {id(v) for v in detector.network.trainable_variables}
        assert detector.network.api_objects is None
        detections = detector.detect(tf.zeros([2, 96, 96, 3]), tf.constant([[96, 96, 3]] * 2))
        assert detections["detection_boxes"].shape == (2, 20, 4)
        assert np.isfinite(detections["detection_boxes"]).all()

    def test_one_with_other_maps_than_the_pyramid_has_is_refused(self, block_config):
        def build(*_: Any) -> tf_keras.Model:
            images = tf_keras.Input((None, None, 3))
            return tf_keras.Model(images, [tf_keras.layers.Conv2D(4, 3, strides=8, padding="same")(images)])

        match = (
            '"mine" makes feature maps of 8 x 8 cells of an image of 64 x 64 pixels; '
            "levels 3 to 5 have 8 x 8, 4 x 4, 2 x 2"
        )
        with pytest.raises(ValueError, match=match):
            self.detector(block_config, build)

    def test_one_that_is_no_keras_model_is_refused(self, block_config):
        with pytest.raises(ValueError, match=r'"mine" is built as builtins.int, not as a tf_keras.Model'):
            self.detector(block_config, lambda *_: 7)


def test_a_metrics_name_goes_before_what_it_measures():
    class Count:
        def __init__(self, names_by_id: Any, settings: Factor) -> None:
            assert names_by_id == {1: "Bed"}
            self._factor, self._images = settings.factor, 0

        def add(self, image: Any) -> None:
            self._images += 1

        def evaluate(self) -> dict[str, float]:
            return {"images": self._images * self._factor}

    register_metric("mine", settings=Factor, function=Count)
    sets = MetricSets(read_settings_text(EvalConfig, ""), {1: "Bed"}, [part(5.0)])
    nothing = {"detection_boxes": [], "detection_scores": [], "detection_classes": []}
    sets.add(measured_image("a", groundtruth_boxes=[[0, 0, 1, 1]], groundtruth_classes=[1], **nothing))
    found = sets.evaluate()
    assert found["mine/images"] == 5.0
    assert "DetectionBoxes_Precision/mAP" in found
