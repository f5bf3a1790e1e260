"""That settings refuse, by path, all that layers, heads, feature extractors and whole detectors cannot work with."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from configs.schema.descriptors import message_class, short_name
from configs.settings import backbones, extractors, faster_rcnn, heads, layers, ssd
from configs.settings.declaration import Settings, SettingsError
from tests.settings_guard import Case, Part, cases, check_case
from tests.small_models import FASTER_RCNN, SSD
from train.models.box_coders import build_box_coder
from train.models.cropping import ProposalCropper
from train.models.detector import GroundTruth
from train.models.faster_rcnn_heads import MaskRcnnBoxPredictor, RegionProposalPredictor
from train.models.feature_extractors.bifpn import BiFpn
from train.models.feature_extractors.registry import build_faster_rcnn_extractor, build_ssd_extractor
from train.models.feature_extractors.top_down_pyramid import TopDownPyramid, coarse_layers
from train.models.first_stage import InputAnchors, first_stage_losses, propose_regions
from train.models.hyperparams import LayerHyperparams
from train.models.second_stage import detections_of, sample_proposals, second_stage_losses
from train.models.ssd_losses import SsdLosses
from train.models.ssd_network import build_ssd_box_predictor
from train.models.ssd_targets import ClassSlots, SsdTargetAssigner

HYPERPARAMS = "regularizer { l2_regularizer { } } batch_norm { } initializer { %s }"
TRUTH = GroundTruth(
    boxes=tf.constant([[[2.0, 2.0, 20.0, 18.0]]]),
    classes=tf.constant([[1]]),
    weights=tf.ones([1, 1]),
    valid=tf.constant([[True]]),
)
ANCHORS = tf.constant([[0.0, 0.0, 16.0, 16.0], [8.0, 8.0, 24.0, 24.0], [16.0, 0.0, 32.0, 16.0]])


def run_hyperparams(settings: layers.Hyperparams) -> list[tf.Tensor]:
    hyperparams = LayerHyperparams(settings)
    layer = tf_keras.layers.Conv2D(32, 3, use_bias=hyperparams.use_bias, **hyperparams.convolution_arguments())
    features = layer(tf.random.stateless_normal([1, 4, 4, 2], seed=[1, 2]))
    return [hyperparams.activate(hyperparams.batch_norm()(features, training=True)), *layer.losses]


def run_ssd_head(settings: heads.SsdBoxPredictor) -> list[tf.Tensor]:
    head = build_ssd_box_predictor(settings, num_class_slots=3, anchors_per_location=[2, 2], levels=["3", "4"])
    features = {"3": tf.ones([1, 2, 2, 4]), "4": tf.ones([1, 1, 1, 4])}
    logits, codes, _ = head(features, training=True)
    return [*logits.values(), *codes.values(), *head.losses]


def run_faster_rcnn_head(settings: heads.MaskRcnnBoxPredictor) -> list[tf.Tensor]:
    return list(MaskRcnnBoxPredictor(settings=settings, num_classes=2)(tf.ones([2, 2, 2, 4]), training=True))


def run_ssd_extractor(settings: extractors.SsdFeatureExtractor) -> list[tf.Tensor]:
    return list(build_ssd_extractor(settings)(tf.ones([1, 64, 64, 3]), training=True).values())


def run_pyramid(settings: extractors.FasterRcnnFeatureExtractor) -> list[tf.Tensor]:
    """The pyramid as Faster R-CNN's extractor builds it, on next to nothing for a trunk."""
    levels, hyperparams = settings.pyramid, LayerHyperparams(settings.conv_hyperparams)
    trunk = [tf.ones([1, 2 ** (7 - level), 2 ** (7 - level), 4]) for level in range(levels.min_level, 6)]
    trunk = trunk[: max(min(levels.max_level, 5) - levels.min_level + 1, 0)]
    depth = levels.additional_layer_depth
    maps = TopDownPyramid(hyperparams, num_levels=len(trunk), depth=depth)(trunk)
    names = [str(level) for level in range(5, levels.max_level)]
    for block in coarse_layers(hyperparams, len(names), depth=depth, names=names):
        for layer in block:
            maps.append(layer(maps.pop()))
    return maps


def run_bifpn(settings: extractors.SsdFeatureExtractor) -> list[tf.Tensor]:
    """The pyramid as EfficientDet's extractor builds it, on next to nothing for a trunk."""
    bifpn = settings.pyramid
    assert isinstance(bifpn, extractors.BidirectionalFeaturePyramidNetworks)
    levels = range(bifpn.min_level, min(bifpn.max_level, 5) + 1)
    pyramid = BiFpn(
        LayerHyperparams(settings.conv_hyperparams),
        min_level=bifpn.min_level,
        max_level=bifpn.max_level,
        trunk_channels=[4] * len(levels),
        num_iterations=bifpn.num_iterations,
        num_filters=max(bifpn.num_filters, settings.min_depth),
        combine_method=bifpn.combine_method,
    )
    return pyramid([tf.ones([1, 2 ** (8 - level), 2 ** (8 - level), 4]) for level in levels], training=True)


def run_backbone(settings: backbones.ModelGardenBackbone) -> list[tf.Tensor]:
    """Nothing: which values a parameter takes is known to Model Garden alone, and told when it builds."""
    del settings
    return []


def run_ssd(settings: ssd.Ssd) -> list[tf.Tensor]:
    """What an SSD is but for its feature extractor."""
    slots, coder = ClassSlots.from_settings(settings), build_box_coder(settings.box_coder)
    counts = settings.anchor_generator.anchors_per_location
    head = build_ssd_box_predictor(
        settings.box_predictor,
        num_class_slots=slots.num_slots,
        anchors_per_location=counts,
        levels=[str(index) for index in range(len(counts))],
    )
    head({str(index): tf.ones([1, 1, 1, 4]) for index in range(len(counts))}, training=False)
    assigner = SsdTargetAssigner(
        similarity=settings.similarity_calculator,
        matcher=settings.matcher,
        box_coder=coder,
        slots=slots,
        negative_class_weight=settings.negative_class_weight,
        use_confidences_as_targets=settings.use_confidences_as_targets,
        implicit_example_weight=settings.implicit_example_weight,
    )
    compute = SsdLosses(
        settings.loss,
        slots=slots,
        box_coder=coder,
        normalize_loss_by_num_matches=settings.normalize_loss_by_num_matches,
        normalize_loc_loss_by_codesize=settings.normalize_loc_loss_by_codesize,
    )
    targets = assigner.assign(TRUTH, ANCHORS, None, training=True)
    return list(compute(targets, tf.ones([1, 3, slots.num_slots]), tf.ones([1, 3, coder.code_size]), ANCHORS).values())


def run_faster_rcnn(settings: faster_rcnn.FasterRcnn) -> list[tf.Tensor]:
    """What a Faster R-CNN is but for its feature extractor."""
    head = RegionProposalPredictor(
        hyperparams=settings.first_stage_box_predictor_conv_hyperparams,
        depth=settings.first_stage_box_predictor_depth,
        kernel_size=settings.first_stage_box_predictor_kernel_size,
        dilation_rate=settings.first_stage_atrous_rate,
        anchors_per_location=settings.first_stage_anchor_generator.anchors_per_location,
        levels=["4"],
    )
    features = tf.ones([1, 2, 2, 4])
    found = [*head({"4": features}, training=True)[0].values()]
    anchors = InputAnchors.within(ANCHORS, (32, 32), prune=not settings.clip_anchors_to_image)
    logits, codes = tf.constant([[[0.0, 1.0], [1.0, 0.5], [0.0, 2.0]]]), tf.zeros([1, 3, 4])
    found += first_stage_losses(logits, codes, anchors, TRUTH, settings).values()
    proposals = propose_regions(logits, codes, anchors, tf.constant([[32, 32, 3]]), settings)
    if settings.number_of_stages == 1:
        return [*found, proposals.boxes]
    sampled = sample_proposals(proposals, TRUTH, settings)
    cropper = ProposalCropper(settings.initial_crop_size, settings.maxpool_kernel_size, settings.maxpool_stride)
    found.append(cropper.crop([features], sampled.boxes, (32, 32)))
    count = sampled.boxes.shape[1]
    class_logits, box_codes = tf.ones([1, count, settings.num_classes + 1]), tf.zeros([1, count, 1, 4])
    found += second_stage_losses(class_logits, box_codes, sampled, TRUTH, settings).values()
    detections = detections_of(class_logits, box_codes, sampled, tf.constant([[32, 32, 3]]), settings)
    return [*found, *(tf.cast(value, tf.float32) for value in detections.values())]


def parts() -> Iterator[Part]:
    """The parts that are built in no time."""
    for initializer in (
        "truncated_normal_initializer { }",
        "random_normal_initializer { }",
        "variance_scaling_initializer { }",
        "keras_initializer_by_name: 'he_normal'",
    ):
        yield Part(layers.Hyperparams, "Hyperparams", HYPERPARAMS % initializer, run_hyperparams)
    l1 = "regularizer { l1_regularizer { } } group_norm { }"
    yield Part(layers.Hyperparams, "Hyperparams", l1, run_hyperparams)
    for kind in heads.SSD_BOX_PREDICTORS.alternatives:
        text = f"{kind} {{ box_encodings_clip_range {{ min: -5 max: 5 }} num_layers_before_predictor: 1 %s }}"
        more = "max_depth: 8" if kind == "convolutional_box_predictor" else "depth: 8"
        yield Part(heads.SSD_BOX_PREDICTORS, "BoxPredictor", text % more, run_ssd_head)
    yield Part(heads.FASTER_RCNN_BOX_PREDICTORS, "BoxPredictor", "mask_rcnn_box_predictor { }", run_faster_rcnn_head)
    yield Part(
        extractors.SsdFeatureExtractor,
        "SsdFeatureExtractor",
        "type: 'ssd_efficientnet-b0_bifpn_keras' bifpn { num_iterations: 1 num_filters: 8 max_level: 6 }",
        run_bifpn,
    )
    yield Part(
        extractors.FasterRcnnFeatureExtractor,
        "FasterRcnnFeatureExtractor",
        "type: 'faster_rcnn_resnet50_fpn_keras' fpn { min_level: 2 max_level: 6 additional_layer_depth: 8 }",
        run_pyramid,
    )
    resnet = "type: 'resnet' parameter: ['model_id: 18', 'se_ratio: 0.0']"
    yield Part(backbones.ModelGardenBackbone, "ModelGardenBackbone", resnet, run_backbone)
    yield Part(ssd.Ssd, "Ssd", SSD, run_ssd)
    yield Part(faster_rcnn.FasterRcnn, "FasterRcnn", FASTER_RCNN, run_faster_rcnn)


def whole_extractors() -> Iterator[Part]:
    """Networks, which take seconds each."""
    yield Part(
        extractors.SsdFeatureExtractor,
        "SsdFeatureExtractor",
        "type: 'ssd_mobilenet_v1_keras' depth_multiplier: 0.25 num_layers: 3",
        run_ssd_extractor,
    )
    yield Part(
        extractors.SsdFeatureExtractor,
        "SsdFeatureExtractor",
        "type: 'ssd_mobilenet_v1_fpn_keras' depth_multiplier: 0.25 fpn { max_level: 6 additional_layer_depth: 8 }",
        run_ssd_extractor,
    )


def run_faster_rcnn_extractor(settings: extractors.FasterRcnnFeatureExtractor) -> list[tf.Tensor]:
    return list(build_faster_rcnn_extractor(settings).proposal_maps(tf.ones([1, 64, 64, 3]), True).values())


def own_messages() -> set[str]:
    """The messages that the modules here describe."""
    return {
        settings.message_name
        for module in (layers, heads, extractors, backbones, ssd, faster_rcnn)
        for _, settings in inspect.getmembers(module, inspect.isclass)
        if issubclass(settings, Settings) and settings.message_name and settings.__module__ == module.__name__
    }


def own_cases(of: Iterator[Part]) -> list[Case]:
    """Each field of these messages; those of other parts have a guard of their own."""
    own = own_messages()
    return [case for case in cases(of) if short_name(case.field.containing_type) in own]


CASES = own_cases(parts())
SLOW_CASES = own_cases(whole_extractors())


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.part.message_name}{case.path.removeprefix('part')}")
def test_what_reading_lets_pass_runs_and_gives_finite_numbers(case: Case) -> None:
    check_case(case)


@pytest.mark.slow
@pytest.mark.parametrize("case", SLOW_CASES, ids=lambda case: case.path.removeprefix("part."))
def test_what_reading_lets_pass_makes_a_network(case: Case) -> None:
    check_case(case)


@pytest.mark.slow
@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("trains", ["true", "false"])
def test_what_reading_lets_pass_makes_a_faster_rcnns_network(stride: int, trains: str) -> None:
    text = f"type: 'faster_rcnn_resnet50_keras' first_stage_features_stride: {stride} batch_norm_trainable: {trains}"
    part = Part(extractors.FasterRcnnFeatureExtractor, "FasterRcnnFeatureExtractor", text, run_faster_rcnn_extractor)
    for features in part.run(part.read(part.message())):
        assert np.isfinite(features).all()


def test_every_message_of_a_model_is_tried() -> None:
    tried = {short_name(case.field.containing_type) for case in CASES}
    without_fields = {name for name in own_messages() if not message_class(name).DESCRIPTOR.fields}
    assert own_messages() - tried == without_fields


@pytest.mark.parametrize(
    ("message", "path", "value"),
    [
        ("Hyperparams", "regularizer.l2_regularizer.weight", -1.0),
        ("Hyperparams", "initializer.truncated_normal_initializer.stddev", -1.0),
        ("Hyperparams", "initializer.variance_scaling_initializer.factor", 0.0),
        ("Hyperparams", "batch_norm.decay", 2.0),
        ("BoxPredictor", "convolutional_box_predictor.dropout_keep_probability", 2.0),
        ("BoxPredictor", "weight_shared_convolutional_box_predictor.depth", -1),
        ("FasterRcnnFeatureExtractor", "fpn.min_level", 0),
        ("SsdFeatureExtractor", "bifpn.combine_method", "nonsense"),
        ("Ssd", "negative_class_weight", -1.0),
        ("FasterRcnn", "first_stage_positive_balance_fraction", 2.0),
        ("FasterRcnn", "first_stage_atrous_rate", 0),
    ],
)
def test_values_that_mean_nothing_are_refused_at_their_field(message: str, path: str, value: Any) -> None:
    (case,) = (case for case in CASES if (case.part.message_name, case.path) == (message, f"part.{path}"))
    (given,) = (given for given, tried in case.messages() if tried == value)
    with pytest.raises(SettingsError) as caught:
        case.part.read(given)
    assert [problem.path for problem in caught.value.problems] == [case.path]
