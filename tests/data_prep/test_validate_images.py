from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_prep import validate_images
from tests.data_prep.image_bytes import encoded, new_image

REPOSITORY = Path(__file__).parents[2]
ANNOTATION = {"label": "/m/03ssj5", "x0": 0.1, "x1": 0.6, "y0": 0.2, "y1": 0.9}


class Validate:
    """Runs the command on files of a folder of its own."""

    def __init__(self, folder: Path, run: Callable[..., Any]) -> None:
        self.folder = folder
        self.source = folder / "images"
        self.source.mkdir()
        self.target = folder / "clean"
        self.points_path = folder / "points.json"
        self.clean_points_path = folder / "clean_points.json"
        self.ledger_path = folder / "clean_points.json.rejected.jsonl"
        self._run = run

    def put(self, **files: bytes) -> None:
        """Writes files, `name_jpg` as name.jpg, and a point for each."""
        for name, content in files.items():
            (self.source / name.replace("_", ".")).write_bytes(content)
        self.put_points([name.split("_", maxsplit=1)[0] for name in files])

    def put_points(self, image_ids: list[str]) -> None:
        points = [{"id": image_id, "annotations": [ANNOTATION]} for image_id in image_ids]
        self.points_path.write_text(json.dumps(points))

    def words(self, *more: object, in_place: bool = False) -> list[str]:
        saving = [] if in_place else ["--image_saving_directory", self.target]
        paths = ["--datapoints_input_path", self.points_path, "--datapoints_output_path", self.clean_points_path]
        return [str(word) for word in ("--image_directory", self.source, *saving, *paths, *more)]

    def __call__(self, *more: object, in_place: bool = False, num_processes: int = 1) -> Any:
        words = self.words("--num_processes", num_processes, *more, in_place=in_place)
        return self._run(validate_images.main, *words)

    def kept(self) -> list[str]:
        return [point["id"] for point in json.loads(self.clean_points_path.read_text())]

    def ledger(self) -> dict[str, str]:
        lines = self.ledger_path.read_text().splitlines()
        return {entry["item"]: entry["reason"] for entry in map(json.loads, lines)}


@pytest.fixture
def validate(tmp_path: Path, run: Callable[..., Any]) -> Validate:
    return Validate(tmp_path, run)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


GOOD = encoded(new_image())
ODD = {
    "good_jpg": GOOD,
    "large_jpg": encoded(new_image(400, 200)),
    "png_jpg": encoded(new_image(), "PNG"),
    "grey_jpg": encoded(new_image().convert("L")),
    "cmyk_jpg": encoded(new_image().convert("CMYK")),
    "webp_webp": encoded(new_image(), "WEBP"),
}
BAD = {
    "truncated_jpg": GOOD[: len(GOOD) // 2],
    "empty_jpg": b"",
    "html_jpg": b"<html></html>",
}


@pytest.mark.parametrize("num_processes", [1, 2])
def test_odd_images_become_jpegs_and_broken_ones_go(validate: Validate, num_processes: int) -> None:
    validate.put(**BAD, **ODD)
    validate.put_points(["truncated", "png", "missing", "good", "grey", "empty", "large", "cmyk", "html", "webp"])
    outcome = validate("--max_dimension", 100, num_processes=num_processes)
    assert outcome.code == 3
    assert validate.kept() == ["png", "good", "grey", "large", "cmyk", "webp"]  # in the order of the points
    assert validate.ledger() == {
        "truncated": "does not decode",
        "missing": "missing",
        "empty": "empty file",
        "html": "not an image",
    }
    files = contents(validate.target)
    assert sorted(files) == ["cmyk.jpg", "good.jpg", "grey.jpg", "large.jpg", "png.jpg", "webp.jpg"]
    assert files["good.jpg"] == GOOD
    for name, content in files.items():
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            assert image.format == "JPEG"
            assert image.mode == "RGB"
            assert image.size == ((100, 50) if name == "large.jpg" else (80, 60))
    for word in (
        "5 encoded anew",
        "1 copied",
        "1 too large",
        "1 PNG file",
        "1 CMYK pixels",
        "1 L pixels",
        "4 rejected",
        "1 missing",
    ):
        assert word in outcome.output, word
    points = json.loads(validate.clean_points_path.read_text())
    assert points[0]["annotations"][0].items() >= ANNOTATION.items()


def test_in_place_only_what_must_change_is_replaced_and_the_broken_stays(validate: Validate) -> None:
    validate.put(**ODD, **BAD)
    before = contents(validate.source)
    assert validate("--max_dimension", 100, "--max_failures", 3, in_place=True).code == 0
    after = contents(validate.source)
    unchanged = {name for name, content in before.items() if after[name] == content}
    assert unchanged == {"good.jpg", "webp.webp", "truncated.jpg", "empty.jpg", "html.jpg"}
    assert set(after) - set(before) == {"webp.jpg"}
    outcome = validate("--max_dimension", 100, "--max_failures", 3, in_place=True)
    assert "6 as they were, 3 rejected" in outcome.output
    assert "nothing had to be decoded" in outcome.output
    assert contents(validate.source) == after


def test_a_second_run_does_nothing_again_unless_something_changed(validate: Validate) -> None:
    validate.put(a_jpg=encoded(new_image(300, 200)), b_jpg=encoded(new_image(300, 200, seed=1)), c_jpg=GOOD)
    assert "2 encoded anew" in validate("--max_dimension", 100).output
    first = contents(validate.target)
    stamps = {path.name: path.stat().st_mtime_ns for path in validate.target.iterdir()}
    outcome = validate("--max_dimension", 100)
    assert outcome.code == 0
    assert "3 done by an earlier run, 0 rejected" in outcome.output
    assert "nothing had to be decoded" in outcome.output
    assert {path.name: path.stat().st_mtime_ns for path in validate.target.iterdir()} == stamps

    (validate.target / "a.jpg").write_bytes(first["a.jpg"][:200])  # a damaged result
    assert "1 encoded anew" in validate("--max_dimension", 100).output
    assert contents(validate.target) == first

    later = time.time() + 60
    (validate.source / "b.jpg").write_bytes(encoded(new_image(300, 200, seed=2)))  # another image
    os.utime(validate.source / "b.jpg", (later, later))
    assert "1 encoded anew" in validate("--max_dimension", 100).output
    assert contents(validate.target)["b.jpg"] != first["b.jpg"]

    assert "2 encoded anew" in validate("--max_dimension", 150).output  # another size, larger than what is there
    with Image.open(validate.target / "a.jpg") as image:
        assert image.size == (150, 100)


def test_nothing_sound_leaves_what_was_there(validate: Validate) -> None:
    validate.put(**BAD)
    validate.clean_points_path.write_text("an earlier run's")
    outcome = validate("--max_failures", 100)
    assert outcome.code == 1
    assert outcome.error.count("\n") == 1
    assert "none of the 3 images" in outcome.error
    assert validate.clean_points_path.read_text() == "an earlier run's"
    assert len(validate.ledger()) == 3


@pytest.mark.parametrize(
    ("points", "code", "message"),
    [
        ('[{"id": "../../etc/passwd", "annotations": []}]', 2, "plain file name"),
        ("[]", 1, "no images"),
        ("{}", 2, "array"),
    ],
)
def test_bad_points_end_in_one_line(validate: Validate, points: str, code: int, message: str) -> None:
    validate.points_path.write_text(points)
    outcome = validate()
    assert (outcome.code, outcome.error.count("\n")) == (code, 1)
    assert message in outcome.error
    assert not validate.clean_points_path.exists()


def test_a_folder_that_is_missing_or_cannot_be_written_to(validate: Validate) -> None:
    validate.put(a_jpg=GOOD)
    validate.target.write_text("a file where the folder should be")
    outcome = validate()
    assert (outcome.code, outcome.error.count("\n")) == (1, 1)
    assert "cannot write images" in outcome.error
    validate.source.rename(validate.folder / "elsewhere")
    outcome = validate()
    assert outcome.code == 2
    assert "no folder" in outcome.error


def test_killed_in_the_middle_and_run_again(validate: Validate) -> None:
    names = [f"p{number:03d}" for number in range(60)]
    for number, name in enumerate(names):
        (validate.source / f"{name}.jpg").write_bytes(encoded(new_image(900, 700, seed=number)))
    validate.put_points(names)
    command = [sys.executable, "-m", "data_prep.validate_images", *validate.words("--max_dimension", 300)]
    process = subprocess.Popen(
        [*command, "--num_processes", "2"], cwd=REPOSITORY, start_new_session=True, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(list(validate.target.glob("p*.jpg"))) < 3:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)  # the parent alone
    process.wait()
    done = {path.name for path in validate.target.glob("p*.jpg")}
    assert 3 <= len(done) < len(names)
    with pytest.raises(ProcessLookupError):  # its workers notice and go
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)
            time.sleep(0.02)
    assert not validate.clean_points_path.exists()

    outcome = validate("--max_dimension", 300)
    assert outcome.code == 0
    assert "done by an earlier run" in outcome.output
    resumed = {path.name: path.read_bytes() for path in validate.target.glob("p*.jpg")}
    assert validate.kept() == names
    validate.target = validate.folder / "undisturbed"
    assert validate("--max_dimension", 300).code == 0
    assert resumed == contents(validate.target)
