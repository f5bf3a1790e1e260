"""python -m train.anchor_coverage: which boxes some anchor matches."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from configs.settings.loading import load_config
from data_prep.images.boxes import iou
from data_prep.runtime.command_line import UsageError
from train.anchor_coverage import SIZE_EDGES, coverage, describe, main, read_boxes
from train.models.anchor_matching import AnchorMatching

ROOT = Path(__file__).resolve().parents[2]
SSD = "configs/ssd_mobilenet_v2_fpnlite_320.config"
FASTER_RCNN = "configs/faster_rcnn_resnet50_v1_640.config"


def matching_of(path: str, override: str = "") -> AnchorMatching:
    return AnchorMatching(load_config(ROOT / path, override).settings)


@pytest.fixture(scope="module")
def ssd() -> AnchorMatching:
    """Of the recipe as it is; its feature extractor takes a while to build."""
    return matching_of(SSD)


def random_boxes(count: int) -> np.ndarray:
    """Boxes of all sizes, relative, ymin xmin ymax xmax."""
    generator = np.random.default_rng(0)
    centers = generator.uniform(0.1, 0.9, (count, 2))
    sides = np.exp(generator.uniform(np.log(0.01), np.log(0.9), (count, 2)))
    return np.concatenate([centers - sides / 2, centers + sides / 2], axis=1).clip(0, 1).astype(np.float32)


def shifted_anchors(side: int, strides: list[int], ratios: list[float], scales: list[float]) -> np.ndarray:
    """RetinaNet's anchors the plain way: square maps of an input of `side` pixels, anchors 4 strides large."""
    anchors = []
    for stride in strides:
        offset = stride / 2 if side % stride == 0 else 0.0
        for row in range(-(-side // stride)):
            for column in range(-(-side // stride)):
                y, x = row * stride + offset, column * stride + offset
                for ratio in ratios:
                    for scale in scales:
                        height, width = 4 * stride * scale / ratio**0.5, 4 * stride * scale * ratio**0.5
                        anchors.append((y - height / 2, x - width / 2, y + height / 2, x + width / 2))
    return np.array(anchors, np.float32)


def test_an_ssd_matches_what_plain_geometry_says(ssd):
    boxes = random_boxes(300)
    matching = ssd
    assert (matching.matched_threshold, matching.forces_best_anchor) == (0.5, True)
    found = matching.match(boxes, np.full(300, 480), np.full(300, 640))
    anchors = shifted_anchors(320, [8, 16, 32, 64, 128], [1.0, 2.0, 0.5], [1.0, 2**0.5])
    assert matching.num_anchors() == len(anchors)
    best = iou(boxes * 320, anchors).max(axis=1)
    np.testing.assert_allclose(found.best, best, atol=1e-4)
    clear = np.abs(best - 0.5) > 1e-4
    np.testing.assert_array_equal(found.matched[clear], (best >= 0.5)[clear])
    assert 0.1 < found.matched.mean() < 0.9
    # The image is stretched to 320 x 320, so that its own shape does not count.
    np.testing.assert_allclose(found.sides, (boxes[:, 2:] - boxes[:, :2]) * 320, rtol=1e-4)


def test_a_larger_input_finds_small_boxes_and_padding_is_no_part_of_an_image(ssd):
    boxes = np.array([[0.5, 0.5, 0.54, 0.54]] * 3, np.float32)
    heights, widths = np.array([640, 320, 640]), np.array([640, 640, 320])
    assert not ssd.match(boxes, heights, widths).matched.any()
    resizer = "keep_aspect_ratio_resizer { min_dimension: 1024 max_dimension: 1024 pad_to_max_dimension: true }"
    larger = matching_of(
        SSD, f"model {{ ssd {{ image_resizer {{ {resizer} }} matcher {{ bipartite_matcher {{}} }} }} }}"
    )
    assert larger.input_shape == (1024, 1024)
    found = larger.match(boxes, heights, widths)
    np.testing.assert_allclose(found.sides, np.float32([[41, 41], [20.5, 41], [41, 20.5]]), rtol=2e-3)
    assert found.best[0] > 0.5
    # A bipartite matcher has no threshold: whatever is most similar is the box's.
    assert (larger.matched_threshold, larger.forces_best_anchor) == (None, True)
    assert found.matched.all()
    assert "by whatever is most similar" in describe(coverage(larger, found, np.zeros(3, int)))[0]


def test_a_faster_rcnn_counts_its_first_stage_in_an_image_of_its_own_shape():
    boxes = random_boxes(200)
    heights, widths = np.where(np.arange(200) % 2, 480, 960), np.where(np.arange(200) % 2, 960, 480)
    resizer = "keep_aspect_ratio_resizer { min_dimension: 320 max_dimension: 640 pad_to_max_dimension: false }"
    override = f"model {{ faster_rcnn {{ clip_anchors_to_image: false image_resizer {{ {resizer} }} }} }}"
    matching = matching_of(FASTER_RCNN, override)
    assert (matching.matched_threshold, matching.num_anchors()) == (0.7, None)
    found = matching.match(boxes, heights, widths)
    # 480 x 960 becomes 320 x 640 and so the boxes, by two thirds.
    scale = np.stack([heights, widths], axis=1) * 2 / 3
    np.testing.assert_allclose(found.sides, (boxes[:, 2:] - boxes[:, :2]) * scale, rtol=1e-3)
    message = load_config(
        ROOT / FASTER_RCNN
    ).config.model.faster_rcnn.first_stage_anchor_generator.grid_anchor_generator
    for odd, shape in enumerate([(640, 320), (320, 640)]):
        rows = np.arange(200) % 2 == odd
        anchors = []
        for y in range(0, shape[0], 16):
            for x in range(0, shape[1], 16):
                for ratio in message.aspect_ratios:
                    for anchor_scale in message.scales:
                        height, width = 256 * anchor_scale / ratio**0.5, 256 * anchor_scale * ratio**0.5
                        anchors.append((y - height / 2, x - width / 2, y + height / 2, x + width / 2))
        inside = [a for a in anchors if min(a[:2]) >= 0 and a[2] <= shape[0] and a[3] <= shape[1]]
        best = iou(boxes[rows] * np.tile(shape, 2).astype(np.float32), np.array(inside, np.float32)).max(axis=1)
        np.testing.assert_allclose(found.best[rows], best, atol=1e-4)
        np.testing.assert_array_equal(found.matched[rows], best >= 0.7)


def test_the_command_counts_by_class_and_size(tmp_path, capsys):
    # In an input of 320 pixels: 4, 40 and 160 pixels.
    sides = np.array([4, 4, 40, 160, 160]) / 320
    boxes = np.stack([0.5 - sides / 2, 0.5 - sides / 2, 0.5 + sides / 2, 0.5 + sides / 2], axis=1).astype(np.float32)
    np.savez(
        tmp_path / "boxes.npz",
        boxes_ymin_xmin_ymax_xmax=boxes,
        heights=np.full(5, 500),
        widths=np.full(5, 400),
        classes=np.array([3, 3, 3, 3, 9]),
    )
    output = tmp_path / "coverage.json"
    words = ["--pipeline_config_path", str(ROOT / SSD), "--boxes", str(tmp_path / "boxes.npz"), "--output", str(output)]
    assert main(words) == 0
    found = json.loads(output.read_text())
    assert found["size_edges_pixels"] == list(SIZE_EDGES)
    assert (found["input_height"], found["input_width"], found["num_anchors"]) == (320, 320, 12804)
    assert found["by_class"]["3"]["boxes"] == [2, 0, 0, 1, 0, 1, 0]
    assert found["by_class"]["3"]["matched"] == [0, 0, 0, 1, 0, 1, 0]
    assert found["by_class"]["9"]["matched"] == [0, 0, 0, 0, 0, 1, 0]
    assert found["total"]["boxes"] == [2, 0, 0, 1, 0, 2, 0]
    assert found["matched"] == "00111"
    assert "3 of 5 (60.0%) boxes have an anchor that matches, at iou_similarity 0.5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"classes": None}, "not an .npz of boxes_ymin_xmin_ymax_xmax, heights, widths, classes"),
        ({"heights": np.zeros(2, int)}, "heights holds 0, which is too small"),
        ({"widths": np.ones(3, int)}, "widths must be whole numbers [2]"),
        ({"boxes_ymin_xmin_ymax_xmax": np.full((2, 4), np.nan)}, "not a finite number"),
        ({"boxes_ymin_xmin_ymax_xmax": np.zeros((2, 3))}, "must be floats [N, 4]"),
        ({"boxes_ymin_xmin_ymax_xmax": np.array([[object()] * 4] * 2)}, "Object arrays cannot be loaded"),
    ],
)
def test_boxes_that_make_no_sense_are_refused(tmp_path, change, said):
    ones = np.ones(2, int)
    columns = {"boxes_ymin_xmin_ymax_xmax": np.zeros((2, 4)), "heights": ones, "widths": ones, "classes": ones} | change
    np.savez(tmp_path / "boxes.npz", **{name: column for name, column in columns.items() if column is not None})
    with pytest.raises(UsageError, match=re.escape(said)) as refused:
        read_boxes(tmp_path / "boxes.npz")
    assert len(str(refused.value).splitlines()) == 1


def test_a_file_that_is_not_there_is_named_before_tensorflow_is_loaded(tmp_path):
    output = tmp_path / "coverage.json"
    words = ["--pipeline_config_path", SSD, "--boxes", str(tmp_path / "nowhere.npz"), "--output", str(output)]
    command = [sys.executable, "-X", "importtime", "-m", "train.anchor_coverage", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"error: {tmp_path / 'nowhere.npz'}: No such file or directory" in done.stderr
    assert not re.search(r"\| +tensorflow$", done.stderr, re.MULTILINE)
    assert not output.exists()
