"""Our detectors take what Model Garden's checkpoints hold, though their parts are cut and named otherwise."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from official.vision.configs import backbones, decoders, retinanet
from official.vision.modeling import factory
from official.vision.modeling.backbones import resnet

from configs.schema.descriptors import message_class
from configs.settings import heads
from configs.settings.reading import read_settings
from train.checkpoints.restore import restore
from train.models.weight_shared_box_predictor import WeightSharedConvolutionalBoxPredictor


def scramble(model: tf_keras.Model, seed: int) -> None:
    random = np.random.default_rng(seed)
    for variable in model.variables:
        variable.assign(random.uniform(0.1, 1.0, variable.shape))


class Parts(tf_keras.Model):
    """Parts under the names that a detector gives them."""

    def __init__(self, **parts) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)

    @property
    def checkpoint_items(self):
        return {
            name: getattr(self, name)
            for name in ("backbone", "decoder", "head", "detection_head")
            if getattr(self, name, None) is not None
        }


@pytest.mark.parametrize("use_depthwise", [False, True])
def test_our_box_predictor_takes_model_gardens_head(tmp_path, use_depthwise):
    theirs = factory.build_retinanet(
        tf_keras.layers.InputSpec(shape=[None, 64, 64, 3]),
        retinanet.RetinaNet(
            num_classes=4,
            input_size=[64, 64, 3],
            min_level=3,
            max_level=4,
            anchor=retinanet.Anchor(num_scales=1, aspect_ratios=[1.0, 2.0]),
            backbone=backbones.Backbone(type="resnet", resnet=backbones.ResNet(model_id=10, depth_multiplier=0.125)),
            decoder=decoders.Decoder(type="fpn", fpn=decoders.FPN(num_filters=8)),
            head=retinanet.RetinaNetHead(num_convs=2, num_filters=8, use_separable_conv=use_depthwise),
        ),
    )
    scramble(theirs, seed=1)
    prefix = tf.train.Checkpoint(model=theirs, **theirs.checkpoint_items).write(str(tmp_path / "ckpt-1"))

    config = message_class("WeightSharedConvolutionalBoxPredictor")(
        depth=8, num_layers_before_predictor=2, kernel_size=3, use_depthwise=use_depthwise
    )
    config.conv_hyperparams.batch_norm.scale = True
    head = WeightSharedConvolutionalBoxPredictor(
        settings=read_settings(heads.WeightSharedConvolutionalBoxPredictor, config),
        num_class_slots=6,
        anchors_per_location=2,
        levels=["3", "4"],
    )
    head({"3": tf.zeros([1, 8, 8, 8]), "4": tf.zeros([1, 4, 4, 8])})
    ours = Parts(backbone=theirs.backbone, head=head)
    report = restore(ours, prefix, "full")

    assert report.missing == []
    assert {name.split("/")[1] for name, _ in report.skipped} == {"_class_predictor"}
    kernel = "pointwise_kernel" if use_depthwise else "kernel"
    for level, their_norms in zip(("3", "4"), theirs.head._cls_norms, strict=True):
        for our_norm, their_norm in zip(head._norms["classes"][level], their_norms, strict=True):
            np.testing.assert_array_equal(our_norm.moving_variance, their_norm.moving_variance)
    for tower, their_tower in (("classes", theirs.head._cls_convs), ("boxes", theirs.head._box_convs)):
        for our_layer, their_layer in zip(head._towers[tower], their_tower, strict=True):
            np.testing.assert_array_equal(getattr(our_layer, kernel), getattr(their_layer, kernel))
    np.testing.assert_array_equal(head._box_predictor.bias, theirs.head._box_regressor.bias)


class BoxHead(tf_keras.layers.Layer):
    """A second stage whose trunk is the end of the backbone."""

    def __init__(self, trunk: tf_keras.Model) -> None:
        super().__init__()
        self.trunk = trunk
        self._class_predictor = tf_keras.layers.Dense(3)
        self._class_predictor.build([None, 8])


def build_c4() -> tuple[tf_keras.Model, Parts]:
    """A whole small ResNet, and a detector that has it in two pieces."""
    whole = resnet.ResNet(18, depth_multiplier=0.125)
    conv4 = whole.get_layer("block_group_l4").output
    features = tf_keras.Model(whole.inputs, {"4": conv4})
    conv5 = tf_keras.Model(conv4, whole.get_layer("block_group_l5").output, name="conv5")
    crop = tf_keras.Input([7, 7, conv4.shape[-1]])
    trunk = tf_keras.Model(crop, tf_keras.layers.GlobalAveragePooling2D()(conv5(crop)))
    return whole, Parts(backbone=features, detection_head=[BoxHead(trunk)])


@pytest.mark.parametrize("saved_as", ["classifier", "detector"])
def test_classification_restores_conv5_in_the_box_head_too(tmp_path, saved_as):
    whole, detector = build_c4()
    scramble(detector, seed=1)
    images = tf.random.stateless_uniform([1, 64, 64, 3], seed=[1, 2])
    expected = whole(images, training=False)["5"].numpy()
    saved = tf.train.Checkpoint(backbone=whole) if saved_as == "classifier" else tf.train.Checkpoint(model=detector)
    prefix = saved.write(str(tmp_path / "ckpt-1"))

    whole, detector = build_c4()
    scramble(detector, seed=2)
    predictor = detector.detection_head[0]._class_predictor
    before = predictor.kernel.numpy()
    report = restore(detector, prefix, "classification")

    # The two pieces are layers of `whole`, which must now compute what the saved one did.
    np.testing.assert_allclose(whole(images, training=False)["5"].numpy(), expected, rtol=1e-5)
    assert len(report.restored) == len(whole.variables)
    assert {name.split("/")[0] for name in report.restored} == {"backbone", "conv5"}
    np.testing.assert_array_equal(predictor.kernel.numpy(), before)


def test_a_detector_cut_in_two_is_whole_again_in_full(tmp_path):
    _, detector = build_c4()
    scramble(detector, seed=1)
    values = [variable.numpy() for variable in detector.variables]
    prefix = tf.train.Checkpoint(model=detector).write(str(tmp_path / "ckpt-1"))
    scramble(detector, seed=2)
    report = restore(detector, prefix, "full")
    for value, variable in zip(values, detector.variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert report.missing == [] and len(report.restored) == len(values)
