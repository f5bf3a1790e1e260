"""The counts behind the charts."""

from __future__ import annotations

import numpy as np

from data_prep.inspection.data_set import OCCLUDED, DataSetBuilder
from data_prep.inspection.statistics import GRID, PIXEL_EDGES, RATIO_EDGES, statistics


def test_counts_by_class_image_and_bin():
    builder = DataSetBuilder({"/m/cat": "Cat", "/m/dog": "Dog", "/m/owl": "Owl"}, lists_all=True)
    builder.add_image("a", width=200, height=100)
    builder.add_box("/m/cat", (0.0, 0.0, 0.5, 0.25), OCCLUDED)  # 50 by 50 pixels, in the top left
    builder.add_box("/m/cat", (0.5, 0.5, 1.0, 1.0), 0)  # 100 wide, 50 high
    builder.add_box("/m/dog", (0.0, 0.0, 1.0, 1.0), 0)
    builder.add_image("b", width=200, height=100)
    builder.add_box("/m/cat", (0.9, 0.9, 1.0, 1.0), 0)  # 20 wide, 10 high
    builder.add_verified_label("/m/dog", is_present=False)
    builder.add_image("c", width=0, height=0)
    found = statistics(builder.finish("a test"))

    cat, dog, owl = found["classes"]
    assert (cat["name"], cat["boxes"], cat["images"], cat["median"]) == ("Cat", 3, 2, 50.0)
    assert (dog["boxes"], dog["images"], dog["present"], dog["absent"]) == (1, 1, 0, 1)
    assert (owl["boxes"], owl["images"], owl["median"]) == (0, 0, None)
    assert "charts" not in owl
    assert cat["flags"] == {str(OCCLUDED): 1}

    pixels = dict(zip(PIXEL_EDGES.tolist(), cat["charts"]["pixels"], strict=False))
    assert pixels == {0: 0, 8: 1, 16: 0, 32: 1, 64: 1, 128: 0, 256: 0, 512: 0, 1024: 0}
    ratios = {
        (low + high) / 2: n for low, high, n in zip(RATIO_EDGES, RATIO_EDGES[1:], cat["charts"]["ratios"], strict=False)
    }
    assert ratios[0.0] == 1  # square
    assert ratios[1.0] == 2  # twice as wide as high
    centers = np.array(cat["charts"]["centers"]).reshape(GRID, GRID)
    assert centers.sum() == 3
    assert centers[GRID // 4, GRID // 8] == 1
    assert cat["charts"]["counts"][:4] == [0, 1, 1, 0]  # of the images with cats one has one, one has two
    assert found["all"]["counts"][:5] == [1, 1, 0, 1, 0]
    assert sum(found["all"]["shares"]) == 4
    assert found["sizes"] == {"top": [[200, 100, 2]], "others": 0, "distinct": 1, "unknown": 1}
    assert found["together"] == {"classes": [0, 1], "counts": [[2, 1], [1, 1]]}


def test_a_data_set_without_a_box_has_empty_charts():
    builder = DataSetBuilder({}, lists_all=False)
    builder.add_image("a", width=10, height=10)
    found = statistics(builder.finish("a test"))
    assert found["classes"] == []
    assert found["all"]["counts"][0] == 1
    assert sum(found["all"]["shares"]) == 0
    assert found["together"] == {"classes": [], "counts": []}
