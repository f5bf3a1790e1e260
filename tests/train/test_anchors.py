from types import SimpleNamespace

import numpy as np

from train.models.anchors import grid_anchors, multiscale_anchors, single_map_anchors


def test_grid_anchors_run_by_row_column_ratio_then_scale():
    anchors = grid_anchors(
        feature_shape=(2, 2),
        scales=[1.0, 2.0],
        aspect_ratios=[1.0, 4.0],
        base_size=(8, 8),
        stride=(16, 16),
        offset=(4, 0),
    )
    assert anchors.shape == (2 * 2 * 4, 4)
    # Cell (0, 0) is centred on y 4, x 0: ratio 1 at scales 1 and 2, then ratio 4 (twice as wide, half as high).
    np.testing.assert_allclose(anchors[:4], [[0, -4, 8, 4], [-4, -8, 12, 8], [2, -8, 6, 8], [0, -16, 8, 16]])
    np.testing.assert_allclose(anchors[4], [0, 12, 8, 20])
    np.testing.assert_allclose(anchors[8], [16, -4, 24, 4])


def test_multiscale_anchors_start_at_zero_where_the_stride_does_not_divide_the_input():
    generator = SimpleNamespace(min_level=5, max_level=7, anchor_scale=4.0, aspect_ratios=[1.0], scales_per_octave=2)
    anchors = multiscale_anchors(generator, (320, 320))
    assert {level: len(boxes) for level, boxes in anchors.items()} == {5: 200, 6: 50, 7: 18}
    center = (anchors[5][0, :2] + anchors[5][0, 2:]) / 2
    np.testing.assert_allclose(center, [16, 16])
    centers = (anchors[7][::2, :2] + anchors[7][::2, 2:]) / 2
    assert sorted(set(centers[:, 0])) == [0, 128, 256]
    sides = anchors[5][:2, 2] - anchors[5][:2, 0]
    np.testing.assert_allclose(sides, [128, 128 * 2**0.5], rtol=1e-6)


def test_single_map_anchors_cover_a_side_that_is_no_multiple_of_the_stride():
    generator = SimpleNamespace(
        scales=[1.0], aspect_ratios=[1.0], height=256, width=256, height_stride=16, width_stride=16,
        height_offset=0, width_offset=0,
    )  # fmt: skip
    assert len(single_map_anchors(generator, (350, 350), 16)) == 22 * 22
