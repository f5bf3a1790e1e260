"""python -m data_prep.inspect_data: the page as a file; tests/data_prep/inspection looks at it in a browser."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_prep import verify_tfrecords
from data_prep.formats.example_proto import example_class
from data_prep.formats.tf_example import make_example
from data_prep.inspect_data import main
from data_prep.pages.page_file import script_json
from data_prep.records.record_files import RecordWriter

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "</script><script>alert(1)</script><!--"


class Parsed(HTMLParser):
    """The elements of a page, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.scripts and self.elements[-1][0] == "script":
            self.scripts[-1] += data


def data_of(page: Path) -> dict:
    return json.loads(Parsed(page.read_text(encoding="utf-8")).scripts[0])


def column(data: dict, name: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(data[name]), kind)


def jpeg(width: int = 120, height: int = 80) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (width, height), (200, 40, 40)).save(content, "JPEG")
    return content.getvalue()


def write_points(folder: Path, points: list[dict], *, size: tuple[int, int] = (120, 80)) -> Path:
    (folder / "images").mkdir(exist_ok=True)
    for point in points:
        (folder / "images" / f"{point['id']}.jpg").write_bytes(jpeg(*size))
    path = folder / "points.json"
    path.write_text(json.dumps(points), encoding="utf-8")
    return path


def box(label: str = "/m/cat", **other: object) -> dict:
    return {"label": label, "x0": 0.25, "x1": 0.75, "y0": 0.25, "y1": 0.75, **other}


def record(source_id: str, boxes: list[tuple[float, ...]], labels: list[int], texts: list[str]) -> bytes:
    return make_example(
        encoded_image=jpeg(),
        image_format="jpeg",
        source_id=source_id,
        height=80,
        width=120,
        boxes_ymin_xmin_ymax_xmax=boxes,
        class_labels=labels,
        class_texts=texts,
        truncated=[True] * len(boxes),
        image_class_labels=[1, 2],
        image_class_texts=["/m/cat", "/m/dog"],
    )


def write_records(path: Path, records: list[bytes]) -> Path:
    with RecordWriter(path) as writer:
        for item in records:
            writer.write(item)
    return path


@pytest.fixture
def label_map(tmp_path: Path) -> Path:
    path = tmp_path / "label_map.pbtxt"
    path.write_text("item { name: '/m/cat' id: 1 display_name: 'Cat' }\nitem { name: '/m/dog' id: 2 }\n")
    return path


def test_points_and_images_become_one_page_that_asks_for_nothing(tmp_path, run, label_map):
    points = write_points(
        tmp_path, [{"id": "a", "annotations": [box(is_occluded=True)]}, {"id": "b", "annotations": []}]
    )
    page = tmp_path / "deep" / "page.html"
    images = tmp_path / "images"
    words = ("--datapoints-input-path", points, "--image_directory", images, "--label_map_path", label_map)
    done = run(main, *words, "--output_path", page)
    assert (done.code, done.error) == (0, "")
    assert "2 images with 1 boxes of 1 classes" in done.output
    assert "1 without boxes" in done.output
    text = page.read_text(encoding="utf-8")
    parsed = Parsed(text)
    assert not [
        attributes for _, attributes in parsed.elements if "src" in attributes or "http" in str(attributes.get("href"))
    ]
    assert "link" not in [tag for tag, _ in parsed.elements]
    policy = next(attributes["content"] for tag, attributes in parsed.elements if "http-equiv" in attributes)
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    data = data_of(page)
    assert data["ids"] == ["a", "b"]
    assert column(data, "widths", "<u4").tolist() == [120, 120]
    assert column(data, "offsets", "<u4").tolist() == [0, 1, 1]
    np.testing.assert_allclose(column(data, "boxes", "<u2") / 65535, [0.25, 0.25, 0.75, 0.75], atol=1e-5)
    assert column(data, "boxFlags", "<u2").tolist() == [1]
    assert [entry["name"] for entry in data["statistics"]["classes"]] == ["Cat", "/m/dog"]
    thumbnails = json.loads(parsed.scripts[1])
    assert [Image.open(io.BytesIO(base64.b64decode(encoded))).size for encoded in thumbnails] == [(120, 80)] * 2
    again = tmp_path / "again.html"
    run(main, *words, "--output_path", again)
    assert again.read_bytes() == page.read_bytes()


def test_names_cannot_leave_the_data(tmp_path, run):
    points = write_points(tmp_path, [{"id": "a", "annotations": [box(HOSTILE), box("\u2028&lt;'\"")]}])
    page = tmp_path / "page.html"
    done = run(
        main, "--datapoints_input_path", points, "--image_directory", tmp_path / "images", "--output_path", page,
        "--title", HOSTILE,
    )  # fmt: skip
    assert done.code == 0
    text = page.read_text(encoding="utf-8")
    assert "alert(1)</script>" not in text
    assert len(re.findall("<script", text)) == 3
    data = data_of(page)
    assert [entry["label"] for entry in data["statistics"]["classes"]] == [HOSTILE, "\u2028&lt;'\""]
    assert data["title"] == HOSTILE
    assert json.loads(script_json(["<!--", "&", "é\u2029"])) == ["<!--", "&", "é\u2029"]
    assert not set("<>&\u2028") & set(script_json([HOSTILE, "&\u2028"]))


def test_records_are_shown_as_training_sees_them(tmp_path, run, label_map):
    good = record("a", [(0.1, 0.1, 0.5, 0.5), (0.6, 0.6, 0.2, 0.9)], [1, 7], ["/m/cat", "/m/owl"])
    shard = write_records(tmp_path / "t.record-00000-of-00001", [good, record("a", [], [], []), b"no example"])
    page = tmp_path / "page.html"
    words = ("--input_path", tmp_path / "t.record-*", "--label_map_path", label_map, "--output_path", page)
    done = run(main, *words)
    assert done.code == 3
    assert "1 unreadable record" in done.output
    rejected = (tmp_path / "page.html.rejected.jsonl").read_text()
    assert f"{shard}, record 2" in rejected
    data = data_of(page)
    assert data["ids"] == ["a", "a"]
    assert [entry["name"] for entry in data["statistics"]["classes"]] == [
        "Cat",
        "/m/dog",
        "id 7 (not in the label map)",
    ]
    flags = column(data, "boxFlags", "<u2").tolist()
    assert flags[0] == 2  # truncated
    assert flags[1] & (1 << 12)  # reversed
    assert column(data, "imageFlags", "<u2").tolist() == [0, 2 | 16]  # without boxes, and an id that was there
    # Both classes were looked for in both images; a cat is in one of them.
    verified = [(entry["present"], entry["absent"]) for entry in data["statistics"]["classes"]]
    assert verified == [(1, 1), (0, 2), (0, 0)]
    assert all(json.loads(Parsed(page.read_text(encoding="utf-8")).scripts[1]))
    assert "1 rejected (" in done.output
    assert "warnings: 1 class text outside the label map, 1 reversed box" in done.output
    assert run(main, *words, "--max_failures", 1).code == 0


def test_the_text_of_a_class_counts_and_not_the_id_beside_it(tmp_path, run, label_map):
    whole = [(0.1, 0.1, 0.5, 0.5)]
    without_ids = changed(record("b", whole, [1], ["Cat"]), lambda features: features.pop("image/object/class/label"))
    records = [record("a", whole, [0], ["/m/dog"]), without_ids, record("c", whole, [1], ["/m/owl"])]
    words = ("--input_path", write_records(tmp_path / "t.record", records), "--label_map_path", label_map)
    page = tmp_path / "page.html"
    assert run(main, *words, "--output_path", page).code == 0
    counts = {entry["name"]: entry["boxes"] for entry in data_of(page)["statistics"]["classes"]}
    assert counts == {"Cat": 1, "/m/dog": 1, "/m/owl (not in the label map)": 1}


def test_coordinates_in_pixels_are_rejected_as_a_whole(tmp_path, run, label_map):
    pixels = record("a", [(10, 10, 50, 50)] * 60, [1] * 60, ["/m/cat"] * 60)
    shard = write_records(tmp_path / "t.record", [pixels, pixels])
    words = ("--input_path", shard, "--label_map_path", label_map)
    assert run(verify_tfrecords.main, *words).code == 1
    done = run(main, *words, "--output_path", tmp_path / "page.html")
    assert done.code == 3
    assert "verify_tfrecords would report: 1 most boxes cannot be trained on" in done.output


def changed(serialized: bytes, edit: Callable[[Any], object]) -> bytes:
    """Returns a record whose features `edit` has changed."""
    example = example_class().FromString(serialized)
    edit(example.features.feature)
    return bytes(example.SerializeToString(deterministic=True))


def set_bytes(key: str, value: bytes) -> Callable[[Any], None]:
    def edit(features: Any) -> None:
        features[key].bytes_list.value[:] = [value]

    return edit


def test_what_verify_tfrecords_reports_is_said_counted_and_shown(tmp_path, run, label_map):
    whole = [(0.1, 0.1, 0.5, 0.5)]
    sound = record("sound", whole, [1], ["/m/cat"])
    bad = [
        record("negative", whole, [-5], [""]),
        record("zero", whole, [0], [""]),
        record("large", whole, [99999], [""]),
        record("text", whole, [1], ["/m/dog"]),
        changed(sound, lambda features: features.pop("image/encoded")),
        changed(sound, set_bytes("image/encoded", jpeg()[:200])),
        changed(sound, set_bytes("image/key/sha256", b"0" * 64)),
        changed(sound, set_bytes("image/format", b"png")),
        changed(sound, set_bytes("image/height", b"a text")),
        record("boxes", [(0.6, 0.1, 0.5, 0.6), (0.7, 0.1, 0.5, 0.6)], [1, 1], ["/m/cat"] * 2),
    ]
    shard = write_records(tmp_path / "t.record", [sound, *bad])
    words = ("--input_path", shard, "--label_map_path", label_map)
    verified = run(verify_tfrecords.main, *words)
    assert verified.code == 1
    kinds = {}
    for line in verified.output.splitlines():
        if not line.startswith(" " * 10):
            count, kind = line.strip().split("  ", 1)
            kinds[kind] = int(count)
    page = tmp_path / "page.html"
    done = run(main, *words, "--output_path", page)
    assert done.code == 3
    problems = data_of(page)["problems"]
    assert {entry["kind"]: entry["count"] for entry in problems["kinds"]} == kinds
    assert problems["badRecords"] == 5
    for kind, count in kinds.items():
        assert f"{count} {kind.removeprefix('warning: ')}" in done.output
    examples = [example for entry in problems["kinds"] for example in entry["examples"]]
    assert all(example in verified.output for example in examples)
    rejected = (tmp_path / "page.html.rejected.jsonl").read_text()
    for number in (1, 2, 3, 5, 6):
        assert f"record {number}" in rejected
    assert "record 0" not in rejected
    run(main, "--input_path", write_records(tmp_path / "s.record", [sound]), "--output_path", page)
    assert data_of(page)["problems"] == {"badRecords": 0, "kinds": []}


def test_without_a_label_map_ids_below_1_are_reported(tmp_path, run):
    shard = write_records(tmp_path / "t.record", [record("zero", [(0.1, 0.1, 0.5, 0.5)], [0], ["/m/cat"])])
    done = run(main, "--input_path", shard, "--output_path", tmp_path / "page.html")
    assert done.code == 3
    assert "verify_tfrecords would report: 1 class id below 1, in 1 of 1 records" in done.output


def test_a_record_file_that_breaks_off_is_named_and_the_rest_shown(tmp_path, run):
    shard = write_records(tmp_path / "t.record", [record(f"p{n}", [], [], []) for n in range(3)])
    shard.write_bytes(shard.read_bytes()[:-10])
    done = run(main, "--input_path", shard, "--output_path", tmp_path / "page.html", "--max_failures", 1)
    assert done.code == 0
    assert "1 corrupt record file" in done.output
    assert data_of(tmp_path / "page.html")["ids"] == ["p0", "p1"]


def test_missing_and_broken_images_are_counted_and_their_boxes_stay(tmp_path, run):
    points = write_points(tmp_path, [{"id": name, "annotations": [box()]} for name in ("a", "gone", "cut")])
    (tmp_path / "images" / "gone.jpg").unlink()
    whole = jpeg(900, 900)
    (tmp_path / "images" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    page = tmp_path / "page.html"
    done = run(main, "--datapoints_input_path", points, "--image_directory", tmp_path / "images", "--output_path", page)
    assert done.code == 3
    assert "2 missing or not readable" in done.output
    assert "shows 1 of them" in done.output
    assert column(data_of(page), "imageFlags", "<u2").tolist() == [0, 1, 1]
    assert data_of(page)["numBoxes"] == 3


def test_points_alone_are_enough(tmp_path, run):
    points = write_points(tmp_path, [{"id": "a", "annotations": [box()]}])
    done = run(main, "--datapoints_input_path", points, "--output_path", tmp_path / "page.html")
    assert done.code == 0
    assert "shows 0 of them" in done.output


def test_bounds_hold_and_are_said(tmp_path, run):
    points = write_points(tmp_path, [{"id": f"p{n:03}", "annotations": [box()]} for n in range(40)])
    page = tmp_path / "page.html"
    done = run(
        main, "--datapoints_input_path", points, "--image_directory", tmp_path / "images", "--output_path", page,
        "--max_thumbnails", 5, "--max_listed_images", 12,
    )  # fmt: skip
    assert "the page lists 12 of the 40 images and shows 5 of them" in done.output
    data = data_of(page)
    assert len(data["ids"]) == 12
    assert data["numImages"] == 40
    assert data["statistics"]["all"]["counts"][1] == 40  # charts are of all
    assert sum(bool(encoded) for encoded in json.loads(Parsed(page.read_text(encoding="utf-8")).scripts[1])) == 5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give --datapoints_input_path (points.json) or --input_path (records), and not both"),
        (("--datapoints_input_path", "p", "--input_path", "r"), "and not both"),
        (("--input_path", "r", "--image_directory", "."), "records hold their images"),
        (("--input_path", "nowhere.record"), "no such record file: nowhere.record"),
        (("--datapoints_input_path", "nowhere.json"), "nowhere.json: No such file"),
        (("--datapoints_input_path", "p", "--image_directory", "nowhere"), "nowhere is no folder"),
        (("--datapoints_input_path", "p", "--pipeline_config_path", "nowhere"), "nowhere: no such file"),
    ],
)
def test_mistakes_are_one_line(run, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    done = run(main, *words)
    assert done.code == 2
    assert said in done.error
    assert len(done.error.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_no_points_is_an_error(run, tmp_path):
    (tmp_path / "points.json").write_text("[]")
    done = run(main, "--datapoints_input_path", tmp_path / "points.json", "--output_path", tmp_path / "page.html")
    assert done.code == 1
    assert "lists no images" in done.error
    assert not (tmp_path / "page.html").exists()


def test_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "data_prep.inspect_data", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "--max_thumbnails" in done.stdout


def test_the_standard_library_keeps_its_inspect_with_this_folder_on_the_path(tmp_path):
    code = (
        "import dataclasses, inspect, sys; assert inspect.signature(len), inspect; print(inspect.__file__); "
        "import data_prep.inspect_data; print(data_prep.inspect_data.main.__module__)"
    )
    path = f"{ROOT / 'data_prep'}:{ROOT}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    standard, ours = done.stdout.split()
    assert Path(standard).parent == Path(subprocess.__file__).parent
    assert ours == "data_prep.inspection.command"
