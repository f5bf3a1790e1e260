"""Flips, turns, scales, jitter and squares: boxes stay on their objects, what belongs to a box travels with it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")

# With the pixels by which an edge may be found off its box: resizing blurs it.
OPTIONS = {
    "random_horizontal_flip { probability: 0.5 }": 0.01,
    "random_vertical_flip { probability: 0.5 }": 0.01,
    "random_rotation90 { probability: 0.5 }": 0.01,
    "random_image_scale {}": 3.0,
    "resize_image { new_height: 150 new_width: 120 }": 2.0,
    "resize_image { new_height: 150 new_width: 120 method: NEAREST_NEIGHBOR }": 2.0,
    "random_square_crop_by_scale { max_border: 16 scale_min: 0.4 }": 0.51,
    "random_scale_crop_and_pad_to_square { output_size: 160 scale_min: 0.5 }": 3.0,
}
FLIPS = ("random_horizontal_flip", "random_vertical_flip", "random_rotation90")


@pytest.mark.parametrize("option", OPTIONS)
def test_boxes_stay_on_their_objects_and_what_belongs_to_them_travels_along(block_image, option):
    seen = set()
    for image, ground_truth in block_image.augmented(option, 40):
        block_image.assert_on_objects(image, ground_truth, OPTIONS[option])
        block_image.assert_belongings(ground_truth)
        seen.update(ground_truth["groundtruth_classes"].tolist())
    assert seen == {1, 2, 3, 4}


@pytest.mark.parametrize("option", [*OPTIONS, "random_jitter_boxes {}"])
def test_the_same_seed_gives_the_same(block_image, option):
    first, second = block_image.augmented(option, 3), block_image.augmented(option, 3)
    for (image, fields), (same_image, same_fields) in zip(first, second, strict=True):
        np.testing.assert_array_equal(image, same_image)
        np.testing.assert_array_equal(fields["groundtruth_boxes"], same_fields["groundtruth_boxes"])


@pytest.mark.parametrize("option", [*OPTIONS, "random_jitter_boxes {}"])
def test_an_image_without_boxes_and_one_of_a_single_pixel(block_image, option):
    empty = {name: values[:0] for name, values in block_image.ground_truth().items()}
    for image, ground_truth in block_image.augmented(option, 3, ground_truth=empty):
        assert image.shape[2] == 3
        assert ground_truth["groundtruth_boxes"].shape == (0, 4)
    one = {name: values[:1] for name, values in block_image.ground_truth().items()}
    one["groundtruth_boxes"] = np.float32([[0, 0, 1, 1]])
    pixel = np.full((1, 1, 3), 200, np.uint8)
    for image, ground_truth in block_image.augmented(option, 20, image=pixel, ground_truth=one):
        assert min(image.shape) >= 1
        boxes = ground_truth["groundtruth_boxes"]
        assert np.all((boxes >= 0) & (boxes <= 1))
        assert np.all(boxes[:, :2] < boxes[:, 2:])


@pytest.mark.parametrize("name", FLIPS)
def test_flips_are_as_likely_as_they_say(block_image, name):
    original = block_image.image()

    def share_changed(probability: float, count: int) -> float:
        outputs = block_image.augmented(f"{name} {{ probability: {probability} }}", count)
        return float(
            np.mean([image.shape != original.shape or bool(np.any(image != original)) for image, _ in outputs])
        )

    assert share_changed(0.0, 20) == 0.0
    assert share_changed(1.0, 20) == 1.0
    assert share_changed(0.25, 400) == pytest.approx(0.25, abs=0.08)


def test_flips_are_numpys(block_image):
    noise = np.random.default_rng(1).integers(0, 256, (7, 10, 3), np.uint8)
    boxes = block_image.ground_truth()["groundtruth_boxes"]
    expected = {
        "random_horizontal_flip": (noise[:, ::-1], [(y1, 1 - x2, y2, 1 - x1) for y1, x1, y2, x2 in boxes]),
        "random_vertical_flip": (noise[::-1], [(1 - y2, x1, 1 - y1, x2) for y1, x1, y2, x2 in boxes]),
        "random_rotation90": (np.rot90(noise), [(1 - x2, y1, 1 - x1, y2) for y1, x1, y2, x2 in boxes]),
    }
    for name, (expected_image, expected_boxes) in expected.items():
        (image, after), *_ = block_image.augmented(f"{name} {{ probability: 1 }}", 1, image=noise)
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, expected_image)
        np.testing.assert_allclose(after["groundtruth_boxes"], expected_boxes, atol=1e-6)


def test_image_scale_keeps_proportions_and_is_uniform(block_image):
    outputs = block_image.augmented("random_image_scale { min_scale_ratio: 0.5 max_scale_ratio: 1.5 }", 400)
    factors = []
    for image, after in outputs:
        assert image.shape[0] == pytest.approx(image.shape[1] * 0.75, abs=1.0)
        np.testing.assert_array_equal(after["groundtruth_boxes"], block_image.ground_truth()["groundtruth_boxes"])
        factors.append((image.shape[1] + 0.5) / block_image.width)
    block_image.assert_uniform(factors, 0.5, 1.505)


def slow_bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Corners not aligned, no half-pixel centres: pixel i of the result lies at i * old / new."""
    result = np.zeros((height, width, 3))
    for row in range(height):
        for column in range(width):
            y, x = row * image.shape[0] / height, column * image.shape[1] / width
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, image.shape[0] - 1), min(x0 + 1, image.shape[1] - 1)
            above = image[y0, x0] * (1 - (x - x0)) + image[y0, x1] * (x - x0)
            below = image[y1, x0] * (1 - (x - x0)) + image[y1, x1] * (x - x0)
            result[row, column] = above * (1 - (y - y0)) + below * (y - y0)
    return result


def test_resize_image_by_each_method(block_image):
    noise = np.random.default_rng(2).integers(0, 256, (8, 12, 3), np.uint8)

    def resized(height: int, width: int, method: str) -> np.ndarray:
        option = f"resize_image {{ new_height: {height} new_width: {width} {method} }}"
        (image, _), *_ = block_image.augmented(option, 1, image=noise)
        return image

    np.testing.assert_allclose(resized(5, 17, ""), slow_bilinear(noise.astype(float), 5, 17), atol=0.01)
    np.testing.assert_allclose(resized(4, 6, "method: AREA"), noise.reshape(4, 2, 6, 2, 3).mean(axis=(1, 3)), atol=0.01)
    nearest = noise[np.arange(5) * 8 // 5][:, np.arange(17) * 12 // 17]
    np.testing.assert_array_equal(resized(5, 17, "method: NEAREST_NEIGHBOR"), nearest)
    bicubic = resized(16, 24, "method: BICUBIC")
    assert bicubic.min() == 0.0  # it overshoots, and is cut off
    assert bicubic.max() == 255.0
    np.testing.assert_allclose(bicubic[::2, ::2], noise, atol=0.01)


class TestJitter:
    RATIO = 0.4

    def edges(self, block_image, mode: str, count: int = 100) -> np.ndarray:
        """By which part of its box's side each edge moved outwards: [draws, boxes, 4]."""
        before = block_image.ground_truth()["groundtruth_boxes"]
        sides = np.tile(before[:, 2:] - before[:, :2], [1, 2])
        outputs = block_image.augmented(f"random_jitter_boxes {{ ratio: {self.RATIO} jitter_mode: {mode} }}", count)
        for image, after in outputs:
            np.testing.assert_array_equal(image, block_image.image())
            block_image.assert_belongings(after)
            assert np.all((after["groundtruth_boxes"] >= 0) & (after["groundtruth_boxes"] <= 1))
        return np.stack([(after["groundtruth_boxes"] - before) * [-1, -1, 1, 1] / sides for _, after in outputs])

    @pytest.mark.parametrize(
        ("mode", "low", "high"),
        [("DEFAULT", -0.2, 0.2), ("EXPAND", 0.0, 0.2), ("SHRINK", -0.2, 0.0)],
    )
    def test_edges_move_each_for_itself_by_up_to_half_the_ratio(self, block_image, mode, low, high):
        moves = self.edges(block_image, mode)
        block_image.assert_uniform(moves[:, 0, 2:].ravel(), low, high)  # the two that are far from the image's edge
        correlations = np.corrcoef(moves[:, 2].T) - np.eye(4)
        assert np.abs(correlations).max() < 0.4

    @pytest.mark.parametrize("mode", ["EXPAND", "SHRINK"])
    def test_symmetric_modes_keep_the_centre(self, block_image, mode):
        moves = self.edges(block_image, f"{mode}_SYMMETRIC")
        np.testing.assert_allclose(moves[..., :2], moves[..., 2:], atol=1e-5)
        block_image.assert_uniform(moves[:, 2, 1], *sorted((0.0, 0.2 if mode == "EXPAND" else -0.2)))
        assert abs(np.corrcoef(moves[:, 2, 0], moves[:, 2, 1])[0, 1]) < 0.3
        proportional = self.edges(block_image, f"{mode}_SYMMETRIC_XY")
        np.testing.assert_allclose(proportional, np.tile(proportional[..., :1], 4), atol=1e-5)

    def test_expansion_beyond_the_image_stops_on_both_sides(self, block_image):
        before = block_image.ground_truth()["groundtruth_boxes"]
        touching = 0
        for _, after in block_image.augmented("random_jitter_boxes { ratio: 3 jitter_mode: EXPAND_SYMMETRIC }", 20):
            boxes = after["groundtruth_boxes"]
            np.testing.assert_allclose(boxes[:, :2] + boxes[:, 2:], before[:, :2] + before[:, 2:], atol=1e-5)
            touching += np.count_nonzero((boxes < 1e-6) | (boxes > 1 - 1e-6))
        assert touching > 20

    def test_boxes_that_shrink_to_nothing_are_left_out(self, block_image):
        counts = []
        for _, after in block_image.augmented("random_jitter_boxes { ratio: 2 jitter_mode: SHRINK_SYMMETRIC }", 60):
            boxes = after["groundtruth_boxes"]
            assert np.all(boxes[:, :2] < boxes[:, 2:])
            block_image.assert_belongings(after)
            counts.append(len(boxes))
        assert np.mean(counts) / 4 == pytest.approx(0.25, abs=0.12)  # half for the height, half for the width


class TestSquareCropByScale:
    def test_squares_are_cut_out_exactly_and_their_size_and_place_are_as_said(self, block_image):
        option = "random_square_crop_by_scale { max_border: 30 scale_min: 0.5 scale_max: 1.25 num_scales: 4 }"
        sides, centres = [], []
        for image, ground_truth in block_image.augmented(option, 400, image=block_image.coordinates()):
            assert image.dtype == np.uint8
            assert image.shape[0] == image.shape[1]
            top, left, bottom, right = block_image.window_of(image)
            rows, columns = np.nonzero(image[..., 2])
            side, begin = image.shape[0], (top - rows.min(), left - columns.min())
            assert (image[..., 2] == 0).sum() == side**2 - (bottom - top) * (right - left), "padding is black"
            block_image.assert_cut_out(ground_truth, (*begin, begin[0] + side, begin[1] + side), overlap_thresh=0.0)
            sides.append(side)
            centres.append((begin[0] + side // 2, begin[1] + side // 2))
        values, counts = np.unique(sides, return_counts=True)
        assert values.tolist() == [64, 96, 128, 160]
        assert np.abs(counts / 400 - 0.25).max() < 0.09
        ys, xs = np.transpose(centres)
        block_image.assert_uniform(ys, 30, 66)
        block_image.assert_uniform(xs, 30, 98)

    def test_border_is_halved_until_it_fits(self, block_image):
        """Of 100 pixels: to 50 in a width of 128, which is at most its half, and to 25 in a height of 60."""
        wide = block_image.coordinates()[:60]
        centres = set()
        for image, _ in block_image.augmented(
            "random_square_crop_by_scale { max_border: 100 scale_min: 1 scale_max: 1 }", 150, image=wide
        ):
            rows, columns = np.nonzero(image[..., 2])
            begin = int(image[rows.min(), 0 if columns.min() == 0 else columns.min(), 0]) - rows.min()
            left = int(image[rows.min(), columns.min(), 1]) - columns.min()
            centres.add((begin + 64, left + 64))
        ys, xs = {y for y, _ in centres}, {x for _, x in centres}
        assert (min(ys), max(ys)) == (25, 35)
        assert (min(xs), max(xs)) == (50, 78)


class TestScaleCropAndPadToSquare:
    def test_an_unscaled_image_is_copied_and_padded_below(self, block_image):
        option = "random_scale_crop_and_pad_to_square { output_size: 128 scale_min: 1 scale_max: 1 }"
        (image, ground_truth), *_ = block_image.augmented(option, 1, image=block_image.coordinates())
        np.testing.assert_array_equal(image[:96], block_image.coordinates())
        assert not image[96:].any()
        expected = block_image.ground_truth()["groundtruth_boxes"] * [0.75, 1, 0.75, 1]
        np.testing.assert_allclose(ground_truth["groundtruth_boxes"], expected, atol=1e-6)

    def test_smaller_scales_are_uniform(self, block_image):
        option = "random_scale_crop_and_pad_to_square { output_size: 128 scale_min: 0.2 scale_max: 0.8 }"
        widths = [np.nonzero(image.any(axis=(0, 2)))[0].max() + 1.5 for image, _ in block_image.augmented(option, 300)]
        block_image.assert_uniform(np.array(widths) / 128, 0.19, 0.81)

    def test_larger_images_are_cut_anywhere(self, block_image):
        option = "random_scale_crop_and_pad_to_square { output_size: 128 scale_min: 2 scale_max: 2 }"
        firsts = [image[0, 0] for image, _ in block_image.augmented(option, 300, image=block_image.coordinates())]
        ys, xs = np.array(firsts)[:, 0], np.array(firsts)[:, 1]  # of 256 x 192, in pixels of the 128 x 96
        block_image.assert_uniform(ys, 0, 32)
        block_image.assert_uniform(xs, 0, 64)
