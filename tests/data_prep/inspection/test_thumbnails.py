"""Which images are shown, and within which bounds."""

from __future__ import annotations

import numpy as np
from PIL import Image

from data_prep.inspection import data_set
from data_prep.inspection.data_set import DataSet, DataSetBuilder
from data_prep.inspection.thumbnails import choose_images, make_thumbnails
from data_prep.runtime.ledger import Ledger


def long_tail() -> DataSet:
    """1000 images of cats, of which 5 hold a dog too and 2 an owl, and one that is missing."""
    builder = DataSetBuilder({}, lists_all=False)
    for number in range(1000):
        builder.add_image(f"p{number}", width=64, height=64, flags=data_set.NO_IMAGE if number == 7 else 0)
        builder.add_box("cat", (0.1, 0.1, 0.5, 0.5), 0)
        if number % 200 == 7:
            builder.add_box("dog", (0.1, 0.5, 0.5, 0.9), 0)
        if number in (500, 900):
            builder.add_box("owl", (0.5, 0.5, 0.9, 0.9), 0)
    return builder.finish("a test")


def test_rare_classes_are_shown_whole_and_suspicious_images_first():
    found = long_tail()
    scores = np.zeros(1000, np.int32)
    scores[[13, 14, 15]] = 9, 8, 7
    chosen = choose_images(found, scores, 30, seed=0)
    assert len(chosen) == len(set(chosen)) == 30
    assert chosen[0] == 13
    assert {13, 14, 15, 500, 900, 207, 407, 607, 807} <= set(chosen)
    assert 7 not in chosen
    assert chosen == choose_images(found, scores, 30, seed=0)
    assert set(chosen) != set(choose_images(found, scores, 30, seed=1))


def test_suspicion_does_not_crowd_the_classes_out():
    found = long_tail()
    scores = np.full(1000, 5, np.int32)
    scores[[500, 900]] = 0
    assert {500, 900} <= set(choose_images(found, scores, 20, seed=0))


def test_all_are_chosen_where_there_are_no_more():
    found = long_tail()
    assert sorted(choose_images(found, np.zeros(1000, np.int32), 5000, seed=0)) == [n for n in range(1000) if n != 7]
    assert choose_images(found, np.zeros(1000, np.int32), 0, seed=0) == []


def test_bytes_are_bounded_and_what_does_not_decode_is_flagged_and_counted(tmp_path):
    builder = DataSetBuilder({}, lists_all=False)
    noise = np.random.default_rng(0)
    for number in range(12):
        builder.add_image(f"p{number}", width=200, height=200)
        pixels = noise.integers(0, 256, (200, 200, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"p{number}.jpg")
    (tmp_path / "p1.jpg").write_bytes((tmp_path / "p1.jpg").read_bytes()[:5000])
    found = builder.finish("a test")
    ledger = Ledger(None)
    made = make_thumbnails(
        found, [3, 1, 2, 0, 4, 5, 6, 7], tmp_path, side=100, max_bytes=25_000, ledger=ledger, num_threads=2
    )
    assert sum(map(len, made.values())) <= 25_000
    assert list(made)[:2] == [3, 2]
    assert len(made) < 7
    assert ledger.counts == {"does not decode": 1}
    assert found.image_flags[1] & data_set.NO_IMAGE
