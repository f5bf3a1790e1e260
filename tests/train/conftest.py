"""Images whose boxes can be found again: a block of its own colour in each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

BACKGROUND = 90
HEIGHT, WIDTH = 96, 128
# ymin, xmin, ymax, xmax in pixels; none touch, and none touches the image's edge.
BLOCKS = {1: (8, 8, 40, 40), 2: (16, 72, 56, 112), 3: (56, 16, 88, 64), 4: (64, 80, 90, 100)}
# On the way from the background to one colour, none of the others is met.
COLOURS = {1: (250, 90, 90), 2: (90, 250, 90), 3: (90, 90, 250), 4: (250, 250, 90)}

Fields = dict[str, np.ndarray]


class BlockImage:
    """An image (uint8 [96, 128, 3]) with four blocks, and its ground truth.

    An object's class says which block it is; its weight, flags and area follow from the class.
    """

    background = BACKGROUND
    height, width = HEIGHT, WIDTH
    blocks = BLOCKS
    colours = COLOURS

    def __init__(self) -> None:
        self._traced: dict[tuple[str, ...], Any] = {}

    def image(self) -> np.ndarray:
        image = np.full((HEIGHT, WIDTH, 3), BACKGROUND, np.uint8)
        for number, (ymin, xmin, ymax, xmax) in BLOCKS.items():
            image[ymin:ymax, xmin:xmax] = COLOURS[number]
        return image

    def coordinates(self) -> np.ndarray:
        """Another image of the same size, uint8: each pixel says where it was, as (row, column, 255)."""
        image = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
        image[..., 0] = np.arange(HEIGHT)[:, np.newaxis]
        image[..., 1] = np.arange(WIDTH)
        return image

    def ground_truth(self) -> Fields:
        numbers = np.array(list(BLOCKS), np.int32)
        boxes = np.array(list(BLOCKS.values()), np.float32) / np.float32([HEIGHT, WIDTH, HEIGHT, WIDTH])
        return {
            "groundtruth_boxes": boxes,
            "groundtruth_classes": numbers,
            "groundtruth_weights": numbers.astype(np.float32) / 4,
            "groundtruth_is_crowd": numbers == 1,
            "groundtruth_difficult": numbers == 2,
            "groundtruth_group_of": numbers == 3,
            "groundtruth_area": numbers.astype(np.float32) * 100,
        }

    def augmented(
        self,
        options: str | list[str],
        count: int,
        *,
        image: np.ndarray | None = None,
        ground_truth: Fields | None = None,
    ) -> list[tuple[np.ndarray, Fields]]:
        """Runs options in their text format `count` times, each with another seed, as the input pipeline does.

        Returns:
            For each run the image, in whatever type it came, and its ground truth.
        """
        import tensorflow as tf

        image = self.image() if image is None else image
        ground_truth = self.ground_truth() if ground_truth is None else ground_truth
        run = self._run((options,) if isinstance(options, str) else tuple(options))
        examples = tf.data.Dataset.range(count).map(
            lambda index: run(tf.constant(image), ground_truth, tf.stack([tf.constant(7, tf.int64), index]))
        )
        return list(examples.as_numpy_iterator())

    def _run(self, texts: tuple[str, ...]) -> Any:
        """Returns the options as one function, traced once for images of all sizes and any number of objects."""
        import tensorflow as tf

        from configs.schema.pipeline_file import parse_text
        from configs.settings.augmentations.options import AUGMENTATION_OPTIONS
        from configs.settings.reading import read_choice
        from train.inputs.augmentations.pipeline import build_augmentation

        if texts not in self._traced:
            steps = [parse_text(text, "text", "PreprocessingStep") for text in texts]
            any_fields = {
                name: tf.TensorSpec([None, *values.shape[1:]], values.dtype)
                for name, values in self.ground_truth().items()
            }
            self._traced[texts] = tf.function(
                build_augmentation(read_choice(AUGMENTATION_OPTIONS, step) for step in steps),
                input_signature=[tf.TensorSpec([None, None, 3], tf.uint8), any_fields, tf.TensorSpec([2], tf.int64)],
                autograph=False,
            )
        return self._traced[texts]

    def assert_on_objects(self, image: np.ndarray, ground_truth: Fields, tolerance_pixels: float = 0.51) -> None:
        """Each box is not empty, lies in the image, encloses what is left of its block, and is filled by it."""
        height, width = image.shape[:2]
        boxes = ground_truth["groundtruth_boxes"]
        assert boxes.min(initial=0.0) >= -1e-5
        assert boxes.max(initial=1.0) <= 1.0 + 1e-5
        assert np.all(boxes[:, :2] < boxes[:, 2:])
        for box, number in zip(boxes, ground_truth["groundtruth_classes"], strict=True):
            ymin, xmin, ymax, xmax = box * [height, width, height, width]
            of_colour = np.abs(image - np.float32(COLOURS[int(number)])).max(axis=-1) < 8  # but for blurred rims
            ys, xs = np.nonzero(of_colour)
            if len(ys) == 0:  # less than a pixel of it is left
                assert min(ymax - ymin, xmax - xmin) < 2 * tolerance_pixels + 1
                continue
            found = [ys.min(), xs.min(), ys.max() + 1, xs.max() + 1]
            np.testing.assert_allclose([ymin, xmin, ymax, xmax], found, atol=tolerance_pixels)
            inside = of_colour[found[0] : found[2], found[1] : found[3]]
            assert inside.mean() > 0.99, "the block is torn"

    def assert_belongings(self, ground_truth: Fields) -> None:
        """Weights, flags and areas are still those of their boxes' classes."""
        numbers = ground_truth["groundtruth_classes"]
        assert all(len(values) == len(numbers) for values in ground_truth.values())
        np.testing.assert_array_equal(ground_truth["groundtruth_weights"], numbers / 4)
        np.testing.assert_array_equal(ground_truth["groundtruth_is_crowd"], numbers == 1)
        np.testing.assert_array_equal(ground_truth["groundtruth_difficult"], numbers == 2)
        np.testing.assert_array_equal(ground_truth["groundtruth_group_of"], numbers == 3)
        np.testing.assert_array_equal(ground_truth["groundtruth_area"], numbers * 100)

    def assert_cut_out(
        self, ground_truth: Fields, window: tuple[int, int, int, int], *, overlap_thresh: float, clip: bool = True
    ) -> None:
        """The objects are those of the whole image of which enough lies in a window, relative to it: the slow way.

        Args:
            ground_truth: After the cut.
            window: ymin, xmin, ymax, xmax in pixels of the whole image.
            overlap_thresh: Which share of a box must lie in the window.
            clip: Whether boxes are cut off at the window's edge.
        """
        top, left, bottom, right = window
        classes, boxes = [], []
        for number, (ymin, xmin, ymax, xmax) in BLOCKS.items():
            inside = max(ymin, top), max(xmin, left), min(ymax, bottom), min(xmax, right)
            area = max(inside[2] - inside[0], 0) * max(inside[3] - inside[1], 0)
            margin = area / ((ymax - ymin) * (xmax - xmin)) - overlap_thresh
            kept = margin > 0 if abs(margin) > 1e-5 else number in ground_truth["groundtruth_classes"]  # rounding rules
            if area == 0 or not kept:
                continue
            y1, x1, y2, x2 = inside if clip else (ymin, xmin, ymax, xmax)
            height, width = bottom - top, right - left
            classes.append(number)
            boxes.append([(y1 - top) / height, (x1 - left) / width, (y2 - top) / height, (x2 - left) / width])
        assert ground_truth["groundtruth_classes"].tolist() == classes
        expected = np.array(boxes, np.float32).reshape(-1, 4)
        np.testing.assert_allclose(ground_truth["groundtruth_boxes"], expected, atol=1e-5)
        self.assert_belongings(ground_truth)

    @staticmethod
    def assert_uniform(values: Any, low: float, high: float) -> None:
        """Five equal parts of an interval get about equal shares of the values, and nothing is outside."""
        values = np.asarray(values, np.float64)
        assert values.min() >= low - 1e-6
        assert values.max() <= high + 1e-6
        counts, _ = np.histogram(values, bins=5, range=(low, high))
        assert np.abs(counts / len(values) - 0.2).max() < 4 * np.sqrt(0.16 / len(values)), counts

    def window_of(self, image: np.ndarray) -> tuple[int, int, int, int]:
        """Finds a part that was cut out of `coordinates()`, on whatever background that is not blue.

        Returns:
            ymin, xmin, ymax, xmax in pixels of the whole image; every pixel in between was compared.
        """
        rows, columns = np.nonzero(image[..., 2] == 255)
        part = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        top, left = int(part[0, 0, 0]), int(part[0, 0, 1])
        window = top, left, top + part.shape[0], left + part.shape[1]
        np.testing.assert_array_equal(part, self.coordinates()[window[0] : window[2], window[1] : window[3]])
        return window


@pytest.fixture(scope="session")
def block_image() -> Any:
    return BlockImage()
