"""An imported checkpoint compared with the model that it was made of: stand-ins, and Google's own where they are."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from configs.schema.pipeline_file import parse_pipeline_config
from data_prep.runtime.command_line import UserError
from export.compare_import import main
from export.parity import ask_checkpoint
from export.parity_images import generated_images
from tests.small_models import build_detector
from tests.train.importing.small_detector import SHAPE
from train.checkpoints.api_export import write_api_checkpoint
from train.checkpoints.tensorflow_1.frozen_graph import GraphFacts
from train.import_checkpoint import main as import_checkpoint
from train.importing.ssd_config import config_text

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
WEIGHTS, PHOTOGRAPHS = SHARED / "weights", SHARED / "samples" / "street" / "images"


def graph_that_answers(path: Path, answers: dict[str, np.ndarray], shift: float = 0.0) -> Path:
    """A frozen graph with the API's tensors, which says for any image what it was told."""
    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.uint8, [1, None, None, 3], name="image_tensor")
        nothing = tf.cast(tf.reduce_sum(tf.cast(image, tf.float32)) * 0.0, tf.float32)
        for name, value in answers.items():
            shifted = value + np.float32(shift if name == "raw_detection_scores" else 0.0)
            tf.add(tf.constant(shifted[np.newaxis], tf.float32), nothing, name=name)
        path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def test_the_table_says_how_far_the_import_is_from_the_original(tmp_path, capsys):
    text, _ = config_text(SHAPE, GraphFacts(image_size=(96, 128)), header=(), folder="x")
    (tmp_path / "pipeline.config").write_text(text)
    detector = build_detector(parse_pipeline_config(text))
    write_api_checkpoint(detector.network, tmp_path)
    image = generated_images()[0]
    (tmp_path / "photo.jpg").write_bytes(image.encoded)
    (answers,) = ask_checkpoint(detector, [image.pixels()])
    words = ["--pipeline_config_path", str(tmp_path / "pipeline.config")]
    words += ["--trained_checkpoint_dir", str(tmp_path / "checkpoint")]
    words += ["--parity_pictures", str(tmp_path / "photo.jpg")]  # its earlier name
    assert main([str(graph_that_answers(tmp_path / "same.pb", answers)), *words]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"same\.pb +Session +before NMS", printed) and re.search(r"same\.pb +Session +after NMS", printed)
    with pytest.raises(UserError, match="the import does not predict what the original does: other"):
        main([str(graph_that_answers(tmp_path / "other.pb", answers, shift=0.1)), *words])
    del answers["detection_boxes"]
    with pytest.raises(UserError, match=r"has no tensor detection_boxes:0"):
        main([str(graph_that_answers(tmp_path / "half.pb", answers)), *words])
    with pytest.raises(UserError, match="only a frozen graph"):
        main([str(tmp_path / "photo.jpg"), *words])


@pytest.mark.skipif(not WEIGHTS.is_dir() or not PHOTOGRAPHS.is_dir(), reason="Google's models are not on this machine")
@pytest.mark.parametrize(
    ("name", "labels", "variables"),
    [
        ("ssd_mobilenet_v2_coco_2018_03_29_frozen_inference_graph.pb", None, 344),
        ("object_detection_ssd_mobilenetv2_oidv4_fp16.tflite", "object_detection_oidv4_labelmap.txt", 324),
    ],
)
def test_googles_own_detectors_predict_the_same_after_import(name, labels, variables, tmp_path, capsys):
    words = ["--label_map_path", str(WEIGHTS / labels)] if labels else []
    assert import_checkpoint([str(WEIGHTS / name), "--output_directory", str(tmp_path / "imported"), *words]) == 0
    assert f"restored {variables} variables" in capsys.readouterr().out
    photographs = [str(path) for path in sorted(PHOTOGRAPHS.rglob("*.jpg"))[::64][:4]]
    assert len(photographs) == 4
    words = ["--pipeline_config_path", str(tmp_path / "imported" / "pipeline.config")]
    words += ["--trained_checkpoint_dir", str(tmp_path / "imported" / "checkpoint"), "--parity_images", *photographs]
    assert main([str(WEIGHTS / name), *words]) == 0
    row = re.search(r"before NMS +7668 +(\S+) +(\S+) +0 +0 +0\n", capsys.readouterr().out + "\n")
    assert row and float(row[1]) < 0.01 and float(row[2]) < 1e-5
