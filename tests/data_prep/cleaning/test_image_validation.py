"""Validating images: hostile ones, the frame that boxes relate to, and runs that follow each other."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from data_prep.cleaning import image_validation, validation_run
from data_prep.cleaning.image_validation import Outcome, Validation
from data_prep.cleaning.validation_run import validate_images
from data_prep.runtime.atomic_files import new_temporary_path
from data_prep.runtime.command_line import UserError
from tests.data_prep.icc_profiles import ADOBE_RGB, in_srgb, rgb_profile
from tests.data_prep.image_bytes import encoded, turned

REPOSITORY = Path(__file__).parents[3]
BOXES = {"red": (0.1, 0.2, 0.3, 0.9), "blue": (0.5, 0.1, 0.95, 0.4)}  # xmin ymin xmax ymax
COLOURS = {"red": (220, 30, 30), "blue": (30, 60, 220)}


def blocks(width: int = 400, height: int = 240) -> Image.Image:
    """Blocks in two colours on grey, where `BOXES` has them."""
    image = Image.new("RGB", (width, height), (128, 128, 128))
    for name, (xmin, ymin, xmax, ymax) in BOXES.items():
        corners = (xmin * width, ymin * height, xmax * width - 1, ymax * height - 1)
        ImageDraw.Draw(image).rectangle(corners, fill=COLOURS[name])
    return image


def photo(seed: int, width: int = 300, height: int = 200) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 255, (15, 20, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def png_of(width: int, height: int, *, rows: int | None = None) -> bytes:
    """A PNG of one colour, of which a thousandth of the pixels' bytes are in the file; without `rows`, none."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    compressor = zlib.compressobj(9)
    data = b"".join(compressor.compress(bytes(1 + 3 * width)) for _ in range(rows or 0)) + compressor.flush()
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def jpeg_of_many_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is there `count` times over: each takes as long as a whole image."""
    content = encoded(Image.new("RGB", (2000, 2000), (10, 200, 30)), progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * count + content[-2:]


class Folder:
    """A folder of images, and one for what becomes of them."""

    def __init__(self, path: Path) -> None:
        self.source = path / "images"
        self.target = path / "clean"
        self.source.mkdir()

    def put(self, name: str, content: bytes, *, age_seconds: float = 10.0) -> None:
        path = self.source / name
        path.write_bytes(content)
        stamp = time.time() - age_seconds
        os.utime(path, (stamp, stamp))

    def ids(self) -> list[str]:
        return sorted({path.stem for path in self.source.iterdir()})

    def validate(self, image_ids: list[str] | None = None, *, num_processes: int = 1, **options: Any) -> list[Outcome]:
        validation = Validation(self.source, options.pop("target", self.target), **{"max_dimension": 200, **options})
        return list(validate_images(image_ids or self.ids(), validation, num_processes=num_processes))

    def results(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.target.iterdir())}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


GIF_BOMB = (
    b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\xf0\0\0" + bytes(6)
    + b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x02\x4c\x01\0;"
)  # fmt: skip
BMP_BOMB = b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 90000, 90000, 1, 24, *[0] * 6)
GARBAGE = random.Random(0).randbytes(5_000_000)
FRAMES = [photo(seed) for seed in range(3)]
HOSTILE = {
    "huge_header.png": (png_of(100_000, 100_000), "too many pixels"),
    "pixel_bomb.jpg": (png_of(20_000, 5_100, rows=200), "too many pixels"),
    "gif_bomb.gif": (GIF_BOMB, "too many pixels"),
    "bmp_bomb.bmp": (BMP_BOMB, "too many pixels"),
    "scan_bomb.jpg": (jpeg_of_many_scans(5000), "too many scans"),
    "garbage.jpg": (GARBAGE, "not an image"),
    "garbage_jpeg.jpg": (b"\xff\xd8\xff\xe0" + GARBAGE, ("not an image", "does not decode")),
    "html.jpg": (b"<!DOCTYPE html><title>404</title>", "not an image"),
    "svg.jpg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
    "empty.jpg": (b"", "empty file"),
    "animated.gif": (encoded(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]), "animation"),
    "animated_webp.webp": (encoded(FRAMES[0], "WEBP", save_all=True, append_images=FRAMES[1:]), "animation"),
    "animated_png.jpg": (encoded(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:]), "animation"),
    "sliver.jpg": (encoded(photo(0, 300, 15)), "too small"),
    "long.jpg": (encoded(photo(0, 4000, 200)), "too small"),  # 200x10 once it is shrunk
    "cut.jpg": (encoded(photo(0))[:-1000], "does not decode"),
    "cut_by_ten_bytes.jpg": (encoded(photo(0))[:-10], "does not decode"),
    "zeros_inside.jpg": (encoded(photo(0))[:1500] + bytes(300) + encoded(photo(0))[1800:], "damaged"),
    "cut_progressive.jpg": (encoded(photo(0), progressive=True)[:-1000], "does not decode"),
    "cut_grey.jpg": (encoded(photo(0).convert("L"))[:-500], "does not decode"),
    "cut_cmyk.jpg": (encoded(photo(0).convert("CMYK"))[:-1000], "does not decode"),
    "cut_webp.webp": (encoded(photo(0), "WEBP")[:-1000], ("does not decode", "not an image")),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("num_processes", [1, 2])
def test_what_is_hostile_or_broken_is_named_and_costs_little(folder: Folder, num_processes: int) -> None:
    for name, (content, _) in HOSTILE.items():
        folder.put(name, content)
    folder.put("good.jpg", encoded(photo(1)))
    start = time.process_time()
    outcomes = dict(zip(folder.ids(), folder.validate(num_processes=num_processes), strict=True))
    assert time.process_time() - start < 10
    for name, (_, reason) in HOSTILE.items():
        outcome = outcomes[Path(name).stem]
        assert not outcome.kept, name
        assert outcome.what in ((reason,) if isinstance(reason, str) else reason), (name, outcome)
        assert outcome.detail.startswith(f"{folder.source}/"), name
        assert "\n" not in outcome.detail, name
    assert outcomes["good"].kept
    assert list(folder.results()) == ["good.jpg"]


def test_bombs_take_little_memory(folder: Folder) -> None:
    for name, (content, _) in HOSTILE.items():
        if "bomb" in name or "huge" in name:
            folder.put(name, content)
    program = (
        "import sys, resource; from pathlib import Path\n"
        "from data_prep.cleaning.image_validation import Validation\n"
        "from data_prep.cleaning.validation_run import validate_images\n"
        "validation = Validation(Path(sys.argv[1]), Path(sys.argv[2]), 200)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print([outcome.kept for outcome in validate_images(sys.argv[3:], validation, num_processes=1)])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    words = [sys.executable, "-c", program, str(folder.source), str(folder.target), *folder.ids()]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    kept, kilobytes = done.stdout.splitlines()
    assert kept == str([False] * 5)
    assert int(kilobytes) < 100_000
    assert not done.stderr  # no warnings of Pillow's beside our words


@pytest.mark.parametrize(
    ("content", "change"),
    [
        (encoded(blocks().convert("CMYK")), "CMYK pixels"),
        (encoded(blocks().quantize(8), "PNG"), "P pixels"),
        (encoded(blocks().convert("LA"), "PNG"), "LA pixels"),
        (encoded(Image.fromarray(np.asarray(blocks().convert("L")).astype(np.uint16) << 8), "PNG"), "I;16 pixels"),
        (encoded(blocks().convert("L")), "L pixels"),
        (encoded(blocks(), "PNG"), "PNG file"),
        (encoded(blocks(), "WEBP"), "WEBP file"),
        (encoded(blocks())[:-2], "no end of file mark"),
        (encoded(blocks(), icc_profile=b"nothing"), "unusable colour profile"),
        (encoded(blocks(), "MPO", save_all=True, append_images=[blocks()]), "MPO file"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("max_dimension", [150, 1000])
def test_what_can_be_repaired_becomes_an_rgb_jpeg(
    folder: Folder, content: bytes, change: str, max_dimension: int
) -> None:
    folder.put("a.jpg", content)
    (outcome,) = folder.validate(max_dimension=max_dimension)
    assert outcome.kept
    assert change in outcome.changes
    with Image.open(io.BytesIO(folder.results()["a.jpg"])) as image:
        assert (image.format, image.mode) == ("JPEG", "RGB")
        expected = blocks(*image.size)
        difference = np.abs(np.asarray(image.convert("L"), float) - np.asarray(expected.convert("L"), float))
    assert np.median(difference) < 3
    assert difference.mean() < 4


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("max_dimension", [90, 150, 400])
def test_boxes_still_sit_on_their_objects(
    folder: Folder, orientation: int, image_format: str, max_dimension: int
) -> None:
    folder.put("a.jpg", encoded(blocks(), image_format, exif=turned(orientation)))
    (outcome,) = folder.validate(max_dimension=max_dimension)
    assert outcome.kept
    with Image.open(folder.target / "a.jpg") as image:
        assert image.getexif().get(0x0112, 1) == 1  # a viewer shows what the detector sees
        assert image.size == (max_dimension, max_dimension * 240 // 400)
        pixels = np.asarray(image.convert("RGB"), int)
    assert_boxes_fit(pixels)


def test_tensorflow_sees_the_objects_under_the_boxes(folder: Folder) -> None:
    folder.put("a.jpg", encoded(blocks(), exif=turned(6)))
    folder.validate(max_dimension=200)
    import tensorflow as tf

    assert_boxes_fit(tf.io.decode_jpeg(folder.results()["a.jpg"], channels=3).numpy().astype(int))


def assert_boxes_fit(pixels: np.ndarray) -> None:
    """Each box must hold its colour and nothing else, and all of it, but for a pixel at the edges."""
    height, width = pixels.shape[:2]
    for name, (xmin, ymin, xmax, ymax) in BOXES.items():
        is_object = np.abs(pixels - COLOURS[name]).max(axis=-1) < 70
        rows, columns = np.flatnonzero(is_object.any(axis=1)), np.flatnonzero(is_object.any(axis=0))
        found = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        assert np.abs(found - np.array([xmin * width, ymin * height, xmax * width, ymax * height])).max() <= 1.01, name


def test_a_second_run_decodes_nothing(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        folder.put(f"p{number:02}.jpg", encoded(photo(number)))
    folder.put("small.jpg", encoded(photo(0, 100, 80)))
    folder.put("bad.jpg", encoded(photo(0))[:500])
    folder.put("sliver.jpg", encoded(photo(0, 100, 10)))
    first, results = folder.validate(), folder.results()
    monkeypatch.setattr(image_validation, "read_image_file", refuse)
    second = folder.validate([*folder.ids(), "none"])
    assert [outcome.kept for outcome in second] == [*(outcome.kept for outcome in first), False]
    assert all(outcome.is_known for outcome in second[:-1])
    assert Counter(outcome.what for outcome in second) == {
        "done by an earlier run": 21, "does not decode": 1, "too small": 1, "missing": 1,
    }  # fmt: skip
    assert [outcome.detail for outcome in second[:-1]] == [outcome.detail for outcome in first]
    monkeypatch.setattr(validation_run, "process_pool", refuse)
    assert len(folder.validate(num_processes=2)) == 23
    assert folder.results() == results


def refuse(*_: Any) -> Any:
    raise AssertionError("an image was read again")


def test_only_what_is_new_or_changed_is_looked_at(folder: Folder) -> None:
    for number in range(6):
        folder.put(f"p{number}.jpg", encoded(photo(number)))
    folder.validate()
    folder.put("p1.jpg", encoded(photo(7)))  # another image, though an older file than the result
    folder.put("p2.jpg", encoded(photo(2))[:900])  # broken meanwhile
    (folder.target / "p3.jpg").write_bytes(b"not what it was")
    (folder.target / "p4.jpg").unlink()
    folder.put("p6.jpg", encoded(photo(6)))
    outcomes = dict(zip(folder.ids(), folder.validate(), strict=True))
    assert [name for name, outcome in outcomes.items() if outcome.is_known] == ["p0", "p5"]
    assert [name for name, outcome in outcomes.items() if not outcome.kept] == ["p2"]
    results = folder.results()
    assert list(results) == ["p0.jpg", "p1.jpg", "p3.jpg", "p4.jpg", "p5.jpg", "p6.jpg"]  # p2's is gone as well
    assert all(outcome.is_known for outcome in folder.validate())
    folder.target = folder.target.with_name("undisturbed")
    folder.validate()
    assert folder.results() == results


def test_another_size_makes_anew_only_what_has_another_size(folder: Folder) -> None:
    folder.put("large.jpg", encoded(photo(0, 300, 200)))
    folder.put("small.jpg", encoded(photo(1, 120, 80)))
    folder.put("long.jpg", encoded(photo(2, 120, 12)))
    folder.validate(max_dimension=200)
    outcomes = folder.validate(["large", "small", "long"], max_dimension=250)
    assert [outcome.is_known for outcome in outcomes] == [False, True, True]
    outcomes = folder.validate(["large", "small", "long"], max_dimension=250, min_dimension=10)
    assert [(outcome.is_known, outcome.kept) for outcome in outcomes] == [(True, True), (True, True), (False, True)]
    outcomes = folder.validate(["large", "small", "long"], max_dimension=250, min_dimension=100)
    assert [outcome.kept for outcome in outcomes] == [True, False, False]
    assert list(folder.results()) == ["large.jpg"]


def test_in_place_a_second_run_changes_nothing(folder: Folder) -> None:
    for number in range(4):
        folder.put(f"p{number}.jpg", encoded(photo(number), exif=turned(6)))
    folder.put("w.webp", encoded(photo(9), "WEBP"))
    folder.target = folder.source
    assert Counter(outcome.what for outcome in folder.validate()) == {"encoded anew": 5}
    results = folder.results()
    outcomes = folder.validate(["p0", "p1", "p2", "p3", "w"])
    assert all(outcome.is_known and outcome.what == "as they were" for outcome in outcomes)
    assert folder.results() == results


def test_without_its_log_results_are_checked_and_taken(folder: Folder) -> None:
    for number in range(3):
        folder.put(f"p{number}.jpg", encoded(photo(number)))
    folder.validate()
    stamps = {path: path.stat().st_mtime_ns for path in folder.target.iterdir()}
    (log,) = folder.target.parent.glob("*.sqlite")
    log.unlink()
    outcomes = folder.validate()
    assert {outcome.what for outcome in outcomes} == {"done by an earlier run"}
    assert not any(outcome.is_known for outcome in outcomes)
    assert {path: path.stat().st_mtime_ns for path in folder.target.iterdir()} == stamps


def test_colours_that_an_earlier_version_left_are_made_srgb(folder: Folder) -> None:
    folder.put("a.jpg", encoded(blocks(), icc_profile=rgb_profile(ADOBE_RGB)))
    folder.target.mkdir()
    (folder.target / "a.jpg").write_bytes(encoded(blocks(200, 120)))  # newer, of the right size, and sound
    (outcome,) = folder.validate()
    assert outcome.changes == ("not sRGB", "too large")
    with Image.open(folder.target / "a.jpg") as image:
        red = np.asarray(image, float)[60, 30]
    assert np.abs(red - in_srgb(COLOURS["red"], ADOBE_RGB)).max() < 8
    assert folder.validate()[0].what == "done by an earlier run"


def test_a_log_that_is_none_is_one_clear_line(folder: Folder) -> None:
    folder.put("a.jpg", encoded(photo(0)))
    (folder.target.parent / "clean.validated.sqlite").write_bytes(b"something else" * 100)
    with pytest.raises(UserError, match=r"clean\.validated\.sqlite: what was validated cannot be kept there"):
        folder.validate()


@pytest.mark.slow
def test_killed_at_random_moments_the_result_is_that_of_an_undisturbed_run(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for number in range(60):
        folder.put(f"p{number:02}.jpg", encoded(photo(number, 1800, 1300), quality=95))
    for name in ("cut.jpg", "animated.gif", "html.jpg"):
        folder.put(name, HOSTILE[name][0])
    points_path, clean_path = tmp_path / "points.json", tmp_path / "clean.json"
    points_path.write_text(json.dumps([{"id": image_id, "annotations": []} for image_id in folder.ids()]))

    def command(target: Path, output: Path) -> list[str]:
        return [
            sys.executable, "-m", "data_prep.validate_images", "--image_directory", str(folder.source),
            "--image_saving_directory", str(target), "--datapoints_input_path", str(points_path),
            "--datapoints_output_path", str(output), "--max_dimension", "600", "--num_processes", "2",
            "--max_failures", "5",
        ]  # fmt: skip

    moments = random.Random(time.time_ns())
    for _ in range(6):
        done = len(list(folder.target.glob("p*")))
        process = subprocess.Popen(
            command(folder.target, clean_path), cwd=REPOSITORY, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        enough, deadline = done + moments.randint(0, 12), time.monotonic() + 5
        while len(list(folder.target.glob("p*"))) < enough and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.05))
        os.killpg(process.pid, signal.SIGKILL)  # the workers too, in the middle of what they are writing
        process.wait()
    if folder.target.is_dir():
        new_temporary_path(folder.target / "p01.jpg")  # what a kill in the worst moment leaves
    subprocess.run(command(folder.target, clean_path), cwd=REPOSITORY, check=True, capture_output=True)
    results, clean = folder.results(), clean_path.read_bytes()
    ledger = (tmp_path / "clean.json.rejected.jsonl").read_bytes()
    assert len(results) == 60
    assert len(json.loads(clean)) == 60
    again = subprocess.run(command(folder.target, clean_path), cwd=REPOSITORY, check=True, capture_output=True)
    assert b"nothing had to be decoded" in again.stdout
    assert folder.results() == results

    folder.target = tmp_path / "undisturbed"
    shutil.rmtree(tmp_path / "clean", ignore_errors=True)
    subprocess.run(command(folder.target, clean_path), cwd=REPOSITORY, check=True, capture_output=True)
    assert folder.results() == results
    assert clean_path.read_bytes() == clean
    assert (tmp_path / "clean.json.rejected.jsonl").read_bytes() == ledger
