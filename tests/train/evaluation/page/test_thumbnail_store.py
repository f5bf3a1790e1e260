"""Thumbnails wait on disk, and only as many come into the page as its budget takes."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from train.evaluation.page.thumbnail_store import SIDES, ThumbnailStore

COUNT = 6


def filled(folder: Path, max_bytes: int) -> ThumbnailStore:
    """Six images of noise, 800 x 600, and one that has no thumbnail."""
    store = ThumbnailStore(folder, max_bytes)
    chance = np.random.default_rng(0)
    for _ in range(COUNT):
        store.add_pixels(chance.integers(0, 256, (600, 800, 3), np.uint8), (600, 800))
    store.add_none()
    return store


def in_page(store: ThumbnailStore, kept: list[int]) -> list[Image.Image | None]:
    entries = json.loads("".join(store.texts(kept)))
    return [Image.open(io.BytesIO(base64.b64decode(entry))) if entry else None for entry in entries]


def test_large_ones_where_all_fit(tmp_path: Path) -> None:
    store = filled(tmp_path, 10_000_000)
    kept = store.choose([3, 6, 0, 1, 2, 4, 5])
    assert sorted(kept) == list(range(COUNT))
    images = in_page(store, kept)
    assert images[COUNT] is None
    assert {image.size for image in images if image} == {(SIDES[0], 480)}
    assert list(tmp_path.iterdir()) == []  # no name to be left behind


def test_small_ones_else_and_the_most_wanted_within_the_budget(tmp_path: Path) -> None:
    store = filled(tmp_path, 600_000)
    assert len(store.choose(range(COUNT))) == COUNT
    assert {image.size for image in in_page(store, list(range(COUNT))) if image} == {(SIDES[1], 192)}
    store = filled(tmp_path, 40_000)
    kept = store.choose([4, 2, 0, 1, 3, 5, 6])
    assert 0 < len(kept) < COUNT
    assert kept == [4, 2, 0, 1, 3, 5][: len(kept)]
    assert len("".join(store.texts(kept))) <= 40_000 + 20
    assert [number for number, image in enumerate(in_page(store, kept)) if image] == sorted(kept)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_pixels_of_any_type_that_evaluations_have(tmp_path: Path, dtype: type) -> None:
    store = ThumbnailStore(tmp_path, 1_000_000)
    store.add_pixels(np.full((64, 64, 3), 200, dtype), (300, 600))  # brought to a square for the network
    (image,) = in_page(store, store.choose([0]))
    assert image is not None
    assert image.size == (128, 64)
    assert abs(int(np.asarray(image).mean()) - 200) < 3
