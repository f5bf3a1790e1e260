from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_prep.formats.points import write_points
from data_prep.records.point_index import chance, index_points, shuffle_key
from data_prep.runtime.command_line import UsageError, UserError


def point(name: str, label: str = "Häuser") -> dict[str, Any]:
    return {"id": name, "annotations": [{"label": label, "x0": 0.1, "x1": 0.6, "y0": 0.2, "y1": 0.9}]}


POINTS = [point(f"p{number}", label) for number, label in enumerate("aabcä")]


@pytest.mark.parametrize("layout", ["ours", "one line", "indented", "utf-8"])
def test_images_are_found_in_any_layout(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "points.json"
    if layout == "ours":
        write_points(path, [dict(p) for p in POINTS])
    else:
        path.write_text(json.dumps(POINTS, indent=2 if layout == "indented" else None, ensure_ascii=layout != "utf-8"))
    index = index_points(path, lambda image_id, number: number)
    assert len(index) == 5
    assert index.boxes_by_label == {"a": 2, "b": 1, "c": 1, "ä": 1}
    read = [[json.loads(text) for text in shard.texts()] for shard in index.shards(2)]
    assert [[p["id"] for p in shard] for shard in read] == [["p0", "p2", "p4"], ["p1", "p3"]]
    assert read[0][2]["annotations"][0]["label"] == "ä"


def test_shards_share_all_images_out_by_key(tmp_path: Path) -> None:
    path = tmp_path / "points.json"
    write_points(path, (point(f"p{number}") for number in range(200)))
    index = index_points(path, lambda image_id, number: shuffle_key(image_id, 3))
    for num_shards in (1, 7, 300):
        shards = index.shards(num_shards)
        assert len(shards) == num_shards
        assert sum(map(len, shards)) == 200
        for number, shard in enumerate(shards):
            assert (shard.keys % np.uint64(num_shards) == number).all()
            assert (np.diff(shard.keys.astype(object)) > 0).all()
            assert [shuffle_key(json.loads(text)["id"], 3) for text in shard.texts()] == shard.keys.tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "not JSON"),
        ('[{"id": "a", "annotations": []}, {"id": "a", "annotations": []}]', "item 2: image id 'a' comes twice"),
        ('[{"id": "a"}]', "item 1: 'annotations' must be an array"),
        ('[{"id": "../a", "annotations": []}]', "plain file name"),
        ("", "empty"),
        ("{}", "array"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "points.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        index_points(path, shuffle_key)


def test_a_file_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "points.json"
    write_points(path, (dict(p) for p in POINTS))
    index = index_points(path, shuffle_key)
    write_points(path, (point(p["id"], "other") for p in POINTS))
    with pytest.raises(UserError, match="was changed while"):
        list(index.texts())


def test_places_are_spread_and_hang_on_id_and_seed_alone() -> None:
    ids = [f"{number:016x}" for number in range(8000)]
    counts = np.bincount([shuffle_key(image_id, 0) % 8 for image_id in ids], minlength=8)
    assert counts.min() > 850
    assert counts.max() < 1150
    assert shuffle_key("0a1b", 7) == 13360251144219294626  # another number would move every image of every set
    chances = np.array([chance(image_id, 0) for image_id in ids])
    assert abs((chances < 0.25).mean() - 0.25) < 0.02
    # Which images are kept says nothing about where they go.
    kept = [shuffle_key(image_id, 0) % 8 for image_id in ids if chance(image_id, 0) < 0.25]
    assert np.bincount(kept, minlength=8).min() > 180
