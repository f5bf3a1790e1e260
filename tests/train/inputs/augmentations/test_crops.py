"""Crops, with and without a canvas: windows obey their rules, and boxes are those of the window."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from configs.settings.augmentations.windows import SSD_CROP_RULES

# An operation for each of the rules that hold when an option names none.
_SHAPES = "min_aspect_ratio: 0.5 max_aspect_ratio: 2 min_area: 0.1 max_area: 1 random_coef: 0.15"
_DEFAULTS = [
    f"operations {{ min_object_covered: {share} overlap_thresh: {share} {_SHAPES} %s }}"
    for share in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
]
OPTIONS = (
    "random_crop_image { min_object_covered: 0.3 }",
    "random_crop_to_aspect_ratio { aspect_ratio: 0.7 }",
    "ssd_random_crop {}",
    "ssd_random_crop_fixed_aspect_ratio {}",
    "random_crop_pad_image { pad_color: [0, 10, 20] }",
    "ssd_random_crop_pad {}",
    "ssd_random_crop_pad_fixed_aspect_ratio {}",
)
AREA = 96 * 128


def area_of(window: tuple[int, int, int, int]) -> float:
    """Of a window in pixels, as a part of the image."""
    top, left, bottom, right = window
    return (bottom - top) * (right - left) / AREA


@pytest.mark.parametrize("option", OPTIONS)
def test_boxes_stay_on_their_objects_and_what_belongs_to_them_travels_along(block_image, option):
    seen = set()
    for image, ground_truth in block_image.augmented(option, 60):
        block_image.assert_on_objects(image, ground_truth)
        block_image.assert_belongings(ground_truth)
        seen.update(ground_truth["groundtruth_classes"].tolist())
    assert seen == {1, 2, 3, 4}


@pytest.mark.parametrize("option", OPTIONS)
def test_the_same_seed_gives_the_same(block_image, option):
    first, second = block_image.augmented(option, 5), block_image.augmented(option, 5)
    for (image, fields), (same_image, same_fields) in zip(first, second, strict=True):
        np.testing.assert_array_equal(image, same_image)
        np.testing.assert_array_equal(fields["groundtruth_boxes"], same_fields["groundtruth_boxes"])


@pytest.mark.parametrize("option", OPTIONS)
def test_an_image_without_boxes_and_one_of_a_single_pixel(block_image, option):
    empty = {name: values[:0] for name, values in block_image.ground_truth().items()}
    for image, ground_truth in block_image.augmented(option, 5, ground_truth=empty):
        assert min(image.shape[:2]) >= 1
        assert ground_truth["groundtruth_boxes"].shape == (0, 4)
    one = {name: values[:1] for name, values in block_image.ground_truth().items()}
    one["groundtruth_boxes"] = np.float32([[0, 0, 1, 1]])
    pixel = np.full((1, 1, 3), 200, np.uint8)
    for image, ground_truth in block_image.augmented(option, 20, image=pixel, ground_truth=one):
        assert min(image.shape[:2]) >= 1
        boxes = ground_truth["groundtruth_boxes"]
        assert boxes.shape == (1, 4)
        np.testing.assert_allclose(image[0, 0] if image.shape == (1, 1, 3) else image.max(axis=(0, 1)), 200)


class TestRandomCropImage:
    def test_windows_obey_their_rule(self, block_image):
        option = (
            "random_crop_image { min_object_covered: 0.6 min_aspect_ratio: 0.8 max_aspect_ratio: 1.6 min_area: 0.2 "
            "max_area: 0.6 overlap_thresh: 0.4 }"
        )
        areas, ratios = [], []
        for image, ground_truth in block_image.augmented(option, 200, image=block_image.coordinates()):
            assert image.dtype == np.uint8
            window = block_image.window_of(image)
            assert image.shape[:2] == (window[2] - window[0], window[3] - window[1]), "nothing but the window"
            block_image.assert_cut_out(ground_truth, window, overlap_thresh=0.4)
            covered = []
            for ymin, xmin, ymax, xmax in block_image.blocks.values():
                high = max(min(ymax, window[2]) - max(ymin, window[0]), 0)
                wide = max(min(xmax, window[3]) - max(xmin, window[1]), 0)
                covered.append(high * wide / ((ymax - ymin) * (xmax - xmin)))
            assert max(covered) >= 0.6 - 0.05  # windows are drawn before they are rounded to pixels
            areas.append(area_of(window))
            ratios.append(image.shape[1] / image.shape[0])
        assert 0.18 < min(areas) < 0.25
        assert 0.55 < max(areas) < 0.63
        assert 0.77 < min(ratios) < 0.85
        assert 1.5 < max(ratios) < 1.65

    def test_unclipped_boxes_reach_beyond_the_window(self, block_image):
        option = "random_crop_image { min_object_covered: 0.2 max_area: 0.4 overlap_thresh: 0.1 clip_boxes: false }"
        beyond = 0
        for image, ground_truth in block_image.augmented(option, 60, image=block_image.coordinates()):
            window = block_image.window_of(image)
            block_image.assert_cut_out(ground_truth, window, overlap_thresh=0.1, clip=False)
            boxes = ground_truth["groundtruth_boxes"]
            beyond += bool(np.any((boxes < 0) | (boxes > 1)))
        assert beyond > 20

    def test_no_overlap_threshold_keeps_whatever_is_inside(self, block_image):
        option = "random_crop_image { min_object_covered: 0 max_area: 0.3 overlap_thresh: 0 }"
        for image, ground_truth in block_image.augmented(option, 60, image=block_image.coordinates()):
            block_image.assert_cut_out(ground_truth, block_image.window_of(image), overlap_thresh=0.0)

    def test_a_rule_that_no_window_obeys_gives_the_whole_image(self, block_image):
        option = "random_crop_image { min_object_covered: 1 min_area: 0.001 max_area: 0.01 }"
        for image, ground_truth in block_image.augmented(option, 3):
            np.testing.assert_array_equal(image, block_image.image())
            assert len(ground_truth["groundtruth_boxes"]) == 4

    def test_random_coef_is_the_chance_that_nothing_changes(self, block_image):
        ground_truth = block_image.ground_truth()
        ground_truth["groundtruth_boxes"][0] = [-0.2, 0.1, 0.3, 0.4]  # nor is it clipped
        outputs = block_image.augmented(
            "random_crop_image { max_area: 0.6 random_coef: 0.3 }", 400, ground_truth=ground_truth
        )
        whole = [after for image, after in outputs if image.shape[:2] == (96, 128)]
        assert len(whole) / 400 == pytest.approx(0.3, abs=0.08)
        for after in whole:
            np.testing.assert_array_equal(after["groundtruth_boxes"], ground_truth["groundtruth_boxes"])


class TestSsdRandomCrop:
    def test_without_operations_it_is_the_papers(self, block_image):
        written_out = f"ssd_random_crop {{ {' '.join(_DEFAULTS) % (('',) * 7)} }}"
        outputs = zip(
            block_image.augmented("ssd_random_crop {}", 100),
            block_image.augmented(written_out, 100),
            strict=True,
        )
        for (image, after), (expected_image, expected) in outputs:
            np.testing.assert_array_equal(image, expected_image)
            np.testing.assert_array_equal(after["groundtruth_classes"], expected["groundtruth_classes"])
            np.testing.assert_array_equal(after["groundtruth_boxes"], expected["groundtruth_boxes"])
        assert [rule.min_object_covered for rule in SSD_CROP_RULES] == [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0]

    def test_operations_are_picked_with_equal_chances_and_each_keeps_its_own_rule(self, block_image):
        # By the area of its windows, one can tell which operation was picked.
        thresholds = {(0.1, 0.25): 0.8, (0.35, 0.5): 0.0, (0.6, 0.75): 0.3}
        operations = " ".join(
            f"operations {{ min_area: {low} max_area: {high} overlap_thresh: {threshold} random_coef: {coef} "
            f"min_aspect_ratio: 1 max_aspect_ratio: 1.5 min_object_covered: 0 clip_boxes: {clip} }}"
            for ((low, high), threshold), coef, clip in zip(
                thresholds.items(), (0.0, 0.2, 0.0), ("true", "true", "false"), strict=True
            )
        )
        picked = []
        for image, ground_truth in block_image.augmented(
            f"ssd_random_crop {{ {operations} }}", 500, image=block_image.coordinates()
        ):
            window = block_image.window_of(image)
            if area_of(window) == 1.0:
                picked.append("whole")
                continue
            (bounds,) = [one for one in thresholds if one[0] - 0.04 < area_of(window) < one[1] + 0.04]
            block_image.assert_cut_out(ground_truth, window, overlap_thresh=thresholds[bounds], clip=bounds[0] != 0.6)
            picked.append(bounds)
        shares = [picked.count(one) / 500 for one in thresholds]
        np.testing.assert_allclose(shares, [1 / 3, 0.8 / 3, 1 / 3], atol=0.08)
        assert picked.count("whole") / 500 == pytest.approx(0.2 / 3, abs=0.05)


class TestAspectRatio:
    @pytest.mark.parametrize(
        ("ratio", "size"), [(1.0, (96, 96)), (0.7, (96, 67)), (2.0, (64, 128)), (4 / 3, (96, 128))]
    )
    def test_the_largest_window_is_cut_at_a_random_place(self, block_image, ratio, size):
        option = f"random_crop_to_aspect_ratio {{ aspect_ratio: {ratio} overlap_thresh: 0.5 }}"
        begins = []
        for image, ground_truth in block_image.augmented(option, 200, image=block_image.coordinates()):
            assert image.shape[:2] == size
            window = block_image.window_of(image)
            block_image.assert_cut_out(ground_truth, window, overlap_thresh=0.5)
            begins.append(window[:2])
        for axis in (0, 1):
            room = (96, 128)[axis] - size[axis]
            values = [begin[axis] for begin in begins]
            if room:
                block_image.assert_uniform(values, 0, room)
            else:
                assert set(values) == {0}

    def test_unclipped_boxes(self, block_image):
        option = "random_crop_to_aspect_ratio { aspect_ratio: 0.5 clip_boxes: false overlap_thresh: 0.0 }"
        for image, ground_truth in block_image.augmented(option, 20, image=block_image.coordinates()):
            block_image.assert_cut_out(ground_truth, block_image.window_of(image), overlap_thresh=0.0, clip=False)

    def test_ssd_crops_of_one_ratio(self, block_image):
        operation = "operations { min_area: 0.1 max_area: 0.5 overlap_thresh: 0.5 random_coef: 0.2 clip_boxes: false }"
        option = f"ssd_random_crop_fixed_aspect_ratio {{ aspect_ratio: 2 {operation} }}"
        whole = 0
        for image, after in block_image.augmented(option, 200, image=block_image.coordinates()):
            window = block_image.window_of(image)
            assert image.shape[1] / 2 == pytest.approx(image.shape[0], abs=0.51)
            whole += image.shape[:2] == (64, 128)
            assert after["groundtruth_boxes"].min(initial=0) >= 0, "the second cut clips, whatever the operation says"
            assert after["groundtruth_boxes"].max(initial=1) <= 1
            assert window[3] - window[1] >= 20
        assert whole / 200 == pytest.approx(0.2, abs=0.12)

    def test_ssd_crops_are_square_unless_said_otherwise(self, block_image):
        assert all(
            image.shape[0] == image.shape[1]
            for image, _ in block_image.augmented("ssd_random_crop_fixed_aspect_ratio {}", 30)
        )
        wide = block_image.augmented("ssd_random_crop_fixed_aspect_ratio { aspect_ratio: 2 }", 30)
        assert all(image.shape[1] / 2 == pytest.approx(image.shape[0], abs=0.51) for image, _ in wide)
