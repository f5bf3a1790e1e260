"""Targets of an SSD's anchors: background in all its forms, weights, several classes a box, and published models."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from configs.schema.pipeline_file import parse_pipeline_config
from configs.settings.anchors import SsdAnchorGenerator
from configs.settings.model import read_model
from configs.settings.reading import read_settings_text
from tests.configs.verdicts import check_supported
from tests.small_models import ssd_settings
from train.models.anchors import build_anchor_generator
from train.models.box_coders import build_box_coder
from train.models.detector import GroundTruth
from train.models.matchers import IGNORED, UNMATCHED
from train.models.ssd_targets import ClassSlots, SsdTargetAssigner

REFERENCES = Path(__file__).resolve().parents[3].parent / "shared" / "odapi_fixtures"
FEATURE_SIDES = {
    "ssd_mobilenet_v2_fpnlite_320": [40, 20, 10, 5, 3],
    "ssd_resnet50_v1_fpn_320": [40, 20, 10, 5, 3],
    "ssd_mobilenet_v2_320": [20, 10, 5, 3, 2, 1],
    "ssd_efficientdet_d0_512": [64, 32, 16, 8, 4],
}

ANCHORS = np.array([[0, 0, 0.5, 0.5], [0, 0.4, 0.5, 0.9], [0.5, 0.5, 1, 1], [0.5, 0, 1, 0.5]], np.float32)


def ssd_of(text=""):
    parts = """num_classes: 3 encode_background_as_zeros: true
      matcher { argmax_matcher { matched_threshold: 0.6 unmatched_threshold: 0.3 } }"""
    return ssd_settings(f"{parts} {text}")


def assigner_of(ssd):
    return SsdTargetAssigner(
        similarity=ssd.similarity_calculator,
        matcher=ssd.matcher,
        box_coder=build_box_coder(ssd.box_coder),
        slots=ClassSlots.from_settings(ssd),
        negative_class_weight=ssd.negative_class_weight,
        use_confidences_as_targets=ssd.use_confidences_as_targets,
        implicit_example_weight=ssd.implicit_example_weight,
    )


def truth_of(boxes, classes, weights=None):
    """One image's, or a batch's, ground truth; class 0 is padding."""
    boxes = np.array(boxes, np.float32).reshape(-1, len(np.atleast_2d(classes)[0]), 4)
    classes = np.atleast_2d(np.array(classes, np.int32))
    weights = (classes > 0).astype(np.float32) if weights is None else np.atleast_2d(np.array(weights, np.float32))
    return GroundTruth(*(tf.constant(x) for x in (boxes, classes, weights, classes > 0)))


def assign(text="", truth=None, class_targets=None, **arguments):
    """Targets of image 0, whose anchors 0, 1, 2, 3 are matched, ignored, matched and unmatched."""
    truth = truth or truth_of([[0, 0, 0.5, 0.45], [0.5, 0.5, 1, 1]], [2, 3])
    if class_targets is not None:
        class_targets = tf.constant([class_targets], tf.float32)
    return assigner_of(ssd_of(text)).assign(truth, tf.constant(ANCHORS), class_targets, **arguments)


def test_the_background_slot_comes_first_and_stays_zero():
    targets = assign()
    assert targets.matches.numpy().tolist() == [[0, UNMATCHED, 1, UNMATCHED]]
    assert targets.class_targets.numpy()[0].tolist() == [[0, 0, 1, 0], [0] * 4, [0, 0, 0, 1], [0] * 4]


def test_background_as_a_class_of_its_own_is_one_hot():
    targets = assign("encode_background_as_zeros: false")
    assert targets.class_targets.numpy()[0].tolist() == [[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0]]


def test_without_a_background_class_there_is_no_slot_for_it():
    targets = assign("add_background_class: false")
    assert targets.class_targets.numpy()[0].tolist() == [[0, 1, 0], [0] * 3, [0, 0, 1], [0] * 3]


def test_an_explicit_background_class_is_the_label_maps_first():
    text = "add_background_class: false explicit_background_class: true encode_background_as_zeros: false"
    targets = assign(text)
    assert targets.class_targets.numpy()[0].tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1], [1, 0, 0]]
    slots = ClassSlots.from_settings(ssd_of(text))
    assert slots.without_background(tf.constant([[0.1, 0.2, 0.3]])).shape == (1, 2)


def test_background_may_not_be_there_twice():
    config = parse_pipeline_config("model { ssd { explicit_background_class: true } }")
    problems = {problem.path: problem for problem in check_supported(config)}
    assert "add_background_class: false beside it" in str(problems["model.ssd.explicit_background_class"])


@pytest.mark.parametrize(("text", "slots", "kept"), [("", 4, 3), ("add_background_class: false", 3, 3)])
def test_scores_lose_the_background_slot_where_there_is_one(text, slots, kept):
    found = ClassSlots.from_settings(ssd_of(text))
    assert found.num_slots == slots
    assert found.without_background(tf.zeros([1, slots])).shape[-1] == kept


def test_weights_of_ground_truth_of_background_and_of_what_is_ignored():
    truth = truth_of([[0, 0, 0.5, 0.45], [0.5, 0.5, 1, 1]], [2, 3], [0.5, 1.0])
    targets = assign("negative_class_weight: 0.25", truth)
    assert targets.class_weights.numpy()[0, :, 0].tolist() == [0.5, 0.25, 1.0, 0.25]
    assert targets.box_weights.numpy()[0].tolist() == [0.5, 0, 1.0, 0]


def test_an_ignored_anchor_is_background_that_weighs_nothing():
    truth = truth_of([[0, 0.2, 0.5, 0.7]], [1])
    targets = assign("encode_background_as_zeros: false", truth)
    # 3/7 of anchors 0 and 1 together with the box: between the thresholds.
    assert targets.matches.numpy().tolist() == [[IGNORED, IGNORED, UNMATCHED, UNMATCHED]]
    assert targets.class_targets.numpy()[0].tolist() == [[1, 0, 0, 0]] * 4
    assert targets.class_weights.numpy()[0, :, 0].tolist() == [0, 0, 1, 1]


def test_codes_are_zero_without_a_match_and_the_coders_with_one():
    targets = assign()
    np.testing.assert_allclose(targets.codes[0, 0], [0, 10 * -0.025 / 0.5, 0, 5 * np.log(0.9)], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(targets.codes[0, 2], 0, atol=1e-5)
    assert not targets.codes.numpy()[0, [1, 3]].any()


def test_boxes_of_several_classes_have_targets_of_several_ones():
    k_hot = [[0, 1, 1], [1, 0, 0]]
    assert assign(class_targets=k_hot).class_targets.numpy()[0, [0, 2]].tolist() == [[0, 0, 1, 1], [0, 1, 0, 0]]
    zeros_false = assign("encode_background_as_zeros: false", class_targets=k_hot).class_targets.numpy()[0]
    assert zeros_false.tolist() == [[0, 0, 1, 1], [1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]]
    without = assign("add_background_class: false", class_targets=k_hot).class_targets.numpy()[0]
    assert without.tolist() == [[0, 1, 1], [0] * 3, [1, 0, 0], [0] * 3]


def test_one_hot_class_targets_equal_the_classes_themselves():
    text = "encode_background_as_zeros: false"
    one_hot = [[0, 1, 0], [0, 0, 1]]
    np.testing.assert_array_equal(assign(text, class_targets=one_hot).class_targets, assign(text).class_targets)


def test_confidences_weigh_what_is_only_implied():
    text = "use_confidences_as_targets: true implicit_example_weight: 0.25"
    targets = assign(text, truth_of([[0, 0, 0.5, 0.45], [0.5, 0.5, 1, 1]], [2, 3], [0.5, 1.0]))
    # Background is one-hot, ground truth's own weights do not count.
    assert targets.class_targets.numpy()[0].tolist() == [[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0]]
    low = 0.25
    assert targets.class_weights.numpy()[0].tolist() == [[1, low, 1, low], [low] * 4, [1, low, low, 1], [low] * 4]
    assert targets.box_weights.numpy()[0].tolist() == [1, 0, 1, 0]
    evaluated = assign(text, training=False)
    assert evaluated.class_weights.numpy()[0, :, 0].tolist() == [1, 1, 1, 1]


def test_an_outright_no_weighs_as_much_as_an_outright_yes():
    text = "use_confidences_as_targets: true implicit_example_weight: 0.25 add_background_class: false"
    targets = assign(text, class_targets=[[0, 1, -1], [0, 0, -1]])
    assert targets.class_targets.numpy()[0, [0, 2]].tolist() == [[0, 1, 0], [0, 0, 0]]
    assert targets.class_weights.numpy()[0, [0, 2]].tolist() == [[0.25, 1, 1], [0.25, 0.25, 1]]
    assert targets.box_weights.numpy()[0].tolist() == [1, 0, 0, 0]


def test_ground_truth_without_weight_makes_its_anchors_count_nothing():
    truth = truth_of([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]], [2, 3], [0.0, 1.0])
    targets = assign("", truth)
    assert targets.matches.numpy()[0, 0] == 0
    assert targets.class_weights.numpy()[0, 0, 0] == 0 and targets.box_weights.numpy()[0, 0] == 0


def test_a_thresholded_similarity_takes_the_score_from_the_first_slot():
    text = "similarity_calculator { thresholded_iou_similarity { iou_threshold: 0.5 } }"
    truth = truth_of([[0, 0, 0.5, 0.45], [0.5, 0.5, 1, 1]], [1, 3])
    assert assign(text, truth).matches.numpy()[0].tolist() == [0, UNMATCHED, 1, UNMATCHED]
    # As in the API, without a background class the first class has no score.
    without = assign(text + " add_background_class: false", truth)
    assert without.matches.numpy()[0].tolist() == [UNMATCHED, UNMATCHED, 1, UNMATCHED]


def random_truth(seed, num_images=3, num_boxes=5):
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 0.6, (num_images, num_boxes, 2))
    boxes = np.concatenate([corners, corners + random.uniform(0.1, 0.4, (num_images, num_boxes, 2))], axis=-1)
    counts = np.array([num_boxes, 2, 0])
    classes = random.integers(1, 4, (num_images, num_boxes)) * (np.arange(num_boxes) < counts[:, np.newaxis])
    weights = random.choice([0.5, 1.0], (num_images, num_boxes)) * (classes > 0)
    return truth_of(boxes * (classes > 0)[..., np.newaxis], classes, weights)


def grid_of_anchors():
    settings = read_settings_text(SsdAnchorGenerator, "num_layers: 2 aspect_ratios: [1.0, 2.0]")
    maps = build_anchor_generator(settings).generate([(4, 4), (2, 2)], (100, 100))
    return tf.concat(maps, axis=0) / 100.0


def arrays_of(targets):
    return [np.asarray(getattr(targets, name)) for name in targets.__dataclass_fields__]


FORCED = "matcher { argmax_matcher { matched_threshold: 0.5 unmatched_threshold: 0.4 force_match_for_each_row: true } }"


def test_a_batch_equals_its_images_without_padding():
    truth, anchors, assigner = random_truth(0), grid_of_anchors(), assigner_of(ssd_of(FORCED))
    together = arrays_of(assigner.assign(truth, anchors))
    for row, count in enumerate((5, 2, 1)):
        cut = [getattr(truth, name)[row : row + 1, :count] for name in ("boxes", "classes", "weights", "valid")]
        for whole, alone in zip(together, arrays_of(assigner.assign(GroundTruth(*cut), anchors)), strict=True):
            np.testing.assert_allclose(whole[row], alone[0], atol=1e-6)
    assert (together[-1] >= 0).any(axis=1).tolist() == [True, True, False]


def test_the_order_of_ground_truth_does_not_matter():
    truth, anchors, assigner = random_truth(1), grid_of_anchors(), assigner_of(ssd_of(FORCED))
    order = [3, 1, 4, 0, 2]
    permuted = GroundTruth(
        *(tf.gather(getattr(truth, name), order, axis=1) for name in ("boxes", "classes", "weights", "valid"))
    )
    *expected, _ = arrays_of(assigner.assign(truth, anchors))
    *found, _ = arrays_of(assigner.assign(permuted, anchors))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("name", list(FEATURE_SIDES))
def test_targets_are_those_of_the_object_detection_api(name):
    folder = REFERENCES / name
    if not folder.is_dir():
        pytest.skip("no ../shared/odapi_fixtures: values that the API computed")
    ssd = read_model(parse_pipeline_config((folder / "pipeline.config").read_text()))
    reference = np.load(folder / "batch.npz")
    side = 512 if name.endswith("512") else 320
    shapes = [(cells, cells) for cells in FEATURE_SIDES[name]]
    generator = build_anchor_generator(ssd.anchor_generator)
    anchors = tf.concat(generator.generate(shapes, (side, side)), axis=0) / side

    boxes, classes = np.zeros((2, 3, 4), np.float32), np.zeros((2, 3), np.int32)
    for row in range(2):
        count = len(reference[f"gt/boxes_{row}"])
        boxes[row, :count] = reference[f"gt/boxes_{row}"]
        classes[row, :count] = reference[f"gt/class_index_{row}"] + 1
    targets = assigner_of(ssd).assign(truth_of(boxes, classes), anchors)

    images, positives = reference["target/image"], reference["target/anchor"]
    matches, class_targets = targets.matches.numpy(), targets.class_targets.numpy()
    expected = np.full(matches.shape, UNMATCHED)
    expected[images, positives] = reference["target/groundtruth"]
    np.testing.assert_array_equal(matches, expected)
    counts = [[(row >= 0).sum(), (row == UNMATCHED).sum(), (row == IGNORED).sum()] for row in matches]
    np.testing.assert_array_equal(counts, reference["target/counts_positive_negative_ignored"])

    at = (images, positives)
    np.testing.assert_allclose(targets.codes.numpy()[at], reference["target/box_targets"], rtol=1e-5, atol=2e-5)
    np.testing.assert_array_equal(targets.box_weights.numpy()[at], reference["target/box_weights"])
    np.testing.assert_array_equal(class_targets[at].argmax(axis=-1), reference["target/class_index"])
    np.testing.assert_array_equal(class_targets[at].sum(axis=-1), reference["target/class_sum"])
    elsewhere = matches < 0
    assert not class_targets[elsewhere].any() and not targets.codes.numpy()[elsewhere].any()
    assert not targets.box_weights.numpy()[elsewhere].any()
    np.testing.assert_array_equal(targets.class_weights, np.ones((*matches.shape, 1)))
