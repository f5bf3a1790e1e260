"""What a config does, in plain words: a line for each thing that a person asks about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from configs.settings.anchors import ANCHOR_GENERATORS
from configs.settings.declaration import SettingsError, fields_of
from configs.settings.extensions import Extensions
from configs.settings.learning_rates import Schedule
from configs.settings.pipeline import PipelineSettings
from configs.settings.reading import read_choice
from configs.settings.training import TrainConfig
from configs.views.anchor_summary import describe_anchors
from configs.views.leaves import leaves, shortest_float

_FAMILIES = {"ssd": "SSD", "faster_rcnn": "Faster R-CNN"}


def summarize(config: Any, settings: PipelineSettings) -> list[tuple[str, str]]:
    """Describes a config.

    Args:
        config: A `TrainEvalPipelineConfig`, effective.
        settings: The same as settings.

    Returns:
        What is described, such as `batch`, and the description.
    """
    lines: list[tuple[str, str]] = []
    kind = config.model.WhichOneof("model")
    if kind in _FAMILIES:
        lines += _describe_model(kind, getattr(config.model, kind))
    if settings.train_config is not None:
        lines += _describe_training(config, settings, settings.train_config)
    if config.HasField("train_input_reader"):
        lines.append(("training input", _describe_reader(config.train_input_reader)))
    for reader in config.eval_input_reader:
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


def _describe_model(kind: str, model: Any) -> list[tuple[str, str]]:
    classes = f"{model.num_classes} class{'' if model.num_classes == 1 else 'es'}"
    stages = ", proposals alone" if kind == "faster_rcnn" and model.number_of_stages == 1 else ""
    generator = model.anchor_generator if kind == "ssd" else model.first_stage_anchor_generator
    lines = [
        ("model", f"{_FAMILIES[kind]} with the network {model.feature_extractor.type or '(none)'}, {classes}{stages}"),
        ("input", _describe_resizer(model.image_resizer)),
        ("anchors", _describe_anchors(generator)),
    ]
    if kind == "ssd":
        classification = model.loss.classification_loss.WhichOneof("classification_loss")
        localization = model.loss.localization_loss.WhichOneof("localization_loss")
        weights = (
            f"{shortest_float(model.loss.classification_weight)} x {classification} + "
            f"{shortest_float(model.loss.localization_weight)} x {localization}"
        )
        mined = " of hard examples" if model.loss.HasField("hard_example_miner") else ""
        lines.append(("loss", f"{weights}{mined}"))
    return lines


def _describe_anchors(generator: Any) -> str:
    if generator.WhichOneof("anchor_generator_oneof") is None:
        return "none"
    try:
        return describe_anchors(read_choice(ANCHOR_GENERATORS, generator))
    except SettingsError as error:
        return "; ".join(map(str, error.problems))


def _describe_resizer(resizer: Any) -> str:
    kind = resizer.WhichOneof("image_resizer_oneof")
    if kind is None:
        return "no image resizer"
    chosen = getattr(resizer, kind)
    if kind == "fixed_shape_resizer":
        text = f"{chosen.width} wide x {chosen.height} high, whatever the picture's shape"
    elif kind == "keep_aspect_ratio_resizer":
        text = f"shorter side {chosen.min_dimension}, longer at most {chosen.max_dimension}"
        size = f"{chosen.max_dimension} x {chosen.max_dimension}"
        text += f", padded to {size}" if chosen.pad_to_max_dimension else "; sizes vary"
    elif kind == "conditional_shape_resizer":
        name = chosen.DESCRIPTOR.fields_by_name["condition"].enum_type.values_by_number[chosen.condition].name
        text = f"pictures {name.lower()} than {chosen.size_threshold} are resized to it; sizes vary"
    elif kind == "pad_to_multiple_resizer":
        text = f"padded to multiples of {chosen.multiple}; sizes vary"
    else:
        text = "pictures as they are; sizes vary"
    return text + (", in grey" if getattr(chosen, "convert_to_grayscale", False) else "")


def _describe_training(config: Any, settings: PipelineSettings, train: TrainConfig) -> list[tuple[str, str]]:
    steps = f"{train.num_steps} steps" if train.num_steps else "no end of steps"
    total = f", {train.batch_size * train.num_steps} pictures in all" if train.num_steps else ""
    lines = [("batch", f"{train.batch_size} pictures; {steps}{total}; {settings.precision_policy}")]
    lines.append(("optimizer", _describe_optimizer(train)))
    course = describe_schedule(train.optimizer.optimizer.learning_rate)
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
    lines.append(("ground truth", f"at most {settings.max_number_of_training_boxes} boxes a training picture"))
    lines += [("extension", text) for text in _describe_extensions(config, settings.extensions)]
    return lines


def _describe_optimizer(train: TrainConfig) -> str:
    chosen = train.optimizer.optimizer
    parts = [train.optimizer.path_of("optimizer").removesuffix("_optimizer")]
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
        if "." in leaf.path
    ]
    for name in ("evaluate_every_n_steps", "checkpoint_every_n_steps"):
        if getattr(extensions, name):
            found.append(f"{name}: {getattr(extensions, name)}")
    return found


def _describe_reader(reader: Any) -> str:
    paths: Sequence[str] = reader.tf_record_input_reader.input_path
    parts = [", ".join(paths) or "no records", "shuffled" if reader.shuffle else "in order"]
    if reader.sample_1_of_n_examples > 1:
        parts.append(f"1 of {reader.sample_1_of_n_examples} examples")
    if reader.sample_from_datasets_weights:
        parts.append(f"drawn by weights {', '.join(map(shortest_float, reader.sample_from_datasets_weights))}")
    return "; ".join(parts)
