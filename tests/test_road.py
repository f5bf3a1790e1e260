"""The road of docs/own_data.md on a tiny sample set, command by command: from CSVs to answers over gRPC."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_prep.download_images import main as download_images
from data_prep.make_label_map import main as make_label_map
from data_prep.make_sample_set import main as make_sample_set
from data_prep.make_tfrecords import main as make_tfrecords
from data_prep.process_metadata import main as process_metadata
from data_prep.translate_classes import main as translate_classes
from data_prep.validate_images import main as validate_images
from data_prep.verify_tfrecords import main as verify_tfrecords
from export.export_saved_model import main as export_saved_model
from train.evaluate import main as evaluate
from train.train import main as train

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "configs" / "ssd_efficientnet-lite0_fpn_320.config"
TINY = """
model { ssd { image_resizer { fixed_shape_resizer { height: 128 width: 128 } } } }
train_config { batch_size: 2 }
"""


def run(main, *words: object) -> None:
    assert main([str(word) for word in words]) == 0


@pytest.fixture(scope="module")
def road(tmp_path_factory):
    """A folder in which everything up to the version folder has been done."""
    data = tmp_path_factory.mktemp("road")
    rooms = data / "rooms"
    run(make_sample_set, "--output_directory", rooms, "--num_train", 6, "--num_validation", 3, "--num_processes", 1)
    descriptions, classes = rooms / "class-descriptions-boxable.csv", rooms / "trainable-classes.txt"
    run(
        translate_classes, "--trainable_classes_path", classes, "--class_description_path", descriptions,
        "--trainable_translated_path", data / "names.json",
    )  # fmt: skip
    run(
        make_label_map, "--trainable_classes_path", classes, "--class_description_path", descriptions,
        "--label_map_path", data / "label_map.pbtxt",
    )  # fmt: skip
    server = subprocess.Popen(
        [sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1"],
        cwd=rooms, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        port = re.search(r"port (\d+)", server.stdout.readline()).group(1)
        for split in ("train", "validation"):
            points, images, clean = (data / f"{split}.{kind}.json" for kind in ("points", "images", "clean"))
            run(
                process_metadata, "--annotations_input_path", rooms / f"{split}-annotations-bbox.csv",
                "--image_index_input_path", rooms / f"{split}-images.csv", "--trainable_classes_path", classes,
                "--class_description_path", descriptions, "--point_output_path", points,
                "--image_index_output_path", images,
            )  # fmt: skip
            run(
                download_images, "--images_path", images, "--images_output_directory", data / f"raw_{split}",
                "--url_template", f"http://127.0.0.1:{port}/images/{{subset}}/{{id}}.jpg",
            )  # fmt: skip
            run(
                validate_images, "--image_directory", data / f"raw_{split}", "--max_dimension", 256,
                "--image_saving_directory", data / split, "--datapoints_input_path", points,
                "--datapoints_output_path", clean, "--num_processes", 1,
            )  # fmt: skip
            run(
                make_tfrecords, "--datapoints_input_path", clean, "--image_directory", data / split,
                "--label_map_path", data / "label_map.pbtxt", "--record_output_path", data / f"{split}.record",
                "--num_shards", 2, "--num_processes", 1,
            )  # fmt: skip
            run(
                verify_tfrecords, "--input_path", data / f"{split}.record-?????-of-00002",
                "--label_map_path", data / "label_map.pbtxt",
            )  # fmt: skip
    finally:
        server.kill()
        server.wait()
    config = data / "pipeline.config"
    config.write_text(re.sub(r"num_classes: \d+", "num_classes: 8", RECIPE.read_text()).replace(
        "PATH_TO_BE_CONFIGURED", str(data)))  # fmt: skip
    both = ["--pipeline_config_path", config, "--config_override", TINY]
    run(train, *both, "--model_dir", data / "model", "--num_train_steps", 2)
    run(evaluate, *both, "--checkpoint_dir", data / "model", "--once")
    run(
        export_saved_model, *both, "--trained_checkpoint_dir", data / "model",
        "--output_directory", data / "exported", "--model_base_path", data / "serving_models",
    )  # fmt: skip
    return data


def test_each_step_leaves_what_the_next_one_reads(road):
    assert len(json.loads((road / "names.json").read_text())) == 8
    assert {"Bed", "Television"} <= set(json.loads((road / "names.json").read_text()))
    assert len(json.loads((road / "train.clean.json").read_text())) == 6
    report = json.loads((road / "model" / "restore_report.json").read_text())
    assert len(report["restored"]) == 240
    assert json.loads((road / "model" / "eval" / "metrics.json").read_text())["num_images"] == 3
    assert (road / "serving_models" / "1" / "saved_model.pb").is_file()


def test_the_served_model_answers_the_client_command(road):
    serve = [
        sys.executable, "-m", "serving.serve", "--model_name", "rooms", "--port", "0", "--backend", "local",
        "--model_base_path", str(road / "serving_models"),
    ]  # fmt: skip
    server = subprocess.Popen(serve, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        deadline = time.monotonic() + 120
        ready = None
        while ready is None and time.monotonic() < deadline:
            ready = re.match(r"ready: .* gRPC at (\S+)", server.stdout.readline())
        address = ready.group(1)
        images = sorted((road / "validation").glob("*.jpg"))
        ask = [
            sys.executable, "-m", "serving.client", "--server", address, "--model_name", "rooms", "--json",
            "--label_map_path", str(road / "label_map.pbtxt"), "--min_score", "0",
            "--output_directory", str(road / "drawn"), *map(str, images),
        ]  # fmt: skip
        answer = subprocess.run(ask, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    finally:
        server.terminate()
        assert server.wait(60) == 0
    answers = [json.loads(line) for line in answer.stdout.splitlines()]
    assert len(answers) == len(images) == len(list((road / "drawn").iterdir())) == 3
    assert all(found["detections"] for found in answers)


@pytest.mark.slow
def test_make_demo_from_a_fresh_clone_and_again(tmp_path):
    """About fifteen minutes: it installs, trains, and expects what the README promises."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(tmp_path / "clone")], check=True)
    first = subprocess.run(
        ["make", "demo", "PORT=8599"], cwd=tmp_path / "clone", capture_output=True, text=True, check=True
    )
    metrics = json.loads((tmp_path / "clone/build/demo/model/eval/metrics.json").read_text())["metrics"]
    assert metrics["DetectionBoxes_Precision/mAP@.50IOU"] >= 0.8
    assert "image:       " in first.stdout
    started = time.monotonic()
    subprocess.run(["make", "demo", "PORT=8599"], cwd=tmp_path / "clone", capture_output=True, text=True, check=True)
    assert time.monotonic() - started < 30
