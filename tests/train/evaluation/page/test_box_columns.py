"""Columns of boxes by image, and which images are the worst."""

from __future__ import annotations

import numpy as np

from train.evaluation.page.box_columns import box_columns
from train.metrics.box_collection import BoxCollection
from train.metrics.box_matches import BoxMatches, match_collection
from train.metrics.image_losses import f1_losses
from train.metrics.measured_image import measured_image
from train.metrics.tide import Mistake, TideErrors

HERE, THERE = [0, 0, 40, 40], [50, 50, 90, 90]


def matches() -> BoxMatches:
    """Four images: a right detection; a wrong class; two misses; nothing."""
    boxes = BoxCollection({1: "cat", 2: "dog"})
    for number, (truth, found) in enumerate(
        [
            ([(HERE, 1)], [(HERE, 1, 0.9), (THERE, 2, 0.2)]),
            ([(HERE, 1)], [(HERE, 2, 0.8)]),
            ([(HERE, 1), (THERE, 2)], []),
            ([], []),
        ]
    ):
        boxes.add(
            measured_image(
                str(number),
                groundtruth_boxes=[box for box, _ in truth],
                groundtruth_classes=[class_id for _, class_id in truth],
                detection_boxes=[box for box, _, _ in found],
                detection_scores=[score for _, _, score in found],
                detection_classes=[class_id for _, class_id, _ in found],
            )
        )
    return match_collection(boxes)


def test_boxes_are_in_the_order_of_their_images_with_what_a_threshold_decides_on() -> None:
    found = matches()
    columns = box_columns(found, TideErrors(found))
    assert columns.detections.image.tolist() == [0, 0, 1]
    np.testing.assert_allclose(columns.detections.scores, [0.9, 0.2, 0.8])
    assert columns.mistake_of.tolist() == [-1, Mistake.BACKGROUND, Mistake.CLASSIFICATION]
    assert columns.objects.image.tolist() == [0, 1, 2, 2]
    assert columns.found_by.tolist() == [0, -1, -1, -1]
    assert columns.meant.tolist() == [[2, 1]]
    assert columns.overlapping.tolist() == [[2, 1]]
    assert columns.lowest_score == 0


def test_of_too_many_detections_the_weakest_are_left_out_and_it_is_said() -> None:
    found = matches()
    columns = box_columns(found, TideErrors(found), max_detections=1)
    np.testing.assert_allclose(columns.detections.scores, [0.9])
    assert columns.found_by.tolist() == [0, -1, -1, -1]
    assert columns.meant.tolist() == columns.overlapping.tolist() == []
    assert columns.lowest_score == np.float32(0.9)


def worst_first(found: BoxMatches, threshold: float) -> list[int]:
    return np.argsort(-f1_losses(found, {1: threshold, 2: threshold}), kind="stable").tolist()


def test_the_worst_image_is_the_one_without_which_f1_would_be_best() -> None:
    found = matches()
    # Mended, of 4 objects: image 1 gives 2 right, 2 missed (F1 0.67); image 2 gives 3 right, 1 wrong, 1 missed (0.75).
    assert worst_first(found, 0.5) == [2, 1, 0, 3]
    assert worst_first(found, 0.1)[0] == 2
