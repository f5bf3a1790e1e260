"""How an SSD's losses are sampled, mined, summed, normalised and weighted."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from configs.schema.pipeline_file import parse_pipeline_config
from configs.settings.declaration import SettingsError
from configs.settings.model import read_model
from tests.small_models import ssd_settings
from train.models.box_coders import build_box_coder
from train.models.matchers import UNMATCHED
from train.models.ssd_losses import SsdLosses
from train.models.ssd_targets import ClassSlots, SsdTargets

REFERENCES = Path(__file__).resolve().parents[3].parent / "shared" / "odapi_fixtures"
NUM_ANCHORS = 12


def losses_of(ssd):
    return SsdLosses(
        ssd.loss,
        slots=ClassSlots.from_settings(ssd),
        box_coder=build_box_coder(ssd.box_coder),
        normalize_loss_by_num_matches=ssd.normalize_loss_by_num_matches,
        normalize_loc_loss_by_codesize=ssd.normalize_loc_loss_by_codesize,
    )


def ssd_of(text=""):
    return ssd_settings(f"add_background_class: false {text}")


@pytest.fixture
def batch():
    """Targets, logits, codes and anchors of two images, in which every fourth anchor is matched, all alike."""
    random = np.random.default_rng(0)
    matches = np.where(np.arange(NUM_ANCHORS) % 4 == 0, 0, UNMATCHED) * np.ones((2, 1), int)
    positive = (matches >= 0).astype(np.float32)
    targets = SsdTargets(
        class_targets=tf.constant(np.stack([positive, np.zeros_like(positive)], axis=-1)),
        class_weights=tf.constant(np.where(matches >= 0, 0.5, 1.0)[..., np.newaxis], tf.float32),
        codes=tf.constant(positive[..., np.newaxis] * random.normal(0, 1, (2, NUM_ANCHORS, 4)), tf.float32),
        box_weights=tf.constant(positive * 0.5),
        matches=tf.constant(matches, tf.int32),
    )
    logits = tf.constant(random.normal(0, 2, (2, NUM_ANCHORS, 2)), tf.float32)
    codes = tf.constant(random.normal(0, 1, (2, NUM_ANCHORS, 4)), tf.float32)
    corners = random.uniform(0, 1, (NUM_ANCHORS, 2))
    anchors = tf.constant(np.concatenate([corners, corners + 0.2], axis=-1), tf.float32)
    return targets, logits, codes, anchors


def slow_by_anchor(targets, logits, codes):
    """Weighted losses of each anchor: sigmoid cross entropy and smooth l1."""
    logits, codes = logits.numpy().astype(np.float64), codes.numpy().astype(np.float64)
    p = 1 / (1 + np.exp(-logits))
    truth = targets.class_targets.numpy()
    by_class = -(truth * np.log(p) + (1 - truth) * np.log(1 - p)).sum(axis=-1) * targets.class_weights.numpy()[..., 0]
    error = np.abs(codes - targets.codes.numpy())
    by_box = np.where(error < 1, error**2 / 2, error - 0.5).sum(axis=-1) * targets.box_weights.numpy()
    return by_class, by_box


@pytest.mark.parametrize(
    ("text", "class_factor", "box_factor"),
    [
        ("normalize_loss_by_num_matches: false", 1, 1),
        ("", 1 / 3, 1 / 3),  # three matches an image, each with half a weight
        ("normalize_loc_loss_by_codesize: true", 1 / 3, 1 / 12),
        ("normalize_loss_by_num_matches: false normalize_loc_loss_by_codesize: true", 1, 1 / 4),
        ("loss { classification_weight: 0.1 localization_weight: 2.0 }", 0.1 / 3, 2 / 3),
    ],
)
def test_sums_are_normalised_and_weighted(batch, text, class_factor, box_factor):
    targets, logits, codes, _ = batch
    by_class, by_box = slow_by_anchor(targets, logits, codes)
    found = losses_of(ssd_of(text))(*batch)
    np.testing.assert_allclose(found["Loss/classification_loss"], by_class.sum() * class_factor, rtol=1e-5)
    np.testing.assert_allclose(found["Loss/localization_loss"], by_box.sum() * box_factor, rtol=1e-5)


def test_the_normaliser_is_never_below_one(batch):
    targets, *rest = batch
    nothing = SsdTargets(
        targets.class_targets * 0,
        targets.class_weights,
        targets.codes * 0,
        targets.box_weights * 0,
        tf.fill(tf.shape(targets.matches), UNMATCHED),
    )
    found = losses_of(ssd_of())(nothing, *rest)
    by_class, _ = slow_by_anchor(nothing, *rest[:2])
    np.testing.assert_allclose(found["Loss/classification_loss"], by_class.sum(), rtol=1e-5)
    assert float(found["Loss/localization_loss"]) == 0


def test_only_hard_examples_count_and_all_matches_normalise(batch):
    targets, logits, codes, _ = batch
    by_class, by_box = slow_by_anchor(targets, logits, codes)
    text = """loss { hard_example_miner { num_hard_examples: 0 iou_threshold: 1.0 loss_type: CLASSIFICATION
      max_negatives_per_positive: 1 } }"""
    positive = targets.matches.numpy() >= 0
    hard = positive.copy()
    for row in range(2):
        negatives = np.flatnonzero(~positive[row])
        hard[row, negatives[np.argsort(-by_class[row, negatives])[:3]]] = True
    found = losses_of(ssd_of(text))(*batch)
    np.testing.assert_allclose(found["Loss/classification_loss"], (by_class * hard).sum() / 3, rtol=1e-5)
    np.testing.assert_allclose(found["Loss/localization_loss"], by_box.sum() / 3, rtol=1e-5)


def test_the_miner_suppresses_what_codes_decode_to(batch):
    targets, logits, codes, anchors = batch
    same_box = tf.repeat(anchors[:1], NUM_ANCHORS, axis=0)
    # All anchors and codes alike: one box, of which only the hardest example stays.
    text = "loss { hard_example_miner { num_hard_examples: 5 iou_threshold: 0.5 loss_type: CLASSIFICATION } }"
    found = losses_of(ssd_of(text))(targets, logits, tf.zeros_like(codes), same_box)
    by_class, _ = slow_by_anchor(targets, logits, codes)
    np.testing.assert_allclose(found["Loss/classification_loss"], by_class.max(axis=1).sum() / 3, rtol=1e-5)


def test_sampled_losses_count_all_positives_and_their_share_of_negatives(batch):
    targets, logits, codes, _ = batch
    even = tf.zeros_like(logits)  # so that every anchor costs twice log 2
    text = "loss { random_example_sampler { positive_sample_fraction: 0.5 } }"
    found = losses_of(ssd_of(text))(targets, even, codes, None)
    weights = 2 * (3 * 0.5 + 3 * 1.0)
    np.testing.assert_allclose(found["Loss/classification_loss"], 2 * np.log(2) * weights / 3, rtol=1e-5)
    _, by_box = slow_by_anchor(targets, logits, codes)
    np.testing.assert_allclose(found["Loss/localization_loss"], by_box.sum() / 3, rtol=1e-5)


def test_one_hot_background_is_no_positive_to_the_sampler():
    ssd = ssd_of("add_background_class: true loss { random_example_sampler { positive_sample_fraction: 0.5 } }")
    background = tf.one_hot(tf.zeros([1, 6], tf.int32), 3)
    targets = SsdTargets(
        background, tf.ones([1, 6, 1]), tf.zeros([1, 6, 4]), tf.zeros([1, 6]), tf.fill([1, 6], UNMATCHED)
    )
    found = losses_of(ssd)(targets, tf.zeros([1, 6, 3]), tf.zeros([1, 6, 4]), None)
    assert float(found["Loss/classification_loss"]) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "loss { hard_example_miner {} classification_loss { weighted_sigmoid_focal {} } }",
            "loss.hard_example_miner: weighted_sigmoid_focal picks hard examples already",
        ),
        (
            "loss { expected_loss_weights: EXPECTED_SAMPLING }",
            "loss.expected_loss_weights: EXPECTED_SAMPLING cannot be honoured",
        ),
        (
            "loss { random_example_sampler { positive_sample_fraction: 0 } }",
            "loss.random_example_sampler.positive_sample_fraction: 0 is no share",
        ),
        (
            "loss { random_example_sampler { positive_sample_fraction: 1.5 } }",
            "loss.random_example_sampler.positive_sample_fraction: 1.5 is no share",
        ),
    ],
)
def test_losses_that_do_not_belong_together_are_refused(text, message):
    with pytest.raises(SettingsError, match=f"^model.ssd.{message}"):
        losses_of(ssd_of(text))


def test_the_published_models_losses_come_out_as_far_as_their_predictions_are_known():
    """39 of 40 positives and 4000 of 4068 anchors are known; what they cost is nearly all that the API reports."""
    folder = REFERENCES / "ssd_mobilenet_v2_320"
    if not folder.is_dir():
        pytest.skip("no ../shared/odapi_fixtures: values that the API computed")
    ssd = read_model(parse_pipeline_config((folder / "pipeline.config").read_text()))
    reference = np.load(folder / "batch.npz")
    reported = json.loads((folder / "report.json").read_text())["loss_inference_mode"]
    known = reference["anchor_index"]
    matches, slot = np.full((2, 2034), UNMATCHED), np.full((2, 2034), -1)
    codes, weights = np.zeros((2, 2034, 4), np.float32), np.zeros((2, 2034), np.float32)
    at = (reference["target/image"], reference["target/anchor"])
    matches[at], slot[at] = reference["target/groundtruth"], reference["target/class_index"]
    codes[at], weights[at] = reference["target/box_targets"], reference["target/box_weights"]

    def pick(array):
        return tf.constant(np.take_along_axis(array, known.reshape(known.shape + (1,) * (array.ndim - 2)), axis=1))

    targets = SsdTargets(
        tf.one_hot(pick(slot), 81), tf.ones([2, 2000, 1]), pick(codes), pick(weights), pick(matches.astype(np.int32))
    )
    predictions = (reference["class_predictions_with_background"], reference["box_encodings"])
    found = losses_of(ssd)(targets, *map(tf.constant, predictions), None)
    # The normaliser is the number of matches: 39 here, 40 there.
    for name, value in found.items():
        assert 0.94 * reported[name] < float(value) * 39 / 40 <= reported[name] * (1 + 1e-4), name
