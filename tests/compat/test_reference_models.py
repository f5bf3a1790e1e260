"""A notebook's build, restore, detect and train steps beside the values that the Object Detection API computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from object_detection.builders import model_builder
from object_detection.utils import config_util

from tests.reference.folder import ReferenceFolder
from tests.reference.inference import compare_detections
from train.checkpoints.object_paths import variables_by_path

REFERENCES = Path(__file__).resolve().parents[2].parent / "shared" / "odapi_fixtures"
SSDS = [
    "ssd_mobilenet_v2_fpnlite_320",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("ssd_mobilenet_v2_320", "ssd_resnet50_v1_fpn_320", "ssd_efficientdet_d0_512")
    ),
]
FASTER_RCNNS = [
    "faster_rcnn_resnet50_v1_320",
    pytest.param("faster_rcnn_resnet50_v1_fpn_320", marks=pytest.mark.slow),
]


@pytest.fixture(autouse=True)
def inference_phase():
    yield
    tf_keras.backend.set_learning_phase(False)


def reference(name: str) -> ReferenceFolder:
    if not (REFERENCES / name).is_dir():
        pytest.skip("no ../shared/odapi_fixtures: values that the API computed")
    return ReferenceFolder.read(REFERENCES / name)


def write_checkpoint(folder: ReferenceFolder, prefix: Path) -> None:
    """Writes the reference's weights as the API's trainer does: an object-based checkpoint below `model`."""
    state = np.load(folder.path / "state.npz", allow_pickle=False)
    tensors = {f"model/{path}/.ATTRIBUTES/VARIABLE_VALUE": value for path, value in folder.weights().items()}
    tensors["save_counter/.ATTRIBUTES/VARIABLE_VALUE"] = np.int64(1)
    tensors["_CHECKPOINTABLE_OBJECT_GRAPH"] = state["_CHECKPOINTABLE_OBJECT_GRAPH"].tobytes()
    names = sorted(tensors)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(tensors[name]) for name in names],
    )


def restored(folder: ReferenceFolder, tmp_path: Path, *, is_training: bool):
    write_checkpoint(folder, tmp_path / "ckpt-0")
    configs = config_util.get_configs_from_pipeline_file(str(folder.path / "pipeline.config"))
    detection_model = model_builder.build(model_config=configs["model"], is_training=is_training)
    status = tf.compat.v2.train.Checkpoint(model=detection_model).restore(str(tmp_path / "ckpt-0"))
    status.expect_partial().assert_existing_objects_matched()
    return detection_model


def ground_truth(folder: ReferenceFolder) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    arrays = folder.arrays["batch"]
    boxes = [tf.constant(arrays[f"gt/boxes_{image}"], tf.float32) for image in range(2)]
    return boxes, [tf.one_hot(arrays[f"gt/class_index_{image}"], 80) for image in range(2)]


@pytest.fixture(scope="module", params=[*SSDS, *FASTER_RCNNS])
def detector(request, tmp_path_factory):
    """A reference, and its model for inference."""
    folder = reference(request.param)
    return folder, restored(folder, tmp_path_factory.mktemp("checkpoint"), is_training=False)


def test_a_restored_model_detects_what_the_api_detects(detector):
    folder, detection_model = detector

    @tf.function
    def detect_fn(image):
        image, shapes = detection_model.preprocess(image)
        prediction_dict = detection_model.predict(image, shapes)
        return detection_model.postprocess(prediction_dict, shapes), shapes

    for batch in ("batch", "odd"):
        arrays = folder.arrays[batch]
        detections, shapes = detect_fn(tf.cast(folder.images[batch], tf.float32))
        assert np.array_equal(shapes, arrays["true_image_shapes"])
        # Classes are from 0 there, and rows beyond the last detection hold 0.
        counts = detections["num_detections"].numpy().astype(int)
        assert all(
            not row[count:].any() for row, count in zip(detections["detection_classes"].numpy(), counts, strict=True)
        )
        assert detections["detection_anchor_indices"].dtype == tf.int32
        assert detections["detection_multiclass_scores"].shape[1] == detections["detection_scores"].shape[1]
        from_one = {**detections, "detection_classes": detections["detection_classes"] + 1}
        compared = compare_detections(from_one, arrays, least_share=1.0 if folder.name.startswith("ssd") else 0.97)
        assert compared.passed, compared


def test_losses_in_inference_mode_are_the_apis(detector):
    folder, detection_model = detector
    boxes, classes = ground_truth(folder)
    detection_model.provide_groundtruth(groundtruth_boxes_list=boxes, groundtruth_classes_list=classes)
    image, shapes = detection_model.preprocess(tf.cast(folder.images["batch"], tf.float32))
    losses = detection_model.loss(detection_model.predict(image, shapes), shapes)
    stored = folder.report["loss_inference_mode"]
    assert losses.keys() == stored.keys()
    for key, expected in stored.items():
        if isinstance(expected, dict):  # Of anchors drawn at random, several draws.
            assert 0.8 * min(expected["draws"]) < float(losses[key]) < 1.2 * max(expected["draws"])
        else:
            # A pair of nearly equal proposals that changed places moves the second stage's losses.
            tolerance = 1e-4 if folder.name.startswith("ssd") or "RPN" in key else 1e-2
            assert float(losses[key]) == pytest.approx(expected, rel=tolerance), key
    summed = sum(float(one) for one in detection_model.regularization_losses())
    assert summed == pytest.approx(folder.report["regularization_losses"]["sum"], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", SSDS)
def test_three_steps_in_the_training_phase_are_the_apis(name, tmp_path):
    folder = reference(name)
    stored = folder.report["train_3_steps"]
    detection_model = restored(folder, tmp_path, is_training=True)
    tf_keras.backend.set_learning_phase(True)
    for layer in detection_model.detector.network._flatten_layers():
        if isinstance(layer, tf_keras.layers.Dropout):
            layer.rate = 0.0
    boxes, classes = ground_truth(folder)
    optimizer = tf.keras.optimizers.SGD(learning_rate=stored["learning_rate"], momentum=stored["momentum"])
    variables = detection_model.trainable_variables
    for expected in stored["steps"]:
        with tf.GradientTape() as tape:
            detection_model.provide_groundtruth(groundtruth_boxes_list=boxes, groundtruth_classes_list=classes)
            image, shapes = detection_model.preprocess(tf.cast(folder.images["batch"], tf.float32))
            losses = detection_model.loss(detection_model.predict(image, shapes), shapes)
            total = tf.add_n([*losses.values(), *detection_model.regularization_losses()])
        for key, value in losses.items():
            assert float(value) == pytest.approx(expected[key], rel=1e-2), key
        gradients = tape.gradient(total, variables)
        optimizer.apply_gradients((g, v) for g, v in zip(gradients, variables, strict=True) if g is not None)


def test_variables_have_the_apis_names(detector):
    folder, model = detector
    suffix = "/.ATTRIBUTES/VARIABLE_VALUE"
    expected = {
        key.removeprefix("model/").removesuffix(suffix): entry["name"]
        for key, entry in folder.variables.items()
        if key.startswith("model/") and key.endswith(suffix)
    }
    found = {path: variable.name.removesuffix(":0") for path, variable in variables_by_path(model).items()}
    assert found.keys() == expected.keys()
    # One layer there has the name that Keras gives it by its class.
    others = {path for path in found if found[path] != expected[path]}
    assert all(expected[path].startswith("freezable_batch_norm/") for path in others), others
