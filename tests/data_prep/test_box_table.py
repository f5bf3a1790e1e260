from __future__ import annotations

import random

import pytest

from data_prep.box_table import BadBoxError, BoxTable

NO_FLAGS = ("0", "0", "0", "0", "0")


def test_grouping_agrees_with_the_plain_way():
    generator = random.Random(0)
    table = BoxTable()
    expected: dict[str, list[tuple]] = {}
    for _ in range(2000):
        image, label = f"image{generator.randrange(300)}", f"/m/{generator.randrange(20)}"
        flags = [generator.choice(["0", "1", "-1", ""]) for _ in range(5)]
        x0, y0 = generator.random() / 2, generator.random() / 2
        numbers = (f"{generator.random():.3f}", str(x0), str(x0 + 0.25), str(y0), str(y0 + 0.5))
        table.add(image, label, numbers, flags)
        row = (label, *map(float, numbers), *(flag == "1" for flag in flags))
        expected.setdefault(image, []).append(row)
    boxes = table.group()
    assert len(table) == 2000
    assert list(boxes.image_ids) == list(expected)
    assert table.boxes_by_label.total() == 2000
    for image, rows in expected.items():
        assert boxes.count(image) == len(rows)
        assert [tuple(box.values()) for box in boxes.annotations(image)] == rows


def test_a_bad_box_is_not_added_and_leaves_no_trace():
    table = BoxTable()
    with pytest.raises(BadBoxError) as refused:
        table.add("new", "/m/1", ("1", "0.5", "0.4", "0", "1"), NO_FLAGS)
    assert refused.value.reason == "reversed box"
    assert "XMin 0.5, XMax 0.4" in refused.value.detail
    with pytest.raises(BadBoxError, match="bad flag: is_inside is '2'"):
        table.add("new", "/m/1", ("1", "0", "0.4", "0", "1"), ("0", "0", "0", "0", "2"))
    assert len(table) == 0
    assert not table.image_numbers
    assert not table.boxes_by_label


def test_no_confidence_counts_as_certain():
    table = BoxTable()
    table.add("a", "/m/1", ("", "0", "1", "0", "1"), ("", "-1", "True", "1.0", "false"))
    (box,) = table.group().annotations("a")
    assert box["confidence"] == 1.0
    assert [value for key, value in box.items() if key.startswith("is_")] == [False, False, True, True, False]
