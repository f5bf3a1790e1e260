"""The command from files of TensorFlow 1 to a checkpoint, a config and a label map."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from configs.schema.pipeline_file import parse_pipeline_config, read_pipeline_config
from data_prep.formats.label_map import LabelMap, LabelMapItem, read_label_map, write_label_map
from data_prep.runtime.command_line import UsageError, UserError
from tests.small_models import build_detector
from tests.train.checkpoints.tensorflow_1.named_checkpoints import (
    scramble,
    values_by_name,
    write_checkpoint,
    write_graph,
)
from tests.train.importing.small_detector import SHAPE
from train.checkpoints.object_paths import variables_by_path
from train.checkpoints.restore import restore
from train.checkpoints.tensorflow_1.frozen_graph import MAX_FILE_BYTES, FrozenGraph, GraphFacts
from train.import_checkpoint import main
from train.importing.class_names import coco_label_map
from train.importing.ssd_config import config_text

# As a detection graph has them, besides weights.
NODES = """
node { name: "height" op: "Const"
       attr { key: "value" value { tensor { dtype: DT_INT32 int_val: 96 tensor_shape {} } } } }
node { name: "width" op: "Const"
       attr { key: "value" value { tensor { dtype: DT_INT32 int_val: 128 tensor_shape {} } } } }
node { name: "size" op: "Pack" input: "height" input: "width" }
node { name: "Preprocessor/map/ResizeBilinear" op: "ResizeBilinear" input: "image" input: "size" }
node { name: "Postprocessor/convert_scores" op: "Softmax" }
node { name: "FeatureExtractor/norm" op: "FusedBatchNormV3" attr { key: "epsilon" value { f: 0.002 } } }
"""


class Original:
    """A network and its values by TensorFlow 1's names."""

    def __init__(self) -> None:
        text, _ = config_text(SHAPE, GraphFacts(image_size=(96, 128)), header=(), folder="x")
        self.network = build_detector(parse_pipeline_config(text)).network
        scramble(self.network, seed=1)
        self.values = values_by_name(self.network)
        self.by_path = {path: v.numpy() for path, v in variables_by_path(self.network.api_objects).items()}


@pytest.fixture(scope="module")
def original() -> Original:
    return Original()


def restored(folder: Path) -> dict[str, np.ndarray]:
    network = build_detector(read_pipeline_config(folder / "pipeline.config")).network
    restore(network, folder / "checkpoint", "full", exact=True)
    return {path: v.numpy() for path, v in variables_by_path(network.api_objects).items()}


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    assert [path for path in found if not np.array_equal(found[path], expected[path])] == []


def test_a_frozen_graph_becomes_a_checkpoint_with_the_config_that_fits(original, tmp_path, capsys):
    graph = write_graph(tmp_path / "frozen_inference_graph.pb", original.values, NODES)
    folder = tmp_path / "imported"
    assert main([str(graph), "--output_directory", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert 'looks like feature_extractor.type: "ssd_mobilenet_v2_keras", num_classes: 3' in printed
    assert re.search(rf"restored {len(original.by_path)} variables .* a frozen graph of TensorFlow 1", printed)
    assert "anchors: not in the file" in printed and "classes are numbered" in printed

    ssd = read_pipeline_config(folder / "pipeline.config").model.ssd
    assert (ssd.image_resizer.fixed_shape_resizer.height, ssd.image_resizer.fixed_shape_resizer.width) == (96, 128)
    assert ssd.post_processing.DESCRIPTOR.full_name and "SOFTMAX" in str(ssd.post_processing)
    assert ssd.feature_extractor.conv_hyperparams.batch_norm.epsilon == pytest.approx(0.002)
    assert ssd.box_predictor.convolutional_box_predictor.kernel_size == 3 and ssd.feature_extractor.use_depthwise
    assert read_label_map(folder / "label_map.pbtxt").names_by_id() == {1: "class 1", 2: "class 2", 3: "class 3"}
    assert json.loads((folder / "import_report.json").read_text())["num_restored"] == len(original.by_path)
    assert_same(restored(folder), original.by_path)


@pytest.mark.parametrize("one_file", [False, True])
def test_a_checkpoint_of_either_format_does_too_and_takes_averages_where_the_config_says_so(
    original, tmp_path, capsys, one_file
):
    values = dict(original.values)
    averaged = "FeatureExtractor/MobilenetV2/Conv/weights"
    values[f"{averaged}/ExponentialMovingAverage"] = values[averaged] * 2
    values |= {f"{averaged}/RMSProp": values[averaged], "global_step": np.int64(1234)}
    prefix = write_checkpoint(tmp_path / "model.ckpt", values, one_file=one_file)
    assert main([prefix, "--output_directory", str(tmp_path / "first")]) == 0
    assert_same(restored(tmp_path / "first"), original.by_path)
    assert "not used" not in capsys.readouterr().out

    config = (
        (tmp_path / "first" / "pipeline.config").read_text().replace(str(tmp_path / "first"), "PATH_TO_BE_CONFIGURED")
    )
    (tmp_path / "given.config").write_text(config.replace("eval_config {", "eval_config { use_moving_averages: true"))
    arguments = ["--pipeline_config_path", str(tmp_path / "given.config")]
    assert main([prefix, "--output_directory", str(tmp_path / "second"), *arguments]) == 0
    different = {p for p, v in restored(tmp_path / "second").items() if not np.array_equal(v, original.by_path[p])}
    assert len(different) == 1 and next(iter(different)).startswith("_feature_extractor/classification_backbone/")
    written = read_pipeline_config(tmp_path / "second" / "pipeline.config")
    assert written.train_config.fine_tune_checkpoint == str(tmp_path / "second" / "checkpoint" / "ckpt-0")
    assert not written.eval_config.use_moving_averages
    assert "PATH_TO_BE_CONFIGURED" not in (tmp_path / "second" / "pipeline.config").read_text()


def test_names_of_classes_are_taken_from_a_label_map_or_a_list_with_background_first(original, tmp_path):
    graph = write_graph(tmp_path / "graph.pb", original.values)
    (tmp_path / "labels.txt").write_text("\ufeff???\nBicycle\nCoffee cup\n\nBook\n", encoding="utf-8")
    write_label_map(tmp_path / "labels.pbtxt", LabelMap([LabelMapItem(3, "Book"), LabelMapItem(1, "Bicycle")]))
    for name, expected in (
        ("labels.txt", {1: "Bicycle", 2: "Coffee cup", 3: "Book"}),
        ("labels.pbtxt", {1: "Bicycle", 3: "Book"}),
    ):
        folder = tmp_path / f"with {name}"
        assert main([str(graph), "--output_directory", str(folder), "--label_map_path", str(tmp_path / name)]) == 0
        assert read_label_map(folder / "label_map.pbtxt").names_by_id() == expected
    (tmp_path / "four.txt").write_text("a\nb\nc\nd\n")
    with pytest.raises(UsageError, match=r"four\.txt: has ids up to 4, and the model has 3 classes"):
        main([str(graph), "--output_directory", str(tmp_path / "n"), "--label_map_path", str(tmp_path / "four.txt")])
    assert not (tmp_path / "n").exists()


def test_coco_has_80_categories_up_to_90():
    label_map = coco_label_map()
    assert len(label_map) == 80 and label_map.max_id == 90
    for number, name in {1: "person", 13: "stop sign", 44: "bottle", 64: "potted plant", 90: "toothbrush"}.items():
        assert label_map.display_name_of(number) == name


def test_what_is_missing_is_told_by_name_and_nothing_is_written(original, tmp_path):
    values = dict(original.values)
    del values["FeatureExtractor/MobilenetV2/expanded_conv_7/project/weights"]
    graph = write_graph(tmp_path / "graph.pb", values)
    message = (
        r"1 of the model's variables are not in the checkpoint: "
        r"FeatureExtractor/MobilenetV2/expanded_conv_7/project/weights"
    )
    with pytest.raises(UserError, match=message):
        main([str(graph), "--output_directory", str(tmp_path / "imported")])
    assert [path.name for path in tmp_path.iterdir()] == ["graph.pb"]


def _one(name: str, shape=(1, 1, 4, 4)) -> dict[str, np.ndarray]:
    return {name: np.ones(shape, np.float32)}


BAD_GRAPHS = {
    "another family": (_one("FeatureExtractor/InceptionV2/Mixed_3b/weights"), "", "of InceptionV2, a network that is"),
    "a stranger's": (_one("my_net/layer/weights"), "", "of no network that is known here"),
    "a classifier": (
        _one("MobilenetV2/Conv/weights"), "", r"of MobilenetV2 without a detector .* \"classification\"",
    ),
    "two networks": (
        _one("FeatureExtractor/MobilenetV1/Conv2d_0/weights") | _one("FeatureExtractor/MobilenetV2/Conv/weights"), "",
        "names fit two networks, FeatureExtractor/MobilenetV1 and FeatureExtractor/MobilenetV2",
    ),
    "no weights": ({}, 'node { name: "x" op: "NoOp" }', "a graph without weights as tf_slim names them"),
    "variables": ({}, 'node { name: "x" op: "VariableV2" }', r"give the checkpoint \(model.ckpt\)"),
    "integers": (
        {"FeatureExtractor/MobilenetV2/Conv/weights_quint8_const": np.ones(3, np.uint8)}, "", "a graph of integers",
    ),
    "half an ssd": (_one("FeatureExtractor/MobilenetV2/Conv/weights")
                    | _one("BoxPredictor_0/ClassPredictor/biases", (12,))
                    | _one("BoxPredictor_0/BoxEncodingPredictor/biases", (12,)), "", "has an SSD's names but not all"),
    "a faster r-cnn": (
        _one("FirstStageFeatureExtractor/resnet_v1_50/conv1/weights")
        | _one("SecondStageBoxPredictor/ClassPredictor/biases", (91,)), "",
        r"faster_rcnn_resnet50_keras\", num_classes: 90, whose sizes and anchors .* --pipeline_config_path",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_GRAPHS)
def test_graphs_that_cannot_be_imported_are_refused_in_one_line(kind, tmp_path):
    values, nodes, message = BAD_GRAPHS[kind]
    graph = write_graph(tmp_path / "graph.pb", values, nodes)
    with pytest.raises(UserError, match=message) as caught:
        main([str(graph), "--output_directory", str(tmp_path / "imported")])
    assert str(graph) in str(caught.value) and "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["graph.pb"]


def test_files_that_are_no_graph_are_refused_in_one_line(original, tmp_path):
    whole = write_graph(tmp_path / "whole.pb", original.values).read_bytes()
    for name, content, message in (
        ("short.pb", whole[: len(whole) // 2], "is no graph that can be read: cut short"),
        ("empty.pb", b"", "holds no graph"),
        ("text.pb", b"node { name: 'x' }", "is no graph that can be read"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=message):
            main([str(tmp_path / name), "--output_directory", str(tmp_path / "imported")])
    with (tmp_path / "huge.pb").open("wb") as file:
        file.truncate(5 << 30)  # a hole: it takes no space
    with pytest.raises(UserError, match=r"huge\.pb: 5\.0 GiB; a graph file holds at most 2 GiB"):
        main([str(tmp_path / "huge.pb"), "--output_directory", str(tmp_path / "imported")])
    with pytest.raises(UserError, match="no such file"):
        main([str(tmp_path / "nowhere.pb"), "--output_directory", str(tmp_path / "imported")])
    assert MAX_FILE_BYTES < 5 << 30 and not (tmp_path / "imported").exists()


def test_a_few_bytes_cannot_ask_for_any_amount_of_memory(original, tmp_path):
    values = dict(original.values)
    name = "FeatureExtractor/MobilenetV2/Conv/weights"
    del values[name]
    sides = " ".join(f"dim {{ size: {side} }}" for side in (3, 3, 3, 10**12))
    tensor = f"dtype: DT_FLOAT float_val: 1 tensor_shape {{ {sides} }}"
    repeated = f'node {{ name: "{name}" op: "Const" attr {{ key: "value" value {{ tensor {{ {tensor} }} }} }} }}'
    graph = write_graph(tmp_path / "graph.pb", values, repeated)
    with pytest.raises(UserError, match="1 variables have another shape than in this model"):
        main([str(graph), "--output_directory", str(tmp_path / "imported")])


def test_a_truncated_checkpoint_is_refused_in_one_line(original, tmp_path):
    prefix = Path(write_checkpoint(tmp_path / "model.ckpt", original.values))
    data = prefix.with_name("model.ckpt.data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"model\.ckpt: the checkpoint cannot be read") as caught:
        main([str(prefix), "--output_directory", str(tmp_path / "imported")])
    assert "\n" not in str(caught.value) and not (tmp_path / "imported").exists()


def test_what_needs_no_import_or_cannot_have_one_is_told(original, tmp_path):
    folder = tmp_path / "imported"
    assert main([str(write_graph(tmp_path / "g.pb", original.values)), "--output_directory", str(folder)]) == 0
    with pytest.raises(UsageError, match="a checkpoint of TensorFlow 2 needs no import"):
        main([str(folder / "checkpoint"), "--output_directory", str(tmp_path / "again")])
    with pytest.raises(UsageError, match="a torch file holds a classifier"):
        main([str(tmp_path / "x.pth"), "--output_directory", str(tmp_path / "again")])
    with pytest.raises(UsageError, match="exists and is not empty"):
        main([str(tmp_path / "g.pb"), "--output_directory", str(folder)])


def test_anchors_padding_and_box_coder_are_those_of_the_graph(original, tmp_path):
    """A line of scales, other scales, and a first map with as many boxes as the others."""
    lists = {
        "Sqrt": [1.0, 2.0, 0.5], "Sqrt_1": [1.0, 2.0, 1.0], "Sqrt_2": [1.0, 2.0, 1.0],
        "mul": [0.1, 0.3, 0.3], "mul_1": [0.4, 0.4, 0.5], "mul_2": [0.9, 0.9, 0.95],
    }  # fmt: skip
    grid = "MultipleGridAnchorGenerator"
    values = {f"{grid}/{name}/x": np.float32(numbers) for name, numbers in lists.items()}
    values |= {f"Postprocessor/Decode/div{n}/y": np.float32(x) for n, x in (("", 4), ("_1", 5), ("_2", 2), ("_3", 3))}
    nodes = "".join(
        f'node {{ name: "{grid}/Sqrt{n}" op: "Sqrt" input: "{grid}/Sqrt{n}/x" }}'
        f'node {{ name: "{grid}/div{n}" op: "RealDiv" input: "{grid}/mul{n}/x" input: "{grid}/Sqrt{n}" }}'
        for n in ("", "_1", "_2")
    )
    nodes += 'node { name: "d" op: "DepthwiseConv2dNative" attr { key: "padding" value { s: "VALID" } } }'
    facts = FrozenGraph(write_graph(tmp_path / "graph.pb", original.values | values, nodes)).facts
    text, notes = config_text(SHAPE, facts, header=(), folder="x")
    ssd = parse_pipeline_config(text).model.ssd
    generator = ssd.anchor_generator.ssd_anchor_generator
    assert list(generator.scales) == pytest.approx([0.3, 0.4, 0.9]) and list(generator.aspect_ratios) == [1.0, 2.0]
    assert generator.reduce_boxes_in_lowest_layer and ssd.feature_extractor.use_explicit_padding
    coder = ssd.box_coder.faster_rcnn_box_coder
    assert (coder.y_scale, coder.x_scale, coder.height_scale, coder.width_scale) == (4, 5, 2, 3)
    assert not any("anchors" in note for note in notes)

    line = dataclasses.replace(facts, anchor_scales=((0.3, 0.4), (0.6, 0.7), (0.9, 0.95)))
    text, _ = config_text(dataclasses.replace(SHAPE, reduces_boxes=False), line, header=(), folder="x")
    generator = parse_pipeline_config(text).model.ssd.anchor_generator.ssd_anchor_generator
    assert (generator.min_scale, generator.max_scale) == pytest.approx((0.3, 0.9)) and not generator.scales
    assert not generator.reduce_boxes_in_lowest_layer
