from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

pytest.importorskip("apache_beam", reason="Apache Beam is not installed (requirements-beam.txt)")

NUM_IMAGES = 150  # more than two lines of the plan


def test_records_and_manifest_are_those_of_the_local_tools(road: Any) -> None:
    road.put_many(NUM_IMAGES)
    outcome = road.beam()
    assert outcome.code == 0, outcome.error
    assert f"{NUM_IMAGES} points: {NUM_IMAGES} records, 50 of them without a box; 0 rejected" in outcome.output
    assert f"workers fetched {NUM_IMAGES} images" in outcome.output
    assert "wrote 4 of 4 shards" in outcome.output
    road.step_by_step()
    of_beam, of_tools = road.contents("beam"), road.contents("local")
    assert sorted(of_beam) == sorted(of_tools)  # four shards and the manifest; the work folder is gone
    assert len(of_beam) == road.num_shards + 1
    assert of_beam == of_tools
    assert all(len(content) > 10_000 for name, content in of_beam.items() if "-of-" in name)

    # In processes of their own, from the images that the tools have left in a folder.
    words = ["--image_directory", road.folder / "images", "--", "--direct_num_workers=2"]
    outcome = road.beam(*words, "--direct_running_mode=multi_processing", output="processes", fetch=False)
    assert outcome.code == 0, outcome.error
    assert road.contents("processes") == of_tools


def test_what_cannot_be_used_is_listed_and_what_may_pass_is_tried_again(road: Any) -> None:
    sound = road.encoded(0)
    for number in range(6):
        road.put(f"good{number}", road.encoded(number), "/m/03ssj5")
    contents = {
        "cut": sound[: len(sound) // 2],
        "page": b"<html>no image</html>" * 9,
        "small": road.encoded(1, 12, 40),
    }
    for name, content in {**contents, "gone": None, "busy": road.encoded(7)}.items():
        road.put(name, content, "/m/07c52")
    road.put("thin", road.encoded(8), "/m/03ssj5", x1=0.1 + 1e-10)
    road.write()
    road.put("unlisted", sound)
    road.points_path.write_text(json.dumps(list(road.points.values())))
    road.site.failures["/train/busy.jpg"] = 2
    outcome = road.beam("--max_retries", 1)
    assert outcome.code == 3
    permanent = [
        ("cut", "does not decode"),
        ("gone", "HTTP 404"),
        ("page", "not an image"),
        ("small", "too small"),
        ("thin /m/03ssj5", "box without area"),
        ("unlisted", "missing"),
    ]
    assert road.rejects() == sorted([*permanent, ("busy", "HTTP 503")])
    assert "13 points: 7 records, 1 of them without a box; 7 rejected" in outcome.output
    assert "1 shards lack images that failed for a reason that may pass" in outcome.output

    asked = Counter(road.site.requests)
    outcome = road.beam("--max_failures", 6)
    assert outcome.code == 0
    assert "wrote 1 of 4 shards" in outcome.output
    assert "13 points: 8 records" in outcome.output
    assert road.rejects() == permanent  # those of shards that were not written again among them
    assert (road.site.requests - asked)["/train/busy.jpg"] == 1

    asked = Counter(road.site.requests)
    outcome = road.beam("--max_failures", 6)
    assert "nothing to do: 4 shards" in outcome.output
    assert road.site.requests == asked
    assert road.rejects() == permanent
    assert len(road.contents("beam")) == road.num_shards + 2


def test_an_image_without_a_url_is_rejected_and_the_others_become_records(road: Any) -> None:
    for name in ("a", "b"):
        road.put(name, road.encoded(0), "/m/03ssj5")
    road.write()
    road.images_path.write_text(json.dumps([{"id": "a", "url": road.site.url("/train/a.jpg")}, {"id": "b"}]))
    words = ("--images_path", road.images_path, "--allow_private_addresses", "--max_failures", 1)
    outcome = road.beam(*words, fetch=False)
    assert outcome.code == 0, outcome.error
    assert "2 points: 1 records" in outcome.output
    assert road.rejects() == [("b", "missing")]


def test_a_password_in_the_base_url_is_in_no_manifest(road: Any) -> None:
    road.put("a", road.encoded(0), "/m/03ssj5")
    road.write()
    base = road.site.url().replace("http://", "http://user:secret@")
    outcome = road.beam("--images_path", road.images_path, "--base_url", base, fetch=False)
    assert outcome.code == 0, outcome.error
    manifest = (road.folder / "beam" / "train.record.manifest.json").read_text()
    assert "secret" not in manifest
    assert "http://***@" in manifest


def test_images_that_are_kept_are_not_fetched_again(road: Any) -> None:
    road.put_many(12)
    saved = road.folder / "saved"
    assert road.beam("--image_saving_directory", saved).code == 0
    first = road.contents("beam")
    (saved / "max_128" / "p001.jpg").write_bytes(b"broken since")
    asked = Counter(road.site.requests)
    outcome = road.beam("--image_saving_directory", saved, "--rewrite", output="again")
    assert outcome.code == 0
    assert "workers fetched 1 images" in outcome.output
    assert "read 11" in outcome.output
    assert road.site.requests - asked == {"/train/p001.jpg": 1}
    assert road.contents("again") == first


def test_nothing_is_touched_where_no_image_can_be_used(road: Any) -> None:
    road.put_many(5)
    assert road.beam().code == 0
    first = road.contents("beam")
    road.site.pages.clear()
    outcome = road.beam("--rewrite")
    assert outcome.code == 1
    assert "error: none of the 5 images can be used, so no records are written" in outcome.error
    assert len(road.rejects()) == 5
    after = road.contents("beam")
    assert after.pop("train.record.rejected.jsonl")
    assert after == first


def test_a_single_shard_has_the_plain_name_and_shards_take_its_place(road: Any) -> None:
    road.put_many(5)

    def files() -> list[str]:
        return sorted(path.name for path in (road.folder / "beam").iterdir() if path.name.startswith("train.record"))

    assert road.beam("--num_shards", 1).code == 0
    assert files() == ["train.record", "train.record.manifest.json"]
    assert "nothing to do" in road.beam("--num_shards", 1).output
    assert road.beam("--num_shards", 2).code == 0
    shards = ["train.record-00000-of-00002", "train.record-00001-of-00002"]
    assert files() == [*shards, "train.record.manifest.json"]
    assert road.beam("--num_shards", 1).code == 0
    assert files() == ["train.record", "train.record.manifest.json"]


def test_shards_of_another_number_go(road: Any) -> None:
    road.put_many(5)
    assert road.beam("--num_shards", 3).code == 0
    assert road.beam("--num_shards", 2).code == 0
    assert sorted(path.name[-14:] for path in (road.folder / "beam").glob("*-of-*")) == [
        "00000-of-00002",
        "00001-of-00002",
    ]
