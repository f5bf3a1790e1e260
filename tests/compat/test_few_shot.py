"""The few-shot notebook, as people write it: build, restore all but the classes, train the head with a tape, detect.

Everything here but the tiny models and images is what such notebooks contain.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from object_detection.builders import model_builder
from object_detection.utils import config_util, label_map_util
from object_detection.utils import visualization_utils as viz_utils

from tests.conftest import block_image

LABEL_ID_OFFSET = 1


@pytest.fixture(autouse=True)
def inference_phase():
    yield
    tf_keras.backend.set_learning_phase(False)


@pytest.fixture(scope="module")
def checkpoints(block_config, tmp_path_factory) -> dict[str, str]:
    """A checkpoint of each family, as the API's trainer writes them, of models with other classes."""
    found = {}
    for family in ("ssd", "faster_rcnn"):
        tf.keras.utils.set_random_seed(1)
        configs = config_util.get_configs_from_pipeline_file(str(block_config(family)))
        getattr(configs["model"], family).num_classes = 5
        model = model_builder.build(model_config=configs["model"], is_training=True)
        folder = tmp_path_factory.mktemp(family)
        checkpoint = tf.train.Checkpoint(step=tf.Variable(0, dtype=tf.int64), model=model)
        found[family] = tf.train.CheckpointManager(checkpoint, str(folder), max_to_keep=1).save(checkpoint_number=0)
    return found


def decoded(numbers) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    images, boxes, ids = [], [], []
    for number in numbers:
        encoded, box, class_ids = block_image(number)
        images.append(tf.io.decode_jpeg(encoded).numpy())
        boxes.append(box)
        ids.append(np.array(class_ids, np.int32))
    return images, boxes, ids


def test_an_ssd_learns_from_a_few_images(block_config, block_records, checkpoints):
    tf.keras.backend.clear_session()
    pipeline_config, checkpoint_path = str(block_config("ssd")), checkpoints["ssd"]
    category_index = label_map_util.create_category_index_from_labelmap(str(block_records / "label_map.pbtxt"))
    num_classes = len(category_index)
    train_images_np, gt_boxes, gt_ids = decoded(range(4))
    random.seed(0)

    configs = config_util.get_configs_from_pipeline_file(pipeline_config)
    model_config = configs["model"]
    model_config.ssd.num_classes = num_classes
    model_config.ssd.freeze_batchnorm = True
    detection_model = model_builder.build(model_config=model_config, is_training=True)
    fake_box_predictor = tf.compat.v2.train.Checkpoint(
        _base_tower_layers_for_heads=detection_model._box_predictor._base_tower_layers_for_heads,
        # _prediction_heads=detection_model._box_predictor._prediction_heads,
        #    (i.e., the classification head that we *will not* restore)
        _box_prediction_head=detection_model._box_predictor._box_prediction_head,
    )
    fake_model = tf.compat.v2.train.Checkpoint(
        _feature_extractor=detection_model._feature_extractor, _box_predictor=fake_box_predictor
    )
    ckpt = tf.compat.v2.train.Checkpoint(model=fake_model)
    ckpt.restore(checkpoint_path).expect_partial()
    image, shapes = detection_model.preprocess(tf.zeros([1, 640, 640, 3]))
    prediction_dict = detection_model.predict(image, shapes)
    _ = detection_model.postprocess(prediction_dict, shapes)
    saved = tf.train.load_checkpoint(checkpoint_path)
    for variable in detection_model.trainable_variables:
        if (
            variable.name
            == "WeightSharedConvolutionalBoxPredictor/WeightSharedConvolutionalBoxHead/BoxPredictor/bias:0"
        ):
            break
    key = "model/_box_predictor/_box_prediction_head/_box_encoder_layers/0/bias/.ATTRIBUTES/VARIABLE_VALUE"
    assert np.array_equal(variable.numpy(), saved.get_tensor(key))

    tf.keras.backend.set_learning_phase(True)
    batch_size, learning_rate, num_batches = 4, 0.3, 20
    trainable_variables = detection_model.trainable_variables
    to_fine_tune = []
    prefixes_to_train = [
        "WeightSharedConvolutionalBoxPredictor/WeightSharedConvolutionalBoxHead",
        "WeightSharedConvolutionalBoxPredictor/WeightSharedConvolutionalClassHead",
    ]
    for var in trainable_variables:
        if any(var.name.startswith(prefix) for prefix in prefixes_to_train):
            to_fine_tune.append(var)
    assert len(to_fine_tune) == 6  # Two separable convolutions of three variables each.
    optimizer = tf.keras.optimizers.SGD(learning_rate=learning_rate, momentum=0.9)

    @tf.function
    def train_step_fn(image_tensors, groundtruth_boxes_list, groundtruth_classes_list):
        shapes = tf.constant(batch_size * [[640, 640, 3]], dtype=tf.int32)
        detection_model.provide_groundtruth(
            groundtruth_boxes_list=groundtruth_boxes_list, groundtruth_classes_list=groundtruth_classes_list
        )
        with tf.GradientTape() as tape:
            preprocessed_images = tf.concat(
                [detection_model.preprocess(image_tensor)[0] for image_tensor in image_tensors], axis=0
            )
            prediction_dict = detection_model.predict(preprocessed_images, shapes)
            losses_dict = detection_model.loss(prediction_dict, shapes)
            total_loss = losses_dict["Loss/localization_loss"] + losses_dict["Loss/classification_loss"]
            gradients = tape.gradient(total_loss, to_fine_tune)
            optimizer.apply_gradients(zip(gradients, to_fine_tune, strict=True))
        return total_loss

    frozen = [v.numpy() for v in trainable_variables if all(v is not one for one in to_fine_tune)]
    losses = []
    for _ in range(num_batches):
        all_keys = list(range(len(train_images_np)))
        random.shuffle(all_keys)
        example_keys = all_keys[:batch_size]
        image_tensors = [
            tf.expand_dims(tf.convert_to_tensor(train_images_np[key], dtype=tf.float32), 0) for key in example_keys
        ]
        gt_boxes_list = [tf.convert_to_tensor(gt_boxes[key], dtype=tf.float32) for key in example_keys]
        gt_classes_list = [tf.one_hot(gt_ids[key] - LABEL_ID_OFFSET, num_classes) for key in example_keys]
        losses.append(float(train_step_fn(image_tensors, gt_boxes_list, gt_classes_list)))
    assert np.mean(losses[-3:]) < 0.8 * losses[0], losses
    unchanged = [v.numpy() for v in trainable_variables if all(v is not one for one in to_fine_tune)]
    assert all(np.array_equal(a, b) for a, b in zip(frozen, unchanged, strict=True))

    @tf.function
    def detect(input_tensor):
        preprocessed_image, shapes = detection_model.preprocess(input_tensor)
        prediction_dict = detection_model.predict(preprocessed_image, shapes)
        return detection_model.postprocess(prediction_dict, shapes)

    image_np = train_images_np[0]
    detections = detect(tf.convert_to_tensor(np.expand_dims(image_np, axis=0), dtype=tf.float32))
    classes = detections["detection_classes"][0].numpy().astype(np.uint32) + LABEL_ID_OFFSET
    assert set(classes) <= {1, 2}
    annotated = image_np.copy()
    viz_utils.visualize_boxes_and_labels_on_image_array(
        annotated,
        detections["detection_boxes"][0].numpy(),
        classes,
        detections["detection_scores"][0].numpy(),
        category_index,
        use_normalized_coordinates=True,
        min_score_thresh=0.0,
    )
    assert not np.array_equal(annotated, image_np)


def test_a_faster_rcnn_learns_from_a_few_images(block_config, checkpoints):
    images, gt_boxes, gt_ids = decoded(range(2))
    configs = config_util.get_configs_from_pipeline_file(str(block_config("faster_rcnn")))
    detection_model = model_builder.build(model_config=configs["model"], is_training=True)
    fake_model = detection_model.restore_from_objects(fine_tune_checkpoint_type="detection")["model"]
    tf.train.Checkpoint(model=fake_model).restore(checkpoints["faster_rcnn"]).expect_partial()
    first = detection_model._feature_extractor_for_proposal_features.trainable_variables[0]
    key = "model/_feature_extractor_for_proposal_features/layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE"
    assert np.array_equal(first.numpy(), tf.train.load_checkpoint(checkpoints["faster_rcnn"]).get_tensor(key))

    tf.keras.backend.set_learning_phase(True)
    heads = ("FirstStageBoxPredictor", "RPNConv", "mask_rcnn_keras_box_predictor")
    to_fine_tune = [v for v in detection_model.trainable_variables if v.name.startswith(heads)]
    assert len(to_fine_tune) == 10
    optimizer = tf.keras.optimizers.Adam(learning_rate=0.003)
    boxes = [tf.convert_to_tensor(one) for one in gt_boxes]
    classes = [tf.one_hot(one - LABEL_ID_OFFSET, 2) for one in gt_ids]
    batch = tf.cast(tf.stack(images), tf.float32)

    @tf.function
    def train_step_fn():
        with tf.GradientTape() as tape:
            detection_model.provide_groundtruth(
                groundtruth_boxes_list=boxes,
                groundtruth_classes_list=classes,
                groundtruth_weights_list=[tf.ones(len(one)) for one in gt_ids],
            )
            preprocessed, shapes = detection_model.preprocess(batch)
            losses_dict = detection_model.loss(detection_model.predict(preprocessed, shapes), shapes)
            total_loss = tf.add_n(list(losses_dict.values()))
        gradients = tape.gradient(total_loss, to_fine_tune)
        optimizer.apply_gradients(zip(gradients, to_fine_tune, strict=True))
        return losses_dict

    steps = [{name: float(value) for name, value in train_step_fn().items()} for _ in range(15)]
    assert set(steps[0]) == {
        "Loss/RPNLoss/localization_loss",
        "Loss/RPNLoss/objectness_loss",
        "Loss/BoxClassifierLoss/localization_loss",
        "Loss/BoxClassifierLoss/classification_loss",
    }
    totals = [sum(step.values()) for step in steps]
    assert np.mean(totals[-3:]) < 0.8 * np.mean(totals[:2]), totals


def test_losses_of_training_are_the_trainers(block_config):
    """The tape's losses and gradients are those of `train.train` on the same batch."""
    images, gt_boxes, gt_ids = decoded(range(2))
    configs = config_util.get_configs_from_pipeline_file(str(block_config("ssd")))
    model = model_builder.build(configs["model"], is_training=True)
    labels = {
        "groundtruth_boxes": tf.constant(np.stack(gt_boxes)),
        "groundtruth_classes": tf.constant(np.stack(gt_ids)),
        "groundtruth_weights": tf.ones([2, 2]),
        "true_image_shape": tf.constant([[96, 96, 3]] * 2),
    }
    tf.keras.backend.set_learning_phase(True)
    model.provide_groundtruth(gt_boxes, [tf.one_hot(one - 1, 2) for one in gt_ids])
    weights = [variable.numpy() for variable in model.variables]
    with tf.GradientTape() as tape:
        image, shapes = model.preprocess(np.stack(images).astype(np.float32))
        found = model.loss(model.predict(image, shapes), shapes)
        total = tf.add_n(list(found.values()))
    gradients = tape.gradient(total, model.trainable_variables)
    for variable, value in zip(model.variables, weights, strict=True):
        variable.assign(value)
    resized = tf.compat.v1.image.resize(np.stack(images).astype(np.float32), [96, 96])
    with tf.GradientTape() as tape:
        expected = model.detector.compute_losses(resized, labels, training=True)
        total = tf.add_n(list(expected.values()))
    others = tape.gradient(total, model.trainable_variables)
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(float(value), rel=1e-6)
    for one, other in zip(gradients, others, strict=True):
        if other is not None:
            assert np.allclose(one, other, rtol=1e-4, atol=1e-6)


def test_a_keras_model_around_it_trains_it(block_config):
    """Shops wrap it for `fit`: variables are found, and `training=True` reaches batch norm."""
    configs = config_util.get_configs_from_pipeline_file(str(block_config("ssd")))
    detection_model = model_builder.build(configs["model"], is_training=True)

    class CustomDetectorModel(tf.keras.Model):
        def __init__(self, detection_model):
            super().__init__()
            self.detection_model = detection_model

        def call(self, inputs, training=False):
            images, shapes = inputs
            return self.detection_model.predict(images, shapes)

        def train_step(self, data):
            images, labels, boxes = data
            shapes = tf.constant(2 * [[96, 96, 3]])
            self.detection_model.provide_groundtruth(
                groundtruth_boxes_list=tf.unstack(boxes),
                groundtruth_classes_list=[tf.one_hot(one, 2) for one in tf.unstack(labels)],
            )
            with tf.GradientTape() as tape:
                losses = self.detection_model.loss(self([images, shapes], training=True), shapes)
                total_loss = losses["Loss/localization_loss"] + losses["Loss/classification_loss"]
            gradients = tape.gradient(total_loss, self.trainable_variables)
            pairs = zip(gradients, self.trainable_variables, strict=True)
            self.optimizer.apply_gradients((gradient, variable) for gradient, variable in pairs if gradient is not None)
            return {"loss": total_loss}

    model = CustomDetectorModel(detection_model)
    model.compile(optimizer=tf.keras.optimizers.Adam(1e-3))
    images, boxes, ids = decoded(range(2))
    batch = (np.stack(images)[:, :, :96].astype(np.float32) / 127.5 - 1, np.stack(ids) - 1, np.stack(boxes))
    moving = next(v for v in detection_model.non_trainable_variables if "moving_mean" in v.name)
    before = moving.numpy()
    history = model.fit(tf.data.Dataset.from_tensors(batch).repeat(4), epochs=2, verbose=0).history["loss"]
    assert history[1] < history[0]
    assert not np.array_equal(before, moving.numpy())
    assert len(model.trainable_variables) == len(detection_model.trainable_variables) > 100


def test_batch_norm_trains_in_the_learning_phase_alone(block_config):
    configs = config_util.get_configs_from_pipeline_file(str(block_config("ssd")))
    images = tf.random.stateless_uniform([2, 96, 96, 3], [1, 2]) * 255.0
    for is_training in (True, False):
        model = model_builder.build(configs["model"], is_training=is_training)
        moving = next(v for v in model.non_trainable_variables if "moving_mean" in v.name)
        for phase in (False, True):
            tf.keras.backend.set_learning_phase(phase)
            before = moving.numpy()
            model.predict(*model.preprocess(images))
            assert np.array_equal(before, moving.numpy()) is not (is_training and phase)


def test_a_checkpoint_of_this_trainer_restores_too(block_config, tmp_path):
    """`train.train` and exports name a model's parts otherwise than the API does."""
    configs = config_util.get_configs_from_pipeline_file(str(block_config("ssd")))
    model, other = (model_builder.build(configs["model"], is_training=False) for _ in range(2))
    for variable in model.detector.network.variables:
        variable.assign(tf.random.uniform(variable.shape))
    path = tf.train.Checkpoint(model=model.detector.network).save(str(tmp_path / "ckpt"))
    assert "model/head" in str(tf.train.list_variables(path))
    tf.compat.v2.train.Checkpoint(model=other).restore(path).expect_partial()
    for one, restored in zip(model.variables, other.variables, strict=True):
        assert np.array_equal(one.numpy(), restored.numpy()), one.name


@pytest.mark.parametrize("family", ["ssd", "faster_rcnn"])
def test_restore_from_objects_takes_each_types_part(family, block_config, checkpoints):
    configs = config_util.get_configs_from_pipeline_file(str(block_config(family)))
    getattr(configs["model"], family).num_classes = 5
    saved = tf.train.load_checkpoint(checkpoints[family])
    names = [name for name, _ in tf.train.list_variables(checkpoints[family]) if name.startswith("model/")]

    def taken(kind: str) -> int:
        model = model_builder.build(configs["model"], is_training=True)
        for variable in model.variables:
            variable.assign(tf.fill(variable.shape, -7.0))
        objects = model.restore_from_objects(fine_tune_checkpoint_type=kind)
        tf.train.Checkpoint(**objects).restore(checkpoints[family]).expect_partial()
        return sum(not np.all(variable.numpy() == -7.0) for variable in model.variables)

    assert taken("full") == len(names)
    assert 0 < taken("detection") == sum("/_feature_extractor" in name for name in names) < len(names)
    model = model_builder.build(configs["model"], is_training=True)
    backbone = model.restore_from_objects("classification")["feature_extractor"]
    assert len(backbone.variables) > 100
    with pytest.raises(ValueError, match="none of classification, detection and full"):
        model.restore_from_objects("segmentation")
    assert saved.has_tensor(names[0])


def test_models_say_what_they_were_not_given(block_config, block_records):
    configs = config_util.get_configs_from_pipeline_file(str(block_config("faster_rcnn")))
    with pytest.raises(ValueError, match=r"must be a model_pb2\.DetectionModel"):
        model_builder.build(configs["train_config"], is_training=True)
    model = model_builder.build(configs["model"], is_training=True)
    image, shapes = model.preprocess(tf.zeros([1, 64, 64, 3]))
    with pytest.raises(RuntimeError, match="call provide_groundtruth first"):
        model.predict(image, shapes)
    model.provide_groundtruth([np.array([[0.1, 0.1, 0.5, 0.5]])], [np.array([1])])
    with pytest.raises(ValueError, match=r"must be \[boxes, num_classes\], one-hot"):
        model.predict(image, shapes)
    # A name of TensorFlow 1 is read as its equal, and one without an equal is refused with the nearest.
    configs["model"].faster_rcnn.feature_extractor.type = "faster_rcnn_resnet50"
    assert model_builder.build(configs["model"], is_training=False).num_classes == 2
    configs["model"].faster_rcnn.feature_extractor.type = "faster_rcnn_nas"
    with pytest.raises(ValueError, match="faster_rcnn_resnet152_keras"):
        model_builder.build(configs["model"], is_training=True)
    assert Path(block_records).is_dir()
