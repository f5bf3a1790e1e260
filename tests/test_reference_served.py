"""A checkpoint of the Object Detection API, exported and served, answers over gRPC what the API itself detects.

Needs the API's reference values beside the project, and skips where they are not.
"""

import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data_prep.formats.label_map import LabelMap, LabelMapItem, write_label_map
from export.export_saved_model import main as export
from serving.client_library.detection_client import DetectionClient
from tests.reference.folder import ReferenceFolder

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT.parent / "shared" / "odapi_fixtures"
LABEL_MAP = LabelMap(tuple(LabelMapItem(number, f"class {number}") for number in range(1, 81)))
# Weights are random, and logits reach 16: a score may differ in its third digit by rounding alone.
LARGEST_SCORE_DIFFERENCE = 2e-3
LARGEST_BOX_DIFFERENCE = 2e-3
# What the reference's own authors see change places, or drop out, between two builds of the API's arithmetic.
LEAST_FOUND = {"ssd_mobilenet_v2_320": 1.0, "faster_rcnn_resnet50_v1_320": 0.97}


def write_checkpoint(folder: ReferenceFolder, prefix: Path) -> None:
    """Writes the reference's weights as the API's trainer does: an object-based checkpoint below `model`."""
    state = np.load(folder.path / "state.npz", allow_pickle=False)
    graph = "_CHECKPOINTABLE_OBJECT_GRAPH"
    tensors = {
        f"model/{path}/.ATTRIBUTES/VARIABLE_VALUE": tf.constant(value) for path, value in folder.weights().items()
    }
    tensors[graph] = tf.constant(state[graph].tobytes())
    prefix.parent.mkdir(parents=True)
    names = sorted(tensors)
    tf.raw_ops.SaveV2(
        prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=[tensors[n] for n in names]
    )


def is_same(detection, class_id: int, score: float, box: np.ndarray) -> bool:
    return (
        detection.class_id == class_id
        and abs(detection.score - score) <= LARGEST_SCORE_DIFFERENCE
        and np.abs(np.array(detection.box_normalized) - box).max() <= LARGEST_BOX_DIFFERENCE
    )


@pytest.mark.slow
@pytest.mark.skipif(not REFERENCE.is_dir(), reason="no ../shared/odapi_fixtures: values that the API computed")
@pytest.mark.parametrize("model", sorted(LEAST_FOUND))
def test_the_client_gets_what_the_api_detects(model, tmp_path):
    folder = ReferenceFolder.read(REFERENCE / model)
    write_checkpoint(folder, tmp_path / "checkpoint" / "ckpt-0")
    write_label_map(tmp_path / "label_map.pbtxt", LABEL_MAP)
    text = (folder.path / "pipeline.config").read_text()
    config = tmp_path / "pipeline.config"
    config.write_text(re.sub(r'label_map_path: "[^"]*"', f'label_map_path: "{tmp_path}/label_map.pbtxt"', text))
    words = ["--pipeline_config_path", str(config), "--trained_checkpoint_dir", str(tmp_path / "checkpoint")]
    words += ["--input_type", "image_tensor", "--output_directory", str(tmp_path / "exported")]
    override = f'train_input_reader {{ tf_record_input_reader {{ input_path: "{tmp_path}/none" }} }}'
    override += f' eval_input_reader {{ tf_record_input_reader {{ input_path: "{tmp_path}/none" }} }}'
    override += ' train_config { fine_tune_checkpoint: "" }'
    assert export([*words, "--model_base_path", str(tmp_path / "served"), "--config_override", override]) == 0

    command = [sys.executable, "-m", "serving.serve", "--backend", "local", "--model_name", "reference"]
    command += ["--model_base_path", str(tmp_path / "served"), "--port", "0", "--rest_api_port", "0"]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        address = next(found[1] for line in server.stdout if (found := re.match(r"ready: .* gRPC at (\S+)", line)))
        with DetectionClient(address, "reference", label_map=LABEL_MAP, min_score=-1.0) as client:
            for batch in ("batch", "odd"):
                arrays = folder.arrays[batch]
                for row, pixels in enumerate(folder.images[batch]):
                    png = io.BytesIO()
                    Image.fromarray(pixels).save(png, "PNG")
                    found = client.detect(png.getvalue()).detections
                    wanted = [
                        (int(class_index) + 1, float(score), box)
                        for class_index, score, box in zip(
                            arrays["post/detection_classes"][row],
                            arrays["post/detection_scores"][row],
                            arrays["post/detection_boxes"][row],
                            strict=True,
                        )
                    ]
                    assert len(found) == int(arrays["post/num_detections"][row])
                    same = sum(any(is_same(detection, *one) for detection in found) for one in wanted)
                    assert same >= LEAST_FOUND[model] * len(wanted), (batch, row, same, len(wanted))
    finally:
        server.terminate()
        server.wait(30)
