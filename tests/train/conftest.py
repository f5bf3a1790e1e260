"""Pictures whose boxes can be found again: a block of its own colour in each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

BACKGROUND = 90
HEIGHT, WIDTH = 96, 128
# ymin, xmin, ymax, xmax in pixels; none touch, and none touches the picture's edge.
BLOCKS = {1: (8, 8, 40, 40), 2: (16, 72, 56, 112), 3: (56, 16, 88, 64), 4: (64, 80, 90, 100)}
# On the way from the background to one colour, none of the others is met.
COLOURS = {1: (250, 90, 90), 2: (90, 250, 90), 3: (90, 90, 250), 4: (250, 250, 90)}

Fields = dict[str, np.ndarray]


class BlockPicture:
    """A picture (uint8 [96, 128, 3]) with four blocks, and its ground truth.

    An object's class says which block it is; its weight, flags and area follow from the class.
    """

    background = BACKGROUND
    height, width = HEIGHT, WIDTH
    blocks = BLOCKS
    colours = COLOURS

    def image(self) -> np.ndarray:
        image = np.full((HEIGHT, WIDTH, 3), BACKGROUND, np.uint8)
        for number, (ymin, xmin, ymax, xmax) in BLOCKS.items():
            image[ymin:ymax, xmin:xmax] = COLOURS[number]
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
            For each run the picture, in whatever type it came, and its ground truth.
        """
        import tensorflow as tf
        from google.protobuf import text_format

        from configs.descriptors import message_class
        from train.inputs.augmentations.pipeline import build_augmentation

        texts = [options] if isinstance(options, str) else options
        augment = build_augmentation([text_format.Parse(text, message_class("PreprocessingStep")()) for text in texts])
        image = self.image() if image is None else image
        ground_truth = self.ground_truth() if ground_truth is None else ground_truth
        # Of unknown sizes, as records are.
        any_image = tf.TensorSpec([None, None, 3], tf.uint8)
        any_fields = {name: tf.TensorSpec([None, *v.shape[1:]], v.dtype) for name, v in ground_truth.items()}
        run = tf.function(
            augment,
            input_signature=[any_image, any_fields, tf.TensorSpec([2], tf.int64)],
            autograph=False,
        )
        examples = tf.data.Dataset.range(count).map(
            lambda index: run(tf.constant(image), ground_truth, tf.stack([tf.constant(7, tf.int64), index]))
        )
        return list(examples.as_numpy_iterator())

    def assert_on_objects(self, image: np.ndarray, ground_truth: Fields, tolerance_pixels: float = 0.51) -> None:
        """Each box is not empty, lies in the picture, encloses what is left of its block, and is filled by it."""
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


@pytest.fixture(scope="session")
def block_picture() -> Any:
    return BlockPicture()
