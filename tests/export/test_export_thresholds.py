"""From thresholds that an evaluation chose to a model that applies them, and gives what was promised."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import tensorflow as tf

from data_prep.runtime.command_line import UsageError, UserError
from export.export_saved_model import main as export
from export.frozen_graph import frozen_session
from export.parity import LOADERS, check_parity
from export.parity_images import images_for
from export.score_thresholds import with_thresholds
from export.signatures import ALL_DETECTIONS, OUTPUT_NAMES, BakedThresholds
from export.warmup import replay_warmup
from tests.colour_detector import ColourDetector, export_colour_detector
from tests.conftest import block_image
from train.evaluate import main as evaluate
from train.evaluation.thresholds_file import ClassThresholds, read_thresholds
from train.pipeline import load_pipeline

INPUT = ["encoded_image_string_tensor"]
FIGURES = "OperatingPoint_PerformanceByCategory"
PER_DETECTION = ("detection_class_names", "detection_multiclass_scores", "detection_anchor_indices")


def evaluated(config_path, folder, *more: str) -> dict[str, float]:
    """Evaluates the export in a folder; returns the classes' figures at their thresholds."""
    words = ["--pipeline_config_path", str(config_path), "--saved_model_dir", str(folder / "exported")]
    assert evaluate([*words, "--eval_dir", str(folder / "eval"), *more]) == 0
    metrics = json.loads((folder / "eval" / "metrics.json").read_text())["metrics"]
    return {name: value for name, value in metrics.items() if name.startswith(FIGURES)}


@pytest.fixture(scope="module")
def config_path(block_config):
    return block_config("ssd")


@pytest.fixture(scope="module")
def chosen(config_path, tmp_path_factory):
    """An export without thresholds, and what an evaluation chose and promised."""
    folder = tmp_path_factory.mktemp("plain")
    export_colour_detector(load_pipeline(str(config_path)), folder)
    promised = evaluated(config_path, folder, "--operating_point", "f1", "--thresholds_path", str(folder / "t.json"))
    return folder, promised


@pytest.fixture(scope="module")
def exported(config_path, chosen, tmp_path_factory):
    """An export with these thresholds."""
    folder = tmp_path_factory.mktemp("baked")
    pipeline = load_pipeline(str(config_path))
    baked = BakedThresholds(read_thresholds(chosen[0] / "t.json", pipeline.names_by_id), also_all_detections=True)
    more = {"more_outputs": PER_DETECTION, "warmup_batch_sizes": [2], "also_frozen_graph": True}
    export_colour_detector(pipeline, folder, baked, **more)
    return folder


def test_the_export_gives_the_promised_precision_and_recall_exactly(config_path, chosen, exported, capsys):
    _, promised = chosen
    found = evaluated(config_path, exported)
    assert "saved_model/assets/thresholds.json, for f1" in capsys.readouterr().out
    for name in ("Red block", "Blue block"):
        assert promised[f"{FIGURES}/Precision/{name}"] > 0.5 and promised[f"{FIGURES}/Recall/{name}"] > 0.5
        for kind in ("Precision", "Recall", "F1", "Threshold"):
            assert found[f"{FIGURES}/{kind}/{name}"] == promised[f"{FIGURES}/{kind}/{name}"], (kind, name)


@pytest.mark.parametrize("reader", list(LOADERS))
def test_weaker_detections_do_not_leave_the_graph_and_the_rest_moves_up(chosen, exported, reader):
    request = np.array([block_image(100)[0]], object)
    with LOADERS[reader](chosen[0] / "exported" / "saved_model") as ask:
        full = ask("serving_default", request)
    with LOADERS[reader](exported / "exported" / "saved_model") as ask:
        found, everything = ask("serving_default", request), ask(ALL_DETECTIONS, request)
    for name in OUTPUT_NAMES:
        np.testing.assert_array_equal(everything[name], full[name])
    thresholds = read_thresholds(exported / "exported" / "thresholds.json", {1: "Red block", 2: "Blue block"}).by_class
    count = int(full["num_detections"])
    rows = [row for row in range(count) if full["detection_scores"][row] >= thresholds[full["detection_classes"][row]]]
    assert 0 < len(rows) == found["num_detections"] < count
    for name in ("detection_boxes", "detection_scores", "detection_classes", *PER_DETECTION):
        np.testing.assert_array_equal(found[name][: len(rows)], everything[name][rows], err_msg=name)
        assert found[name].shape == everything[name].shape
        assert not any(np.ravel(found[name][len(rows) :]).tolist()), name
    np.testing.assert_allclose(
        found["detection_thresholds"][: len(rows)],
        [thresholds[each] for each in found["detection_classes"][: len(rows)]],
    )
    assert "detection_thresholds" not in everything


def test_files_reports_and_warm_up_know_of_them(chosen, exported):
    text = (chosen[0] / "t.json").read_text()
    for place in ("exported", "exported/saved_model/assets", "versions/1/assets"):
        assert (exported / place / "thresholds.json").read_text() == text
    report = json.loads((exported / "exported" / "parity.json").read_text())
    assert set(report["thresholds"]) == {"Red block", "Blue block"}
    signatures = {request.signature for request in replay_warmup(exported / "versions" / "1").requests}
    assert signatures == {"serving_default", ALL_DETECTIONS}
    with frozen_session(exported / "exported" / "frozen_inference_graph.pb") as session:
        pixels = np.asarray(tf.io.decode_jpeg(block_image(100)[0]))[np.newaxis]
        count = session.run("num_detections:0", {"image_tensor:0": pixels})
    assert 0 < count[0] < 12


def test_parity_notices_thresholds_that_are_not_the_models(config_path, exported):
    pipeline = load_pipeline(str(config_path))
    baked = BakedThresholds(read_thresholds(exported / "exported" / "thresholds.json", pipeline.names_by_id), True)
    saved_model, detector = exported / "exported" / "saved_model", ColourDetector()
    images = images_for((), pipeline)
    report = check_parity(saved_model, detector, INPUT, images, baked=baked)
    assert "after NMS with thresholds of" in report.summary()
    for by_class in ({1: 0.9, 2: 0.9}, {1: 0.02, 2: 0.02}):
        other = dataclasses.replace(baked, thresholds=dataclasses.replace(baked.thresholds, by_class=by_class))
        with pytest.raises(UserError, match="does not detect what the checkpoint does"):
            check_parity(saved_model, detector, INPUT, images, baked=other)


def test_a_score_at_its_threshold_stays_and_a_class_without_one_goes(tmp_path):
    score = np.float32(0.3)
    below, above = np.nextafter(score, np.float32(0)), np.nextafter(score, np.float32(1))
    found = {
        "detection_boxes": tf.ones([1, 5, 4]),
        "detection_scores": tf.constant([[above, score, score, below, 0.0]]),
        "detection_classes": tf.constant([[1.0, 2.0, 1.0, 1.0, 0.0]]),
        "num_detections": tf.constant([4.0]),
        "raw_detection_scores": tf.ones([1, 7, 2]),
    }
    thresholds = ClassThresholds(tmp_path, "", {1: float(score), 2: math.inf}, {1: "a", 2: "b"})
    kept = with_thresholds(found, thresholds, 2)
    assert kept["num_detections"].numpy().tolist() == [2]
    np.testing.assert_array_equal(kept["detection_scores"], [[above, score, 0, 0, 0]])
    np.testing.assert_array_equal(kept["detection_classes"], [[1, 1, 0, 0, 0]])
    np.testing.assert_array_equal(kept["raw_detection_scores"], found["raw_detection_scores"])
    between = float(below) + (float(score) - float(below)) / 4  # nearer to the lower one, to which float32 rounds
    kept = with_thresholds(found, dataclasses.replace(thresholds, by_class={1: between, 2: math.inf}), 2)
    assert kept["num_detections"].numpy().tolist() == [2]


def test_bad_thresholds_are_one_line_before_anything_is_built(config_path, tmp_path):
    words = ["--pipeline_config_path", str(config_path), "--trained_checkpoint_dir", "none", "--output_directory"]
    path = tmp_path / "t.json"
    path.write_text(json.dumps({"classes": [{"id": 1, "name": "Sofa", "threshold": 0.5}]}))
    with pytest.raises(UsageError, match="thresholds of another label map"):
        export([*words, str(tmp_path / "out"), "--thresholds", str(path)])
    with pytest.raises(UsageError, match="--also_all_detections goes with --thresholds"):
        export([*words, str(tmp_path / "out"), "--also_all_detections"])
