"""train.compare: verdicts as exit codes, what is computed once, the page."""

from __future__ import annotations

import json

import numpy as np
import pytest

from data_prep.runtime.command_line import UsageError, UserError
from tests.train.test_evaluate_detections import perfect_rows, write_csv
from train.compare import main as compare


@pytest.fixture
def files(tmp_path):
    """Detections of every block, and of those of all images but two."""
    rows = list(perfect_rows())
    return write_csv(tmp_path / "all.csv", rows), write_csv(tmp_path / "some.csv", rows[:-4])


@pytest.fixture
def ground_truth(words, files, tmp_path):
    """The evaluation records as a COCO file, which the evaluation of detections writes."""
    from train.evaluate import main as evaluate

    path = tmp_path / "written.json"
    assert evaluate([*words, "--from_detections", str(files[0]), "--detections_path", str(path)]) == 0
    return path.with_name("written.ground_truth.json")


@pytest.fixture
def words(block_config):
    return ["--pipeline_config_path", str(block_config("ssd"))]


def test_better_and_worse_detections_on_records(words, files, tmp_path, capsys):
    everything, some = map(str, files)
    out, page = tmp_path / "out", tmp_path / "page.html"
    more = [*words, "--output_directory", str(out), "--resamples", "200"]
    # Of six images two differ: one of them is in 91% of the resamples.
    assert compare([some, everything, *more, "--confidence", "0.85", "--report_path", str(page)]) == 0
    table = capsys.readouterr().out
    assert "B is better than A: in AP in 9" in table
    found = json.loads((out / "comparison.json").read_text())
    assert found["num_objects"] == {"Red block": 6, "Blue block": 6}
    assert found["detectors"][1]["figures"]["AP"]["all classes"]["value"] == pytest.approx(1.0)
    difference = found["detectors"][1]["differences"]["AP"]["all classes"]
    assert difference["value"] == pytest.approx(1 - found["detectors"][0]["figures"]["AP"]["all classes"]["value"])
    text = page.read_text()
    assert "Better with B than with A: 2 images" in text
    assert "Worse with B than with A: 0 images" in text
    assert "A 0 right, 0 wrong, 2 missed; B 2 right, 0 wrong, 0 missed" in text
    assert text.count('src="data:image/jpeg;base64,') == 4
    assert compare([everything, some, *more]) == 1
    assert compare([everything, everything, *more]) == 1
    assert compare([some, everything, everything, *more, "--confidence", "0.85"]) == 0
    assert compare([some, everything, some, *more, "--confidence", "0.85"]) == 1


def test_models_are_asked_once(words, files, tmp_path, capsys):
    import tensorflow as tf

    from configs.settings.loading import load_config
    from train.loop.devices import set_precision
    from train.models.build import build_or_explain

    settings = load_config(words[1]).require_usable()
    set_precision(settings.precision_policy)
    model = tmp_path / "model"
    network = build_or_explain(settings).network
    tf.train.Checkpoint(model=network, global_step=tf.Variable(7, dtype=tf.int64)).save(str(model / "ckpt"))
    out = tmp_path / "out"
    more = [*words, "--output_directory", str(out), "--resamples", "100"]
    assert compare([str(model), str(files[0]), *more]) == 0
    assert "detections of the checkpoint" in capsys.readouterr().out
    cost = json.loads((out / "comparison.json").read_text())["detectors"][0]
    assert cost["milliseconds"] > 0
    assert cost["megabytes"] == pytest.approx(sum(np.prod(one.shape) for one in network.variables) * 4 / 1e6)
    written = (out / "detections_A.json").stat().st_mtime_ns
    assert compare([str(model), str(files[0]), *more]) == 0
    assert "detections of the checkpoint" not in capsys.readouterr().out
    assert (out / "detections_A.json").stat().st_mtime_ns == written


def test_a_coco_file_needs_no_config(ground_truth, files, tmp_path):
    everything, some = map(str, files)
    more = ["--ground_truth_path", str(ground_truth), "--output_directory", str(tmp_path / "out"), "--resamples", "50"]
    page = tmp_path / "page.html"
    assert compare([some, everything, *more, "--confidence", "0.8", "--report_path", str(page)]) == 0
    assert page.read_text().count("<img") == 4  # grey: where the images are was not said
    with pytest.raises(UsageError, match="a model needs --pipeline_config_path"):
        compare([str(make_saved_model_folder(tmp_path)), everything, *more])


def make_saved_model_folder(folder):
    path = folder / "exported"
    path.mkdir()
    (path / "saved_model.pb").write_bytes(b"")
    return path


def test_what_cannot_be_compared_is_said_in_a_line(words, files, tmp_path):
    out = ["--output_directory", str(tmp_path / "out")]
    with pytest.raises(UsageError, match="two or more"):
        compare([str(files[0]), *words, *out])
    with pytest.raises(UsageError, match=r"missing\.csv: no such file"):
        compare([str(files[0]), str(tmp_path / "missing.csv"), *words, *out])
    with pytest.raises(UserError, match="no checkpoint in this folder"):
        (tmp_path / "empty").mkdir()
        compare([str(files[0]), str(tmp_path / "empty"), *words, *out])
    with pytest.raises(UsageError, match="give --pipeline_config_path"):
        compare([*map(str, files), *out])
    with pytest.raises(UsageError, match="--confidence"):
        compare([*map(str, files), *words, *out, "--confidence", "1"])
