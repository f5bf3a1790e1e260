"""Anchors, targets, losses, crops' levels and detections of published Faster R-CNN models, as the API computed them.

The stored network outputs go in, so that no checkpoint is needed.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from configs.schema.pipeline_file import parse_pipeline_config
from configs.settings.model import read_model
from train.models.anchors import build_anchor_generator
from train.models.detector import GroundTruth
from train.models.first_stage import BOX_CODER, InputAnchors, assign_anchors
from train.models.proposals import Proposals
from train.models.second_stage import assign_proposals, detections_of, second_stage_losses

REFERENCES = Path(__file__).resolve().parents[3].parent / "shared" / "odapi_fixtures"
SIDE = 320


@pytest.fixture(scope="module", params=["faster_rcnn_resnet50_v1_320", "faster_rcnn_resnet50_v1_fpn_320"])
def reference(request):
    folder = REFERENCES / request.param
    if not folder.is_dir():
        pytest.skip("no ../shared/odapi_fixtures: values that the API computed")
    model = read_model(parse_pipeline_config((folder / "pipeline.config").read_text()))
    return model, dict(np.load(folder / "batch.npz")), json.loads((folder / "report.json").read_text())


def ground_truth(arrays) -> GroundTruth:
    boxes, classes = np.zeros((2, 5, 4), np.float32), np.zeros((2, 5), np.int32)
    for row in range(2):
        count = len(arrays[f"gt/boxes_{row}"])
        boxes[row, :count] = arrays[f"gt/boxes_{row}"] * SIDE
        classes[row, :count] = arrays[f"gt/class_index_{row}"] + 1
    valid = classes > 0
    return GroundTruth(*(tf.constant(x) for x in (boxes, classes, valid.astype(np.float32), valid)))


def proposals(arrays) -> Proposals:
    return Proposals(*(tf.constant(arrays[key]) for key in ("proposal_boxes", "proposal_scores", "num_proposals")))


def input_anchors(model) -> InputAnchors:
    strides = [4, 8, 16, 32, 64] if model.feature_extractor.network.pyramid else [16]
    generator = build_anchor_generator(model.first_stage_anchor_generator)
    boxes = tf.concat(generator.generate([(SIDE // s, SIDE // s) for s in strides], (2**20, 2**20)), axis=0)
    return InputAnchors.within(boxes, (SIDE, SIDE), prune=False)


def assert_targets(arrays, prefix, positive, codes, weights):
    """The stored positives, in whatever order, are the found ones, with their box targets and weights."""
    rows = np.stack([arrays[f"{prefix}/image"], arrays[f"{prefix}/anchor"]], axis=1)
    order = np.lexsort(rows.T[::-1])
    np.testing.assert_array_equal(np.argwhere(positive), rows[order])
    np.testing.assert_allclose(codes[positive], arrays[f"{prefix}/box_targets"][order], atol=2e-5)
    np.testing.assert_array_equal(weights[positive], arrays[f"{prefix}/box_weights"][order])
    assert not weights[~positive].any()
    return order


def test_first_stage_targets(reference):
    model, arrays, _ = reference
    anchors = input_anchors(model)
    np.testing.assert_allclose(anchors.boxes, arrays["anchors"], atol=1e-4)
    targets = assign_anchors(anchors, ground_truth(arrays))
    positive = targets.positive.numpy()
    codes = BOX_CODER.encode(targets.boxes, anchors.boxes[tf.newaxis]).numpy()
    assert_targets(arrays, "target/rpn", positive, codes, targets.box_weights.numpy())
    ignored = targets.class_weights.numpy() == 0
    counts = np.stack([positive.sum(1), (~positive & ~ignored).sum(1), ignored.sum(1)], axis=1)
    np.testing.assert_array_equal(counts, arrays["target/rpn/counts_positive_negative_ignored"])


def test_second_stage_targets(reference):
    model, arrays, _ = reference
    targets = assign_proposals(tf.constant(arrays["proposal_boxes"]), ground_truth(arrays), model.num_classes)
    positive = targets.positive.numpy()
    order = assert_targets(
        arrays, "target/box_classifier", positive, targets.box_codes.numpy(), targets.box_weights.numpy()
    )
    classes = targets.classes.numpy()
    np.testing.assert_array_equal(classes[positive].argmax(-1), arrays["target/box_classifier/class_index"][order])
    np.testing.assert_array_equal(classes.sum(-1), 1)
    assert (classes[~positive].argmax(-1) == 0).all()
    counts = np.stack([positive.sum(1), (~positive).sum(1), [0, 0]], axis=1)
    np.testing.assert_array_equal(counts, arrays["target/box_classifier/counts_positive_negative_ignored"])


def test_second_stage_losses(reference):
    model, arrays, report = reference
    logits = tf.constant(arrays["class_predictions_with_background"].reshape(2, 300, -1))
    has_all_codes = "refined_box_encodings" in arrays
    codes = arrays["refined_box_encodings"].reshape(2, 300, 1, 4) if has_all_codes else np.zeros((2, 300, 1, 4))
    losses = second_stage_losses(logits, tf.constant(codes, tf.float32), proposals(arrays), ground_truth(arrays), model)
    expected = report["loss_inference_mode"]
    for name in ["classification", "localization"] if has_all_codes else ["classification"]:
        key = f"Loss/BoxClassifierLoss/{name}_loss"
        np.testing.assert_allclose(losses[key], expected[key], rtol=1e-5)


def test_detections(reference):
    model, arrays, _ = reference
    if "refined_box_encodings" not in arrays:
        pytest.skip("not all box codes are stored")
    logits = tf.constant(arrays["class_predictions_with_background"].reshape(2, 300, -1))
    codes = tf.constant(arrays["refined_box_encodings"].reshape(2, 300, 1, 4))
    found = detections_of(logits, codes, proposals(arrays), tf.constant([[SIDE, SIDE, 3]] * 2), model)
    np.testing.assert_array_equal(found["num_detections"], arrays["post/num_detections"])
    np.testing.assert_allclose(found["detection_scores"], arrays["post/detection_scores"], atol=1e-5)
    # A pair of nearly equal scores may change places.
    same = found["detection_classes"] == arrays["post/detection_classes"] + 1
    assert same.numpy().mean() > 0.99
    np.testing.assert_allclose(found["detection_boxes"][same], arrays["post/detection_boxes"][same], atol=1e-5)
