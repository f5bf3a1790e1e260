"""Images to watch a training by: boxes are drawn where they are."""

from __future__ import annotations

import numpy as np

from data_prep.images.drawing import color_of
from train.loop.summaries import IGNORED_COLOUR, evaluation_image, input_images

NAMES = {1: "Bed", 2: "Lamp"}


def labels() -> dict[str, np.ndarray]:
    return {
        "groundtruth_boxes": np.array([[[0.5, 0.25, 0.75, 0.75], [0.1, 0.1, 0.3, 0.9], [0, 0, 0, 0]]] * 3, np.float32),
        "groundtruth_classes": np.array([[1, 2, 0]] * 3, np.int32),
        "groundtruth_weights": np.array([[1.0, 0.0, 0.0]] * 3, np.float32),
        "num_groundtruth_boxes": np.array([2, 1, 0], np.int32),
    }


def has_colour(image: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool(np.all(image == colour, axis=-1).any())


def test_input_images_show_each_box_and_grey_for_weight_zero():
    images = np.full((3, 80, 120, 3), 60.4, np.float32)
    photos = input_images(images, labels(), NAMES, max_images=2)
    assert photos.shape == (2, 80, 120, 3)
    assert photos.dtype == np.uint8
    assert has_colour(photos[0], color_of("Bed"))
    assert has_colour(photos[0], IGNORED_COLOUR)
    assert not has_colour(photos[0], color_of("Lamp"))
    assert not has_colour(photos[1], IGNORED_COLOUR)
    # The lower edge of the first box, in the row above 0.75 of 80 pixels.
    assert tuple(photos[0][59, 60]) == color_of("Bed")
    assert tuple(photos[0][75, 60]) == (60, 60, 60)
    assert np.all(input_images(images[2:], {k: v[2:] for k, v in labels().items()}, NAMES) == 60)


def test_values_outside_the_range_do_not_wrap():
    images = np.stack([np.full((20, 20, 3), -7.0), np.full((20, 20, 3), 300.0)])
    empty = {name: values[[2, 2]] for name, values in labels().items()}
    photos = input_images(images, empty, NAMES)
    assert photos[0].max() == 0
    assert photos[1].min() == 255


def test_evaluation_image_shows_truth_beside_what_was_found():
    image = evaluation_image(
        np.full((60, 100, 3), 40, np.uint8),
        groundtruth_boxes=[[10, 10, 50, 90]],
        groundtruth_classes=[1],
        detection_boxes=[[12, 12, 48, 88], [0, 0, 20, 20], [5, 5, 30, 30]],
        detection_classes=[2, 1, 9],
        detection_scores=[0.9, 0.2, 0.6],
        names_by_id=NAMES,
    )
    assert image.dtype == np.uint8
    middle = image.shape[1] // 2
    left, right = image[:, :middle], image[:, middle:]
    assert has_colour(left, color_of("Bed"))
    assert not has_colour(left, color_of("Lamp"))
    assert has_colour(right, color_of("Lamp"))
    assert has_colour(right, color_of("class 9"))
    assert not has_colour(right, color_of("Bed"))  # below the score


def test_evaluation_image_without_any_boxes_and_with_too_many():
    def draw(count: int) -> np.ndarray:
        return evaluation_image(
            np.full((60, 100, 3), 40, np.uint8),
            groundtruth_boxes=[],
            groundtruth_classes=[],
            detection_boxes=np.array([[10 + i, 10, 40, 40 + i] for i in range(count)]).reshape(-1, 4),
            detection_classes=[1] * count,
            detection_scores=np.linspace(0.6, 0.9, count),
            names_by_id=NAMES,
            max_boxes=2,
        )

    assert not has_colour(draw(0), color_of("Bed"))
    assert has_colour(draw(9), color_of("Bed"))
