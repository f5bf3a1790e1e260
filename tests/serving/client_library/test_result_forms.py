"""Answers as other libraries take them: pandas, COCO, supervision, FiftyOne, and drawn."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from data_prep.runtime.command_line import UserError
from serving.client_library.detections import Box, Detection, ImageDetections, to_dataframe


def detection(name: str, class_id: int, score: float, xmin: float, ymin: float, xmax: float, ymax: float) -> Detection:
    """One on an image of 200x100, box in pixels."""
    pixels = Box(ymin, xmin, ymax, xmax)
    return Detection(class_id, name, score, Box(ymin / 100, xmin / 200, ymax / 100, xmax / 200), pixels)


CAT = detection("Cat", 3, 0.9, 20, 10, 60, 40)
DOG = detection("Dog", 1, 0.6, 100, 0, 200, 100)
FOUND = ImageDetections("a.jpg", 200, 100, (CAT, DOG))
NOTHING = ImageDetections("b.jpg", 200, 100)


def test_a_dataframe_has_a_row_a_detection_and_the_same_types_when_empty():
    table = to_dataframe([FOUND, NOTHING, ImageDetections("c.jpg", 200, 100, (DOG,))])
    assert table["image"].tolist() == ["a.jpg", "a.jpg", "c.jpg"]
    assert table["name"].tolist() == ["Cat", "Dog", "Dog"]
    assert table[["xmin", "ymin", "xmax", "ymax"]].iloc[0].tolist() == [20, 10, 60, 40]
    assert table.groupby("name")["score"].max().to_dict() == {"Cat": 0.9, "Dog": 0.6}
    empty = NOTHING.to_dataframe()
    assert len(empty) == 0
    numbers = [name for name in table.columns if name not in ("image", "name")]
    assert empty[numbers].dtypes.equals(table[numbers].dtypes)


def test_pandas_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match=r"to_dataframe needs pandas .*: pip install"):
        FOUND.to_dataframe()


def test_coco_annotations_are_read_by_pycocotools(tmp_path):
    annotations = FOUND.to_coco(image_id=7, first_annotation_id=5)
    path = tmp_path / "truth.json"
    categories = [{"id": 3, "name": "Cat"}, {"id": 1, "name": "Dog"}]
    path.write_text(json.dumps({"images": [{"id": 7}], "annotations": annotations, "categories": categories}))
    coco = COCO(path)
    assert coco.getAnnIds(imgIds=[7], catIds=[3]) == [5]
    assert coco.loadRes(annotations).anns[1]["bbox"] == [20, 10, 40, 30]
    assert [(item["area"], item["iscrowd"], item["score"]) for item in annotations] == [(1200, 0, 0.9), (10000, 0, 0.6)]


def test_supervision_takes_the_fields():
    fields = FOUND.supervision_fields()
    assert {name: value.tolist() for name, value in fields.items() if name != "data"} == {
        "xyxy": [[20, 10, 60, 40], [100, 0, 200, 100]],
        "confidence": pytest.approx([0.9, 0.6]),
        "class_id": [3, 1],
    }
    assert fields["data"]["class_name"].tolist() == ["Cat", "Dog"]
    empty = NOTHING.supervision_fields()
    assert empty["xyxy"].shape == (0, 4)
    assert empty["confidence"].shape == empty["class_id"].shape == empty["data"]["class_name"].shape == (0,)


def test_supervision_itself_has_them():
    pytest.importorskip("supervision", reason="supervision is not installed")
    found = FOUND.to_supervision()
    assert len(found) == 2
    assert found["class_name"].tolist() == ["Cat", "Dog"]
    assert len(NOTHING.to_supervision()) == 0


def test_fiftyone_takes_the_fields():
    cat, dog = FOUND.fiftyone_fields()
    assert cat == {"label": "Cat", "bounding_box": pytest.approx([0.1, 0.1, 0.2, 0.3]), "confidence": 0.9}
    assert dog["bounding_box"] == pytest.approx([0.5, 0.0, 0.5, 1.0])


@pytest.mark.parametrize("library", ["supervision", "fiftyone"])
def test_a_library_that_is_missing_is_named(monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError, match=f"pip install {library}"):
        getattr(FOUND, f"to_{library}")()


def test_draw_returns_the_image_with_boxes(tmp_path):
    pixels = np.full((100, 200, 3), 255, np.uint8)
    path = tmp_path / "white.png"
    Image.fromarray(pixels).save(path)
    by_pixels = FOUND.draw(pixels)
    by_path = ImageDetections(str(path), 200, 100, (CAT, DOG)).draw()
    for drawn in (by_pixels, by_path):
        assert (drawn.mode, drawn.size) == ("RGB", (200, 100))
        assert (np.asarray(drawn)[38:42, 22:58] != 255).any()
    assert np.array_equal(by_pixels, by_path)
    assert (pixels == 255).all()
    with pytest.raises(ValueError, match="draw"):
        ImageDetections("", 200, 100, (CAT,)).draw()
