"""What both families' detectors promise, whatever is inside; and the anchors and targets of published models."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from configs.schema.pipeline_file import parse_pipeline_config, read_pipeline_config
from configs.settings.declaration import SettingsError
from configs.settings.pipeline import PipelineSettings
from configs.settings.reading import read_settings
from tests.small_models import build_detector
from train.inputs.reader import build_training_dataset
from train.loop.devices import set_precision


@pytest.fixture(scope="module", params=["ssd", "faster_rcnn"])
def detector_and_batch(request, block_config):
    config = read_pipeline_config(block_config(request.param))
    tf_keras.utils.set_random_seed(0)
    batch = next(iter(build_training_dataset(read_settings(PipelineSettings, config), seed=0)))
    return build_detector(config), batch


def test_every_trainable_variable_gets_a_gradient(detector_and_batch):
    detector, (images, labels) = detector_and_batch

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            losses = detector.compute_losses(images, labels, training=True)
            total = tf.add_n(list(losses.values())) + detector.regularization_loss()
        return losses, tape.gradient(total, detector.network.trainable_variables)

    losses, found = gradients()
    assert set(losses) == set(detector.loss_names)
    assert all(np.isfinite(value) and value >= 0 for value in losses.values())
    missing = [v.name for v, g in zip(detector.network.trainable_variables, found, strict=True) if g is None]
    assert not missing
    assert all(np.isfinite(tf.convert_to_tensor(g)).all() for g in found)


def test_an_image_without_objects_has_finite_losses(detector_and_batch):
    detector, (images, labels) = detector_and_batch
    empty = {
        **labels,
        "groundtruth_boxes": tf.zeros_like(labels["groundtruth_boxes"]),
        "groundtruth_classes": tf.zeros_like(labels["groundtruth_classes"]),
        "groundtruth_weights": tf.zeros_like(labels["groundtruth_weights"]),
    }
    losses = detector.compute_losses(images, empty, training=False)
    assert all(np.isfinite(value) for value in losses.values())
    assert all(float(value) == 0 for name, value in losses.items() if "localization" in name)


def test_detections_are_sorted_inside_the_image_and_zero_beyond_their_number(detector_and_batch):
    detector, (images, labels) = detector_and_batch
    found = {name: value.numpy() for name, value in detector.detect(images, labels["true_image_shape"]).items()}
    for row in range(len(images)):
        count = int(found["num_detections"][row])
        assert 0 < count <= found["detection_boxes"].shape[1]
        boxes, scores = found["detection_boxes"][row], found["detection_scores"][row]
        assert (boxes >= 0).all() and (boxes <= 1).all()
        assert (boxes[:count, 2:] >= boxes[:count, :2]).all()
        assert (np.diff(scores[:count]) <= 0).all()
        assert set(found["detection_classes"][row][:count]) <= {1.0, 2.0}
        assert not boxes[count:].any() and not found["detection_classes"][row][count:].any()


def test_detections_and_losses_of_one_pass_are_those_of_two(detector_and_batch):
    detector, (images, labels) = detector_and_batch

    def convolutions(function):
        graph = tf.function(function).get_concrete_function(images, labels).graph
        return sum("Conv2D" in operation.type or "Depthwise" in operation.type for operation in graph.get_operations())

    assert convolutions(detector.detect_and_compute_losses) == convolutions(
        lambda images, labels: detector.detect(images, labels["true_image_shape"])
    )
    found, losses = detector.detect_and_compute_losses(images, labels)
    expected = detector.detect(images, labels["true_image_shape"])
    assert set(found) == set(expected)
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-4, atol=1e-5)
    # The first stage of Faster R-CNN compares with a random sample of its anchors.
    for name, value in detector.compute_losses(images, labels, training=False).items():
        np.testing.assert_allclose(losses[name], value, rtol=0.3 if "RPN" in name else 1e-4)


def test_detecting_changes_no_variable(detector_and_batch):
    detector, (images, labels) = detector_and_batch
    before = [variable.numpy().copy() for variable in detector.network.variables]
    detector.detect(images, labels["true_image_shape"])
    detector.compute_losses(images, labels, training=False)
    assert all(np.array_equal(old, new) for old, new in zip(before, detector.network.variables, strict=True))


@pytest.mark.parametrize("family", ["ssd", "faster_rcnn"])
def test_mixed_precision_computes_in_bfloat16_and_keeps_variables_and_losses_in_float32(family, block_config):
    config = read_pipeline_config(block_config(family, "extensions { mixed_precision: MIXED_BFLOAT16 }"))
    images, labels = next(iter(build_training_dataset(read_settings(PipelineSettings, config), seed=0)))
    set_precision("mixed_bfloat16")
    try:
        detector = build_detector(config)
        losses = detector.compute_losses(images, labels, training=True)
        features = detector.network.feature_maps(images, training=False)
        detections = detector.detect(images, labels["true_image_shape"])
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    assert {value.dtype for value in features.values()} == {tf.bfloat16}
    assert {value.dtype for value in losses.values()} == {tf.float32}
    assert {variable.dtype for variable in detector.network.trainable_variables} == {tf.float32}
    assert all(np.isfinite(value) for value in losses.values())
    assert {value.dtype for value in detections.values()} == {tf.float32}


def test_faster_rcnn_on_a_feature_pyramid_trains_and_detects(block_config):
    text = block_config("faster_rcnn").read_text()
    head, rest = text.split("feature_extractor {", 1)
    _, tail = rest.split("first_stage_box_predictor_conv_hyperparams", 1)
    pyramid = """feature_extractor {
        type: "faster_rcnn_resnet50_fpn_keras" batch_norm_trainable: true
        fpn { min_level: 2 max_level: 6 additional_layer_depth: 32 }
        conv_hyperparams {
          activation: RELU_6
          regularizer { l2_regularizer { weight: 0.0004 } }
          initializer { truncated_normal_initializer { stddev: 0.03 } }
          batch_norm { decay: 0.997 epsilon: 0.001 }
        }
      }
      first_stage_anchor_generator { multiscale_anchor_generator {
        min_level: 2 max_level: 6 anchor_scale: 4.0 aspect_ratios: [1.0] scales_per_octave: 1
        normalize_coordinates: false
      } }
      first_stage_box_predictor_conv_hyperparams"""
    config = parse_pipeline_config(head + pyramid + tail)
    detector = build_detector(config)
    images, labels = next(iter(build_training_dataset(read_settings(PipelineSettings, config), seed=0)))

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            losses = detector.compute_losses(images, labels, training=True)
            total = tf.add_n(list(losses.values()))
        return losses, tape.gradient(total, detector.network.trainable_variables)

    losses, gradients = step()
    assert all(np.isfinite(value) for value in losses.values())
    assert all(gradient is not None for gradient in gradients)
    assert float(detector.detect(images, labels["true_image_shape"])["num_detections"][0]) > 0


def test_a_pyramid_refuses_an_input_that_its_strides_do_not_divide(block_config):
    config = read_pipeline_config(block_config("ssd"))
    config.model.ssd.image_resizer.fixed_shape_resizer.height = 100
    with pytest.raises(SettingsError, match=r"100 and 96 pixels.*multiples of 32"):
        build_detector(config)


def test_faster_rcnn_names_the_anchor_generator_that_it_needs(block_config):
    config = read_pipeline_config(block_config("faster_rcnn"))
    config.model.faster_rcnn.first_stage_anchor_generator.multiscale_anchor_generator.aspect_ratios.append(1.0)
    with pytest.raises(
        SettingsError, match=r"multiscale_anchor_generator: anchors are for 5.*use grid_anchor_generator"
    ):
        build_detector(config)
