"""SSDs of several kinds train and detect: anchors, heads, losses and backgrounds in combination."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from google.protobuf import text_format

from configs.schema.pipeline_file import read_pipeline_config
from configs.settings.declaration import SettingsError
from tests.small_models import build_detector

HYPERPARAMS = """conv_hyperparams {
  activation: RELU_6
  regularizer { l2_regularizer { weight: 0.00004 } }
  initializer { truncated_normal_initializer { stddev: 0.03 } }
  batch_norm { decay: 0.9 epsilon: 0.001 }
}"""
SSD_ANCHORS = """anchor_generator { ssd_anchor_generator {
  num_layers: 3 min_scale: 0.2 max_scale: 0.9 aspect_ratios: [1.0, 2.0, 0.5]
} }"""
FLEXIBLE_ANCHORS = """anchor_generator { flexible_grid_anchor_generator {
  anchor_grid { base_sizes: [16, 24] aspect_ratios: [1.0, 2.0] height_stride: 8 width_stride: 8 height_offset: 4 }
  anchor_grid { base_sizes: [32, 40] aspect_ratios: [1.0, 0.5] height_stride: 16 width_stride: 16 }
  anchor_grid { base_sizes: [48, 60] aspect_ratios: [1.0, 1.0] height_stride: 32 width_stride: 32 }
} }"""
SEPARATE_HEADS = f"box_predictor {{ convolutional_box_predictor {{ kernel_size: 3 {HYPERPARAMS} }} }}"

MINED = "hard mining, SSD anchors, a head for each map"
KINDS = {
    MINED: f"""{SSD_ANCHORS} {SEPARATE_HEADS} loss {{
      classification_loss {{ weighted_sigmoid {{}} }}
      hard_example_miner {{ num_hard_examples: 60 iou_threshold: 0.99 loss_type: CLASSIFICATION
        max_negatives_per_positive: 3 min_negatives_per_image: 2 }} }}""",
    "softmax over background too, sampled": """encode_background_as_zeros: false negative_class_weight: 0.5
      loss { classification_loss { weighted_softmax { logit_scale: 2.0 } } localization_loss { weighted_l2 {} }
        random_example_sampler { positive_sample_fraction: 0.25 } }
      post_processing { score_converter: SOFTMAX logit_scale: 2.0 }""",
    "focal loss, flexible anchors, square codes, no background": f"""{FLEXIBLE_ANCHORS} add_background_class: false
      box_coder {{ square_box_coder {{}} }}
      box_predictor {{ weight_shared_convolutional_box_predictor {{ box_code_size: 3 }} }}""",
    "bipartite matches by distance, corners, bootstrapped": """matcher { bipartite_matcher {} }
      similarity_calculator { neg_sq_dist_similarity {} } box_coder { mean_stddev_box_coder { stddev: 0.1 } }
      loss { classification_loss { bootstrapped_sigmoid { alpha: 0.9 } } localization_loss { l1_localization_loss {} } }
      explicit_background_class: true add_background_class: false""",
}


@pytest.fixture
def build(block_config):
    def built(text="", side=64):
        config = read_pipeline_config(block_config("ssd"))
        ssd = config.model.ssd
        ssd.image_resizer.fixed_shape_resizer.height = ssd.image_resizer.fixed_shape_resizer.width = side
        text_format.Merge(text, ssd)
        tf_keras.utils.set_random_seed(0)
        return build_detector(config)

    return built


def batch_of(height, width, num_boxes=2):
    """Two noisy images, the second without padding, and blocks in them; padding of ground truth included."""
    random = np.random.default_rng(0)
    boxes = np.zeros((2, 4, 4), np.float32)
    boxes[:, :2] = [[0.1, 0.1, 0.5, 0.45], [0.3, 0.5, 0.9, 0.95]]
    classes = np.zeros((2, 4), np.int32)
    classes[:, :num_boxes] = [1, 2][:num_boxes]
    images = random.uniform(0, 255, (2, height, width, 3)).astype(np.float32)
    labels = {
        "groundtruth_boxes": tf.constant(boxes * (classes > 0)[..., np.newaxis]),
        "groundtruth_classes": tf.constant(classes),
        "groundtruth_weights": tf.constant((classes > 0).astype(np.float32)),
        "true_image_shape": tf.constant([[height - 8, width, 3], [height, width, 3]]),
    }
    return tf.constant(images), labels


def gradients_of(detector, images, labels):
    variables = detector.network.trainable_variables
    with tf.GradientTape() as tape:
        losses = detector.compute_losses(images, labels, training=True)
        total = tf.add_n(list(losses.values()))
    return losses, dict(zip([variable.name for variable in variables], tape.gradient(total, variables), strict=True))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != MINED])
def test_every_kind_trains_and_detects(build, kind):
    detector = build(KINDS[kind])
    images, labels = batch_of(64, 64)
    losses, gradients = gradients_of(detector, images, labels)
    assert set(losses) == set(detector.loss_names)
    assert all(np.isfinite(value) and value > 0 for value in losses.values())
    assert not [name for name, gradient in gradients.items() if gradient is None]
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())
    found = detector.detect(images, labels["true_image_shape"])
    classes = set(found["detection_classes"].numpy()[found["detection_scores"].numpy() > 0].tolist())
    assert classes and classes <= ({1.0} if "bipartite" in kind else {1.0, 2.0})
    assert detector.anchors.shape[1] == 4


def test_short_steps_in_a_graph_bring_the_mined_loss_down(build):
    detector = build(KINDS[MINED])
    images, labels = batch_of(64, 64)
    variables = detector.network.trainable_variables

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            total = tf.add_n(list(detector.compute_losses(images, labels, training=True).values()))
        gradients = tape.gradient(total, variables)
        # Short, so that the anchors that are mined, and the batch norm of few cells, change little from step to step.
        scale = 0.002 / tf.linalg.global_norm(gradients)
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.assign_sub(scale * gradient)
        return total

    totals = [float(step()) for _ in range(8)]
    # The miner picks other anchors from step to step, so that the sum jumps between two levels as it falls.
    assert min(totals) < 0.85 * totals[0]
    found = detector.detect(images, labels["true_image_shape"])
    assert set(found["detection_classes"].numpy().ravel().tolist()) <= {0.0, 1.0, 2.0}


def test_several_classes_a_box_change_what_is_learned(build):
    detector = build("add_background_class: false")
    images, labels = batch_of(64, 64)
    one_hot = tf.one_hot(labels["groundtruth_classes"] - 1, 2)
    single = detector.compute_losses(images, labels, training=False)
    same = detector.compute_losses(images, {**labels, "groundtruth_class_targets": one_hot}, training=False)
    both = detector.compute_losses(
        images, {**labels, "groundtruth_class_targets": tf.ones_like(one_hot)}, training=False
    )
    name = "Loss/classification_loss"
    np.testing.assert_allclose(same[name], single[name], rtol=1e-6)
    assert float(both[name]) > 1.1 * float(single[name])


def test_images_of_any_size_give_what_a_fixed_size_gives(build):
    fixed = build()
    keep_ratio = "image_resizer { keep_aspect_ratio_resizer { min_dimension: 64 max_dimension: 128 } }"
    any_size = build(keep_ratio)
    assert any_size.input_shape == (None, None) and any_size.anchors is None
    with pytest.raises(ValueError, match="anchors of its own"):
        any_size.assign_targets(batch_of(64, 64)[1])
    any_size.network.set_weights(fixed.network.get_weights())
    images, labels = batch_of(64, 64)
    expected, found = (d.compute_losses(images, labels, training=False) for d in (fixed, any_size))
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4)
    expected, found = (d.detect(images, labels["true_image_shape"]) for d in (fixed, any_size))
    np.testing.assert_allclose(found["detection_scores"], expected["detection_scores"], rtol=1e-3)

    # One traced function for all sizes, those that the pyramid's strides do not divide included.
    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3])])
    def detect(photos):
        return any_size.detect(photos, tf.tile([[*tf.unstack(tf.shape(photos)[1:3]), 3]], [tf.shape(photos)[0], 1]))

    for height, width in ((64, 64), (70, 100)):
        boxes = detect(tf.random.uniform([1, height, width, 3], 0, 255))["detection_boxes"].numpy()
        assert boxes.any() and boxes.min() >= 0 and boxes.max() <= 1
    images, labels = batch_of(70, 100)
    losses, gradients = gradients_of(any_size, images, labels)
    assert all(np.isfinite(value) for value in losses.values())
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())


def test_padding_to_a_multiple_moves_neither_boxes_nor_anchors(build):
    detector = build("feature_extractor { pad_to_multiple: 32 }", side=72)
    images, labels = batch_of(72, 72)
    # 96 pixels a side are seen, whose cells of 8, 16 and 32 pixels are 12, 6 and 3 a side; three anchors in each.
    assert len(detector.anchors) == 3 * (144 + 36 + 9)
    matched = detector.assign_targets(labels).matches.numpy()
    assert (matched >= 0).any()
    losses = detector.compute_losses(images, labels, training=False)
    assert all(np.isfinite(value) for value in losses.values())
    # Strides of 8 divide 72: that map's first anchor is centred half a stride in; 32 does not, so it is centred on 0.
    np.testing.assert_allclose(detector.anchors[0].reshape(2, 2).mean(axis=0), [4, 4], atol=1e-5)
    np.testing.assert_allclose(detector.anchors[3 * 180].reshape(2, 2).mean(axis=0), [0, 0], atol=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "anchor_generator { ssd_anchor_generator { num_layers: 6 aspect_ratios: 1.0 } }",
            r"num_layers: anchors are for 6 feature maps.*use num_layers: 3",
        ),
        ("box_coder { square_box_coder {} }", r"box_code_size: 4 numbers .* use 3"),
        ("explicit_background_class: true", "add_background_class: false beside it"),
        (
            "image_resizer { fixed_shape_resizer { height: 100 } }",
            r"100 and 64 pixels.*multiples of 32.*pad_to_multiple: 32",
        ),
    ],
)
def test_parts_that_do_not_belong_together_are_named(build, text, message):
    with pytest.raises(SettingsError, match=message):
        build(text)
