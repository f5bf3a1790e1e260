"""Estimates from the beginning of a boxes CSV."""

from __future__ import annotations

import random

import pytest

from data_prep.preparing.boxes_sample import Scaled, sample_of, scaled

HEADER = b"ImageID,Source,LabelName,XMin\n"


def boxes(seed: int, num_images: int) -> dict[str, list[bytes]]:
    """Rows of images with random ids and one to nine boxes, sorted by id; a third are of a class that is wanted."""
    chance = random.Random(seed)
    ids = sorted(f"{chance.getrandbits(64):016x}" for _ in range(num_images))
    rows = {}
    for image_id in ids:
        labels = chance.choices(["/m/wanted", "/m/a", "/m/longer"], k=chance.randint(1, 9))
        rows[image_id] = [f"{image_id},x,{label},0.1\n".encode() for label in labels]
    return rows


def text_of(rows: dict[str, list[bytes]]) -> bytes:
    return HEADER + b"".join(b"".join(lines) for lines in rows.values())


def wanted(rows: dict[str, list[bytes]]) -> dict[str, int]:
    counts = {image_id: sum(b"wanted" in line for line in lines) for image_id, lines in rows.items()}
    return {image_id: count for image_id, count in counts.items() if count}


def test_the_truth_is_within_the_interval_as_often_as_it_says():
    hits = [0, 0]
    for seed in range(200):
        rows = boxes(seed, 300)
        text, truth = text_of(rows), wanted(rows)
        sample = sample_of(text[:10_000], len(text))
        seen = {image_id: count for image_id, count in truth.items() if image_id in sample.bytes_of_image}
        images, number = scaled(sample, dict.fromkeys(seen, 1)), scaled(sample, seen)
        hits[0] += abs(images.value - len(truth)) <= images.edge
        hits[1] += abs(number.value - sum(truth.values())) <= number.edge
    assert all(180 <= hit <= 198 for hit in hits), hits


def test_a_sample_has_whole_images_only():
    rows = boxes(1, 50)
    text = text_of(rows)
    for length in range(len(HEADER) + 400, 1500, 7):
        sample = sample_of(text[:length], len(text))
        for image_id, size in sample.bytes_of_image.items():
            assert size == len(b"".join(rows[image_id]))
        assert sample.text == HEADER + b"".join(b"".join(rows[image_id]) for image_id in sample.bytes_of_image)
        assert sample.is_sorted
        assert 0.0 < sample.share < 1.0


def test_all_of_a_file_is_exact():
    rows = boxes(2, 20)
    text = text_of(rows)
    for total in (len(text), None):
        sample = sample_of(text, total)
        assert sample.share == 1.0
        assert list(sample.bytes_of_image) == list(rows)
        assert scaled(sample, wanted(rows)) == Scaled(float(sum(wanted(rows).values())), 0.0)


def test_another_order_is_noticed():
    rows = boxes(3, 20)
    assert not sample_of(text_of(dict(reversed(rows.items()))), None).is_sorted


@pytest.mark.parametrize("start", [b"", HEADER, b"<html>\n<body>\n", HEADER + b"0001,x,/m/a,0.1\n0001,x"])
def test_what_has_no_whole_image_is_refused(start: bytes):
    with pytest.raises(ValueError, match=r"."):
        sample_of(start, 1_000_000)


def test_numbers_have_the_digits_that_are_known():
    assert str(Scaled(212345.6, 1234.5)) == "212,300 ± 1,200"
    assert str(Scaled(70.2, 21.4)) == "70 ± 21"
    assert str(Scaled(3.0, 0.2)) == "3 ± 1"
    assert str(Scaled(69.0, 0.0)) == "69"
