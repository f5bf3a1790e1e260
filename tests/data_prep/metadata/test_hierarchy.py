from __future__ import annotations

import json
from pathlib import Path

import pytest

from data_prep.metadata.hierarchy import read_hierarchy
from data_prep.metadata.open_images import read_class_descriptions, with_descendants
from data_prep.runtime.command_line import UsageError

OPEN_IMAGES = Path(__file__).parents[4] / "shared" / "openimages"


def node(label, *kinds, parts=()):
    return {"LabelName": label, "Subcategory": list(kinds), "Part": list(parts)}


@pytest.fixture
def hierarchy(tmp_path):
    """Furniture with Bed (with a Cot) and Chair; a Cot is baby's things too; a Person has a Nose, which is no kind."""
    path = tmp_path / "hierarchy.json"
    cot = node("cot", {"LabelName": "crib"})
    tree = node(
        "entity",
        node("furniture", node("bed", {"LabelName": "cot"}), {"LabelName": "chair"}),
        node("baby things", cot),
        node("person", parts=[node("nose", {"LabelName": "big nose"})]),
    )
    path.write_text(json.dumps(tree))
    return read_hierarchy(path)


def test_descendants_come_depth_first_once_and_without_parts(hierarchy):
    assert hierarchy.descendants("furniture") == ["bed", "cot", "crib", "chair"]
    assert hierarchy.descendants("baby things") == ["cot", "crib"]
    assert hierarchy.descendants("person") == []
    assert hierarchy.descendants("nose") == ["big nose"]
    assert hierarchy.descendants("chair") == hierarchy.descendants("nothing known") == []
    assert "crib" in hierarchy
    assert "nothing known" not in hierarchy


def test_labels_are_followed_by_their_kinds_every_one_once(hierarchy):
    assert with_descendants(["chair", "furniture", "cot"], hierarchy, None) == [
        "chair", "furniture", "bed", "cot", "crib",
    ]  # fmt: skip
    assert with_descendants(None, hierarchy, None) is None
    with pytest.raises(UsageError, match="none of the classes asked for, such as sofa, is in the hierarchy"):
        with_descendants(["sofa"], hierarchy, None)
    with pytest.raises(UsageError, match="'bed' is not in the class descriptions; are both files of one version"):
        with_descendants(["furniture"], hierarchy, {"furniture": "Furniture"})


def test_a_circle_ends(tmp_path):
    path = tmp_path / "hierarchy.json"
    path.write_text(json.dumps(node("a", node("b", node("a", node("c"))))))
    hierarchy = read_hierarchy(path)
    assert hierarchy.descendants("a") == ["b", "c"]
    assert hierarchy.descendants("b") == ["a", "c"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("{", "not JSON"),
        ("[]", "the outermost object is no object with a LabelName"),
        ('{"LabelName": 3}', "the outermost object is no object with a LabelName"),
        ('{"LabelName": "a", "Subcategory": {}}', "Subcategory and Part of a must be arrays"),
        ('{"LabelName": "a", "Part": ["b"]}', "what is in Subcategory or Part of a is no object with a LabelName"),
        ('{"LabelName": "a", "Subcategory": [' * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_hierarchy_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "hierarchy.json"
    path.write_text(content)
    with pytest.raises(UsageError) as refused:
        read_hierarchy(path)
    assert str(refused.value).startswith(str(path))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_or_far_too_large_is_refused(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        read_hierarchy(tmp_path / "none.json")
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(UsageError, match="larger than 64 MiB"):
        read_hierarchy(path)


@pytest.mark.skipif(not OPEN_IMAGES.exists(), reason="no ../shared/openimages: Open Images' own lists of classes")
def test_open_images_own_hierarchy():
    hierarchy = read_hierarchy(OPEN_IMAGES / "bbox_labels_600_hierarchy.json")
    names = read_class_descriptions(OPEN_IMAGES / "class-descriptions-boxable.csv")
    labels = {name: label for label, name in names.items()}
    assert len(hierarchy.descendants("/m/0bl9f")) == 601
    found = with_descendants([labels["Furniture"]], hierarchy, names)
    kinds = {names[label] for label in found or ()}
    assert {"Furniture", "Bed", "Infant bed", "Chair", "Table", "Coffee table"} <= kinds
    assert not {"Person", "Human nose"} & kinds
