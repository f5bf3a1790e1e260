"""Anchors, against hand-computed cases, a slow loop over cells, and the published models' own."""

import math
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from configs.schema.pipeline_file import parse_pipeline_config
from configs.settings.anchors import ANCHOR_GENERATORS
from configs.settings.declaration import SettingsError
from configs.settings.reading import read_choice
from train.models.anchor_grid import tile_anchors
from train.models.anchors import build_anchor_generator

REFERENCES = Path(__file__).resolve().parents[3].parent / "shared" / "odapi_fixtures"
# Strides of the feature maps of each published model, as a 320x320 or 512x512 input gives them.
FEATURE_SIDES = {
    "ssd_mobilenet_v2_fpnlite_320": [40, 20, 10, 5, 3],
    "ssd_resnet50_v1_fpn_320": [40, 20, 10, 5, 3],
    "ssd_mobilenet_v2_320": [20, 10, 5, 3, 2, 1],
    "ssd_efficientdet_d0_512": [64, 32, 16, 8, 4],
    "faster_rcnn_resnet50_v1_320": [20],
    "faster_rcnn_resnet50_v1_fpn_320": [80, 40, 20, 10, 5],
}


def generator_of(text):
    return build_anchor_generator(anchors_of(text))


def anchors_of(text):
    text = f"model {{ ssd {{ anchor_generator {{ {text} }} }} }}"
    message = parse_pipeline_config(text).model.ssd.anchor_generator
    return read_choice(ANCHOR_GENERATORS, message, "anchor_generator")


def slow_anchors(feature_shape, sizes, base_size, stride, offset):
    """One box at a time; sizes are (scale, width over height)."""
    boxes = []
    for row in range(feature_shape[0]):
        for column in range(feature_shape[1]):
            y, x = row * stride[0] + offset[0], column * stride[1] + offset[1]
            for scale, ratio in sizes:
                height, width = scale * base_size[0] / math.sqrt(ratio), scale * base_size[1] * math.sqrt(ratio)
                boxes.append([y - height / 2, x - width / 2, y + height / 2, x + width / 2])
    return np.array(boxes, np.float32)


def test_tiled_anchors_run_by_row_column_then_anchor():
    anchors = tile_anchors(
        (2, 2),
        sizes=[(1.0, 1.0), (2.0, 1.0), (1.0, 4.0), (2.0, 4.0)],
        base_size=(8, 8),
        stride=(16, 16),
        offset=(4, 0),
    )
    assert anchors.shape == (2 * 2 * 4, 4)
    # Cell (0, 0) is centred on y 4, x 0: ratio 1 at scales 1 and 2, then ratio 4 (twice as wide, half as high).
    np.testing.assert_allclose(anchors[:4], [[0, -4, 8, 4], [-4, -8, 12, 8], [2, -8, 6, 8], [0, -16, 8, 16]])
    np.testing.assert_allclose(anchors[4], [0, 12, 8, 20])
    np.testing.assert_allclose(anchors[8], [16, -4, 24, 4])


def test_grid_anchors_take_ratios_outside_and_scales_inside():
    generator = generator_of(
        "grid_anchor_generator { height: 100 width: 50 height_stride: 8 width_stride: 16 height_offset: 3 "
        "width_offset: 5 scales: [0.5, 2.0] aspect_ratios: [1.0, 2.0] }"
    )
    sizes = [(0.5, 1), (2, 1), (0.5, 2), (2, 2)]
    assert generator.anchors_per_location(1) == [4]
    (found,) = generator.generate([(3, 2)], (20, 30))
    np.testing.assert_allclose(found, slow_anchors((3, 2), sizes, (100, 50), (8, 16), (3, 5)), rtol=1e-6)


def test_multiscale_anchors_start_at_zero_where_the_stride_does_not_divide_the_input():
    generator = generator_of(
        "multiscale_anchor_generator { min_level: 5 max_level: 7 anchor_scale: 4 aspect_ratios: 1.0 "
        "scales_per_octave: 2 }"
    )
    maps = generator.generate([(10, 12), (5, 6), (3, 3)], (320, 384))
    assert [len(anchors) for anchors in maps] == [240, 60, 18]
    sizes = [(1, 1), (2**0.5, 1)]
    np.testing.assert_allclose(maps[0], slow_anchors((10, 12), sizes, (128, 128), (32, 32), (16, 16)), atol=1e-4)
    np.testing.assert_allclose(maps[2], slow_anchors((3, 3), sizes, (512, 512), (128, 128), (0, 64)), atol=1e-3)


def test_ssd_anchors_of_the_first_map_are_three_and_later_ones_have_an_interpolated_scale():
    generator = generator_of(
        "ssd_anchor_generator { num_layers: 3 min_scale: 0.2 max_scale: 0.9 aspect_ratios: [1.0, 2.0] }"
    )
    assert generator.anchors_per_location(3) == [3, 3, 3]
    maps = generator.generate([(4, 8), (2, 4), (1, 2)], (100, 200))
    # Sizes are relative to the shorter side; strides divide each side evenly.
    expected = [
        slow_anchors((4, 8), [(0.1, 1), (0.2, 2), (0.2, 0.5)], (100, 100), (25, 25), (12.5, 12.5)),
        slow_anchors((2, 4), [(0.55, 1), (0.55, 2), (math.sqrt(0.55 * 0.9), 1)], (100, 100), (50, 50), (25, 25)),
        slow_anchors((1, 2), [(0.9, 1), (0.9, 2), (math.sqrt(0.9), 1)], (100, 100), (100, 100), (50, 50)),
    ]
    for found, wanted in zip(maps, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-4)


def test_ssd_anchors_take_scales_strides_offsets_and_base_sizes_as_written():
    generator = generator_of(
        "ssd_anchor_generator { num_layers: 2 scales: [0.25, 0.5] aspect_ratios: [1.0] "
        "interpolated_scale_aspect_ratio: 0.5 reduce_boxes_in_lowest_layer: false base_anchor_height: 2.0 "
        "base_anchor_width: 0.5 height_stride: [8, 16] width_stride: [4, 12] height_offset: [1, 2] "
        "width_offset: [3, 5] }"
    )
    maps = generator.generate([(3, 3), (2, 2)], (32, 64))
    base = (64, 16)
    for found, wanted in zip(
        maps,
        [
            slow_anchors((3, 3), [(0.25, 1), (math.sqrt(0.125), 0.5)], base, (8, 4), (1, 3)),
            slow_anchors((2, 2), [(0.5, 1), (math.sqrt(0.5), 0.5)], base, (16, 12), (2, 5)),
        ],
        strict=True,
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-4)


def test_ssd_anchors_without_an_interpolated_scale():
    generator = generator_of(
        "ssd_anchor_generator { num_layers: 2 aspect_ratios: [1.0, 2.0] interpolated_scale_aspect_ratio: 0 "
        "reduce_boxes_in_lowest_layer: false }"
    )
    assert generator.anchors_per_location(2) == [2, 2]


def test_flexible_anchors_pair_each_size_with_the_ratio_at_its_place():
    generator = generator_of(
        "flexible_grid_anchor_generator { "
        "anchor_grid { base_sizes: [10, 20] aspect_ratios: [1.0, 4.0] height_stride: 8 width_stride: 4 "
        "height_offset: 2 width_offset: 3 } "
        "anchor_grid { base_sizes: 30 aspect_ratios: 0.25 height_stride: 16 width_stride: 16 } }"
    )
    assert generator.anchors_per_location(2) == [2, 1]
    maps = generator.generate([(2, 3), (1, 2)], (16, 32))
    np.testing.assert_allclose(maps[0], slow_anchors((2, 3), [(10, 1), (20, 4)], (1, 1), (8, 4), (2, 3)), atol=1e-5)
    np.testing.assert_allclose(maps[1], slow_anchors((1, 2), [(30, 0.25)], (1, 1), (16, 16), (0, 0)), atol=1e-5)


SSD_ANCHORS = "ssd_anchor_generator { num_layers: 2 scales: [0.2, 0.7] aspect_ratios: [1.0, 2.0, 0.3333] }"
PYRAMID = "multiscale_anchor_generator { min_level: 3 max_level: 4 aspect_ratios: [1.0, 2.0] scales_per_octave: 2 }"


@pytest.mark.parametrize(
    ("text", "sides", "cells"),
    [(PYRAMID, (320, 352), [(40, 44), (20, 22)]), (SSD_ANCHORS, (300, 420), [(19, 27), (10, 14)])],
)
def test_normalized_anchors_are_rounded_as_the_api_rounds_them(text, sides, cells):
    """Or other anchors are trained for a small box, which overlaps all that it lies in alike but for rounding."""
    generator = generator_of(text)
    height, width = np.float32(sides)
    pixels = np.concatenate(generator.generate(cells, sides))
    normalized = np.concatenate(generator.generate_normalized(cells, sides))
    np.testing.assert_allclose(normalized, pixels / np.tile(np.float32(sides), 2), rtol=0, atol=1e-6)
    assert (normalized != pixels / np.tile(np.float32(sides), 2)).any()
    if text == PYRAMID:
        one = np.float32(1)
        np.testing.assert_array_equal(normalized, pixels * np.array([one / height, one / width] * 2))
        return
    expected = []
    for (rows, columns), sizes in zip(cells, generator.settings.sizes, strict=True):
        stride = np.float32(1) / np.float32((rows, columns))
        base = np.array([min(height, width) / height, min(height, width) / width])
        scales, ratios = np.float32(sizes).T
        halves = np.float32(0.5) * np.stack([scales / np.sqrt(ratios) * base[0], scales * np.sqrt(ratios) * base[1]], 1)
        places = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), -1).astype(np.float32)
        centers = (places * stride + np.float32(0.5) * stride)[:, :, np.newaxis]
        expected.append(np.concatenate([centers - halves, centers + halves], -1).reshape(-1, 4))
    np.testing.assert_array_equal(normalized, np.concatenate(expected))


@pytest.mark.parametrize(
    "text",
    [
        "ssd_anchor_generator { num_layers: 2 aspect_ratios: [1.0, 2.0] }",
        "multiscale_anchor_generator { min_level: 3 max_level: 4 aspect_ratios: [1.0, 2.0] }",
        "flexible_grid_anchor_generator { "
        "anchor_grid { base_sizes: 10 aspect_ratios: 1.0 height_stride: 8 width_stride: 8 } "
        "anchor_grid { base_sizes: 20 aspect_ratios: 1.0 height_stride: 16 width_stride: 16 } }",
    ],
)
def test_sizes_known_only_in_the_graph_give_the_same_anchors(text):
    generator = generator_of(text)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 1])])
    def dynamic(image):
        height, width = tf.shape(image)[1], tf.shape(image)[2]
        return generator.generate([(height // 8, width // 8), (height // 16, width // 16)], (height, width))

    expected = generator.generate([(4, 6), (2, 3)], (32, 48))
    for found, wanted in zip(dynamic(tf.zeros([1, 32, 48, 1])), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_static_anchors_made_while_a_graph_is_traced_are_constants():
    generator = generator_of("multiscale_anchor_generator { min_level: 3 max_level: 3 aspect_ratios: 1.0 }")
    made = []

    @tf.function
    def traced():
        made.extend(generator.generate([(2, 2)], (16, 16)))
        return made[0] + 0.0

    np.testing.assert_array_equal(traced(), made[0].numpy())


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        ("", "", "is not set"),
        (
            "ssd_anchor_generator { num_layers: 2 height_stride: 8 width_stride: [8, 8] }",
            ".ssd_anchor_generator.height_stride",
            "1 for num_layers: 2",
        ),
        (
            "ssd_anchor_generator { num_layers: 2 width_offset: [8, 8] }",
            ".ssd_anchor_generator.height_offset",
            "is empty beside width_offset",
        ),
        (
            "flexible_grid_anchor_generator { anchor_grid { base_sizes: [1, 2] aspect_ratios: 1.0 height_stride: 8 "
            "width_stride: 8 } }",
            ".flexible_grid_anchor_generator.anchor_grid[0].aspect_ratios",
            "1 for 2 base_sizes",
        ),
        (
            "ssd_anchor_generator { num_layers: 2 interpolated_scale_aspect_ratio: 0 }",
            ".ssd_anchor_generator.aspect_ratios",
            "layers have no anchors",
        ),
    ],
)
def test_settings_that_contradict_themselves_are_refused(text, path, reason):
    with pytest.raises(SettingsError) as caught:
        anchors_of(text)
    (problem,) = caught.value.problems
    assert problem.path == f"anchor_generator{path}"
    assert reason in problem.reason


def test_another_number_of_feature_maps_is_refused():
    generator = generator_of("ssd_anchor_generator { num_layers: 6 aspect_ratios: 1.0 }")
    with pytest.raises(ValueError, match="describes 6 feature maps, and the feature extractor has 5"):
        generator.anchors_per_location(5)


@pytest.mark.parametrize("name", list(FEATURE_SIDES))
def test_anchors_are_those_of_the_object_detection_api(name):
    folder = REFERENCES / name
    if not folder.is_dir():
        pytest.skip("no ../shared/odapi_fixtures: values that the API computed")
    model = parse_pipeline_config((folder / "pipeline.config").read_text()).model
    is_ssd = model.WhichOneof("model") == "ssd"
    message = model.ssd.anchor_generator if is_ssd else model.faster_rcnn.first_stage_anchor_generator
    side = 512 if name.endswith("512") else 320
    generator = build_anchor_generator(read_choice(ANCHOR_GENERATORS, message))
    maps = generator.generate([(cells, cells) for cells in FEATURE_SIDES[name]], (side, side))
    found = np.concatenate([anchors.numpy() for anchors in maps])
    reference = np.load(folder / "batch.npz")["anchors"]
    if is_ssd:
        # Four roundings of numbers up to 1.7 or so.
        np.testing.assert_allclose(found / side, reference, rtol=0, atol=4 * np.finfo(np.float32).eps)
    else:
        np.testing.assert_allclose(np.clip(found, 0, side), reference, rtol=1e-6)
