"""That settings refuse, by path, what anchors, box coders, matching, losses and post-processing cannot work with."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf

from configs.schema.descriptors import message_class, short_name
from configs.settings import anchors, box_coders, losses, matching, post_processing
from configs.settings.declaration import Settings, SettingsError
from tests.settings_guard import Case, Part, cases, check_case
from train.models.anchors import build_anchor_generator
from train.models.box_coders import build_box_coder
from train.models.matchers import UNMATCHED, build_matcher
from train.models.post_processing import batch_non_max_suppression, scores_from_logits
from train.models.similarity import build_similarity
from train.models.ssd_losses import SsdLosses
from train.models.ssd_targets import ClassSlots, SsdTargets

BOXES = np.array([[[0.1, 0.1, 0.5, 0.4], [0.2, 0.3, 0.9, 0.8], [0.1, 0.2, 0.5, 0.4]]], np.float32)
CODE = np.array([0.3, -0.2, 0.1, 0.4], np.float32)


def run_anchors(settings: anchors.AnchorGenerator) -> list[tf.Tensor]:
    generator = build_anchor_generator(settings)
    shapes = [(2, 3)] * settings.number_of_maps
    return [*generator.generate(shapes, (32, 48)), *generator.generate_normalized(shapes, (32, 48))]


def run_box_coder(settings: box_coders.BoxCoder) -> list[tf.Tensor]:
    coder = build_box_coder(settings)
    codes = coder.encode(tf.constant(BOXES), tf.constant(BOXES[:, ::-1]))
    predicted = tf.constant(CODE[: coder.code_size] * np.ones((1, 3, 1), np.float32))
    return [codes, coder.decode(codes, tf.constant(BOXES)), coder.decode(predicted, tf.constant(BOXES))]


def run_similarity(settings: matching.Similarity) -> list[tf.Tensor]:
    return [build_similarity(settings)(tf.constant(BOXES), tf.constant(BOXES[:, ::-1]), tf.ones([1, 3]))]


def run_matcher(settings: matching.Matcher) -> list[tf.Tensor]:
    similarity = tf.constant([[[0.9, 0.2, 0.1], [0.3, 0.4, 0.0]]])
    return [tf.cast(build_matcher(settings).match(similarity, tf.constant([[True, True]])), tf.float32)]


def run_losses(settings: losses.Loss) -> list[tf.Tensor]:
    slots = ClassSlots(num_slots=2, adds_background=False, has_background=False, unmatched_slot=None)
    coder = build_box_coder(
        box_coders.FasterRcnnBoxCoder(y_scale=10.0, x_scale=10.0, height_scale=5.0, width_scale=5.0)
    )
    compute = SsdLosses(
        settings,
        slots=slots,
        box_coder=coder,
        normalize_loss_by_num_matches=True,
        normalize_loc_loss_by_codesize=False,
    )
    targets = SsdTargets(
        class_targets=tf.constant([[[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]]),
        class_weights=tf.ones([1, 3, 1]),
        codes=tf.constant([[[0.1, 0.2, 0.3, 0.4], [0.0] * 4, [0.0] * 4]]),
        box_weights=tf.constant([[1.0, 0.0, 0.0]]),
        matches=tf.constant([[0, UNMATCHED, UNMATCHED]]),
    )
    logits = tf.constant([[[2.0, -1.0], [0.3, 0.0], [-3.0, 4.0]]])
    codes = tf.constant(CODE * np.ones((1, 3, 1), np.float32))
    with tf.GradientTape() as tape:
        tape.watch((logits, codes))
        found = list(compute(targets, logits, codes, tf.constant(BOXES[0])).values())
    return [*found, *(slope for slope in tape.gradient(found, (logits, codes)) if slope is not None)]


def run_post_processing(settings: post_processing.PostProcessing) -> list[tf.Tensor]:
    scores = scores_from_logits(tf.constant([[[2.0, -1.0], [0.3, 0.0], [-3.0, 4.0]]]), settings)
    pixels, shape = tf.constant(BOXES * 40.0)[:, :, tf.newaxis], tf.constant([[40, 40, 3]])
    found = batch_non_max_suppression(
        pixels, scores, shape, settings.batch_non_max_suppression, input_shape=(40, 48), with_anchors=True
    )
    return [scores, *(tf.cast(value, tf.float32) for value in found.values())]


def parts() -> Iterator[Part]:
    anchor_part = functools.partial(Part, anchors.ANCHOR_GENERATORS, "AnchorGenerator", run=run_anchors)
    yield anchor_part(text="grid_anchor_generator { scales: [0.5, 1.0] aspect_ratios: [1.0, 2.0] }")
    yield anchor_part(text="multiscale_anchor_generator { aspect_ratios: [1.0, 2.0] }")
    yield anchor_part(
        text="ssd_anchor_generator { num_layers: 2 aspect_ratios: 1.0 scales: [0.2, 0.7] height_stride: [8, 16] "
        "width_stride: [8, 16] height_offset: [4, 8] width_offset: [4, 8] }"
    )
    grid = "anchor_grid { base_sizes: [10, 20] aspect_ratios: [1, 2] height_stride: 8 width_stride: 8 }"
    yield anchor_part(text=f"flexible_grid_anchor_generator {{ {grid} {grid} }}")
    for kind in box_coders.BOX_CODERS.alternatives:
        yield Part(box_coders.BOX_CODERS, "BoxCoder", f"{kind} {{ }}", run_box_coder)
    for kind in matching.SIMILARITIES.alternatives:
        yield Part(matching.SIMILARITIES, "RegionSimilarityCalculator", f"{kind} {{ }}", run_similarity)
    for kind in matching.MATCHERS.alternatives:
        yield Part(matching.MATCHERS, "Matcher", f"{kind} {{ }}", run_matcher)
    for kind in losses.CLASSIFICATION_LOSSES.alternatives:
        text = f"classification_loss {{ {kind} {{ }} }} localization_loss {{ weighted_smooth_l1 {{ }} }}"
        counts = "random_example_sampler { }"
        if kind != "weighted_sigmoid_focal":
            counts += " hard_example_miner { max_negatives_per_positive: 3 }"
        yield Part(losses.Loss, "Loss", f"{text} {counts}", run_losses)
    for kind in losses.LOCALIZATION_LOSSES.alternatives:
        text = f"classification_loss {{ weighted_sigmoid_focal {{ }} }} localization_loss {{ {kind} {{ }} }}"
        yield Part(losses.Loss, "Loss", text, run_losses)
    pairs = "x_y_pair { x: 0 y: 0 } x_y_pair { x: 0.5 y: 0.7 } x_y_pair { x: 1 y: 1 }"
    for calibration in (
        f"function_approximation {{ x_y_pairs {{ {pairs} }} }}",
        f"class_id_function_approximations {{ class_id_xy_pairs_map {{ key: 1 value {{ {pairs} }} }} }}",
        "sigmoid_calibration { sigmoid_parameters { } }",
        "class_id_sigmoid_calibrations { class_id_sigmoid_parameters_map { key: 1 value { } } }",
        "temperature_scaling_calibration { scaler: 2 }",
    ):
        text = f"score_converter: SIGMOID batch_non_max_suppression {{ }} calibration_config {{ {calibration} }}"
        yield Part(post_processing.PostProcessing, "PostProcessing", text, run_post_processing)


CASES = list(cases(parts()))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path.removeprefix("part."))
def test_what_reading_lets_pass_runs_and_gives_finite_numbers(case: Case) -> None:
    check_case(case)


def test_every_message_of_the_parts_is_tried() -> None:
    declared = {
        settings.message_name
        for module in (anchors, box_coders, losses, matching, post_processing)
        for _, settings in inspect.getmembers(module, inspect.isclass)
        if issubclass(settings, Settings) and settings.message_name
    }
    tried = {short_name(case.field.containing_type) for case in CASES}
    without_fields = {name for name in declared if not message_class(name).DESCRIPTOR.fields}
    only_messages = {"FunctionApproximation", "SigmoidCalibration"}
    maps = {"ClassIdFunctionApproximations", "ClassIdSigmoidCalibrations"}
    assert declared - tried == without_fields | only_messages | maps


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("multiscale_anchor_generator.anchor_scale", -1.0),
        ("batch_non_max_suppression.max_detections_per_class", -1),
        ("classification_loss.weighted_sigmoid_focal.alpha", -1.0),
        ("localization_weight", -1.0),
        ("mean_stddev_box_coder.stddev", 0.0),
        ("localization_loss.weighted_smooth_l1.delta", -1.0),
        ("thresholded_iou_similarity.iou_threshold", 2.0),
    ],
)
def test_values_that_mean_nothing_are_refused_at_their_field(path: str, value: float) -> None:
    (case,) = (case for case in CASES if case.path == f"part.{path}")
    (message,) = (message for message, tried in case.messages() if tried == value)
    with pytest.raises(SettingsError) as caught:
        case.part.read(message)
    assert [problem.path for problem in caught.value.problems] == [case.path]
