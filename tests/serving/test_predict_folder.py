"""Whole folders, in process and through a real server: what is written, and what a second or a killed run does."""

from __future__ import annotations

import csv
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serving.predict_folder import main
from tests.serving.stand_in_detector import StandInDetector

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(run_words):
    """Returns a function that runs the command and returns its exit code, output and error output."""
    return functools.partial(run_words, main)


@pytest.fixture
def photos(tmp_path, image):
    """A folder with four good images, one of them without anything in it, and two broken ones."""
    folder = tmp_path / "photos"
    (folder / "b" / "deep").mkdir(parents=True)
    (folder / "a.png").write_bytes(image((10, 20, 30, 40)))
    (folder / "b" / "a.png").write_bytes(image((1, 2, 3, 4), (80, 60)))
    (folder / "b" / "deep" / "ünï\n.jpeg").write_bytes(image((100, 50, 300, 200), (640, 480), "JPEG"))
    (folder / "nothing.png").write_bytes(image(None))
    (folder / "text.jpg").write_text("no image")
    (folder / "truncated.jpg").write_bytes(image((100, 50, 300, 200), (640, 480), "JPEG")[:-2500])
    return folder


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_server_is_reached_by_the_same_flags_as_the_clients(run, photos, label_map_path, tmp_path):
    (photos / "truncated.jpg").unlink()  # the stand-in does not know what to say of it
    (tmp_path / "key").write_text("secret\n")
    with StandInDetector() as stand_in:
        flags = ["--server", stand_in.address, "--model_name", "detector", "--label_map_path", label_map_path]
        flags += ["--metadata", "team=rooms", "--api_key_file", tmp_path / "key", "--api_key_header", "x-own-key"]
        code, _, error = run(photos, *flags, "--output_directory", tmp_path / "out", "--max_failures", 1)
        assert code == 0, error
        assert {"team": "rooms", "x-own-key": "secret"}.items() <= stand_in.metadata_seen.items()
        code, _, error = run(photos, *flags[:4], "--output_directory", tmp_path / "other", "--client_key_file", "k.pem")
        assert code == 2 and "a client certificate and its key are given together" in error


def test_in_process_and_through_a_server_the_same_is_written(
    run, server, encoded_model, photos, label_map_path, tmp_path
):
    both = ["--label_map_path", label_map_path, "--min_score", "0.3", "--batch_size", "4"]
    code, out, _ = run(photos, "--saved_model_dir", encoded_model / "1", "--output_directory", tmp_path / "own", *both)
    assert code == 3 and "6 images: 0 predicted before, 4 now" in out and "2 rejected" in out
    code, _, _ = run(
        photos, "--server", server.address, "--model_name", "detector", "--output_directory", tmp_path / "asked", *both
    )
    assert code == 3
    for name in ("predictions.jsonl", "detections.csv", "images.csv"):
        assert (tmp_path / "own" / name).read_bytes() == (tmp_path / "asked" / name).read_bytes()
    entries = {entry["image"]: entry for entry in lines(tmp_path / "own" / "predictions.jsonl")}
    assert list(entries) == ["a.png", "nothing.png", "b/a.png", "b/deep/ünï\n.jpeg"]
    assert entries["a.png"]["detections"][0]["box_pixels"] == {"ymin": 20.0, "xmin": 10.0, "ymax": 40.0, "xmax": 30.0}
    assert entries["nothing.png"]["detections"] == []
    detections = rows(tmp_path / "own" / "detections.csv")
    assert [row["image"] for row in detections] == ["a.png", "b/a.png", "b/deep/ünï\n.jpeg"]
    assert [detections[0][key] for key in ("name", "score", "xmin", "ymin", "xmax", "ymax")] == [
        "Red thing", "0.9", "10.0", "20.0", "30.0", "40.0"
    ]  # fmt: skip
    images = rows(tmp_path / "own" / "images.csv")
    assert [row["num_detections"] for row in images] == ["1", "0", "1", "1"]
    assert float(images[0]["uncertainty"]) == pytest.approx((1 - 0.8) ** 2, abs=1e-5)
    failures = {entry["item"]: entry["reason"] for entry in lines(tmp_path / "own" / "failures.jsonl")}
    assert set(failures) == {"text.jpg", "truncated.jpg"}


def test_a_second_run_asks_only_about_what_has_no_answer(run, server, photos, image, tmp_path):
    flags = ["--server", server.address, "--model_name", "detector", "--output_directory", tmp_path / "out"]
    assert run(photos, *flags, "--max_failures", 2)[0] == 0
    before = lines(tmp_path / "out" / "predictions.jsonl")
    (photos / "text.jpg").write_bytes(image((5, 5, 9, 9)))
    (photos / "truncated.jpg").unlink()
    code, out, _ = run(photos, *flags)
    assert code == 0 and "5 images: 4 predicted before, 1 now" in out and "0 rejected" in out
    after = lines(tmp_path / "out" / "predictions.jsonl")
    assert after[:4] == before and [entry["image"] for entry in after[4:]] == ["text.jpg"]
    assert not (tmp_path / "out" / "failures.jsonl").exists()
    assert "5 images, all predicted before" in run(photos, *flags)[1]


def test_a_run_that_an_earlier_version_began_goes_on(run, server, photos, tmp_path):
    out = tmp_path / "out"
    flags = ["--server", server.address, "--model_name", "detector", "--output_directory", out, "--max_failures", 2]
    run(photos, *flags)
    whole = {path.name: path.read_bytes() for path in out.iterdir()}
    first, second, *_ = whole["predictions.jsonl"].replace(b'"image"', b'"picture"').splitlines(keepends=True)
    (out / "predictions.jsonl").write_bytes(first + second)
    code, output, _ = run(photos, *flags)
    assert code == 0 and "6 images: 2 predicted before, 2 now" in output
    assert [sorted(entry)[2] for entry in lines(out / "predictions.jsonl")] == ["picture", "picture", "image", "image"]
    for name in ("detections.csv", "images.csv"):
        assert (out / name).read_bytes() == whole[name]


def test_sorted_and_listed_from_what_was_predicted_without_a_model(run, server, photos, label_map_path, tmp_path):
    out_flags = ["--output_directory", tmp_path / "out"]
    ask = ["--server", server.address, "--model_name", "detector", "--label_map_path", label_map_path]
    run(photos, *ask, *out_flags, "--max_failures", 1)
    code, out, _ = run(photos, *out_flags, "--sort_into", tmp_path / "sorted", "--uncertain", 2)
    assert code == 0 and "4 images copied" in out
    copies = {path.relative_to(tmp_path / "sorted").as_posix() for path in (tmp_path / "sorted").rglob("*.*g")}
    assert copies == {"Red thing/a.png", "Red thing/a-2.png", "Red thing/ünï\n.jpeg", "other/nothing.png"}
    assert (tmp_path / "sorted/Red thing/a-2.png").read_bytes() == (photos / "b/a.png").read_bytes()
    uncertain = rows(tmp_path / "out" / "uncertain.csv")
    assert [row["image"] for row in uncertain] == ["a.png", "b/a.png"]
    assert (tmp_path / "out" / "uncertain.html").read_text().count("<figure>") == 2
    code, out, _ = run(photos, *out_flags, "--sort_into", tmp_path / "strict", "--sort_min_score", 0.95)
    assert {path.parent.name for path in (tmp_path / "strict").rglob("*.*g")} == {"other"}


def test_predictions_of_another_model_are_not_mixed_with_these(run, server, encoded_model, photos, tmp_path):
    flags = ["--output_directory", tmp_path / "out"]
    run(photos, "--server", server.address, "--model_name", "detector", *flags)
    code, _, err = run(photos, "--server", server.address, "--model_name", "detector", *flags, "--min_score", 0.4)
    assert code == 2 and "min_score 0.05" in err and "another --output_directory" in err
    code, _, err = run(photos, "--saved_model_dir", encoded_model / "1", *flags)
    assert code == 2 and "was made with" in err


def test_two_runs_at_once_do_not_write_one_file(run, server, photos, tmp_path):
    import fcntl

    (tmp_path / "out").mkdir()
    with (tmp_path / "out" / "predictions.jsonl").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        code, _, err = run(
            photos, "--server", server.address, "--model_name", "detector", "--output_directory", tmp_path / "out"
        )
    assert code == 1 and "another process" in err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output_directory", "out", "--saved_model_dir", "no/model"], "saved_model.pb is missing"),
        (["--output_directory", "out", "--server", "localhost:1"], "--model_name"),
        (["--output_directory", "out", "--server", "h:1", "--saved_model_dir", "m"], "give one"),
        (["--output_directory", "out"], "holds no predictions"),
        (["--saved_model_dir", "m"], "--output_directory is missing"),
        (["--output_directory", "photos/out", "--server", "h:1", "--model_name", "m"], "lies in"),
        (["--estimate_cost", "5"], "no model to ask"),
    ],
)
def test_a_mistake_in_the_flags_is_one_line(run, photos, monkeypatch, flags, message):
    monkeypatch.chdir(photos.parent)
    code, out, err = run("photos", *flags)
    assert code == 2 and out == "" and len(err.splitlines()) == 1 and message in err
    assert not (photos.parent / "out").exists() and not (photos / "out").exists()


def test_a_server_that_is_not_there_is_said_and_nothing_is_lost(run, photos, tmp_path):
    flags = ["--server", "localhost:1", "--model_name", "m", "--output_directory", tmp_path / "out"]
    code, _, err = run(photos, *flags, "--timeout_seconds", 1)
    assert code == 1 and "no server answers at localhost:1" in err


def test_a_cost_estimate_times_the_server_and_writes_nothing(run, server, image, tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(6):
        (tmp_path / "photos" / f"{number}.png").write_bytes(image((number, 2, 30, 40)))
    code, out, _ = run(
        *(tmp_path / "photos", "--server", server.address, "--model_name", "detector"),
        *("--estimate_cost", 1_000_000, "--price_per_hour", 2, "--batch_sizes", 1, 4, "--sample", 4),
    )
    assert code == 0 and "timed 4 of 6 images" in out
    for line, size in zip(out.splitlines()[2:], (1, 4), strict=True):
        cells = line.removeprefix(f"server {server.address}").split()
        milliseconds, hours, price = float(cells[1]), float(cells[4].replace(",", "")), float(cells[6].replace(",", ""))
        assert int(cells[0]) == size and milliseconds > 0
        assert price == pytest.approx(2 * hours, abs=0.2)
        assert hours == pytest.approx(1e6 * milliseconds / 1000 / 3600, abs=15)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def start(folder, out, server, *flags):
    command = [sys.executable, "-m", "serving.predict_folder", str(folder), "--output_directory", str(out)]
    command += ["--server", server.address, "--model_name", "detector", "--batch_size", "1", *map(str, flags)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_killed_again_and_again_it_goes_on_and_does_nothing_twice(server, image, tmp_path):
    photos, out, target = tmp_path / "photos", tmp_path / "out", tmp_path / "sorted"
    photos.mkdir()
    encoded = image((10, 20, 30, 40), (640, 480), "JPEG")
    for number in range(300):
        (photos / f"{number:03}.jpg").write_bytes(encoded)
    predictions, journal = out / "predictions.jsonl", target / ".sorted.jsonl"
    counts = []
    for path, enough in ((predictions, 20), (predictions, 60), (journal, 1), (journal, 100)):
        process = start(photos, out, server, "--sort_into", target)
        deadline = time.monotonic() + 120
        while not (path.exists() and path.read_bytes().count(b"\n") >= enough):
            assert process.poll() is None and time.monotonic() < deadline, process.stdout.read()
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        process.stdout.close()
        counts.append(predictions.read_bytes().count(b"\n"))
    assert counts[0] < counts[1] < 300 == counts[2]
    with journal.open("a") as file:
        file.write('{"image": "25')  # as a kill within a write leaves it
    process = start(photos, out, server, "--sort_into", target)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    names = [f"{number:03}.jpg" for number in range(300)]
    assert [entry["image"] for entry in lines(predictions)] == names
    assert [row["image"] for row in rows(out / "detections.csv") if float(row["score"]) > 0.5] == names
    assert sorted(path.name for path in target.rglob("*") if path.is_file()) == [".sorted.jsonl", *names]
    assert {path.read_bytes() for path in target.rglob("*.jpg")} == {encoded}


def test_a_torn_line_is_asked_about_again_and_a_broken_one_is_named(run, server, photos, tmp_path):
    flags = ["--server", server.address, "--model_name", "detector", "--output_directory", tmp_path / "out"]
    flags += ["--max_failures", 2]
    run(photos, *flags)
    path = tmp_path / "out" / "predictions.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert "3 predicted before, 1 now" in run(photos, *flags)[1]
    assert path.read_bytes() == whole
    path.write_bytes(whole.replace(b"box_pixels", b"box_pickles", 1))
    code, _, err = run(photos, *flags)
    assert code == 1 and "predictions.jsonl, line 1" in err


def test_through_a_server_tensorflow_is_not_imported(server, photos, tmp_path):
    script = (
        "import sys; from serving.predict_folder import main; code = main(sys.argv[1:]); "
        "print(code, sorted({'tensorflow', 'tf_keras', 'pandas', 'polars'} & set(sys.modules)))"
    )
    flags = ["--server", server.address, "--model_name", "detector", "--output_directory", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", script, str(photos), *flags, "--uncertain", "2"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "3 []"


def test_pixels_are_handed_to_a_model_that_takes_pixels(run, pixel_model, photos, tmp_path):
    flags = ["--saved_model_dir", pixel_model / "1", "--device", "cpu", "--output_directory", tmp_path / "out"]
    code, out, _ = run(photos, *flags, "--min_score", 0.3)
    assert code == 3 and "4 now" in out
    assert lines(tmp_path / "out" / "predictions.jsonl")[0]["detections"][0]["box_pixels"]["xmax"] == 30.0


@pytest.fixture
def predicted(run, photos, label_map_path, tmp_path):
    """The output folder of a run over the photographs, with COCO JSON."""
    out = tmp_path / "out"
    (photos / "b" / "deep" / "\u00fcn\u00ef\n.jpeg").unlink()  # a line break in a name is no matter of this
    with StandInDetector() as stand_in:
        flags = ["--server", stand_in.address, "--model_name", "detector", "--label_map_path", label_map_path]
        flags += ["--output_directory", out, "--coco_path", out / "coco.json", "--max_failures", 2]
        code, _, error = run(photos, *flags)
    assert code == 0, error
    return out


@pytest.mark.parametrize(
    ("format", "name"), [("predictions", "predictions.jsonl"), ("coco", "coco.json"), ("csv", "detections.csv")]
)
def test_predictions_become_labels_to_correct_and_records(predicted, photos, label_map_path, tmp_path, format, name):
    from data_prep.import_annotations import main as import_annotations
    from data_prep.make_tfrecords import main as make_tfrecords

    points, images = tmp_path / "points.json", tmp_path / "images"
    words = ["--format", format, "--annotations_path", str(predicted / name), "--image_directory", str(photos)]
    words += ["--point_output_path", str(points), "--label_map_path", str(tmp_path / "label_map.pbtxt")]
    words += ["--earlier_label_map_path", str(label_map_path), "--image_output_directory", str(images)]
    assert import_annotations(words) == 0
    found = [one for line in lines(predicted / "predictions.jsonl") for one in line["detections"]]
    boxes = [box for point in json.loads(points.read_text()) for box in point["annotations"]]
    assert sorted(box["confidence"] for box in boxes) == pytest.approx(sorted(one["score"] for one in found))
    lefts = sorted(one["box_normalized"]["xmin"] for one in found)
    assert sorted(box["x0"] for box in boxes) == pytest.approx(lefts, abs=1e-3)
    words = ["--datapoints_input_path", str(points), "--image_directory", str(images)]
    words += ["--label_map_path", str(tmp_path / "label_map.pbtxt")]
    assert make_tfrecords([*words, "--record_output_path", str(tmp_path / "train.record"), "--num_shards", "1"]) == 0


def test_the_coco_file_is_read_by_others(predicted, tmp_path):
    datumaro = pytest.importorskip("datumaro")  # with which CVAT reads COCO, too
    folder = tmp_path / "as_it_wants_it" / "annotations"
    folder.mkdir(parents=True)
    (folder.parent / "images").mkdir()
    shutil.copy(predicted / "coco.json", folder / "instances_default.json")
    read = datumaro.Dataset.import_from(str(folder.parent), "coco_instances")
    labels = [label.name for label in read.categories()[datumaro.AnnotationType.label]]
    found = sorted(
        (labels[box.label], round(box.attributes["score"], 4), round(box.x), round(box.y), round(box.w), round(box.h))
        for item in read
        for box in item.annotations
    )
    coco = json.loads((predicted / "coco.json").read_text())
    names = {category["id"]: category["name"] for category in coco["categories"]}
    wanted = [
        (names[one["category_id"]], round(one["score"], 4), *map(round, one["bbox"])) for one in coco["annotations"]
    ]
    assert found == sorted(wanted)
    assert len(found) == len(rows(predicted / "detections.csv")) > 0


def test_the_coco_file_has_what_the_format_asks_for(predicted):
    from pycocotools.coco import COCO

    coco = COCO(str(predicted / "coco.json"))
    content = coco.dataset
    assert {"id", "file_name", "width", "height"} == set(content["images"][0])
    assert {"id", "image_id", "category_id", "bbox", "area", "iscrowd", "score"} <= set(content["annotations"][0])
    for annotation in content["annotations"]:
        assert annotation["area"] == pytest.approx(annotation["bbox"][2] * annotation["bbox"][3], abs=0.1)
    assert len({one["id"] for one in content["annotations"]}) == len(content["annotations"])
    assert [one["id"] for one in content["images"]] == list(range(1, 4))
    assert {category["id"] for category in content["categories"]} == {1, 2}
