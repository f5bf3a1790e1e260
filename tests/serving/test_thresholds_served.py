"""A model with thresholds of its own, served and in process: what comes back without a flag, and with one."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from data_prep.formats.label_map import read_label_map
from export.signatures import ALL_DETECTIONS, BakedThresholds
from serving.client import main as ask
from serving.client_library.detection_client import DetectionClient
from serving.client_library.detections import BY_THE_MODEL, ThresholdsOr, least_score
from serving.demonstration.detection_cache import first_threshold
from serving.demonstration.settings import read_settings
from serving.local_server import LocalServer
from serving.predict_folder import main as predict
from tests.colour_detector import export_colour_detector
from tests.conftest import block_image
from train.evaluation.thresholds_file import ClassThresholds
from train.pipeline import load_pipeline

THRESHOLDS = {1: 0.4, 2: 0.7}
NAMES = {1: "Red block", 2: "Blue block"}


@pytest.fixture(scope="module")
def folder(block_config, tmp_path_factory):
    """An export whose red blocks count from 0.4 on, its blue ones from 0.7 on, and six photographs."""
    folder = tmp_path_factory.mktemp("served")
    path = folder / "given.json"
    path.write_text(json.dumps({"classes": [{"id": i, "name": NAMES[i], "threshold": THRESHOLDS[i]} for i in NAMES]}))
    thresholds = ClassThresholds(path, "", THRESHOLDS, NAMES)
    baked = BakedThresholds(thresholds, also_all_detections=True)
    export_colour_detector(load_pipeline(str(block_config("ssd"))), folder, baked)
    (folder / "photos").mkdir()
    for number in range(6):
        (folder / "photos" / f"{number}.jpg").write_bytes(block_image(number)[0])
    return folder


@pytest.fixture(scope="module")
def server(folder):
    with LocalServer.of_model("blocks", folder / "versions") as server:
        yield server


def scores_of(results) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in NAMES.values()}
    for name, score in results:
        found[name].append(score)
    return found


def check_own_thresholds(found: dict[str, list[float]]) -> None:
    assert THRESHOLDS[1] <= min(found["Red block"]) < 0.5 < THRESHOLDS[2] <= min(found["Blue block"])


def words_of(server, folder: Path) -> list[str]:
    labels = str(folder / "exported" / "label_map.pbtxt")
    return ["--server", server.address, "--model_name", "blocks", "--label_map_path", labels]


def asked(capsys, *words: str) -> dict[str, list[float]]:
    assert ask([*words, "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return scores_of((found["name"], found["score"]) for answer in answers for found in answer["detections"])


def test_the_command_takes_what_the_model_says_and_a_flag_wins(server, folder, capsys):
    words = [*words_of(server, folder), str(folder / "photos")]
    own = asked(capsys, *words)
    check_own_thresholds(own)
    strict = asked(capsys, *words, "--min_score", "0.6")
    assert 0 < len(strict["Red block"]) < len(own["Red block"]) and min(strict["Red block"]) >= 0.6
    assert strict["Blue block"] == own["Blue block"]
    everything = asked(capsys, *words, "--signature_name", ALL_DETECTIONS, "--min_score", "0")
    assert min(everything["Red block"]) < THRESHOLDS[1] and min(everything["Blue block"]) < 0.5
    usual = asked(capsys, *words, "--signature_name", ALL_DETECTIONS)
    assert 0.5 <= min(usual["Blue block"]) < 0.7


def test_the_library_tells_and_has_each_detections_threshold_on_request(server, folder):
    label_map = read_label_map(folder / "exported" / "label_map.pbtxt")
    settings = {"label_map": label_map, "min_score": BY_THE_MODEL, "extra_outputs": ["detection_thresholds"]}
    with DetectionClient(server.address, "blocks", **settings) as client:
        found = client.detect(folder / "photos" / "0.jpg")
        assert client.has_thresholds
    expected = [THRESHOLDS[detection.class_id] for detection in found.detections]
    np.testing.assert_allclose(found.extra_outputs["detection_thresholds"][: len(expected)], expected)
    with DetectionClient(server.address, "blocks", signature_name=ALL_DETECTIONS) as client:
        client.connect()
        assert not client.has_thresholds


def test_what_counts_by_itself_and_by_the_model():
    assert least_score(0.3, has_thresholds=True) == least_score(0.3, has_thresholds=False) == 0.3
    assert least_score(ThresholdsOr(0.05), has_thresholds=False) == 0.05
    assert least_score(BY_THE_MODEL, has_thresholds=True) == 0.0


def test_the_page_begins_at_what_the_model_says(server, folder):
    words = words_of(server, folder)
    assert first_threshold(read_settings(words), 1) == 0.0
    assert first_threshold(read_settings([*words, "--signature_name", ALL_DETECTIONS]), 1) == 0.5
    assert first_threshold(read_settings([*words, "--min_score", "0.3"]), 1) == 0.3


@pytest.mark.parametrize("where", ["in process", "served"])
def test_a_folder_is_predicted_and_sorted_by_the_models_thresholds(server, folder, tmp_path, where):
    model = words_of(server, folder) if where == "served" else ["--saved_model_dir", str(folder / "versions" / "1")]
    out, photos = tmp_path / "out", str(folder / "photos")
    words = [photos, "--output_directory", str(out), "--sort_into", str(tmp_path / "sorted")]
    assert predict([*words, *model]) == 0
    with (out / "detections.csv").open() as file:
        check_own_thresholds(scores_of((row["name"], float(row["score"])) for row in csv.DictReader(file)))
    run = json.loads((out / "run.json").read_text())
    assert (run["model_thresholds"], run["min_score"]) == (True, 0.0)
    assert not (tmp_path / "sorted" / "other").exists()
    # Again, and without the model: what was decided then still holds.
    assert predict([*words, *model]) == 0
    assert predict([photos, "--output_directory", str(out), "--sort_into", str(tmp_path / "again")]) == 0
    for sorted_into in ("sorted", "again"):
        assert len(list((tmp_path / sorted_into).rglob("*.jpg"))) == 6
    strict = [photos, "--output_directory", str(out), "--sort_into", str(tmp_path / "strict")]
    assert predict([*strict, "--sort_min_score", "1"]) == 0
    assert len(list((tmp_path / "strict" / "other").glob("*.jpg"))) == 6
