from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from data_prep.images.image_file import ImageError
from data_prep.splitting.image_hash import (
    hash_content,
    joined_groups,
    near_duplicate_groups,
    near_pairs,
    numbered_by_first,
    perceptual_hash,
)
from tests.data_prep.image_bytes import encoded

STREET = Path(__file__).parents[4] / "shared" / "samples" / "street" / "images" / "validation"


def scene(seed: int) -> Image.Image:
    """An image with structure of several sizes, as a photograph has."""
    random = np.random.default_rng(seed)
    layers = [
        np.asarray(Image.fromarray(random.integers(0, 256, (n, n, 3), dtype=np.uint8)).resize((400, 300)), np.float64)
        for n in (3, 6, 14)
    ]
    return Image.fromarray(np.clip(0.5 * layers[0] + 0.3 * layers[1] + 0.2 * layers[2], 0, 255).astype(np.uint8))


def with_near_copies(random: np.random.Generator, num_hashes: int) -> np.ndarray:
    """Random hashes, some of them an earlier one with up to ten bits turned over, some the same."""
    hashes = random.integers(0, 2**64, num_hashes, dtype=np.uint64)
    for number in range(num_hashes // 2, num_hashes):
        if random.random() < 0.6:
            hashes[number] = hashes[random.integers(number)]
            for bit in random.integers(0, 64, random.integers(0, 11)):
                hashes[number] ^= np.uint64(1) << np.uint64(bit)
    return hashes


def groups_by_brute_force(hashes: np.ndarray, max_distance: int) -> list[int]:
    groups = list(range(len(hashes)))
    for left in range(len(hashes)):
        for right in range(left):
            if (int(hashes[left]) ^ int(hashes[right])).bit_count() <= max_distance:
                old, new = groups[left], groups[right]
                groups = [new if group == old else group for group in groups]
    return numbered_by_first(np.array(groups, np.int64)).tolist()


def test_copies_have_nearly_the_same_hash_and_other_images_another() -> None:
    for seed in range(8):
        image = scene(seed)
        original = hash_content(encoded(image, quality=95))
        copies = [
            encoded(image, quality=30),
            encoded(image, "PNG"),
            encoded(image, "WEBP"),
            encoded(image.resize((150, 112))),
            encoded(image.resize((1000, 900))),
            encoded(image.convert("L")),
            encoded(ImageEnhance.Brightness(image).enhance(1.08)),
        ]
        assert max((original ^ hash_content(copy)).bit_count() for copy in copies) <= 4
        assert (original ^ hash_content(encoded(scene(seed + 100)))).bit_count() > 14
        assert (original ^ perceptual_hash(image)).bit_count() <= 2


@pytest.mark.skipif(not STREET.is_dir(), reason="no ../shared/samples/street: photographs")
def test_photographs_are_told_apart_and_their_copies_found() -> None:
    files = sorted(STREET.glob("*.jpg"))[:40]
    images = [Image.open(file).convert("RGB") for file in files]
    hashes = np.array([perceptual_hash(image) for image in images], np.uint64)
    small = [Image.open(io.BytesIO(encoded(p.resize((p.width // 3, p.height // 3)), quality=50))) for p in images]
    copies = np.array([perceptual_hash(image) for image in small], np.uint64)
    assert near_duplicate_groups(hashes, 8).max() == len(files) - 1
    assert near_duplicate_groups(np.concatenate([hashes, copies]), 6).tolist() == [*range(len(files))] * 2


def test_a_hash_has_64_bits() -> None:
    values = [perceptual_hash(scene(seed)) for seed in range(20)]
    assert all(0 <= value < 2**64 for value in values)
    assert np.bitwise_or.reduce(np.array(values, np.uint64)) >= 2**63
    assert perceptual_hash(Image.new("RGB", (50, 50))) == 0


def test_what_does_not_decode_has_no_hash() -> None:
    with pytest.raises(ImageError, match="not an image"):
        hash_content(b"<html>gone</html>")
    with pytest.raises(ImageError, match="does not decode"):
        hash_content(encoded(scene(0))[:2000])


@pytest.mark.parametrize("max_distance", [0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 20, 31, 63, 64])
def test_groups_are_those_of_comparing_all_with_all(max_distance: int) -> None:
    for seed in range(3):
        hashes = with_near_copies(np.random.default_rng(seed), 150)
        assert near_duplicate_groups(hashes, max_distance).tolist() == groups_by_brute_force(hashes, max_distance)


@pytest.mark.parametrize("max_distance", [1, 4, 7, 12])
def test_pairs_are_all_and_only_those_within_the_distance(max_distance: int) -> None:
    hashes = np.unique(with_near_copies(np.random.default_rng(5), 500))
    found = {
        (left, right): distance
        for chunk in near_pairs(hashes, max_distance)
        for left, right, distance in zip(*(column.tolist() for column in chunk), strict=True)
    }
    all_distances = np.bitwise_count(hashes[:, None] ^ hashes[None, :])
    left, right = np.nonzero(np.triu(all_distances <= max_distance, 1))
    expected = {(a, b): int(all_distances[a, b]) for a, b in zip(left.tolist(), right.tolist(), strict=True)}
    assert found == expected
    assert expected


def test_groups_of_no_hash_and_of_one() -> None:
    assert near_duplicate_groups(np.zeros(0, np.uint64), 4).tolist() == []
    assert near_duplicate_groups(np.array([7], np.uint64), 4).tolist() == [0]


def test_a_quarter_million_hashes_take_seconds_and_equal_ones_no_more() -> None:
    random = np.random.default_rng(0)
    hashes = random.integers(0, 2**64, 250_000, dtype=np.uint64)
    hashes[100_000:200_000] = hashes[0]  # as many empty frames
    hashes[200_000:200_500] = hashes[:500] ^ np.uint64(0b1010)
    start = time.process_time()
    groups = near_duplicate_groups(hashes, 4)
    # Comparing all with all takes 31 billion comparisons, minutes of the same machine's time.
    assert time.process_time() - start < 15
    assert np.bincount(groups).max() == 100_002
    assert groups[200_001] == groups[1]
    assert groups.max() + 1 == 250_000 - 100_000 - 500


def test_many_edges_are_joined_in_several_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = with_near_copies(np.random.default_rng(9), 300)
    at_once = near_duplicate_groups(hashes, 8)
    monkeypatch.setattr("data_prep.splitting.image_hash.EDGES_AT_ONCE", 5)
    assert near_duplicate_groups(hashes, 8).tolist() == at_once.tolist()


def test_groups_are_joined_through_edges_and_numbered_in_order() -> None:
    joined = joined_groups(np.array([0, 1, 2, 3, 4]), np.array([[4, 2], [2, 0]]))
    assert numbered_by_first(joined).tolist() == [0, 1, 0, 2, 0]
