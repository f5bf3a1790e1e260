"""A config in plain words: a line for each thing that a person asks about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from configs.settings.anchors import (
    AnchorGenerator,
    FlexibleGridAnchorGenerator,
    GridAnchorGenerator,
    MultiscaleAnchorGenerator,
    SsdAnchorGenerator,
)
from configs.settings.declaration import fields_of
from configs.settings.extensions import Extensions
from configs.settings.faster_rcnn import FasterRcnn
from configs.settings.inputs import InputReader
from configs.settings.learning_rates import Schedule
from configs.settings.losses import CLASSIFICATION_LOSSES, LOCALIZATION_LOSSES
from configs.settings.model import Model
from configs.settings.optimizers import DECOUPLED
from configs.settings.pipeline import PipelineSettings
from configs.settings.resizers import (
    ConditionalShapeResizer,
    FixedShapeResizer,
    ImageResizer,
    KeepAspectRatioResizer,
    PadToMultipleResizer,
)
from configs.settings.training import TrainConfig
from configs.views.leaves import leaves, shortest_float


def summarize(config: Any, settings: PipelineSettings) -> list[tuple[str, str]]:
    """Describes a config.

    Args:
        config: A `TrainEvalPipelineConfig`, effective.
        settings: The same as settings.

    Returns:
        What is described, such as `batch`, and the description.
    """
    lines = _describe_model(settings.model)
    if settings.train_config is not None:
        lines += _describe_training(config, settings, settings.train_config)
    if settings.train_input_reader is not None:
        lines.append(("training input", _describe_reader(settings.train_input_reader)))
    for reader in settings.eval_input_reader:
        lines.append(("evaluation input", _describe_reader(reader)))
    if "eval_config" in settings.written:
        evaluation = settings.eval_config
        average = ", with the moving average of the weights" if evaluation.use_moving_averages else ""
        lines.append(("evaluation", f"{', '.join(evaluation.metrics_set or evaluation.metrics_sets)}{average}"))
    return lines


def describe_schedule(schedule: Schedule) -> list[str]:
    """A schedule's course: for each turning point the step, the rate there, and what comes next."""
    turns = schedule.turns()
    rates = np.asarray(schedule.rate(np.array([turn.step for turn in turns], np.float64), np))
    return [f"step {turn.step}: {float(rate):.6g}, {turn.what}" for turn, rate in zip(turns, rates, strict=True)]


def _describe_model(model: Model) -> list[tuple[str, str]]:
    classes = f"{model.num_classes} class{'' if model.num_classes == 1 else 'es'}"
    network = f"the network {model.feature_extractor.type or '(none)'}, {classes}"
    resizer = _describe_resizer(model.image_resizer)
    if isinstance(model, FasterRcnn):
        stages = ", proposals alone" if model.number_of_stages == 1 else ""
        return [
            ("model", f"Faster R-CNN with {network}{stages}"),
            ("input", resizer),
            ("anchors", describe_anchors(model.first_stage_anchor_generator)),
        ]
    loss = model.loss
    mined = " of hard examples" if loss.hard_example_miner is not None else ""
    weights = (
        f"{shortest_float(loss.classification_weight)} x {CLASSIFICATION_LOSSES.name_of(loss.classification_loss)} + "
        f"{shortest_float(loss.localization_weight)} x {LOCALIZATION_LOSSES.name_of(loss.localization_loss)}"
    )
    return [
        ("model", f"SSD with {network}"),
        ("input", resizer),
        ("anchors", describe_anchors(model.anchor_generator)),
        ("loss", f"{weights}{mined}"),
    ]


def describe_anchors(generator: AnchorGenerator) -> str:
    """Says what anchors a generator makes: how many a place, of what sizes, at what strides."""
    if isinstance(generator, GridAnchorGenerator):
        return _grid(generator)
    if isinstance(generator, MultiscaleAnchorGenerator):
        return _multiscale(generator)
    return _ssd(generator) if isinstance(generator, SsdAnchorGenerator) else _flexible(generator)


def _grid(grid: GridAnchorGenerator) -> str:
    sizes = [grid.height * scale for scale in grid.scales]
    return (
        f"{grid.anchors_per_location[0]} a place, every {grid.height_stride} pixels: "
        f"sizes {_numbers(sizes)} pixels, width to height {_numbers(grid.aspect_ratios)}"
    )


def _multiscale(multiscale: MultiscaleAnchorGenerator) -> str:
    last = multiscale.max_level + (multiscale.scales_per_octave - 1) / multiscale.scales_per_octave
    smallest, largest = (multiscale.anchor_scale * 2**level for level in (multiscale.min_level, last))
    strides = f"every {2**multiscale.min_level} to {2**multiscale.max_level} pixels"
    return (
        f"{multiscale.anchors_per_location[0]} a place, on levels {multiscale.min_level} to {multiscale.max_level} "
        f"({strides}): sizes {smallest:.4g} to {largest:.4g} pixels, width to height "
        f"{_numbers(multiscale.aspect_ratios)}"
    )


def _ssd(ssd: SsdAnchorGenerator) -> str:
    a_place = ssd.anchors_per_location
    span = f"{shortest_float(ssd.min_scale)} to {shortest_float(ssd.max_scale)}"
    return (
        f"{a_place[0]} a place on the first of {ssd.num_layers} layers and {a_place[-1]} on the others: sizes "
        f"{_numbers(ssd.scales[: ssd.num_layers]) or span} of the shorter side, width to height "
        f"{_numbers(ssd.aspect_ratios)}"
    )


def _flexible(flexible: FlexibleGridAnchorGenerator) -> str:
    return "; ".join(
        f"{len(grid.base_sizes)} a place, every {grid.height_stride} pixels: sizes {_numbers(grid.base_sizes)}"
        for grid in flexible.anchor_grid
    )


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(shortest_float(value) for value in values)


def _describe_resizer(resizer: ImageResizer) -> str:
    match resizer:
        case FixedShapeResizer():
            text = f"{resizer.width} wide x {resizer.height} high, whatever the image's shape"
        case KeepAspectRatioResizer():
            text = f"shorter side {resizer.min_dimension}, longer at most {resizer.max_dimension}"
            size = f"{resizer.max_dimension} x {resizer.max_dimension}"
            text += f", padded to {size}" if resizer.pad_to_max_dimension else "; sizes vary"
        case ConditionalShapeResizer():
            name = resizer.condition.lower()
            text = f"images {name} than {resizer.size_threshold} are resized to it; sizes vary"
        case PadToMultipleResizer():
            text = f"padded to multiples of {resizer.multiple}; sizes vary"
        case _:
            text = "images as they are; sizes vary"
    return text + (", in grey" if resizer.is_grey else "")


def _describe_training(config: Any, settings: PipelineSettings, train: TrainConfig) -> list[tuple[str, str]]:
    steps = f"{train.num_steps} steps" if train.num_steps else "no end of steps"
    total = f", {train.batch_size * train.num_steps} images in all" if train.num_steps else ""
    extensions, parts = settings.extensions, settings.extensions.micro_batches
    in_parts = f" in {parts} parts of {train.batch_size // parts}" if parts > 1 else ""
    lines = [("batch", f"{train.batch_size} images{in_parts}; {steps}{total}; {settings.precision_policy}")]
    lines.append(("optimizer", _describe_optimizer(train, extensions)))
    course = describe_schedule(extensions.schedule_over(train.optimizer))
    lines += [("learning rate" if index == 0 else "", text) for index, text in enumerate(course)]
    steps_of = [_describe_augmentation(step) for step in config.train_config.data_augmentation_options] or ["none"]
    lines += [("augmentations" if index == 0 else "", text) for index, text in enumerate(steps_of)]
    start = "initial weights"
    if train.fine_tune_checkpoint:
        start = f"{train.checkpoint_type} weights of {train.fine_tune_checkpoint}"
    lines.append(("starts from", start))
    if train.freeze_variables:
        lines.append(("frozen", ", ".join(train.freeze_variables)))
    if train.update_trainable_variables:
        lines.append(("trained alone", ", ".join(train.update_trainable_variables)))
    lines.append(("ground truth", f"at most {settings.max_number_of_training_boxes} boxes a training image"))
    lines += [("extension", text) for text in _describe_extensions(config, extensions)]
    return lines


def _describe_optimizer(train: TrainConfig, extensions: Extensions) -> str:
    chosen = extensions.optimizer_over(train.optimizer)
    parts = [DECOUPLED.name_of(chosen) or train.optimizer.path_of("optimizer").removesuffix("_optimizer")]
    numbers = [name for name in fields_of(type(chosen)) if name != "learning_rate"]
    parts += [f"{name.removesuffix('_optimizer_value')} {shortest_float(getattr(chosen, name))}" for name in numbers]
    if train.optimizer.use_moving_average:
        parts.append(f"moving average of the weights, decay {shortest_float(train.optimizer.moving_average_decay)}")
    if train.gradient_clipping_by_norm > 0:
        parts.append(f"gradients clipped at norm {shortest_float(train.gradient_clipping_by_norm)}")
    if train.bias_grad_multiplier > 0:
        parts.append(f"gradients of biases times {shortest_float(train.bias_grad_multiplier)}")
    return ", ".join(parts)


def _describe_augmentation(step: Any) -> str:
    kind = step.WhichOneof("preprocessing_step")
    if kind is None:
        return "(empty)"
    given = [f"{leaf.path} {leaf.value}" for leaf in leaves(getattr(step, kind)) if not leaf.is_default]
    return f"{kind}: {', '.join(given)}" if given else f"{kind}, with its defaults"


def _describe_extensions(config: Any, extensions: Extensions) -> list[str]:
    found = [
        f"{leaf.path}: {leaf.value}" + (" (default)" if leaf.is_default else "")
        for leaf in leaves(config.extensions)
        # Those two are told as the optimizer and the learning rate.
        if "." in leaf.path and not leaf.path.startswith(("optimizer.", "learning_rate."))
    ]
    for name in ("evaluate_every_n_steps", "checkpoint_every_n_steps"):
        if getattr(extensions, name):
            found.append(f"{name}: {getattr(extensions, name)}")
    if extensions.moving_average_share_of_start:
        share = shortest_float(extensions.moving_average_share_of_start)
        found.append(f"moving_average_share_of_start: {share}: the averages are this share of the first weights")
    if extensions.learning_rate_decay_by_depth < 1.0:
        found.append(f"learning_rate_decay_by_depth: {shortest_float(extensions.learning_rate_decay_by_depth)}")
    return found


def _describe_reader(reader: InputReader) -> str:
    parts = [", ".join(reader.input_paths), "shuffled" if reader.shuffle else "in order"]
    if reader.sample_1_of_n_examples > 1:
        parts.append(f"1 of {reader.sample_1_of_n_examples} examples")
    if reader.sample_from_datasets_weights:
        parts.append(f"drawn by weights {', '.join(map(shortest_float, reader.sample_from_datasets_weights))}")
    return "; ".join(parts)
