"""Files of detections: what is written can be read back, and anybody's are read and matched by id or file name."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from data_prep.runtime.command_line import UsageError
from data_prep.runtime.ledger import Ledger
from train.evaluation.given_detections import read_given_detections
from train.evaluation.image_matching import ALREADY_MATCHED, NOT_THERE, match_images

CLASS_IDS = {"/m/bed": 1, "Bed": 1, "Lamp": 2}


def read(path: Path, content: str | list | dict) -> tuple[dict, Ledger]:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    ledger = Ledger(None)
    return read_given_detections(path, CLASS_IDS, ledger.reject), ledger


def result(image_id, category_id=1, bbox=(10, 20, 30, 40), score=0.5):
    return {"image_id": image_id, "category_id": category_id, "bbox": list(bbox), "score": score}


def test_cocos_results_have_ids_and_boxes_in_pixels(tmp_path):
    found, ledger = read(tmp_path / "d.json", [result("a"), result("a", 2, (0, 0, 5, 5), 1), result(7)])
    assert found["a"].rows == [(1, 0.5, 20, 10, 60, 40), (2, 1, 0, 0, 5, 5)]
    arrays = found["7"].as_arrays(height=100, width=50)
    np.testing.assert_allclose(arrays["boxes"], [[0.2, 0.2, 0.6, 0.8]], rtol=1e-6)
    assert (arrays["classes"].tolist(), arrays["scores"].tolist()) == ([1], [0.5])
    assert ledger.total == 0


def test_what_cannot_be_used_is_rejected_by_its_reason(tmp_path):
    bad = [
        result("a", 9),
        result("a", "1"),
        result("a", bbox=(1, 2, 0, 4)),
        result("a", bbox=(1, 2, -3, 4)),
        result("a", bbox=(1, 2, 3)),
        result("a", bbox=(1, 2, float("nan"), 4)),
        result("a", score=None),
        result("a", score=1.5),
        result(None),
        7,
    ]
    found, ledger = read(tmp_path / "d.json", [*bad, result("a")])
    assert len(found["a"].rows) == 1
    assert ledger.counts == {
        "unknown class": 2,
        "reversed or empty box": 2,
        "not a box": 1,
        "not a number": 1,
        "bad score": 2,
        "not a detection": 2,
    }


def test_annotations_with_scores_go_by_the_names_of_categories_and_files(tmp_path):
    content = {
        "images": [{"id": 1, "file_name": "x/a.jpg", "width": 9, "height": 9}],
        "categories": [{"id": 5, "name": "Lamp"}, {"id": 6, "name": "Sofa"}],
        "annotations": [{"id": 1, **result(1, 5)}, {"id": 2, **result(1, 6)}],
    }
    found, ledger = read(tmp_path / "d.json", content)
    assert found["x/a.jpg"].rows == [(2, 0.5, 20, 10, 60, 40)]
    assert ledger.counts == {"unknown class": 1}


@pytest.mark.parametrize(
    "text",
    [
        "image,class_id,name,score,xmin,ymin,xmax,ymax\na.jpg,1,Bed,0.5,10,20,40,60\n",
        "\ufeffpicture;name;score;xmin;ymin;xmax;ymax\r\na.jpg;/m/bed;0,5;10,0;20,0;40,0;60,0\r\n",  # earlier
        "image_id,class_id,score,x1,y1,x2,y2\na.jpg,1,0.5,10,20,40,60\n",
        "file_name,label,confidence,xmin,ymin,xmax,ymax\na.jpg,Bed,0.5,10,20,40,60\n",
    ],
)
def test_csvs_of_several_makers_say_the_same(tmp_path, text):
    found, ledger = read(tmp_path / "d.csv", text)
    assert found["a.jpg"].rows == [(1, 0.5, 20, 10, 60, 40)]
    assert ledger.total == 0


def test_a_csv_in_shares_of_the_image_and_gzipped(tmp_path):
    path = tmp_path / "d.csv.gz"
    path.write_bytes(gzip.compress(b"image,label,score,xmin,ymin,xmax,ymax\na,Lamp,0.5,0.1,0.2,0.5,0.4\n"))
    found = read_given_detections(path, CLASS_IDS, Ledger(None).reject)
    np.testing.assert_allclose(found["a"].as_arrays(100, 200)["boxes"], [[0.2, 0.1, 0.4, 0.5]], rtol=1e-6)


def test_rows_of_a_csv_without_a_score_or_of_unknown_classes_are_rejected(tmp_path):
    text = "image,label,score,xmin,ymin,xmax,ymax\na,Lamp,,1,2,30,40\na,Sofa,0.5,1,2,30,40\na,Bed,0.5,9,2,3,40\n"
    found, ledger = read(tmp_path / "d.csv", text)
    assert found["a"].rows == []
    assert ledger.counts == {"bad score": 1, "unknown class": 1, "reversed or empty box": 1}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("d.csv", "image,score,xmin,ymin,xmax,ymax\na,0.5,1,2,3,4\n", "no column class"),
        ("d.json", {"detections": []}, "neither COCO's list of results nor"),
        ("d.json", [result("a", bbox=(0.1, 0.2, 0.3, 0.4))], "shares of the image"),
        ("d.json", "[", "not JSON"),
    ],
)
def test_a_file_of_another_kind_is_refused_in_one_line(tmp_path, name, content, message):
    with pytest.raises(UsageError, match=message) as caught:
        read(tmp_path / name, content)
    assert "\n" not in str(caught.value)
    assert "_column says" not in str(caught.value)  # a flag of another command


def test_images_match_by_id_file_name_and_number_and_by_nothing_less():
    file_names = {"id1": "x/one.jpg", "id2": "x/two.jpg", "id3": "y/two.jpg", "9": "000000000009.jpg", "v1.5": ""}
    matches = match_images(["one.png", "y\\two.jpg", "two.jpg", "000009", "v1.5.jpg", "id1", "none"], file_names)
    assert matches.references == {"id1": "one.png", "id3": "y\\two.jpg", "9": "000009", "v1.5": "v1.5.jpg"}
    assert matches.unmatched == {"two.jpg": NOT_THERE, "id1": ALREADY_MATCHED, "none": NOT_THERE}
