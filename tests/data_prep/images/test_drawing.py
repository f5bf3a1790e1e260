from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageChops

from data_prep.images import drawing


def _grey(width: int = 320, height: int = 240) -> Image.Image:
    return Image.new("RGB", (width, height), (128, 128, 128))


def _changed(before: Image.Image, after: Image.Image) -> np.ndarray:
    return np.asarray(ImageChops.difference(before.convert("RGB"), after)).any(axis=-1)


def test_box_is_drawn_on_its_own_pixels_and_the_image_is_left_alone() -> None:
    image = _grey()
    drawn = np.asarray(drawing.draw_boxes(image, [[60, 40, 200, 300]], [""], colors=[(255, 0, 0)]))
    rows, columns = np.nonzero((drawn == (255, 0, 0)).all(axis=-1))
    assert (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1) == (60, 40, 200, 300)
    assert (drawn[100:150, 100:200] == 128).all()
    assert np.asarray(image).min() == 128


def test_lines_and_letters_grow_with_the_image() -> None:
    assert drawing.line_width_for((320, 240)) == 1
    assert drawing.line_width_for((4000, 3000)) > 8
    assert drawing.font_size_for((4000, 3000)) > 3 * drawing.font_size_for((640, 480))


def test_no_boxes_changes_nothing() -> None:
    assert not _changed(_grey(), drawing.draw_boxes(_grey(), [], [])).any()
    assert not _changed(_grey(), drawing.draw_boxes(_grey(), np.zeros((0, 4)), [], [])).any()


def test_name_is_shown_on_a_plate_of_the_class_color_with_letters_that_contrast() -> None:
    for color, letters in (((20, 20, 120), (255, 255, 255)), ((250, 240, 90), (0, 0, 0))):
        drawn = np.asarray(drawing.draw_boxes(_grey(), [[60, 40, 200, 300]], ["Wall clock"], [0.5], colors=[color]))
        above = drawn[45:60, 40:140].reshape(-1, 3)
        assert (above == color).all(axis=-1).sum() > 300
        # Letters this small are soft at their edges: nearly black or white will do.
        assert (np.abs(above.astype(int) - letters).max(axis=-1) < 90).sum() > 60


def test_score_is_shown_as_percent() -> None:
    with_score = drawing.draw_boxes(_grey(), [[60, 40, 200, 300]], ["Bed"], [0.874])
    same = drawing.draw_boxes(_grey(), [[60, 40, 200, 300]], ["Bed 87%"], colors=[drawing.color_of("Bed")])
    assert not _changed(with_score, same).any()


@pytest.mark.parametrize(
    "box", [[0, 0, 240, 320], [-50, -50, 30, 30], [220, 300, 500, 900], [239, 319, 240, 320], [-9e9, -9e9, 9e9, 9e9]]
)
def test_plate_stays_inside_the_image(box: list[float]) -> None:
    color = (1, 2, 250)
    drawn = np.asarray(drawing.draw_boxes(_grey(), [box], ["Television"], [0.99], colors=[color]))
    plate = (drawn == color).all(axis=-1) | (drawn == 255).all(axis=-1)
    rows, columns = np.nonzero(plate)
    assert columns.max() - columns.min() > 60, "the whole name must be there"
    assert rows.max() - rows.min() >= 10


def test_boxes_outside_or_not_finite_are_not_drawn() -> None:
    boxes = [[300, 10, 400, 50], [10, 400, 50, 500], [float("nan"), 0, 10, 10], [0, 0, float("inf"), 10]]
    assert not _changed(_grey(), drawing.draw_boxes(_grey(), boxes, ["a", "b", "c", "d"])).any()


def test_names_of_boxes_on_one_another_do_not_cover_each_other() -> None:
    colors = [(255, 0, 0), (0, 0, 255), (0, 120, 0)]
    boxes = [[60, 40, 200, 300]] * 3
    drawn = np.asarray(drawing.draw_boxes(_grey(), boxes, ["Television"] * 3, [0.9] * 3, colors=colors))
    alone = np.asarray(drawing.draw_boxes(_grey(), boxes[:1], ["Television"], [0.9], colors=colors[:1]))
    whole_plate = (alone == colors[0]).all(axis=-1)[:60].sum()
    for color in colors:
        assert (drawn == color).all(axis=-1).sum() >= 0.9 * whole_plate


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (9, 200), (200, 9), (24, 24)])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK", "P", "1"])
def test_tiny_images_of_any_mode(size: tuple[int, int], mode: str) -> None:
    width, height = size
    boxes = [[0, 0, height, width], [0, 0, 1, 1], [height - 1, width - 1, height, width]]
    drawn = drawing.draw_boxes(Image.new(mode, size), boxes, ["Bed", "Television", "Lamp"], [1.0, 0.5, 0.1])
    assert drawn.mode == "RGB"
    assert drawn.size == size


def test_one_pixel_box_shows_its_pixel() -> None:
    drawn = drawing.draw_boxes(_grey(), [[100, 150, 101, 151]], [""], colors=[(255, 0, 0)])
    assert drawn.getpixel((150, 100)) == (255, 0, 0)


def test_dashes_leave_gaps() -> None:
    color = (255, 0, 0)
    solid = np.asarray(drawing.draw_boxes(_grey(), [[60, 40, 200, 300]], [""], colors=[color]))
    dashed = np.asarray(drawing.draw_boxes(_grey(), [[60, 40, 200, 300]], [""], colors=[color], dashed=True))
    count = [(image == color).all(axis=-1).sum() for image in (solid, dashed)]
    assert 0.35 * count[0] < count[1] < 0.7 * count[0]


def test_mistakes_of_the_caller_are_said() -> None:
    with pytest.raises(ValueError, match=r"\[N, 4\], not \[1, 3\]"):
        drawing.draw_boxes(_grey(), [[1, 2, 3]], ["a"])
    with pytest.raises(ValueError, match="1 boxes, but 2 names"):
        drawing.draw_boxes(_grey(), [[1, 2, 3, 4]], ["a", "b"])
    with pytest.raises(ValueError, match="1 boxes, but 0 scores"):
        drawing.draw_boxes(_grey(), [[1, 2, 3, 4]], ["a"], [])


def test_colors_are_the_same_in_every_process_and_tell_classes_apart() -> None:
    names = ["Bed", "Couch", "Houseplant", "Lamp", "Table", "Television", "Wall clock", "Window"]
    here = [drawing.color_of(name) for name in names]
    assert len(set(here)) == len(names)
    code = f"from data_prep.images import drawing; print([drawing.color_of(name) for name in {names}])"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert there.strip() == str(here)
    ids = [drawing.color_of(class_id) for class_id in range(1, 17)]
    assert len(set(ids)) == 16
