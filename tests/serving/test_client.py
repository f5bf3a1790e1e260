"""The client's command against a real server: what it prints, writes and ends with."""

from __future__ import annotations

import functools
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serving.client import main
from tests.serving.stand_in_detector import StandInDetector

REPOSITORY = Path(__file__).resolve().parents[2]
HOSTILE_NAME = "new\nline \x1b[31m ünï.png"


@pytest.fixture
def run(run_words):
    """Returns a function that runs the command and returns its exit code, output and error output."""
    return functools.partial(run_words, main)


@pytest.fixture
def ask(run, server):
    """The same, for the detector of the session's server."""
    return lambda *words: run("--server", server.address, "--model_name", "detector", *words)


@pytest.fixture
def photos(tmp_path, image):
    """A folder with images in it and below it, some of them broken."""
    folder = tmp_path / "photos"
    (folder / "b" / "deep").mkdir(parents=True)
    (folder / "a.png").write_bytes(image((10, 20, 30, 40)))
    (folder / "b" / "a.PNG").write_bytes(image((1, 2, 3, 4), (80, 60)))
    (folder / "b" / "deep" / "large.jpeg").write_bytes(image((100, 50, 300, 200), (640, 480), "JPEG"))
    (folder / "b" / "empty.jpg").write_bytes(b"")
    (folder / "nothing.png").write_bytes(image(None))
    (folder / "readme.txt").write_text("not asked about")
    (folder / "text.jpg").write_text("no image")
    (folder / "truncated.jpg").write_bytes(image((100, 50, 300, 200), (640, 480), "JPEG")[:-2500])
    (folder / ".partial-1.jpg").write_bytes(b"")
    return folder


def test_the_table_shows_names_scores_and_pixels(ask, label_map_path, tmp_path, image):
    path = tmp_path / "one.png"
    path.write_bytes(image((10, 20, 30, 40)))
    code, out, err = ask(path, "--label_map_path", label_map_path)
    assert (code, err) == (0, "")
    header, titles, line, summary = out.splitlines()
    assert header.strip() == "box in pixels"
    assert titles.split() == ["image", "name", "score", "xmin", "ymin", "xmax", "ymax"]
    assert line.split()[-7:] == ["Red", "thing", "0.90", "10", "20", "30", "40"]
    assert line.split()[0].endswith("/one.png")
    assert titles.index("score") + len("score") == line.index("0.90") + 4  # right under it
    assert summary == "1 of 1 images answered, 1 detections; 0 rejected"


def test_json_lines_are_alone_on_standard_output_in_order(ask, label_map_path, photos):
    code, out, err = ask(photos, "--json", "--label-map-path", label_map_path, "--max_in_flight", 3)
    assert code == 3
    entries = [json.loads(line) for line in out.splitlines()]
    names = ["a.png", "nothing.png", "text.jpg", "truncated.jpg", "b/a.PNG", "b/empty.jpg", "b/deep/large.jpeg"]
    assert [entry["image"] for entry in entries] == [str(photos / name) for name in names]
    by_name = dict(zip(names, entries, strict=True))
    (detection,) = by_name["a.png"]["detections"]
    assert (detection["class_id"], detection["name"], detection["score"]) == (1, "Red thing", pytest.approx(0.9))
    assert detection["box_pixels"] == pytest.approx({"ymin": 20, "xmin": 10, "ymax": 40, "xmax": 30}, abs=0.01)
    assert detection["box_normalized"]["xmax"] == pytest.approx(30 / 64, abs=1e-5)
    assert (by_name["b/a.PNG"]["width"], by_name["b/a.PNG"]["height"]) == (80, 60)
    assert by_name["nothing.png"]["detections"] == []
    reasons = {name: entry["error"]["reason"] for name, entry in by_name.items() if "error" in entry}
    assert reasons == {
        "text.jpg": "not an image",
        "truncated.jpg": "refused by the server",
        "b/empty.jpg": "empty file",
    }
    assert "input_tensor[0] does not decode" in by_name["truncated.jpg"]["error"]["detail"]
    assert "4 of 7 images answered, 3 detections; 3 rejected" in err


def test_failures_go_to_the_ledger_and_max_failures_sets_the_exit_code(ask, photos, tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    code, out, err = ask(photos, "--ledger_path", ledger, "--max_failures", 3)
    assert code == 0
    rejected = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert {Path(entry["item"]).name for entry in rejected} == {"text.jpg", "truncated.jpg", "empty.jpg"}
    assert f"see {ledger}" in out and err.count("\n") == 3
    assert ask(photos, "--max_failures", 2)[0] == 3


@pytest.mark.parametrize("batch_size", [2, 7, 100])
def test_batches_answer_the_same_and_a_broken_image_fails_alone(ask, photos, batch_size):
    assert ask(photos, "--json", "--batch_size", batch_size)[1] == ask(photos, "--json")[1]


def test_drawn_images_have_names_of_their_own_and_show_the_box(ask, label_map_path, photos, tmp_path):
    drawn = tmp_path / "drawn"
    code, out, _ = ask(photos, "--output_directory", drawn, "--label_map_path", label_map_path)
    assert code == 3
    assert f"4 drawn in {drawn}" in out
    names = ["a_detections-2.jpg", "a_detections.jpg", "large_detections.jpg", "nothing_detections.jpg"]
    assert sorted(path.name for path in drawn.iterdir()) == names
    with Image.open(drawn / "large_detections.jpg") as image, Image.open(photos / "b/deep/large.jpeg") as original:
        assert image.size == original.size == (640, 480)
        changed = np.abs(np.asarray(image, int) - np.asarray(original, int)).max(-1) > 60
    rows, columns = np.nonzero(changed)
    # A line around 100..300 x 50..200, and a plate with the name at it; the inside and the far corner are untouched.
    assert 90 <= columns.min() <= 104 and 296 <= columns.max() <= 310 and rows.max() <= 210
    assert not changed[100:180, 150:250].any()
    with Image.open(drawn / "nothing_detections.jpg") as image:
        assert np.ptp(np.asarray(image)) < 4


def test_drawing_beside_the_images_never_replaces_one(ask, tmp_path, image):
    for name in ("a.png", "a_detections.jpg"):
        (tmp_path / name).write_bytes(image((10, 20, 30, 40), format="JPEG" if name.endswith("jpg") else "PNG"))
    before = (tmp_path / "a_detections.jpg").read_bytes()
    code, out, _ = ask(tmp_path, "--output_directory", tmp_path, "--json")
    assert code == 0
    assert (tmp_path / "a_detections.jpg").read_bytes() == before
    drawn = {Path(json.loads(line)["drawn"]).name for line in out.splitlines()}
    assert drawn == {"a_detections-2.jpg", "a_detections_detections.jpg"}


def test_hostile_file_names_are_shown_and_written_harmlessly(ask, tmp_path, image):
    folder = tmp_path / "hostile"
    folder.mkdir()
    (folder / HOSTILE_NAME).write_bytes(image((10, 20, 30, 40)))
    (folder / "--json.png").write_bytes(image(None))
    not_utf8 = os.fsencode(folder) + b"/\xff\xfe.png"
    Path(os.fsdecode(not_utf8)).write_bytes(image(None))
    code, out, _ = ask(folder, "--output_directory", tmp_path / "drawn")
    assert code == 0 and "\x1b" not in out and len(out.splitlines()) == 2 + 3 + 1
    assert len(list((tmp_path / "drawn").iterdir())) == 3
    code, out, _ = ask(folder, "--json")
    assert {json.loads(line)["image"] for line in out.splitlines()} == {str(path) for path in folder.iterdir()}


def test_min_score_0_shows_what_the_model_is_unsure_of(ask, tmp_path, image):
    (tmp_path / "one.png").write_bytes(image((10, 20, 30, 40)))
    _, out, _ = ask(tmp_path / "one.png", "--min_score", "0", "--json")
    assert [found["name"] for found in json.loads(out)["detections"]] == ["class 1", "class 1"]


def test_a_model_that_takes_pixels_gets_pixels(run, pixel_server, photos):
    code, out, _ = run("--server", pixel_server.address, "--model_name", "pixels", photos, "--json", "--batch_size", 4)
    assert code == 3
    by_name = {Path(entry["image"]).name: entry for entry in map(json.loads, out.splitlines())}
    box = by_name["large.jpeg"]["detections"][0]["box_pixels"]
    assert box == pytest.approx({"ymin": 50, "xmin": 100, "ymax": 200, "xmax": 300}, abs=2)
    assert by_name["truncated.jpg"]["error"]["reason"] == "does not decode"
    assert len(by_name) == 7


def test_other_formats_are_converted_and_colour_modes_left_to_the_model(ask, tmp_path, image):
    from io import BytesIO

    source = Image.open(BytesIO(image((10, 20, 30, 40)))).convert("RGB")
    source.save(tmp_path / "a.webp", lossless=True)
    source.save(tmp_path / "png_named.jpg", "PNG")
    source.convert("L").save(tmp_path / "grey.png")
    source.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    code, out, _ = ask(tmp_path, tmp_path / "a.webp", "--json")
    assert code == 0
    found = {
        Path(entry["image"]).name: [list(d["box_pixels"].values()) for d in entry["detections"]]
        for entry in map(json.loads, out.splitlines())
    }
    assert found["grey.png"] == []
    for name in ("a.webp", "png_named.jpg", "cmyk.jpg"):
        assert found[name][0] == pytest.approx([20, 10, 40, 30], abs=2), name


def test_all_images_failing_is_exit_1(ask, tmp_path):
    (tmp_path / "empty.jpg").write_bytes(b"")
    code, _, err = ask(tmp_path / "empty.jpg", "--max_failures", 10)
    assert code == 1 and err.splitlines()[-1] == "error: none of the 1 images was answered"


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--model_name", "nope"], 1, "has no model 'nope': Servable not found for request: Latest(nope)"),
        (["--model_version", "9"], 1, "has no model 'detector', version 9: Servable not found"),
        (["--signature_name", "tf_example"], 1, "has no signature 'tf_example'; it has: serving_default"),
        (["--server", "localhost"], 1, "server 'localhost' has no port; give host:port"),
        (["no-such-file.jpg"], 2, "there is no file or folder 'no-such-file.jpg'"),
        (["--min_score", "50"], 2, "50 is not a number from 0 to 1"),
        (["--timeout_seconds", "0"], 2, "0 is not a number above 0"),
        (["--label_map_path", "no-such-map.pbtxt"], 2, "no-such-map.pbtxt"),
    ],
)
def test_mistakes_are_one_line(ask, photos, flags, code, message):
    answer = ask(photos, *flags)
    assert answer[0] == code and answer[1] == ""
    assert message in answer[2] and answer[2].splitlines()[-1].count("error: ") == 1


def test_a_folder_without_images_is_bad_usage(ask, tmp_path):
    code, _, err = ask(tmp_path)
    assert code == 2 and "no image (.jpg, .jpeg, .png) in" in err


def test_no_server_is_one_line_and_exit_1_soon(run, photos):
    with socket.create_server(("localhost", 0)) as listener:
        port = listener.getsockname()[1]
    started = time.monotonic()
    code, out, err = run("--server", f"localhost:{port}", "--model_name", "detector", photos, "--max_retries", 2)
    assert (code, out) == (1, "") and err.count("\n") == 1
    assert err.startswith(f"error: no server answers at localhost:{port}: ") and "refused" in err
    assert "start one with python -m serving.serve --model_name detector" in err
    assert time.monotonic() - started < 10


def test_a_server_that_accepts_and_says_nothing_ends_at_the_deadline(run, photos):
    with socket.create_server(("localhost", 0)) as listener:
        port = listener.getsockname()[1]
        flags = ["--server", f"localhost:{port}", "--model_name", "detector", "--timeout_seconds", 0.5]
        code, _, err = run(*flags, "--max_retries", 0, photos)
    assert code == 1 and err.startswith(f"error: no server answers at localhost:{port}: ")


def test_a_image_larger_than_a_message_fails_alone(ask, tmp_path, image):
    noise = np.random.default_rng(0).bytes(1_500_000)
    (tmp_path / "large.png").write_bytes(image((10, 20, 30, 40)) + noise)
    (tmp_path / "small.png").write_bytes(image((10, 20, 30, 40)))
    code, out, _ = ask(tmp_path, "--json", "--max_message_mebibytes", 1)
    entries = [json.loads(line) for line in out.splitlines()]
    assert code == 3 and entries[0]["error"]["reason"] == "too many bytes" and len(entries[1]["detections"]) == 1


def test_it_answers_without_importing_tensorflow(server, tmp_path, image):
    """TensorFlow takes five seconds to import; without it the client starts in half a second."""
    path = tmp_path / "one.png"
    path.write_bytes(image((10, 20, 30, 40)))
    program = (
        "import sys; from serving.client import main; code = main(sys.argv[1:]); "
        "sys.exit(code or 'tensorflow' in sys.modules)"
    )
    words = ["--server", server.address, "--model_name", "detector", str(path)]
    answer = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert "box in pixels" in answer.stdout


def test_a_server_starts_without_tensorflow_s_own_lines(server):
    assert any("is available" in line for line in server.lines) or server.wait_for_line("is available")
    own = re.compile(r"backend |ready: |20\d\d-|warning: ")
    assert [line for line in server.lines if not own.match(line)] == []


@pytest.mark.parametrize("command", [["serving.client"], ["detection", "client"]])
def test_grpc_s_own_lines_are_kept_out(photos, command):
    with StandInDetector() as plain:
        flags = ["--server", plain.address, "--tls", "--model_name", "detector"]
        command = [sys.executable, "-m", *command, *flags]
        done = subprocess.run([*command, str(photos)], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "does not speak TLS" in done.stderr, done.stderr
