"""Drawing as the API documents it: in place, from a score on, so many places, several names at one."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from object_detection.utils import image_annotations
from object_detection.utils import visualization_utils as vis
from PIL import Image

CATEGORIES = {1: {"id": 1, "name": "cat"}, 2: {"id": 2, "name": "dog"}}
BOXES = np.array([[0.1, 0.1, 0.4, 0.4], [0.5, 0.5, 0.9, 0.9], [0.1, 0.1, 0.4, 0.4], [0.2, 0.6, 0.3, 0.8]])
CLASSES = np.array([1, 2, 2, 9])
SCORES = np.array([0.9, 0.6, 0.55, 0.2])


@pytest.fixture
def drawn(monkeypatch):
    """What each box was drawn with: corners, colour, thickness, lines of text."""
    found = []

    def draw(image, ymin, xmin, ymax, xmax, color, thickness, lines, normalized):
        found.append(((ymin, xmin, ymax, xmax), color, thickness, list(lines), normalized))

    monkeypatch.setattr(vis, "draw_bounding_box_on_image", draw)
    return found


def visualize(image=None, **options):
    image = np.zeros((100, 120, 3), np.uint8) if image is None else image
    given = {"boxes": BOXES, "classes": CLASSES, "scores": SCORES, **options}
    return vis.visualize_boxes_and_labels_on_image_array(image, category_index=CATEGORIES, **given)


def test_boxes_in_one_place_share_one_with_all_names(drawn):
    visualize(use_normalized_coordinates=True)
    assert [(box, lines) for box, _, _, lines, _ in drawn] == [
        (tuple(BOXES[0]), ["cat: 90%", "dog: 55%"]),
        (tuple(BOXES[1]), ["dog: 60%"]),
    ]
    assert all(normalized and thickness == 4 for *_, thickness, _, normalized in drawn)
    assert drawn[1][1] == vis.STANDARD_COLORS[2 % len(vis.STANDARD_COLORS)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"min_score_thresh": 0.1}, [["cat: 90%", "dog: 55%"], ["dog: 60%"], ["N/A: 20%"]]),
        ({"max_boxes_to_draw": 1}, [["cat: 90%"]]),
        ({"max_boxes_to_draw": None, "min_score_thresh": 0.0}, [["cat: 90%", "dog: 55%"], ["dog: 60%"], ["N/A: 20%"]]),
        ({"skip_scores": True}, [["cat", "dog"], ["dog"]]),
        ({"skip_labels": True}, [["90%", "55%"], ["60%"]]),
        ({"agnostic_mode": True}, [["90%", "55%"], ["60%"]]),
        ({"track_ids": np.array([5, 6, 7, 8])}, [["cat: 90%: ID 5", "dog: 55%: ID 7"], ["dog: 60%: ID 6"]]),
        ({"scores": None}, [[], [], []]),
    ],
)
def test_names_and_scores(drawn, options, expected):
    visualize(**options)
    assert [lines for *_, lines, _ in drawn] == expected
    if options.get("agnostic_mode"):
        assert {color for _, color, *_ in drawn} == {"DarkOrange"}
    if options.get("scores", 0) is None:
        assert {color for _, color, *_ in drawn} == {"black"}


def test_the_image_itself_is_changed_and_returned():
    image = np.full((100, 120, 3), 30, np.uint8)
    assert visualize(image, use_normalized_coordinates=True, min_score_thresh=0.58, line_thickness=2) is image
    assert np.any(image[50:90, 60] != 30)  # Left edge of the second box, 0.5 of 120 pixels.
    assert np.all(image[60:85, 70:100] == 30)  # Its inside.
    in_pixels = np.full((100, 120, 3), 30, np.uint8)
    corners = BOXES * [100, 120, 100, 120]
    visualize(in_pixels, boxes=corners, min_score_thresh=0.58, line_thickness=2)
    assert np.array_equal(image, in_pixels)


def test_masks_boundaries_and_keypoints():
    image = np.zeros((100, 120, 3), np.uint8)
    masks = np.zeros((4, 100, 120), np.uint8)
    masks[1, 60:80, 70:100] = 1
    points = np.full((4, 2, 2), np.nan)
    points[1] = [[0.7, 0.8], [0.1, 0.9]]
    visualize(
        image, instance_masks=masks, keypoints=points, keypoint_edges=[(0, 1)], use_normalized_coordinates=True,
        min_score_thresh=0.58,
    )  # fmt: skip
    assert np.any(image[65, 75]) and not np.any(image[95, 5])
    assert np.any(image[70, 96]) and np.any(image[40, 102])  # The first point, and the line between them.
    with pytest.raises(ValueError, match="the mask"):
        vis.draw_mask_on_image_array(image, np.zeros((5, 5), np.uint8))
    with pytest.raises(ValueError, match="must be uint8"):
        vis.draw_mask_on_image_array(image.astype(np.float32), masks[0])


def test_text_stands_above_a_box_or_below_where_there_is_no_room():
    for ymin, above in ((0.5, True), (0.0, False)):
        image = Image.new("RGB", (200, 100))
        vis.draw_bounding_box_on_image(image, ymin, 0.2, ymin + 0.2, 0.5, "yellow", 1, ["cat", "dog"])
        painted = np.any(np.asarray(image) != 0, axis=(1, 2))
        top, bottom = round(100 * ymin), round(100 * (ymin + 0.2))
        assert painted[:top].any() == above and painted[bottom + 2 :].any() != above


def test_boxes_alone():
    image = np.zeros((50, 60, 3), np.uint8)
    vis.draw_bounding_boxes_on_image_array(image, BOXES[:2], color="red", thickness=1)
    assert tuple(image[5, 10]) == (255, 0, 0)
    with pytest.raises(ValueError, match=r"must be \[N, 4\]"):
        vis.draw_bounding_boxes_on_image(Image.new("RGB", (4, 4)), np.zeros((2, 3)))
    assert image_annotations.draw_bounding_boxes_on_image(Image.new("RGB", (4, 4)), np.zeros((0, 4))) is None
    png = vis.encode_image_array_as_png_str(image)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), image)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_tensors_are_drawn_on_within_a_function(channels):
    images = tf.zeros([2, 40, 40, channels], tf.uint8)

    @tf.function
    def draw(images, boxes, classes, scores):
        return vis.draw_bounding_boxes_on_image_tensors(
            images, boxes, classes, scores, CATEGORIES, min_score_thresh=0.5
        )

    boxes = tf.constant([BOXES[:2], BOXES[:2]], tf.float32)
    found = draw(images, boxes, tf.constant([[1, 2]] * 2), tf.constant([[0.9, 0.9], [0.1, 0.1]]))
    assert found.shape == (2, 40, 40, 3) and found.dtype == tf.uint8
    assert np.any(found[0]) and not np.any(found[1])
