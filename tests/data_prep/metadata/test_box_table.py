from __future__ import annotations

import random

import polars as pl
import pytest

from data_prep.metadata.box_points import encoded_points
from data_prep.metadata.box_table import BoxTable, Numbering, check_box, check_boxes, count_by_label
from data_prep.metadata.csv_frames import LINE
from data_prep.metadata.open_images import BOX_FLAG_COLUMNS
from data_prep.runtime.ledger import RejectedError

NO_FLAGS = ("0", "0", "0", "0", "0")
COLUMNS = ("ImageID", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax", *BOX_FLAG_COLUMNS)


def frame(*rows):
    """Returns rows of texts as `read_frames` yields them, their lines from 2."""
    schema = dict.fromkeys(COLUMNS, pl.String)
    return pl.DataFrame(list(rows), schema=schema, orient="row").with_columns(
        pl.int_range(2, len(rows) + 2, dtype=pl.Int64).alias(LINE)
    )


def checked(*rows, known=None):
    rejected = []
    return check_boxes(frame(*rows), known, lambda *row: rejected.append(row)), rejected


def number(generator):
    """Returns a number as a CSV may hold it: mostly 0..1, now and then a hair or far outside, or none at all."""
    choice = generator.random()
    if choice < 0.9:
        return generator.choice([f"{generator.random():.6f}", repr(generator.random()), "0", "1", "1e-3"])
    return generator.choice(
        ["nan", "inf", "-inf", "", "x", " 0.5", "1.0000005", "-0.0000005", "1.1", "-2", "1e400", "0_1", "\u0660.\u0665"]
    )


def test_whole_columns_are_judged_as_box_after_box_is():
    generator = random.Random(0)
    flags = ["0", "1", "-1", "", "True", "1.0", "false"]
    rows = []
    for _ in range(3000):
        row = [generator.choice(["a", "a.b", "../b", "", "c" * 200, "d\n"]) if generator.random() < 0.1 else "a"]
        row.append(generator.choice(["/m/1", "/m/2", "", "\ufffd", "/m/9"]) if generator.random() < 0.1 else "/m/1")
        row += [generator.choice(["1", "", "0.5"]), *(number(generator) for _ in range(4))]
        row += [generator.choice(flags) if generator.random() < 0.99 else "2" for _ in range(5)]
        rows.append(tuple(row))
    good, rejected = checked(*rows, known=["/m/1", "/m/2"])
    reasons = {line: reason for line, reason, _ in rejected}
    assert len(good) + len(rejected) == len(rows)
    assert len(good) > 300
    assert {"unsafe image id", "empty image id", "bad label", "unknown label", "not a number", "outside 0..1"} | {
        "reversed box", "box without area", "bad flag"
    } >= set(reasons.values())  # fmt: skip
    assert len(set(reasons.values())) >= 8
    kept = {row[LINE]: row for row in good.iter_rows(named=True)}
    for line, row in enumerate(rows, start=2):
        if row[0] not in {"a", "a.b"}:
            assert reasons[line] in {"unsafe image id", "empty image id"}
            continue
        try:
            values = check_box(row[1], row[2:7], row[7:], frozenset({"/m/1", "/m/2"}))
        except RejectedError as error:
            assert reasons[line] == error.reason
        else:
            assert tuple(kept[line].values()) == (*row[:2], *values, line)
    assert list(kept) == sorted(kept)


def test_a_bad_box_says_what_was_seen():
    _, rejected = checked(("img", "/m/1", "1", "0.5", "0.4", "0", "1", *NO_FLAGS))
    assert rejected == [(2, "reversed box", "image img: Confidence 1, XMin 0.5, XMax 0.4, YMin 0, YMax 1")]
    with pytest.raises(match="bad flag: is_inside is '2'"):
        check_box("/m/1", ("1", "0", "0.4", "0", "1"), ("0", "0", "0", "0", "2"))


def test_boxes_come_back_by_image_as_they_were_added():
    generator = random.Random(1)
    table = BoxTable()
    expected = {}
    for _ in range(20):  # as many blocks of a file
        rows = []
        for _ in range(100):
            x0, y0 = generator.random() / 2, generator.random() / 2
            numbers = (generator.random(), x0, x0 + 0.25, y0, y0 + 0.5)
            flags = [generator.choice(["0", "1"]) for _ in range(5)]
            image, label = f"image{generator.randrange(300)}", f"/m/{generator.randrange(20)}"
            rows.append((image, label, *map(repr, numbers), *flags))
            expected.setdefault(image, []).append((label, *numbers, *(flag == "1" for flag in flags)))
        table.add(checked(*rows)[0])
    table.add(checked()[0])
    assert len(table) == 2000
    images, labels, boxes = table.images.texts, table.labels.texts, table.take()
    assert images.to_list() == list(expected)
    assert count_by_label(boxes.label, labels).total() == 2000
    import json

    order = pl.Series(range(len(images)), dtype=pl.UInt32).reverse().to_numpy()
    points = json.loads("[" + ",".join(encoded_points(order, boxes, None, images, labels)) + "]")
    found = {point["id"]: [tuple(box.values()) for box in point["annotations"]] for point in points}
    assert found == expected
    assert list(found) == list(reversed(expected))


def test_numbers_follow_the_order_in_which_texts_first_come():
    numbering = Numbering()
    assert numbering.numbers_of(pl.Series(["b", "a", "b"])).tolist() == [0, 1, 0]
    assert numbering.numbers_of(pl.Series(["c", "a"])).tolist() == [2, 1]
    assert numbering.numbers_of(pl.Series([], dtype=pl.String)).tolist() == []
    assert numbering.contains(pl.Series(["a", "d"])).to_list() == [True, False]
    assert numbering.texts.to_list() == ["b", "a", "c"]
    assert len(numbering) == 3
