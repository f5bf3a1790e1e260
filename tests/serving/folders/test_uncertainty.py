"""The uncertainty's formula by hand, the choice by brute force, and the page for a person."""

from __future__ import annotations

import csv
import random
import re

import pytest

from serving.client_library.detections import Box, Detection, ImageDetections
from serving.folders.uncertain_page import write_uncertain_csv, write_uncertain_page
from serving.folders.uncertainty import AGGREGATIONS, least_sure, uncertainty_of_image, uncertainty_of_score


def answer(image, *scores, name="Chair"):
    box = Box(0.25, 0.25, 0.75, 0.75)
    pixels = Box(12, 16, 36, 48)
    return ImageDetections(image, 64, 48, tuple(Detection(1, name, score, box, pixels) for score in scores))


@pytest.mark.parametrize(
    ("score", "value"), [(0.5, 1.0), (0.0, 0.0), (1.0, 0.0), (0.75, 0.25), (0.25, 0.25), (1.1, 0.0)]
)
def test_a_score_of_one_half_is_the_least_sure(score, value):
    assert uncertainty_of_score(score) == pytest.approx(value)


def test_sum_mean_and_maximum_of_an_image():
    image = answer("p", 0.5, 0.75, 1.0)
    values = {aggregation: uncertainty_of_image(image, aggregation) for aggregation in AGGREGATIONS}
    assert values == pytest.approx({"sum": 1.25, "mean": 1.25 / 3, "maximum": 1.0})
    assert uncertainty_of_image(answer("nothing"), "mean") == 0.0
    with pytest.raises(ValueError, match="aggregation"):
        uncertainty_of_image(answer("nothing"), "median")


def test_the_least_sure_are_those_that_sorting_all_would_find():
    numbers = random.Random(3)
    results = [answer(f"{i:03}", *[numbers.choice((0.1, 0.5, 0.9)) for _ in range(i % 4)]) for i in range(200)]
    numbers.shuffle(results)
    ranked = sorted(results, key=lambda result: (-uncertainty_of_image(result), result.image))
    images, classes = least_sure(iter(results), 20)
    assert [image.result.image for image in images] == [result.image for result in ranked[:20]]
    scores = [found.score for result in results for found in result.detections]
    assert classes[0].num_detections == len(scores)
    assert classes[0].mean_uncertainty == pytest.approx(sum(map(uncertainty_of_score, scores)) / len(scores))


def test_classes_come_with_the_least_sure_first_and_sure_images_not_at_all():
    results = [answer("sure", 1.0, name="Bed"), answer("half", 0.5, name="Couch"), answer("nothing")]
    images, classes = least_sure(results, 10)
    assert [image.result.image for image in images] == ["half"]
    assert [each.name for each in classes] == ["Couch", "Bed"]


def test_the_csv_and_the_page_hold_hostile_names_as_text(tmp_path, image):
    names = ["<script>alert(1)</script>.png", "b.png", "gone.png"]
    for name in names[:2]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image((10, 10, 30, 30)))
    results = [answer(name, 0.5, 0.9, name='"><img src=x onerror=alert(2)>') for name in names]
    images, classes = least_sure(results, 10)
    write_uncertain_csv(tmp_path / "uncertain.csv", images)
    with (tmp_path / "uncertain.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == sorted(names)
    assert (rows[0]["rank"], rows[0]["num_detections"], rows[0]["least_sure_score"]) == ("1", "2", "0.5")
    shown = write_uncertain_page(tmp_path / "page.html", tmp_path, images, classes, num_images=3, formula="1 < 2")
    page = (tmp_path / "page.html").read_text()
    assert shown == 3 and "1 &lt; 2" in page
    assert "<script" not in page and "onerror=alert(2)>" not in page
    assert len(re.findall(r'src="data:image/jpeg;base64,', page)) == 2 and "(missing)" in page
