"""A SavedModel in one's own program, with the client's calls and answers; `.tflite` is in tests/export."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep.runtime.command_line import UsageError, UserError
from serving.client_library.client_errors import ImageRequestError
from serving.client_library.detection_client import DetectionClient
from serving.local_detector import LocalDetector

WEIGHTS = Path(__file__).resolve().parents[2].parent / "shared" / "weights"


def test_it_answers_as_the_client_does(server, encoded_model, pixel_model, image):
    contents = [image((10, 20, 30, 40)), image(None), b"text", image((1, 2, 3, 4))]
    with (
        DetectionClient(server.address, "detector") as client,
        LocalDetector(encoded_model) as local,
        LocalDetector(str(pixel_model / "1")) as of_pixels,
    ):
        asked = list(client.detect_many(contents))
        assert list(local.detect_many(contents)) == asked
        opened = Image.open(io.BytesIO(contents[0]))
        for given in (contents[0], opened, np.asarray(opened)):
            assert local.detect(given).detections == asked[0].detections
            assert of_pixels.detect(given).detections == asked[0].detections
        with pytest.raises(ImageRequestError, match="not an image"):
            local.detect(b"text")


def test_it_finds_the_newest_version_and_the_models_own_label_map(encoded_model, tmp_path, image, label_map_path):
    for name in ("9", "10"):
        (tmp_path / name).symlink_to(encoded_model / "1")
    with LocalDetector(tmp_path) as detector:
        # The label map beside the version, by its real path, is none; that of the base path is not asked.
        assert detector.detect(image((10, 20, 30, 40))).detections[0].name == "class 1"
    exported = tmp_path / "exported"
    exported.mkdir()
    (exported / "saved_model").mkdir()
    for path in (encoded_model / "1").iterdir():
        (exported / "saved_model" / path.name).symlink_to(path)
    (exported / "label_map.pbtxt").write_bytes(label_map_path.read_bytes())
    with LocalDetector(exported) as detector:
        assert detector.detect(image((10, 20, 30, 40))).detections[0].name == "Red thing"


def test_what_is_no_model_is_said(tmp_path):
    with pytest.raises(UsageError, match="holds no SavedModel"):
        LocalDetector(tmp_path)
    (tmp_path / "text.tflite").write_text("not a model")
    with pytest.raises(UserError, match="no TensorFlow Lite file"):
        LocalDetector(tmp_path / "text.tflite")
    (tmp_path / "cut.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(60))
    with pytest.raises(UserError, match=r"cut\.tflite"):
        LocalDetector(tmp_path / "cut.tflite")
    with pytest.raises(UsageError, match="No such file"):
        LocalDetector(tmp_path / "none.tflite")


@pytest.mark.skipif(not WEIGHTS.is_dir(), reason="no shared weights")
def test_a_tflite_without_boxes_at_its_end_is_no_detector():
    with pytest.raises(UsageError, match="is no detector: the model has no TFLite_Detection_PostProcess"):
        LocalDetector(WEIGHTS / "object_detection_ssd_mobilenetv2_oidv4_fp16.tflite")


def test_what_it_needs_is_named_where_it_is_missing(encoded_model, tmp_path, monkeypatch):
    for name in ("tensorflow", "ai_edge_litert"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r"a SavedModel in this process needs TensorFlow .*: pip install"):
        LocalDetector(encoded_model)
    monkeypatch.delitem(sys.modules, "train.evaluation.tflite_model", raising=False)
    with pytest.raises(UserError, match=r"a \.tflite file needs LiteRT .*: pip install"):
        LocalDetector(tmp_path / "a.tflite")
