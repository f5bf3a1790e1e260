from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_prep import find_duplicates
from data_prep.splitting.duplicates import Duplicate, SplitHashes, copies_across_splits, copies_within

BOX = {"label": "/m/bed", "confidence": 1.0, "x0": 0.1, "x1": 0.6, "y0": 0.2, "y1": 0.9}


def scene(seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC)


class Splits:
    """Train of twelve images and validation of five, of which three are copies of train's."""

    def __init__(self, folder: Path, run: Callable[..., Any]) -> None:
        self.folder = folder
        self.ledger_path = folder / "duplicates.jsonl"
        self._run = run
        for name in ("train", "validation"):
            (folder / name / "images").mkdir(parents=True)
        for number in range(12):
            scene(number).save(folder / "train" / "images" / f"t{number}.jpg", quality=92)
        validation = folder / "validation" / "images"
        scene(100).save(validation / "v0.jpg")
        scene(101).save(validation / "v1.jpg")
        scene(3).save(validation / "v2.jpg", quality=40)
        scene(4).resize((90, 70)).save(validation / "v3.png")
        scene(5).resize((400, 300)).save(validation / "v4.webp")
        self.put("train", [f"t{number}" for number in range(12)])
        self.put("validation", [f"v{number}" for number in range(5)])

    def put(self, split: str, ids: list[str]) -> None:
        points = [{"id": image_id, "annotations": [BOX]} for image_id in ids]
        (self.folder / split / "points.json").write_text(json.dumps(points))

    def __call__(self, *more: object, names: tuple[str, ...] = ("train", "validation")) -> Any:
        inputs = [self.folder / name / "points.json" for name in names]
        images = [self.folder / name / "images" for name in names]
        flags = ["--datapoints_input_path", *inputs, "--image_directory", *images, "--ledger_path", self.ledger_path]
        return self._run(find_duplicates.main, *flags, "--num_processes", 1, *more)

    def outputs(self, *names: str) -> list[object]:
        return ["--datapoints_output_path", *(self.folder / name / "unique.json" for name in names)]

    def unique(self, split: str) -> list[str]:
        return [item["id"] for item in json.loads((self.folder / split / "unique.json").read_text())]

    def ledger(self) -> dict[str, str]:
        entries = [json.loads(line) for line in self.ledger_path.read_text().splitlines()]
        return {entry["item"]: f"{entry['reason']}: {entry['detail']}" for entry in entries}


@pytest.fixture
def splits(tmp_path: Path, run: Callable[..., Any]) -> Splits:
    return Splits(tmp_path, run)


@pytest.mark.parametrize("names", [("train", "validation"), ("validation", "train")])
def test_copies_are_dropped_from_the_larger_split_and_named(splits: Splits, names: tuple[str, ...]) -> None:
    outcome = splits(*splits.outputs(*names), names=names)
    assert outcome.code == 0
    assert splits.unique("train") == [f"t{number}" for number in range(12) if number not in (3, 4, 5)]
    assert splits.unique("validation") == [f"v{number}" for number in range(5)]
    ledger = splits.ledger()
    assert set(ledger) == {"train/t3", "train/t4", "train/t5"}
    assert re.fullmatch(r"also in validation: validation/v3, [0-4] of 64 bits differ", ledger["train/t4"])
    assert "train: 12 points, 3 dropped, 9 in" in outcome.output
    assert "3 images are in a smaller split as well; see" in outcome.output


def test_without_outputs_duplicates_are_only_reported(splits: Splits) -> None:
    before = sorted(splits.folder.rglob("*.json"))
    outcome = splits()
    assert outcome.code == 0
    assert "train: 12 points, 3 of them in a smaller split as well" in outcome.output
    assert sorted(splits.folder.rglob("*.json")) == before


def test_the_page_shows_both_images_and_needs_no_network(splits: Splits) -> None:
    page = splits.folder / "page.html"
    outcome = splits("--report_path", page)
    assert outcome.code == 0
    text = page.read_text()
    assert text.count("<img ") == text.count('src="data:image/jpeg;base64,') == 6
    assert "http" not in re.sub(r"http-equiv", "", text)
    assert "dropped from train: t4 (160x120)" in text
    assert "kept in validation: v3 (90x70)" in text
    splits("--report_path", page, "--num_pairs_shown", 1)
    assert page.read_text().count("<section>") == 1
    assert "1 of 3 pairs" in page.read_text()


def test_the_same_id_is_a_duplicate_even_where_the_image_is_gone(splits: Splits) -> None:
    splits.put("validation", ["v0", "t7"])
    outcome = splits(*splits.outputs("train", "validation"), "--max_failures", 1)
    assert outcome.code == 0
    assert "t7" not in splits.unique("train")
    assert splits.ledger() == {"train/t7": "also in validation: validation/t7, the same image id"}
    unreadable = json.loads((splits.folder / "duplicates.unreadable.jsonl").read_text())
    assert (unreadable["item"], unreadable["reason"]) == ("validation/t7", "missing")
    assert splits().code == 3


def test_a_second_run_hashes_nothing_and_an_earlier_ledger_goes(splits: Splits) -> None:
    assert "12 images hashed, 0 hashed by an earlier run" in splits().output
    splits.put("validation", ["v0", "v1"])
    assert "train: 0 images hashed, 12 hashed by an earlier run" in splits().output
    assert not splits.ledger_path.exists()


def test_copies_within_a_split_are_counted_and_stay(splits: Splits) -> None:
    scene(0).save(splits.folder / "train" / "images" / "t1.jpg", quality=30)
    outcome = splits(*splits.outputs("train", "validation"))
    assert "train: near-duplicates within it: 2 images in 1 groups, all kept" in outcome.output
    assert {"t0", "t1"} <= set(splits.unique("train"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--datapoints_output_path", "a"], "--datapoints_output_path: 1 given, but there are 2 splits"),
        (["--image_directory", "a"], "--image_directory: 3 given"),
        (["--max_distance", "-1"], "from 0 to 12"),
        (["--datapoints_output_path", "a", "a"], "--datapoints_output_path names a twice"),
    ],
)
def test_flags_that_cannot_be_are_refused(splits: Splits, flags: list[str], message: str) -> None:
    outcome = splits(*flags)
    assert outcome.code == 2
    assert message in outcome.error
    assert outcome.error.count("\n") == 1


def test_one_split_is_refused(splits: Splits) -> None:
    outcome = splits(names=("train",))
    assert outcome.code == 2
    assert "two or more splits" in outcome.error


def test_a_split_of_copies_only_is_not_written_empty(splits: Splits) -> None:
    splits.put("train", ["t3", "t4", "t5"])
    splits.put("validation", ["v2", "v3", "v4"])
    outcome = splits(*splits.outputs("validation", "train"), names=("validation", "train"))
    assert outcome.code == 1
    assert "every image of train is in a smaller split" in outcome.error
    assert not list(splits.folder.rglob("unique.json"))


def random_split(chance: random.Random, name: str, originals: list[int], size: int) -> SplitHashes:
    """Hashes near those of `originals`, some missing; ids that other splits may have too."""
    hashes = np.zeros(size, np.uint64)
    for number in range(size):
        value = chance.choice(originals)
        for _ in range(chance.randrange(4)):
            value ^= 1 << chance.randrange(64)
        hashes[number] = value
    has_hash = np.array([chance.random() < 0.95 for _ in range(size)])
    ids = [f"i{number}" for number in chance.sample(range(600), size)]
    return SplitHashes(name, ids, [None] * size, hashes, has_hash)


@pytest.mark.parametrize("seed", range(12))
def test_what_is_left_has_no_pair_across_splits_and_nothing_is_dropped_without_reason(seed: int) -> None:
    chance = random.Random(seed)
    originals = [chance.getrandbits(64) for _ in range(60)]
    splits = [random_split(chance, name, originals, size) for name, size in (("a", 60), ("b", 15), ("c", 15))]
    distance = chance.choice([0, 2, 4])
    dropped = copies_across_splits(splits, distance)
    assert dropped
    rank = {1: 0, 2: 1, 0: 2}  # b, c, a: from the smallest up, the earlier of equals first
    gone = {(copy.split, copy.image) for copy in dropped}
    assert len(gone) == len(dropped)

    def alike(split: int, image: int, of_split: int, of_image: int) -> bool:
        one, other = splits[split], splits[of_split]
        if one.image_ids[image] == other.image_ids[of_image]:
            return True
        bits = (int(one.hashes[image]) ^ int(other.hashes[of_image])).bit_count()
        return bool(one.has_hash[image] and other.has_hash[of_image] and bits <= distance)

    for copy in dropped:  # each has its reason, an image that stays
        assert rank[copy.of_split] < rank[copy.split]
        assert (copy.of_split, copy.of_image) not in gone
        assert alike(copy.split, copy.image, copy.of_split, copy.of_image)
    kept = [
        (split, image)
        for split in range(3)
        for image in range(len(splits[split].image_ids))
        if (split, image) not in gone
    ]
    assert not [(a, b) for a in kept for b in kept if a[0] < b[0] and alike(*a, *b)]


def test_copies_within_count_groups_and_images() -> None:
    hashes = np.array([0, 1, 2**63, 0, 2**63 | 2**62, 0xFFFF << 20, 9], np.uint64)
    has_hash = np.array([True] * 6 + [False])
    split = SplitHashes("train", [str(n) for n in range(7)], [None] * 7, hashes, has_hash)
    assert copies_within(split, 0) == (1, 2)
    assert copies_within(split, 1) == (1, 5)


def test_the_nearest_of_several_is_named() -> None:
    large = SplitHashes(
        "large", ["x", "y", "z"], [None] * 3, np.array([0b0, 2**40, 2**41], np.uint64), np.ones(3, bool)
    )
    small = SplitHashes("small", ["p", "q"], [None] * 2, np.array([0b11, 0b1], np.uint64), np.ones(2, bool))
    assert copies_across_splits([large, small], 2)[0] == Duplicate(split=0, image=0, of_split=1, of_image=1, distance=1)


def test_where_ids_are_file_names_only_likeness_tells_copies(tmp_path: Path, run: Callable[..., Any]) -> None:
    splits = Splits(tmp_path, run)
    for split, old in (("train", "t0"), ("validation", "v0")):  # other images, both called 0001.jpg
        folder = tmp_path / split / "images"
        (folder / f"{old}.jpg").rename(folder / "0001.jpg")
    splits.put("train", ["0001", "t3", "t6", "t7", "t8", "t9"])
    splits.put("validation", ["0001", "v1", "v2"])
    splits(*splits.outputs("train", "validation"), "--likeness_only")
    assert splits.unique("train") == ["0001", "t6", "t7", "t8", "t9"]
    splits(*splits.outputs("train", "validation"))
    assert splits.unique("train") == ["t6", "t7", "t8", "t9"]
