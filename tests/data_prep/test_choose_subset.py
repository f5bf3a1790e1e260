from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_prep import choose_subset

CLASSES = {"/m/bed": 0.5, "/m/lamp": 0.2, "/m/tv": 0.08, "/m/sink": 0.02}
BOX = {"confidence": 1.0, "x0": 0.1, "x1": 0.6, "y0": 0.2, "y1": 0.9}


class Subset:
    """Runs the command on 1000 images of four classes."""

    def __init__(self, folder: Path, run: Callable[..., Any]) -> None:
        self.folder = folder
        self._run = run
        chance = random.Random(0)
        self.points = []
        for number in range(1000):
            labels = [label for label, share in CLASSES.items() if chance.random() < share]
            boxes = [{"label": label, **BOX} for label in labels for _ in range(chance.randint(1, 3))]
            self.points.append({"id": f"i{number}", "annotations": boxes})
        (folder / "points.json").write_text(json.dumps(self.points))
        images = [{"id": f"i{number}", "url": f"http://localhost/{number}"} for number in range(1001)]
        (folder / "images.json").write_text(json.dumps(images[::-1]))

    def __call__(self, *more: object) -> Any:
        paths = ["--datapoints_input_path", self.folder / "points.json"]
        paths += ["--datapoints_output_path", self.folder / "small.json"]
        return self._run(choose_subset.main, *paths, *more)

    def chosen(self) -> list[dict[str, Any]]:
        points: list[dict[str, Any]] = json.loads((self.folder / "small.json").read_text())
        return points


@pytest.fixture
def subset(tmp_path: Path, run: Callable[..., Any]) -> Subset:
    return Subset(tmp_path, run)


def shares(points: list[dict[str, Any]]) -> dict[str, float]:
    counts: Counter[str] = Counter()
    for point in points:
        counts.update({annotation["label"] for annotation in point["annotations"]})
    return {label: counts[label] / len(points) for label in CLASSES}


def test_a_tenth_has_the_distribution_of_all_and_the_images_of_its_points(subset: Subset) -> None:
    images = [
        "--images_path",
        subset.folder / "images.json",
        "--images_output_path",
        subset.folder / "small_images.json",
    ]
    outcome = subset("--fraction", 0.1, *images)
    assert outcome.code == 0
    chosen = subset.chosen()
    assert len(chosen) == 100
    assert all(point in subset.points for point in chosen)
    assert [int(point["id"][1:]) for point in chosen] == sorted(int(point["id"][1:]) for point in chosen)
    all_shares, chosen_shares = shares(subset.points), shares(chosen)
    difference = max(abs(all_shares[label] - chosen_shares[label]) for label in CLASSES)
    assert difference <= 0.01
    written = json.loads((subset.folder / "small_images.json").read_text())
    assert {image["id"] for image in written} == {point["id"] for point in chosen}
    assert all(image["url"] == f"http://localhost/{image['id'][1:]}" for image in written)
    # What is printed is what is there.
    assert f"largest difference of a class's share of the images: {100 * difference:.3f} points" in outcome.output
    bed = next(line for line in outcome.output.splitlines() if line.startswith("/m/bed"))
    assert f"{100 * all_shares['/m/bed']:.3f}%" in bed
    assert f"{100 * chosen_shares['/m/bed']:.3f}%" in bed
    assert "100 of 1000 images chosen" in outcome.output


def test_as_many_as_asked_for(subset: Subset) -> None:
    for number in (1, 37, 999, 1000):
        assert subset("--num_images", number).code == 0
        assert len(subset.chosen()) == number


def test_a_seed_gives_the_same_file_and_another_seed_another(subset: Subset) -> None:
    def content(seed: int) -> bytes:
        assert subset("--fraction", 0.2, "--seed", seed).code == 0
        return (subset.folder / "small.json").read_bytes()

    assert content(1) == content(1)
    assert content(1) != content(2)
    assert content(-5) == content(-5)


def test_a_rare_class_is_named_when_lost_and_kept_on_request(subset: Subset) -> None:
    subset.points[7]["annotations"] = [{"label": "/m/rare", **BOX}]
    (subset.folder / "points.json").write_text(json.dumps(subset.points))
    outcome = subset("--fraction", 0.05)
    assert "1 of the classes without an image here: /m/rare (on 1)" in outcome.output
    outcome = subset("--fraction", 0.05, "--keep_every_class")
    assert "without an image here" not in outcome.output
    assert any(point["id"] == "i7" for point in subset.chosen())
    assert len(subset.chosen()) == 50


def test_names_are_printed_and_the_rest_of_the_classes_counted(subset: Subset) -> None:
    descriptions = subset.folder / "names.csv"
    descriptions.write_text("/m/bed,Bed\n/m/lamp,Lamp\n")
    outcome = subset("--fraction", 0.5, "--class_description_path", descriptions, "--num_classes_shown", 1)
    assert "\nBed " in outcome.output
    assert "... and 3 more classes" in outcome.output


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--fraction", "0"], "above 0"),
        (["--fraction", "1.5"], "above 0"),
        (["--fraction", "nan"], "above 0"),
        (["--num_images", "1001"], "subset of 1001 of the 1000 images"),
        (["--fraction", "0.0001"], "subset of 0 of"),
        ([], "--fraction --num_images"),
        (["--fraction", "0.5", "--images_path", "x"], "belong together"),
    ],
)
def test_what_cannot_be_chosen_is_refused(subset: Subset, flags: list[str], message: str) -> None:
    outcome = subset(*flags)
    assert outcome.code == 2
    assert message in outcome.error
    assert not (subset.folder / "small.json").exists()


def test_an_output_does_not_take_an_inputs_place(subset: Subset, run: Callable[..., Any]) -> None:
    path = subset.folder / "points.json"
    before = path.read_bytes()
    flags = ["--datapoints_input_path", path, "--datapoints_output_path", subset.folder / "." / "points.json"]
    outcome = run(choose_subset.main, *flags, "--fraction", 0.5)
    assert outcome.code == 2
    assert "are the same file" in outcome.error
    assert path.read_bytes() == before


def test_images_without_an_entry_are_counted(subset: Subset) -> None:
    (subset.folder / "few.json").write_text('[{"id": "i1"}]')
    flags = ["--images_path", subset.folder / "few.json", "--images_output_path", subset.folder / "small_images.json"]
    outcome = subset("--num_images", 1000, *flags)
    assert outcome.code == 0
    assert "999 of the chosen images are not in" in outcome.output
    (subset.folder / "few.json").write_text('[{"id": 5}]')
    outcome = subset("--num_images", 1000, *flags)
    assert outcome.code == 2
    assert "item 1: must be an object with an 'id'" in outcome.error


def test_listed_images_are_chosen_as_they_are_and_others_are_told(subset: Subset) -> None:
    listed = subset.folder / "image_ids.txt"
    listed.write_bytes("\ufeffi7\r\n\n i3 \ni7\nelsewhere\n".encode())
    done = subset("--image_ids_path", listed)
    assert done.code == 0
    assert subset.chosen() == [subset.points[3], subset.points[7]]
    assert "2 of 1000 images chosen" in done.output
    assert f"1 of the ids in {listed} are not in" in done.output


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "lists no image ids"), (b"elsewhere\n", "1 of the ids"), (b"i1\n../i2\n", "line 2: image id"),
     (b"\xff\xfe", "not UTF-8 text"), (None, "No such file")],
)  # fmt: skip
def test_a_list_that_chooses_nothing_is_refused_in_one_line(
    subset: Subset, content: bytes | None, message: str
) -> None:
    listed = subset.folder / "image_ids.txt"
    if content is not None:
        listed.write_bytes(content)
    done = subset("--image_ids_path", listed)
    assert done.code == 2
    assert message in done.error
    assert done.error.count("\n") == 1
