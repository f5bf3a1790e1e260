"""The addresses of the releases' files, as they are published."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_prep.downloading.image_sources import check_base_url
from data_prep.preparing.release_files import (
    CLASS_DESCRIPTIONS,
    HIERARCHY,
    SPLITS,
    VERSIONS,
    split_files,
)
from data_prep.runtime.command_line import UsageError

ROOT = Path(__file__).resolve().parents[3]


def test_v4_is_all_of_april_2018():
    names = [CLASS_DESCRIPTIONS["v4"], HIERARCHY]
    for split in SPLITS:
        found = split_files("v4", split)
        names += [found.boxes, found.image_index, found.image_labels]
    assert all(name.startswith("2018_04/") for name in names)
    assert "2018_04/test/test-annotations-bbox.csv" in names
    assert "2018_04/train/train-annotations-human-imagelabels-boxable.csv" in names


def test_v7_has_its_own_names_of_classes_and_the_boxes_of_v6_and_v5():
    assert CLASS_DESCRIPTIONS["v7"] == "v7/oidv7-class-descriptions-boxable.csv"
    assert split_files("v7", "train").boxes == "v6/oidv6-train-annotations-bbox.csv"
    assert split_files("v7", "validation").boxes == "v5/validation-annotations-bbox.csv"
    assert split_files("v7", "train").image_index == "2018_04/train/train-images-boxable-with-rotation.csv"
    assert split_files("v7", "test").image_labels == "v5/test-annotations-human-imagelabels-boxable.csv"


def test_the_page_has_every_address():
    page = (ROOT / "data_prep" / "README.md").read_text()
    for version in VERSIONS:
        assert f"`{CLASS_DESCRIPTIONS[version]}`" in page
        for split in SPLITS:
            found = split_files(version, split)
            for name in (found.boxes, found.image_index, found.image_labels):
                assert f"`{name}`" in page or f"`{name.replace(split, 'SPLIT')}`" in page, name
    assert f"`{HIERARCHY}`" in page


def test_a_base_url_is_an_http_url():
    assert check_base_url("--x", "https://example.org/a/") == "https://example.org/a"
    for url in ("example.org", "file:///x", "http://", "http://[x"):
        with pytest.raises(UsageError, match="--x"):
            check_base_url("--x", url)
