from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from data_prep.make_sample_set import main
from data_prep.runtime.command_line import UsageError
from data_prep.sample_rooms import scene

FLAGS = ["--num_train", "5", "--num_validation", "2", "--image_size", "160x120", "--seed", "3"]
BOX_COLUMNS = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
)
IMAGE_COLUMNS = (
    "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,OriginalSize,OriginalMD5,"
    "Thumbnail300KURL,Rotation"
)


def _make(directory: Path, *flags: str) -> int:
    return main(["--output_directory", str(directory), *FLAGS, *flags])


def _files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sample") / "rooms"
    assert _make(directory, "--num_processes", "1") == 0
    return directory


def test_same_bytes_from_two_processes(rooms: Path, tmp_path: Path) -> None:
    assert _make(tmp_path / "rooms", "--num_processes", "2") == 0
    assert _files(tmp_path / "rooms") == _files(rooms)


def test_another_seed_gives_other_rooms(rooms: Path, tmp_path: Path) -> None:
    flags = [*FLAGS[:2], "--num_validation", "1", *FLAGS[4:6], "--num_processes", "1", "--seed", "4"]
    assert main(["--output_directory", str(tmp_path / "rooms"), *flags]) == 0
    ours = {path.name for path in rooms.rglob("images/*/*.jpg")}
    theirs = {path.name for path in (tmp_path / "rooms").rglob("images/*/*.jpg")}
    assert not ours & theirs


@pytest.mark.parametrize(("subset", "count"), [("train", 5), ("validation", 2)])
def test_tables_are_as_open_images_has_them(rooms: Path, subset: str, count: int) -> None:
    text = (rooms / f"{subset}-annotations-bbox.csv").read_text(encoding="utf-8")
    assert text.splitlines()[0] == BOX_COLUMNS
    boxes = list(csv.DictReader(text.splitlines()))
    assert boxes
    images = {path.stem: path for path in (rooms / "images" / subset).glob("*.jpg")}
    assert len(images) == count
    for row in boxes:
        assert row["ImageID"] in images
        assert row["LabelName"] in scene.CLASS_MIDS.values()
        assert 0 <= float(row["XMin"]) < float(row["XMax"]) <= 1
        assert 0 <= float(row["YMin"]) < float(row["YMax"]) <= 1
        assert {row[name] for name in BOX_COLUMNS.split(",")[8:]} <= {"0", "1"}
    index_text = (rooms / f"{subset}-images.csv").read_text(encoding="utf-8")
    assert index_text.splitlines()[0] == IMAGE_COLUMNS
    index = {row["ImageID"]: row for row in csv.DictReader(index_text.splitlines())}
    assert set(index) == set(images)
    for image_id, path in images.items():
        assert re.fullmatch("[0-9a-f]{16}", image_id)
        row, content = index[image_id], path.read_bytes()
        assert row["Subset"] == subset
        assert row["OriginalURL"] == f"http://localhost:8000/images/{subset}/{image_id}.jpg"
        assert row["OriginalSize"] == str(len(content))
        assert base64.b64decode(row["OriginalMD5"]) == hashlib.md5(content).digest()
        with Image.open(path) as image:
            assert (image.format, image.size) == ("JPEG", (160, 120))


def test_class_files_hold_the_true_names_and_mids(rooms: Path) -> None:
    rows = list(csv.reader((rooms / "class-descriptions-boxable.csv").read_text(encoding="utf-8").splitlines()))
    assert ["/m/03ssj5", "Bed"] in rows
    assert ["/m/0h8mzrc", "Wall clock"] in rows
    trainable = (rooms / "trainable-classes.txt").read_text(encoding="utf-8").split()
    assert trainable == [mid for mid, _ in rows]
    assert len(trainable) >= 6


def test_classes_agree_with_the_published_list() -> None:
    published = Path(__file__).parents[3] / "shared" / "openimages" / "class-descriptions-boxable.csv"
    if not published.is_file():
        pytest.skip("no ../shared/openimages: Open Images' own lists of classes")
    names = {name: mid for mid, name in csv.reader(published.read_text(encoding="utf-8").splitlines())}
    assert {name: names[name] for name in scene.CLASS_MIDS} == scene.CLASS_MIDS


def test_second_run_reuses_and_says_so(rooms: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in rooms.rglob("*")}
    assert _make(rooms) == 0
    assert "found, made earlier with the same options" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in rooms.rglob("*")} == before


def test_missing_image_is_made_again(rooms: Path, tmp_path: Path) -> None:
    directory = tmp_path / "rooms"
    _make(directory, "--num_processes", "1")
    lost = next((directory / "images" / "train").iterdir())
    lost.unlink()
    assert _make(directory, "--num_processes", "1") == 0
    assert _files(directory) == _files(rooms)


def test_other_options_are_refused_unless_overwrite(rooms: Path, tmp_path: Path) -> None:
    directory = tmp_path / "rooms"
    few = ["--num_train", "1", "--num_validation", "1", "--image_size", "160x120", "--num_processes", "1"]
    assert main(["--output_directory", str(directory), *few, "--seed", "9"]) == 0
    before = _files(directory)
    with pytest.raises(UsageError, match=r"made with other options \(.*seed 9.*--overwrite"):
        main(["--output_directory", str(directory), *few, "--seed", "8"])
    assert _files(directory) == before
    (directory / "notes.txt").write_text("mine")
    assert main(["--output_directory", str(directory), *few, "--seed", "8", "--overwrite"]) == 0
    after = _files(directory)
    assert after["notes.txt"] == b"mine"
    assert len([name for name in after if name.endswith(".jpg")]) == 3, "two images and the sheet, none of the old"


def test_a_set_of_an_earlier_version_is_used_again(rooms: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _make(rooms)
    printed = capsys.readouterr().out
    manifest = rooms / "sample_set.json"
    written = manifest.read_text()
    assert '"images_with"' in written
    manifest.write_text(written.replace('"images_with"', '"pictures_with"'))
    _make(rooms)
    assert capsys.readouterr().out == printed
    manifest.write_text(written)


def test_other_peoples_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"precious")
    for extra in ([], ["--overwrite"]):
        with pytest.raises(UsageError, match="is not empty and holds no sample set"):
            _make(tmp_path, *extra)
    assert _files(tmp_path) == {"photo.jpg": b"precious"}
    (tmp_path / "sample_set.json").write_text('{"options": 3}')
    with pytest.raises(UsageError, match=r"sample_set\.json is not a sample set's manifest"):
        _make(tmp_path)
    with pytest.raises(UsageError, match="is a file"):
        _make(tmp_path / "photo.jpg")


def test_nothing_is_left_beside_the_set(rooms: Path) -> None:
    assert [path.name for path in rooms.parent.iterdir()] == ["rooms"]


def test_summary_counts_what_was_written(rooms: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _make(rooms)
    printed = capsys.readouterr().out
    rows = list(csv.DictReader((rooms / "train-annotations-bbox.csv").read_text(encoding="utf-8").splitlines()))
    beds = [row for row in rows if row["LabelName"] == "/m/03ssj5"]
    assert re.search(rf"Bed\s+{len(beds)} \({len({row['ImageID'] for row in beds})}\)", printed)
    assert re.search(rf"all\s+{len(rows)}\b", printed)
    assert "5 train and 2 validation images" in printed
    sheet = printed.strip().splitlines()[-1].split(": ")[-1]
    with Image.open(sheet) as image:
        assert image.width > 3 * 160
    assert json.loads((rooms / "sample_set.json").read_text())["options"]["seed"] == 3


def test_command_line_mistakes_end_in_one_line_and_exit_code_2(tmp_path: Path) -> None:
    for flags, said in (
        (["--image_size", "12x12"], "each side must be"),
        (["--image_size", "big"], "is not WIDTHxHEIGHT"),
        (["--num-train", "0"], "not a whole number from 1"),
        (["--seed", "-1"], "not a whole number from 0"),
    ):
        command = [sys.executable, "-m", "data_prep.make_sample_set", "--output_directory", str(tmp_path / "x"), *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert said in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
