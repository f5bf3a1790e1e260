"""Crops on a canvas: window, place, size and colour are as said. What all crops have in common is tested with them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from configs.settings.augmentations.windows import SSD_CROP_PAD_RULES, SSD_CROP_RULES


class TestWithPadding:
    def place(self, block_image, image: np.ndarray, ground_truth) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
        """Finds the window in the whole image and its upper left corner on the canvas, and compares the boxes."""
        window = block_image.window_of(image)
        rows, columns = np.nonzero(image[..., 2] == 255)
        top, left = int(rows.min()), int(columns.min())
        size = np.float32([window[2] - window[0], window[3] - window[1]] * 2)
        boxes = ground_truth["groundtruth_boxes"] * np.float32([*image.shape[:2]] * 2) - [top, left, top, left]
        on_window = {**ground_truth, "groundtruth_boxes": boxes / size}
        block_image.assert_cut_out(on_window, window, overlap_thresh=0.3)
        return window, (top, left)

    def test_canvas_has_its_size_and_colour_and_the_window_lies_anywhere_on_it(self, block_image):
        option = (
            "random_crop_pad_image { min_object_covered: 0 max_area: 0.5 min_padded_size_ratio: [0.9, 1.0] "
            "max_padded_size_ratio: [1.5, 2.0] pad_color: [7, 8, 9] }"
        )
        heights, widths, shares = [], [], []
        for image, ground_truth in block_image.augmented(option, 300, image=block_image.coordinates()):
            assert image.dtype == np.uint8
            window, (top, left) = self.place(block_image, image, ground_truth)
            outside = np.ones(image.shape[:2], bool)
            outside[top : top + window[2] - window[0], left : left + window[3] - window[1]] = False
            assert np.all(image[outside] == [7, 8, 9])
            if window[2] - window[0] <= int(96 * 0.9):
                heights.append(image.shape[0])
            widths.append(image.shape[1])
            shares.append(left / (image.shape[1] - (window[3] - window[1])))
        block_image.assert_uniform(heights, int(96 * 0.9), 143)
        block_image.assert_uniform(widths, 128, 255)
        block_image.assert_uniform(shares, 0.0, 1.0)

    def test_default_colour_is_the_mean_of_what_was_cut_out(self, block_image):
        for image, _ in block_image.augmented("random_crop_pad_image { max_area: 0.5 }", 10):
            rows, columns = np.nonzero((image == np.round(image)).all(axis=-1))  # the image's own whole numbers
            part = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
            np.testing.assert_allclose(image[-1, -1], part.mean(axis=(0, 1)), atol=0.01)

    def test_ssd_crop_pad_picks_among_its_operations(self, block_image):
        crop = "min_aspect_ratio: 1 max_aspect_ratio: 1 min_area: 0.2 max_area: 0.5 overlap_thresh: 0.3"
        operations = (
            f"operations {{ {crop} min_padded_size_ratio: [1, 1] max_padded_size_ratio: [1, 1] pad_color_r: 5 }} "
            f"operations {{ {crop} min_padded_size_ratio: [2, 3] max_padded_size_ratio: [2, 3] pad_color_g: 6 }} "
            f"operations {{ {crop} }}"
        )
        sizes = []
        for image, ground_truth in block_image.augmented(
            f"ssd_random_crop_pad {{ {operations} }}", 300, image=block_image.coordinates()
        ):
            self.place(block_image, image, ground_truth)
            corner = image[-1, -1]  # never covered: a window's place stays below the room that there is
            if image.shape[:2] in ((96, 128), (192, 384)):
                np.testing.assert_array_equal(corner, [5, 0, 0] if image.shape[0] == 96 else [0, 6, 0])
            else:
                assert 96 <= image.shape[0] < 192
                assert 128 <= image.shape[1] < 256
                np.testing.assert_array_equal(corner, [0, 0, 0])
            sizes.append(image.shape[0])
        assert sizes.count(96) / 300 == pytest.approx(1 / 3, abs=0.1)
        assert sizes.count(192) / 300 == pytest.approx(1 / 3, abs=0.1)

    def test_ssd_crop_pad_without_operations_is_the_papers_without_its_first_rule(self, block_image):
        assert [rule for rule, _ in SSD_CROP_PAD_RULES] == list(SSD_CROP_RULES[1:])
        outputs = block_image.augmented("ssd_random_crop_pad {}", 300)
        block_image.assert_uniform([image.shape[0] for image, _ in outputs], 96, 191)
        block_image.assert_uniform([image.shape[1] for image, _ in outputs], 128, 255)
        assert all(np.all(image[-1, -1] >= 90) for image, _ in outputs), "the mean's colour"

    def test_fixed_ratio_pads_with_black_below_and_on_the_right(self, block_image):
        option = (
            "ssd_random_crop_pad_fixed_aspect_ratio { aspect_ratio: 1.5 min_padded_size_ratio: [1.5, 1.5] "
            "max_padded_size_ratio: [2.5, 2.5] operations { min_area: 0.1 max_area: 0.4 min_aspect_ratio: 1.5 "
            "max_aspect_ratio: 1.5 overlap_thresh: 0.3 } }"
        )
        scales = []
        for image, ground_truth in block_image.augmented(option, 300, image=block_image.coordinates()):
            window, begin = self.place(block_image, image, ground_truth)
            assert begin == (0, 0)
            assert not image[window[2] - window[0] :].any()
            assert not image[:, window[3] - window[1] :].any()
            assert image.shape[1] / image.shape[0] == pytest.approx(1.5, abs=0.04)
            scales.append(image.shape[0] / (window[2] - window[0]))
        block_image.assert_uniform(scales, 1.45, 2.55)

    def test_fixed_ratio_pads_as_little_as_it_can_where_the_bounds_leave_no_choice(self, block_image):
        option = (
            "ssd_random_crop_pad_fixed_aspect_ratio { max_padded_size_ratio: [1, 1] operations { random_coef: 1 "
            "min_area: 1 max_area: 1 min_aspect_ratio: 1 max_aspect_ratio: 1 } }"
        )
        for image, _ in block_image.augmented(option, 5):
            assert image.shape == (128, 128, 3)
            np.testing.assert_array_equal(image[:96], block_image.image())
