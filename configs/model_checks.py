"""What a model's fields must be together: what may not be missing, and what must agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from configs.diagnosis import nearest
from configs.model_rules import FASTER_RCNN_FEATURE_EXTRACTORS, SSD_FEATURE_EXTRACTORS
from configs.problem import Problem


def check_model(config: Any) -> Iterator[Problem]:
    """Checks the `model` part of a `TrainEvalPipelineConfig`; yields each problem."""
    kind = config.model.WhichOneof("model")
    if kind is None:
        yield Problem("model", "is not set", "write model { ssd { ... } } or model { faster_rcnn { ... } }")
    elif kind == "ssd":
        yield from _check_ssd(config.model.ssd, "model.ssd")
    elif kind == "faster_rcnn":
        yield from _check_faster_rcnn(config.model.faster_rcnn, "model.faster_rcnn")


def _check_ssd(ssd: Any, path: str) -> Iterator[Problem]:
    yield from _check_num_classes(ssd, path)
    yield from _check_type(ssd.feature_extractor.type, f"{path}.feature_extractor.type", SSD_FEATURE_EXTRACTORS)
    yield from _check_resizer(ssd.image_resizer, f"{path}.image_resizer")
    box_predictor = "weight_shared_convolutional_box_predictor"
    yield from _check_choice(ssd.box_coder, f"{path}.box_coder", ["faster_rcnn_box_coder"])
    yield from _check_choice(ssd.matcher, f"{path}.matcher", ["argmax_matcher"])
    yield from _check_choice(ssd.similarity_calculator, f"{path}.similarity_calculator", ["iou_similarity"])
    yield from _check_choice(ssd.anchor_generator, f"{path}.anchor_generator", ["multiscale_anchor_generator"])
    yield from _check_choice(ssd.box_predictor, f"{path}.box_predictor", [box_predictor])
    classification = ["weighted_sigmoid_focal", "weighted_sigmoid"]
    yield from _check_choice(ssd.loss.classification_loss, f"{path}.loss.classification_loss", classification)
    yield from _check_choice(ssd.loss.localization_loss, f"{path}.loss.localization_loss", ["weighted_smooth_l1"])
    yield from _check_score_converter(ssd.post_processing, f"{path}.post_processing", "SIGMOID")

    predictor = ssd.box_predictor.weight_shared_convolutional_box_predictor
    if ssd.box_predictor.WhichOneof("box_predictor_oneof") == box_predictor and predictor.depth < 1:
        at = f"{path}.box_predictor.{box_predictor}.depth"
        if predictor.num_layers_before_predictor > 0:
            yield Problem(at, f"{predictor.depth} channels are none", "set it, such as depth: 256")
    if ssd.anchor_generator.WhichOneof("anchor_generator_oneof") == "multiscale_anchor_generator":
        generator = ssd.anchor_generator.multiscale_anchor_generator
        at = f"{path}.anchor_generator.multiscale_anchor_generator"
        yield from _check_levels(generator, at, ssd.feature_extractor.fpn, f"{path}.feature_extractor.fpn")
        yield from _check_multiscale(generator, at)
    extractor = ssd.feature_extractor
    if extractor.depth_multiplier != 1.0 and "mobilenet" not in extractor.type:
        yield Problem(
            f"{path}.feature_extractor.depth_multiplier",
            f"{extractor.type} has one width",
            "use 1.0, or ssd_mobilenet_v2_fpn_keras",
        )


def _check_faster_rcnn(model: Any, path: str) -> Iterator[Problem]:
    yield from _check_num_classes(model, path)
    extractor = model.feature_extractor
    yield from _check_type(extractor.type, f"{path}.feature_extractor.type", FASTER_RCNN_FEATURE_EXTRACTORS)
    yield from _check_resizer(model.image_resizer, f"{path}.image_resizer")
    has_pyramid = "_fpn_" in extractor.type
    anchors_path = f"{path}.first_stage_anchor_generator"
    kind = "multiscale_anchor_generator" if has_pyramid else "grid_anchor_generator"
    yield from _check_choice(model.first_stage_anchor_generator, anchors_path, [kind], f" with {extractor.type}")
    chosen = model.first_stage_anchor_generator.WhichOneof("anchor_generator_oneof")
    if has_pyramid and chosen == kind:
        generator = model.first_stage_anchor_generator.multiscale_anchor_generator
        yield from _check_levels(generator, f"{anchors_path}.{kind}", extractor.fpn, f"{path}.feature_extractor.fpn")
        yield from _check_multiscale(generator, f"{anchors_path}.{kind}")
    elif chosen == kind:
        grid = model.first_stage_anchor_generator.grid_anchor_generator
        for name in ("scales", "aspect_ratios"):
            if not getattr(grid, name):
                yield Problem(f"{anchors_path}.{kind}.{name}", "is empty", f"set it, such as {name}: [0.5, 1.0, 2.0]")
        for name in ("height_stride", "width_stride"):
            if getattr(grid, name) != extractor.first_stage_features_stride:
                yield Problem(
                    f"{anchors_path}.{kind}.{name}",
                    f"{getattr(grid, name)} is not the feature map's stride",
                    f"use {extractor.first_stage_features_stride}",
                )
    if not has_pyramid and extractor.HasField("fpn"):
        yield Problem(
            f"{path}.feature_extractor.fpn",
            f"{extractor.type} has no pyramid",
            f"use type: {extractor.type.replace('_keras', '_fpn_keras')!r}, or delete it",
        )
    for name in ("initial_crop_size", "maxpool_kernel_size", "maxpool_stride"):
        if getattr(model, name) < 1:
            usual = 14 if name == "initial_crop_size" else 2
            yield Problem(f"{path}.{name}", f"{getattr(model, name)} is not a size", f"set it, such as {name}: {usual}")
    second = f"{path}.second_stage_box_predictor"
    yield from _check_choice(model.second_stage_box_predictor, second, ["mask_rcnn_box_predictor"])
    loss = model.second_stage_classification_loss
    if loss.WhichOneof("classification_loss") not in (None, "weighted_softmax"):
        at = f"{path}.second_stage_classification_loss.{loss.WhichOneof('classification_loss')}"
        yield Problem(at, "the second stage's classes exclude each other", "use weighted_softmax { }")
    yield from _check_score_converter(
        model.second_stage_post_processing, f"{path}.second_stage_post_processing", "SOFTMAX"
    )


def _check_num_classes(model: Any, path: str) -> Iterator[Problem]:
    if model.num_classes < 1:
        yield Problem(f"{path}.num_classes", f"{model.num_classes} classes", "set it to the label map's largest id")


def _check_type(given: str, path: str, supported: Sequence[str]) -> Iterator[Problem]:
    if given in supported:
        return
    if not given:
        yield Problem(path, "is not set", f"use one of {', '.join(supported)}")
    elif f"{given}_keras" in supported:
        yield Problem(path, f"{given!r} is the network's name in TensorFlow 1", f"use '{given}_keras'")
    else:
        near = nearest(given, supported)
        instead = f"use {near!r}" if near else f"use one of {', '.join(supported)}"
        yield Problem(path, f"{given!r} is not a network here", instead)


def _check_choice(message: Any, path: str, supported: Sequence[str], context: str = "") -> Iterator[Problem]:
    """Checks the one oneof of a message: it must be set, to one of what is supported."""
    oneof = message.DESCRIPTOR.oneofs[0]
    chosen = message.WhichOneof(oneof.name)
    instead = f"use {' or '.join(f'{name} {{ }}' for name in supported)}"
    if chosen is None:
        yield Problem(path, "is not set", instead)
    elif chosen not in supported:
        yield Problem(f"{path}.{chosen}", f"cannot be used{context or ' here'}", instead)


def _check_resizer(resizer: Any, path: str) -> Iterator[Problem]:
    chosen = resizer.WhichOneof("image_resizer_oneof")
    if chosen is None:
        yield Problem(path, "is not set", "use fixed_shape_resizer { height: 320 width: 320 }")
    elif chosen == "fixed_shape_resizer":
        fixed = resizer.fixed_shape_resizer
        for name in ("height", "width"):
            if getattr(fixed, name) < 1:
                yield Problem(f"{path}.{chosen}.{name}", f"{getattr(fixed, name)} pixels are none", "use 1 or more")
    elif chosen == "keep_aspect_ratio_resizer":
        keep = resizer.keep_aspect_ratio_resizer
        if not 1 <= keep.min_dimension <= keep.max_dimension:
            reason = f"{keep.min_dimension} does not lie between 1 and max_dimension, {keep.max_dimension}"
            yield Problem(f"{path}.{chosen}.min_dimension", reason, "use a smaller one")


def _check_score_converter(post_processing: Any, path: str, name: str) -> Iterator[Problem]:
    field = post_processing.DESCRIPTOR.fields_by_name["score_converter"]
    given = field.enum_type.values_by_number[post_processing.score_converter].name
    if given != name:
        unset = "" if post_processing.HasField("score_converter") else "unset, which means "
        reason = f"{unset}{given} does not give scores from this loss's logits"
        yield Problem(f"{path}.score_converter", reason, f"use {name}")


def _check_levels(generator: Any, path: str, pyramid: Any, pyramid_path: str) -> Iterator[Problem]:
    for name in ("min_level", "max_level"):
        if getattr(generator, name) != getattr(pyramid, name):
            yield Problem(
                f"{path}.{name}",
                f"{getattr(generator, name)} is not {pyramid_path}.{name}, {getattr(pyramid, name)}",
                "make the two equal: every level of the pyramid has its anchors",
            )
    if generator.min_level > generator.max_level:
        yield Problem(f"{path}.min_level", f"{generator.min_level} lies above max_level", "use a smaller one")


def _check_multiscale(generator: Any, path: str) -> Iterator[Problem]:
    if not generator.aspect_ratios:
        yield Problem(f"{path}.aspect_ratios", "is empty", "set it, such as aspect_ratios: [1.0, 2.0, 0.5]")
    if generator.scales_per_octave < 1:
        yield Problem(f"{path}.scales_per_octave", f"{generator.scales_per_octave} sizes are none", "use 1 or more")
