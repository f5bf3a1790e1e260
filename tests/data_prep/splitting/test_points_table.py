from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_prep.formats.points import read_points
from data_prep.runtime.command_line import UsageError, UserError
from data_prep.runtime.ledger import Ledger
from data_prep.splitting.points_table import read_points_table

BOX = {"confidence": 1.0, "x0": 0.1, "x1": 0.6, "y0": 0.2, "y1": 0.9}


def point(image_id: str, *labels: str, **more: Any) -> dict[str, Any]:
    return {"id": image_id, "annotations": [{"label": label, **BOX} for label in labels], **more}


def put(path: Path, *points: dict[str, Any], indent: int | None = None) -> Path:
    path.write_text(json.dumps(points, indent=indent))
    return path


def test_classes_are_counted_by_images_and_by_boxes(tmp_path: Path) -> None:
    path = put(tmp_path / "p.json", point("a", "dog", "cat", "dog"), point("b"), point("c", "dog"))
    table = read_points_table([path])
    assert table.image_ids == ["a", "b", "c"]
    assert table.labels == ["cat", "dog"]
    assert table.image_counts().tolist() == [1, 2]
    assert table.box_counts().tolist() == [1, 3]
    last = np.array([False, False, True])
    assert table.image_counts(last).tolist() == [0, 1]
    assert table.box_counts(last).tolist() == [0, 1]


@pytest.mark.parametrize("indent", [None, 3])
def test_images_are_written_as_they_were_read(tmp_path: Path, indent: int | None) -> None:
    verified = [{"label": "cat", "confidence": 0.0}]
    points = [point("a", "dog"), point("b", "cat", image_labels=verified, note="größe"), point("c", "dog", "cat")]
    table = read_points_table([put(tmp_path / "p.json", *points, indent=indent)])
    assert table.write(tmp_path / "out.json", np.array([False, True, True])) == 2
    assert json.loads((tmp_path / "out.json").read_bytes()) == points[1:]
    read_points(tmp_path / "out.json")  # is one of ours


def test_several_files_are_merged_and_the_first_of_an_image_counts(tmp_path: Path) -> None:
    first = put(tmp_path / "1.json", point("a", "dog"), point("b", "dog"))
    second = put(tmp_path / "2.json", point("b", "cat"), point("c", "bird"))
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        table = read_points_table([first, second], ledger)
    assert table.image_ids == ["a", "b", "c"]
    assert ledger.counts == {"image listed in two inputs": 1}
    assert json.loads((tmp_path / "ledger.jsonl").read_text())["item"] == "b"
    table.write(tmp_path / "out.json", np.ones(3, bool))
    assert [p["annotations"][0]["label"] for p in read_points(tmp_path / "out.json")] == ["dog", "dog", "bird"]


def test_an_image_twice_in_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"item 2: image id 'a' comes twice"):
        read_points_table([put(tmp_path / "p.json", point("a"), point("a"))], Ledger(None))
    other = put(tmp_path / "q.json", point("b"))
    with pytest.raises(UsageError, match="comes twice"):  # also after another file had it
        read_points_table([other, put(tmp_path / "p.json", point("b"), point("b"))])


def test_what_is_no_point_is_named(tmp_path: Path) -> None:
    bad = point("b", "dog")
    bad["annotations"][0]["x1"] = 0.05
    with pytest.raises(UsageError, match=r"p\.json: item 2, annotation 1: x1 must be greater"):
        read_points_table([put(tmp_path / "p.json", point("a"), bad)])
    with pytest.raises(UsageError, match=r"item 1: image id '\.\./x'"):
        read_points_table([put(tmp_path / "p.json", point("../x"))])


def test_a_file_that_changes_in_between_is_noticed(tmp_path: Path) -> None:
    path = put(tmp_path / "p.json", point("a", "dog"), point("b", "cat"))
    table = read_points_table([path])
    put(path, point("longer_id", "dog"), point("b", "cat"))
    with pytest.raises(UserError, match="changed while"):
        table.write(tmp_path / "out.json", np.ones(2, bool))
    assert not (tmp_path / "out.json").exists()


def test_a_file_that_changes_and_stays_as_long_is_noticed(tmp_path: Path) -> None:
    path = put(tmp_path / "p.json", point("a", "dog"), point("b", "cat"))
    table = read_points_table([path])
    put(path, point("a", "cow"), point("b", "ant"))
    os.utime(path, ns=(0, 0))
    with pytest.raises(UserError, match="changed while"):
        table.write(tmp_path / "out.json", np.ones(2, bool))
    assert not (tmp_path / "out.json").exists()
