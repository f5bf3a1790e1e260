from __future__ import annotations

import csv
import io
import json
import random
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_prep import split_points

STREET = Path(__file__).parents[3] / "shared" / "samples" / "street"
LABELS = ["/m/bed", "/m/lamp", "/m/tv", "/m/sink"]
BOX = {"confidence": 1.0, "x0": 0.1, "x1": 0.6, "y0": 0.2, "y1": 0.9}


def point(image_id: str, *labels: str) -> dict[str, Any]:
    return {"id": image_id, "annotations": [{"label": label, **BOX} for label in labels]}


def random_points(num_images: int, prefix: str = "i", seed: int = 0) -> list[dict[str, Any]]:
    chance = random.Random(seed)
    return [
        point(
            f"{prefix}{number}", *(label for place, label in enumerate(LABELS) if chance.random() < 0.6 / (place + 1))
        )
        for number in range(num_images)
    ]


def scene(seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC)


class Split:
    """Runs the command on points of a folder of its own."""

    def __init__(self, folder: Path, run: Callable[..., Any]) -> None:
        self.folder = folder
        self.output = folder / "split"
        self._run = run

    def put(self, points: list[dict[str, Any]], name: str = "points.json") -> Path:
        path = self.folder / name
        path.write_text(json.dumps(points))
        return path

    def __call__(self, *more: object, inputs: list[Path] | None = None) -> Any:
        paths = inputs or [self.folder / "points.json"]
        flags = ["--datapoints_input_path", *paths, "--output_directory", self.output]
        return self._run(split_points.main, *flags, *more)

    def ids(self, split: str) -> list[str]:
        return [item["id"] for item in json.loads((self.output / split / "points.json").read_text())]

    def split_of(self) -> dict[str, str]:
        names = [path.parent.name for path in self.output.glob("*/points.json")]
        return {image_id: name for name in names for image_id in self.ids(name)}


@pytest.fixture
def split(tmp_path: Path, run: Callable[..., Any]) -> Split:
    return Split(tmp_path, run)


def test_every_image_is_in_one_split_and_each_has_its_part_of_every_class(split: Split) -> None:
    points = random_points(500)
    split.put(points)
    images = split.folder / "images.json"
    images.write_text(json.dumps([{"id": item["id"], "url": "http://localhost/"} for item in points]))
    fractions = ["--train_fraction", 0.7, "--validation_fraction", 0.2, "--test_fraction", 0.1]
    outcome = split(*fractions, "--images_path", images)
    assert outcome.code == 0
    splits = {name: split.ids(name) for name in ("train", "validation", "test")}
    assert [len(ids) for ids in splits.values()] == [350, 100, 50]
    assert sorted(image_id for ids in splits.values() for image_id in ids) == sorted(item["id"] for item in points)
    labels_of = {item["id"]: {box["label"] for box in item["annotations"]} for item in points}
    for label in LABELS:
        share = sum(label in labels for labels in labels_of.values()) / 500
        for ids in splits.values():
            assert abs(sum(label in labels_of[image_id] for image_id in ids) / len(ids) - share) <= 0.02
    for name, ids in splits.items():
        written = json.loads((split.output / name / "images.json").read_text())
        assert {image["id"] for image in written} == set(ids)
        assert f"{name}: {len(ids)} images" in outcome.output
        assert f"wrote {len(ids)} points to" in outcome.output
    assert "500 points read, 500 split; 0 rejected" in outcome.output


def test_without_a_test_fraction_no_test_split_is_written(split: Split) -> None:
    split.put(random_points(100))
    assert split().code == 0
    assert (len(split.ids("train")), len(split.ids("validation"))) == (80, 20)
    assert not (split.output / "test").exists()


def test_official_splits_are_merged_and_split_anew(split: Split) -> None:
    train = split.put(random_points(80, "t"), "train.json")
    validation = split.put([*random_points(20, "v"), point("t3", "/m/bed")], "validation.json")
    assert split(inputs=[train, validation]).code == 0
    outcome = split("--datapoints_input_path", validation, inputs=[train])  # the flag twice is the same
    assert outcome.code == 0
    split_of = split.split_of()
    assert len(split_of) == 100
    assert {name[0] for name, where in split_of.items() if where == "validation"} == {"t", "v"}
    assert "101 points read, 100 split; 1 rejected (1 image listed in two inputs" in outcome.output
    assert json.loads((split.output / "split.rejected.jsonl").read_text())["item"] == "t3"


@pytest.mark.parametrize("seed", range(5))
def test_images_of_an_author_stay_together(split: Split, seed: int) -> None:
    chance = random.Random(seed)
    points = random_points(300, seed=seed)
    split.put(points)
    author_of = {item["id"]: f"author {chance.randrange(60)}" for item in points}
    author_of["i0"] = author_of["i1"] = ""  # of nobody, and not of one author
    index = split.folder / "index.csv"
    with index.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["ImageID", "Title", "Author"])
        writer.writerows(
            [image_id, "x, y", f" {author} "] for image_id, author in author_of.items() if image_id != "i2"
        )
        writer.writerow(["unknown", "", "author 1"])
        writer.writerow(["i5"])
    outcome = split("--group_by", "author", "--group_csv_path", index, "--seed", seed)
    assert outcome.code == 0
    split_of = split.split_of()
    assert len(split_of) == 300
    where = defaultdict(set)
    for image_id, author in author_of.items():
        if author and image_id != "i2":
            where[author].add(split_of[image_id])
    assert all(len(names) == 1 for names in where.values())
    assert {name for names in where.values() for name in names} == {"train", "validation"}
    assert abs(len(split.ids("validation")) - 60) <= 6
    assert "2 images have no value and 1 are not listed" in outcome.output
    assert "1 wrong number of cells" in outcome.output
    for label in LABELS:
        for name in ("train", "validation"):
            items = json.loads((split.output / name / "points.json").read_text())
            assert any(box["label"] == label for item in items for box in item["annotations"])


def test_near_duplicates_stay_together_and_a_missing_image_is_named(split: Split) -> None:
    images = split.folder / "images"
    images.mkdir()
    for number in range(24):
        scene(number).save(images / f"i{number}.jpg", quality=90)
        scene(number).resize((100, 75)).save(images / f"small{number}.png")
    (images / "i23.jpg").write_bytes(b"<html>")
    copies = random_points(24) + [{**item, "id": f"small{place}"} for place, item in enumerate(random_points(24))]
    split.put([*copies, point("gone", "/m/bed")])
    likeness = ["--near_duplicates", "--image_directory", images, "--num_processes", 1]
    for seed in range(3):
        outcome = split(
            *likeness, "--max_failures", 2, "--seed", seed, "--validation_fraction", 0.5, "--train_fraction", 0.5
        )
        assert outcome.code == 0
        split_of = split.split_of()
        assert all(split_of[f"i{number}"] == split_of[f"small{number}"] for number in range(23))
        assert len(split_of) == 49
        assert "49 images in 26 groups, 23 of several images (46 in all)" in outcome.output
        assert ("0 images hashed, 47 hashed by" if seed else "47 images hashed, 0 hashed by") in outcome.output
    reasons = [json.loads(line) for line in (split.output / "split.rejected.jsonl").read_text().splitlines()]
    assert [(entry["item"], entry["reason"]) for entry in reasons] == [("i23", "not an image"), ("gone", "missing")]
    assert split(*likeness, "--max_failures", 1).code == 3
    assert split(*likeness).code == 3  # 2 of 49 are more than 1%


def test_authors_and_likeness_are_joined(split: Split) -> None:
    images = split.folder / "images"
    images.mkdir()
    for number in range(10):  # i0 and i1 are copies, i1 and i2 of one author: the three stay together
        scene(0 if number == 1 else number).save(images / f"i{number}.jpg")
    split.put([point(f"i{number}", "/m/bed") for number in range(10)])
    index = split.folder / "index.csv"
    index.write_text("ImageID,Author\ni1,Ann\ni2,Ann\n")
    for seed in range(6):
        likeness = ["--near_duplicates", "--image_directory", images, "--num_processes", 1, "--seed", seed]
        outcome = split(*likeness, "--group_by", "Author", "--group_csv_path", index, "--max_distance", 2)
        assert outcome.code == 0
        split_of = split.split_of()
        assert split_of["i0"] == split_of["i1"] == split_of["i2"]
        assert "the largest group has 30.0% of all images" in outcome.output


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--train_fraction", "0.5"], "add up to 0.7, not to 1"),
        (["--group_by", "Author"], "give both or neither"),
        (["--near_duplicates"], "give their --image_directory"),
        (["--near_duplicates", "--image_directory", "nowhere"], "nowhere is no folder"),
        (["--near_duplicates", "--max_distance", "13"], "from 0 to 12"),
        (["--datapoints_input_path", "POINTS"], "names .*points.json twice"),
        (["--group_by", "Maker", "--group_csv_path", "INDEX"], "no column Maker"),
    ],
)
def test_flags_that_cannot_be_are_refused(split: Split, flags: list[str], message: str) -> None:
    points = split.put(random_points(10))
    index = split.folder / "index.csv"
    index.write_text("ImageID,Author\n")
    outcome = split(*[{"POINTS": points, "INDEX": index}.get(word, word) for word in flags])
    assert outcome.code == 2
    assert outcome.error.count("\n") == 1
    assert re.search(message, outcome.error)
    assert not list(split.output.glob("*/points.json"))


def test_splits_that_would_be_empty_are_refused(split: Split) -> None:
    split.put(random_points(10))
    index = split.folder / "index.csv"
    index.write_text("ImageID,Author\n" + "".join(f"i{number},Ann\n" for number in range(10)))
    outcome = split("--group_by", "Author", "--group_csv_path", index)
    assert outcome.code == 1
    assert "no images are left for validation" in outcome.error
    split.put([])
    outcome = split()
    assert outcome.code == 1
    assert "lists no images" in outcome.error


def test_an_output_does_not_take_an_inputs_place(split: Split) -> None:
    (split.output / "train").mkdir(parents=True)
    path = split.put(random_points(10), "split/train/points.json")
    before = path.read_bytes()
    outcome = split(inputs=[path])
    assert outcome.code == 2
    assert "are the same file" in outcome.error
    assert path.read_bytes() == before


@pytest.mark.skipif(not STREET.is_dir(), reason="no ../shared/samples/street: photographs")
def test_street_photographs_are_split_without_copies_apart(split: Split) -> None:
    images = split.folder / "images"
    images.mkdir()
    files = sorted((STREET / "images" / "train").glob("*.jpg"))[:30]
    points = []
    for number, file in enumerate(files):
        image = Image.open(file).convert("RGB")
        image.save(images / f"{file.stem}.jpg", quality=60)
        buffer = io.BytesIO()
        image.resize((image.width // 2, image.height // 2)).save(buffer, "JPEG", quality=80)
        (images / f"copy{file.stem}.jpg").write_bytes(buffer.getvalue())
        points += [point(file.stem, LABELS[number % 4]), point(f"copy{file.stem}", LABELS[number % 4])]
    split.put(points)
    outcome = split(
        "--near_duplicates", "--image_directory", images, "--num_processes", 1, "--hash_cache_directory", split.folder
    )
    assert outcome.code == 0
    split_of = split.split_of()
    assert all(split_of[file.stem] == split_of[f"copy{file.stem}"] for file in files)
    assert "30 of several images (60 in all)" in outcome.output
    assert len(split.ids("validation")) == 12
