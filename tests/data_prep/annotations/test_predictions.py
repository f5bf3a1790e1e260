"""predictions.jsonl as annotations: whole answers, torn lines, and what is no answer."""

from __future__ import annotations

import json

import pytest

from data_prep.annotations.predictions import read_predictions
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.ledger import Ledger


def answer(image: str, *detections: dict, **more) -> str:
    return json.dumps({"image": image, "width": 64, "height": 48, "detections": list(detections), **more})


def detection(name="Bed", score=0.5, box=(1.0, 2.0, 30.0, 40.0)) -> dict:
    sides = dict(zip(("ymin", "xmin", "ymax", "xmax"), box, strict=True))
    return {"class_id": 1, "name": name, "score": score, "box_normalized": {}, "box_pixels": sides}


def read(path, *lines: str, end: str = "\n"):
    path.write_text("\n".join(lines) + end)
    ledger = Ledger(None)
    return list(read_predictions(path, ledger.reject).images), ledger


def test_boxes_have_scores_and_images_without_any_are_there(tmp_path):
    images, ledger = read(tmp_path / "p.jsonl", answer("a/b.jpg", detection()), answer("c.jpg"))
    assert [(image.names, image.width, image.height, len(image.boxes)) for image in images] == [
        (("a/b.jpg",), 64, 48, 1),
        (("c.jpg",), 64, 48, 0),
    ]
    (box,) = images[0].boxes
    assert (box.label, box.xmin, box.ymin, box.xmax, box.ymax) == ("Bed", 2, 1, 40, 30)
    assert box.extra == {"confidence": 0.5}
    assert ledger.total == 0


def test_lines_of_an_earlier_version_are_read_too(tmp_path):
    line = answer("a/b.jpg", detection())
    images, ledger = read(tmp_path / "p.jsonl", line.replace('"image"', '"picture"'), line)
    assert [image.names for image in images] == [("a/b.jpg",)] * 2 and ledger.total == 0


def test_what_cannot_be_used_is_rejected_with_its_line(tmp_path):
    bad = [
        detection(score=2),
        detection(score=None),
        detection(name=""),
        detection(box=(1, 2, 3, "x")),
        {"name": "Bed"},
    ]
    images, ledger = read(
        tmp_path / "p.jsonl",
        answer("a.jpg", *bad, detection()),
        json.dumps({"image": "b.jpg", "error": {"reason": "missing", "detail": ""}}),
        "no json",
        answer("c.jpg"),
        '{"image": "torn.jpg", "width',
        end="",
    )
    assert [image.names for image in images] == [("a.jpg",), ("c.jpg",)]
    assert (len(images[0].boxes), images[0].num_rejected) == (1, 5)
    assert ledger.counts == {
        "bad score": 1,
        "not a number": 2,
        "bad label": 1,
        "not a detection": 1,
        "image without an answer": 1,
        "not a prediction": 1,
    }


def test_another_format_is_told_by_its_first_line(tmp_path):
    with pytest.raises(UsageError, match=r"its first line is no prediction, 'image' is None"):
        read(tmp_path / "p.jsonl", '{"image_id": 1}')
