"""Expansion along the hierarchy: the Object Detection API's own case, what is left out, and Open Images' whole tree."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from data_prep.metadata.box_table import Boxes, Numbering
from data_prep.metadata.hierarchy import Expansion, read_hierarchy
from data_prep.metadata.hierarchy_expansion import expand_boxes, expand_image_labels
from data_prep.metadata.image_labels import ImageLabels
from data_prep.runtime.command_line import UsageError

OPEN_IMAGES = Path(__file__).parents[4] / "shared" / "openimages"


@pytest.fixture
def hierarchy(tmp_path):
    """Around b, c (with d and e) and f (with d) there is a: the tree of the API's own test."""
    d = {"LabelName": "d"}
    tree = {
        "LabelName": "a",
        "Subcategory": [
            {"LabelName": "b"},
            {"LabelName": "c", "Subcategory": [d, {"LabelName": "e"}]},
            {"LabelName": "f", "Subcategory": [d]},
        ],
    }
    path = tmp_path / "hierarchy.json"
    path.write_text(json.dumps(tree))
    return read_hierarchy(path)


def boxes_of(*rows):
    """Takes (image, label, x0); returns the boxes, their y the same, and the labels' numbers."""
    labels = Numbering()
    images, names, edges = zip(*rows, strict=True)
    x0 = np.array(edges, np.float64)
    numbers = (np.ones(len(x0)), x0, x0 + 0.1, np.full(len(x0), 0.1), np.full(len(x0), 0.2))
    number_of = labels.numbers_of(pl.Series(names))
    flags = np.arange(len(x0), dtype=np.uint8)
    return Boxes(np.array(images, np.uint32), number_of, numbers, flags), labels


def rows_of(boxes, labels):
    texts = list(labels)
    columns = zip(boxes.image.tolist(), boxes.label.tolist(), boxes.numbers[1].tolist(), strict=True)
    return [(image, texts[label], x0) for image, label, x0 in columns]


def test_boxes_of_the_apis_own_case(hierarchy):
    boxes, labels = boxes_of((123, "b", 0.1), (123, "d", 0.2))
    expanded, num_copies, num_left_out = expand_boxes(boxes, labels, Expansion(hierarchy, None, None))
    assert rows_of(expanded, labels)[:2] == [(123, "b", 0.1), (123, "d", 0.2)]
    assert sorted(rows_of(expanded, labels)[2:]) == [(123, "c", 0.2), (123, "f", 0.2)]
    assert (num_copies, num_left_out) == (2, 0)
    assert expanded.flags.tolist() == [0, 1, 1, 1]
    assert [column.tolist()[3] for column in expanded.numbers] == [1.0, 0.2, pytest.approx(0.3), 0.1, 0.2]


def test_image_labels_of_the_apis_own_case(hierarchy):
    labels = Numbering()
    numbers = labels.numbers_of(pl.Series(["b", "c", "d"]))
    given = ImageLabels(np.array([123, 123, 124], np.uint32), numbers, np.array([False, False, True]), read=3)
    expanded, num_copies = expand_image_labels(given, labels, Expansion(hierarchy, None, None))
    texts = list(labels)
    found = [
        (image, texts[label], present)
        for image, label, present in zip(expanded.image, expanded.label, expanded.present, strict=True)
    ]
    assert found == [
        (123, "b", False), (123, "c", False), (123, "d", False), (123, "e", False),
        (124, "d", True), (124, "f", True), (124, "c", True),
    ]  # fmt: skip
    assert (num_copies, expanded.read) == (4, 3)


def test_what_a_person_said_goes_before_what_follows_and_present_before_absent(hierarchy):
    labels = Numbering()
    # c is absent, so d is; but d was seen (1). c absent and f absent, but d seen: c and f stay as a person said (2).
    # e seen, so c is present; d follows absent from f, and nothing else says of it (3).
    rows = [(1, "c", 0), (1, "d", 1), (2, "d", 1), (2, "f", 0), (3, "e", 1), (3, "f", 0)]
    images, names, present = zip(*rows, strict=True)
    numbers = labels.numbers_of(pl.Series(names))
    given = ImageLabels(np.array(images, np.uint32), numbers, np.array(present, bool))
    expanded, _ = expand_image_labels(given, labels, Expansion(hierarchy, None, None))
    texts = list(labels)
    found = [
        f"{image}{'+' if present else '-'}{texts[label]}"
        for image, label, present in zip(expanded.image, expanded.label, expanded.present, strict=True)
    ]
    assert sorted(found) == sorted(
        ["1-c", "1+d", "1-e", "1+f", "2+d", "2+c", "2-f", "3+e", "3+c", "3-f", "3-d"]
    )  # fmt: skip


def test_a_copy_stays_out_where_the_box_is_annotated_with_the_class_as_well(hierarchy):
    rows = [(1, "d", 0.1), (1, "c", 0.1), (2, "d", 0.1), (1, "e", 0.3), (1, "d", 0.3), (1, "c", 0.5), (1, "c", 0.5)]
    boxes, labels = boxes_of(*rows)
    expanded, num_copies, num_left_out = expand_boxes(boxes, labels, Expansion(hierarchy, None, None))
    # Of image 1, d at 0.1 is c already; e and d at 0.3 are two things, and so are the two c at 0.5.
    assert rows_of(expanded, labels) == [
        (1, "d", 0.1), (1, "f", 0.1), (1, "c", 0.1), (2, "d", 0.1), (2, "f", 0.1), (2, "c", 0.1),
        (1, "e", 0.3), (1, "c", 0.3), (1, "d", 0.3), (1, "f", 0.3), (1, "c", 0.3), (1, "c", 0.5), (1, "c", 0.5),
    ]  # fmt: skip
    assert (num_copies, num_left_out) == (6, 1)


def test_only_classes_asked_for_are_kept_and_kinds_count_for_them(hierarchy):
    expansion = Expansion(hierarchy, ["c"], None)
    assert expansion.labels_of_boxes == ["c", "d", "e"]
    assert set(expansion.labels_of_images or ()) == {"c", "d", "e", "f", "a"}
    assert [expansion.of_box(label) for label in "cdef"] == [["c"], ["c"], ["c"], []]
    assert expansion.of_image_label("f", is_present=False) == []
    assert expansion.of_image_label("a", is_present=False) == ["c"]
    boxes, labels = boxes_of((1, "d", 0.1), (1, "e", 0.2))
    expanded, num_copies, _ = expand_boxes(boxes, labels, expansion)
    assert rows_of(expanded, labels) == [(1, "c", 0.1), (1, "c", 0.2)]
    assert num_copies == 2
    assert Expansion(hierarchy, ["a"], None).of_box("d") == ["a"]
    assert Expansion(hierarchy, None, {"d": "D", "f": "F"}).of_box("d") == ["d", "f"]
    with pytest.raises(UsageError, match="none of the classes asked for, such as sofa, is in the hierarchy"):
        Expansion(hierarchy, ["sofa"], None)


def test_nothing_gives_nothing(hierarchy):
    none = np.zeros(0, np.uint32)
    boxes = Boxes(none, none, tuple(np.zeros(0) for _ in range(5)), np.zeros(0, np.uint8))
    expanded, *counts = expand_boxes(boxes, Numbering(), Expansion(hierarchy, None, None))
    assert (len(expanded), counts) == (0, [0, 0])
    labels, count = expand_image_labels(
        ImageLabels(none, none, np.zeros(0, bool)), Numbering(), Expansion(hierarchy, None, None)
    )
    assert (len(labels), count) == (0, 0)


@pytest.mark.skipif(not OPEN_IMAGES.is_dir(), reason="no ../shared/openimages: Open Images' own lists of classes")
def test_every_class_of_open_images_has_the_ancestors_of_the_tree():
    path = OPEN_IMAGES / "bbox_labels_600_hierarchy.json"
    above: dict[str, set[str]] = {}

    def walk(node, ancestors):
        above.setdefault(node["LabelName"], set()).update(ancestors)
        for kind in node.get("Subcategory", ()):
            walk(kind, [*ancestors, node["LabelName"]])

    tree = json.loads(path.read_text())
    for kind in tree["Subcategory"]:
        walk(kind, [])
    expansion = Expansion(read_hierarchy(path), None, None)
    assert len(above) > 500
    for label, ancestors in above.items():
        own, *others = expansion.of_box(label)
        assert own == label
        assert len(others) == len(set(others)), label
        assert set(others) == ancestors, label
        below = {other for other, its in above.items() if label in its}
        assert set(expansion.of_image_label(label, is_present=False)) == {label, *below}, label
