"""How far before the heads the layers of each kind of network are."""

from __future__ import annotations

from typing import Any

import pytest

from configs.schema.pipeline_file import merge, read_pipeline_config
from tests.small_models import build_detector
from train.models.layer_depth import depth_by_variable

PYRAMID = "fpn { min_level: 3 max_level: 5 additional_layer_depth: 32 }"


def depths(config: Any) -> dict[str, int]:
    """The depth of every trained variable, by its name; equal names must be equally deep."""
    network = build_detector(config).network
    found = depth_by_variable(network)
    by_name: dict[str, set[int]] = {}
    for variable in network.trainable_variables:
        by_name.setdefault(variable.name.split(":")[0], set()).add(found[variable.ref()])
    items = network.checkpoint_items
    heads = [items[name] for name in ("head", "rpn_head") if name in items] + list(items.get("detection_head", []))
    assert {found[variable.ref()] for head in heads for variable in head.variables} == {0}
    backbone = {variable.ref() for variable in items["backbone"].variables}
    assert all(found[reference] >= 1 for reference in backbone)
    return {name: values.pop() for name, values in by_name.items() if len(values) == 1}


def of(found: dict[str, int], part: str) -> set[int]:
    values = {depth for name, depth in found.items() if part in name}
    assert values, f"{part}: no variable of {sorted(found)}"
    return values


def test_a_mobilenet_with_a_pyramid(block_config):
    found = depths(read_pipeline_config(block_config("ssd")))
    assert of(found, "Conv_1/") == {2}
    assert of(found, "block_13_project") == {2}
    assert of(found, "block_12_") == {3}  # stride 16
    assert of(found, "block_4_") == {4}
    assert of(found, "block_2_") == {5}
    assert of(found, "Conv1/") == {6}
    assert set(found.values()) >= {0, 1, 2, 3, 4, 5, 6}


def test_an_efficientnet_whose_excitations_have_no_extent(block_config):
    override = """model { ssd { feature_extractor { type: "ssd_efficientnet-b0_bifpn_keras"
        depth_multiplier: 1.0 use_depthwise: false
        bifpn { min_level: 3 max_level: 5 num_iterations: 1 num_filters: 32 } } } }"""
    found = depths(merge(read_pipeline_config(block_config("ssd")), override))
    first = {name: depth for name, depth in found.items() if "stack_1/block_1" in name}
    assert len(first) > 5 and set(first.values()) == {5}, first  # squeeze and excitation among them
    assert of(found, "stack_6/block_0/project") == {2}


def test_a_model_garden_backbone(block_config):
    override = (
        """model { ssd { feature_extractor { type: "ssd_efficientnet-lite0_fpn_keras" depth_multiplier: 1.0 } } }"""
    )
    network = build_detector(merge(read_pipeline_config(block_config("ssd")), override)).network
    found = depth_by_variable(network)
    ordered = [found[variable.ref()] for variable in network.checkpoint_items["backbone"].trainable_variables]
    assert ordered == sorted(ordered, reverse=True)
    assert (ordered[0], ordered[-1]) == (6, 2)
    decoder = network.checkpoint_items["decoder"].trainable_variables
    assert {found[variable.ref()] for variable in decoder} == {1}


@pytest.mark.parametrize("kind", ["faster_rcnn_resnet50_keras", "faster_rcnn_resnet50_fpn_keras"])
def test_a_resnet_on_one_map_and_with_a_pyramid(block_config, kind):
    config = read_pipeline_config(block_config("faster_rcnn"))
    config.model.faster_rcnn.feature_extractor.type = kind
    if "fpn" in kind:
        override = """model { faster_rcnn {
            feature_extractor { fpn { min_level: 2 max_level: 6 } conv_hyperparams { } }
            first_stage_anchor_generator { multiscale_anchor_generator {
                min_level: 2 max_level: 6 aspect_ratios: 1.0
            } } } }"""
        config = merge(config, override)
    found = depths(config)
    nearest = 2 if "fpn" in kind else 1
    for depth, stage in enumerate(("conv5_", "conv4_", "conv3_", "conv2_", "conv1_"), start=nearest):
        assert of(found, stage) == {depth}
    if "fpn" in kind:
        assert of(found, "dense") == {0}  # of the second stage's trunk
