"""What the parts of a config about training, evaluation and input must be together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from configs.augmentation_checks import check_augmentations
from configs.run_rules import FINE_TUNE_CHECKPOINT_TYPES, METRICS_SETS, OTHER_METRICS_SETS
from configs.schema.diagnosis import nearest
from configs.schema.problem import Note, Problem
from configs.settings.effective import input_sizes_vary
from configs.settings.learning_rates import ScheduleError, build_schedule

# How the names of each set's metrics begin.
_METRIC_PREFIXES = {
    "coco_detection_metrics": "Detection",
    "pascal_voc_detection_metrics": "PascalBoxes_",
    "weighted_pascal_voc_detection_metrics": "WeightedPascalBoxes_",
    "precision_at_recall_detection_metrics": "PrecisionAtRecall",
    "oid_V2_detection_metrics": "OpenImagesV2_",
    "oid_challenge_detection_metrics": "OpenImagesDetectionChallenge_",
}


def check_runs(config: Any) -> Iterator[Problem | Note]:
    """Checks every part of a `TrainEvalPipelineConfig` but the model; yields each problem, and what is worth a note.

    A part that is not there at all is no problem: a config for evaluation needs no `train_config`.
    """
    if config.HasField("train_config"):
        yield from _check_training(config.train_config, "train_config")
        kind = config.model.WhichOneof("model")
        num_classes = getattr(config.model, kind).num_classes if kind in ("ssd", "faster_rcnn") else 0
        options = config.train_config.data_augmentation_options
        yield from check_augmentations(options, "train_config.data_augmentation_options", num_classes)
    if config.HasField("eval_config"):
        yield from _check_evaluation(config.eval_config, "eval_config")
    if config.HasField("train_input_reader"):
        yield from _check_reader(config.train_input_reader, "train_input_reader")
    for index, reader in enumerate(config.eval_input_reader):
        yield from _check_reader(reader, f"eval_input_reader[{index}]")
    keeps_averages = config.train_config.optimizer.use_moving_average
    if config.eval_config.use_moving_averages and config.HasField("train_config") and not keeps_averages:
        reason = "training keeps none: train_config.optimizer.use_moving_average is false"
        yield Problem("eval_config.use_moving_averages", reason, "make the two agree")
    yield from _explain_padding(config)
    yield from _check_extensions(config)


def _explain_padding(config: Any) -> Iterator[Note]:
    """Says what becomes of images that the resizer leaves in sizes of their own."""
    kind = config.model.WhichOneof("model")
    if kind not in ("ssd", "faster_rcnn"):
        return
    resizer = getattr(config.model, kind).image_resizer
    if not input_sizes_vary(resizer):
        return
    for part in ("train_config", "eval_config"):
        size = getattr(config, part).batch_size
        if config.HasField(part) and size > 1:
            unset = "" if getattr(config, part).HasField("batch_size") else "unset, which means "
            text = (
                f"{unset}{size} pictures, which {resizer.WhichOneof('image_resizer_oneof')} leaves in different sizes: "
                "each is padded with zeros to the largest of its batch"
            )
            yield Note(f"{part}.batch_size", text)


def _check_extensions(config: Any) -> Iterator[Problem]:
    extensions = config.extensions
    precision = extensions.DESCRIPTOR.fields_by_name["mixed_precision"].enum_type.values_by_number
    if config.train_config.use_bfloat16 and extensions.HasField("mixed_precision"):
        chosen = precision[extensions.mixed_precision].name
        if chosen != "MIXED_BFLOAT16":
            reason = f"{chosen} contradicts train_config.use_bfloat16: true"
            yield Problem("extensions.mixed_precision", reason, "keep one of the two")
    for message, name in (("class_aware_sampling", "max_repeats"), ("early_stopping", "patience")):
        if extensions.HasField(message) and getattr(getattr(extensions, message), name) < 1:
            yield Problem(f"extensions.{message}.{name}", "0 is none", "use 1 or more")
    if extensions.HasField("class_aware_sampling"):
        reader = config.train_input_reader
        if config.HasField("train_input_reader") and not reader.shuffle:
            reason = "train_input_reader.shuffle: false would show its repeats one after the other"
            yield Problem("extensions.class_aware_sampling", reason, "delete one of the two")
        elif reader.sample_from_datasets_weights:
            reason = "train_input_reader.sample_from_datasets_weights also says how often a record is drawn"
            yield Problem("extensions.class_aware_sampling", reason, "delete one of the two")
    if extensions.HasField("early_stopping"):
        stopping = extensions.early_stopping
        if not stopping.metric:
            reason, instead = "is empty", 'use "DetectionBoxes_Precision/mAP", or delete it'
            yield Problem("extensions.early_stopping.metric", reason, instead)
        elif not stopping.metric.startswith(prefixes := (*_measured_prefixes(config), "Loss/")):
            reason = f'"{stopping.metric}" is not measured by {", ".join(_metrics_sets(config))}'
            yield Problem(
                "extensions.early_stopping.metric", reason, f"use one that begins with {' or '.join(prefixes)}"
            )
        if stopping.min_delta < 0:
            yield Problem(
                "extensions.early_stopping.min_delta", f"{stopping.min_delta:g} is no gain", "use 0.0 or more"
            )


def _measured_prefixes(config: Any) -> list[str]:
    return [_METRIC_PREFIXES[name] for name in _metrics_sets(config)]


def _metrics_sets(config: Any) -> list[str]:
    """The metrics sets that are evaluated, by their present names; those that are not known are told elsewhere."""
    named = [name for name in config.eval_config.metrics_set if name in _METRIC_PREFIXES]
    return named or ["coco_detection_metrics"]


def _check_training(train: Any, path: str) -> Iterator[Problem]:
    if train.batch_size < 1:
        yield Problem(f"{path}.batch_size", "0 pictures make no batch", "use 1 or more")
    kind = train.optimizer.WhichOneof("optimizer")
    if kind is None:
        yield Problem(f"{path}.optimizer", "is not set", "use momentum_optimizer { learning_rate { ... } }")
    else:
        yield from _check_learning_rate(
            getattr(train.optimizer, kind).learning_rate, f"{path}.optimizer.{kind}.learning_rate"
        )
    if train.max_number_of_boxes < 1:
        yield Problem(f"{path}.max_number_of_boxes", "leaves no ground truth", "use 1 or more")
    if not train.fine_tune_checkpoint:
        return
    if train.fine_tune_checkpoint_type and train.fine_tune_checkpoint_type not in FINE_TUNE_CHECKPOINT_TYPES:
        near = nearest(train.fine_tune_checkpoint_type, FINE_TUNE_CHECKPOINT_TYPES)
        if train.fine_tune_checkpoint_type == "fine_tune":
            near = "full"
        instead = f'use "{near}"' if near else f"use one of {', '.join(FINE_TUNE_CHECKPOINT_TYPES)}"
        reason = f'"{train.fine_tune_checkpoint_type}" is not known'
        yield Problem(f"{path}.fine_tune_checkpoint_type", reason, instead)


def _check_learning_rate(message: Any, path: str) -> Iterator[Problem]:
    if message.WhichOneof("learning_rate") is None:
        yield Problem(path, "is not set", "use cosine_decay_learning_rate { ... }")
        return
    try:
        build_schedule(message)
    except ScheduleError as error:
        yield Problem(f"{path}.{error.field}", error.reason, "python -m configs.plot_schedule draws what is written")


def _check_evaluation(evaluation: Any, path: str) -> Iterator[Problem]:
    if not 0.0 <= evaluation.recall_lower_bound <= evaluation.recall_upper_bound <= 1.0:
        reason = f"{evaluation.recall_lower_bound:g} does not lie between 0 and recall_upper_bound"
        yield Problem(f"{path}.recall_lower_bound", reason, "use recall_lower_bound: 0.0 recall_upper_bound: 1.0")
    for index, name in enumerate(evaluation.metrics_set):
        if name in METRICS_SETS:
            continue
        at = f"{path}.metrics_set[{index}]"
        if name in OTHER_METRICS_SETS:
            reason = f'"{name}" is about {OTHER_METRICS_SETS[name]}, and only boxes are detected here'
            yield Problem(at, reason, 'delete it, or use "coco_detection_metrics"')
            continue
        near = nearest(name, METRICS_SETS)
        instead = f'use "{near}"' if near else f"use one of {', '.join(METRICS_SETS)}"
        yield Problem(at, f'"{name}" is not known', instead)
    if evaluation.batch_size < 1:
        yield Problem(f"{path}.batch_size", "0 pictures make no batch", "use 1 or more")


def _check_reader(reader: Any, path: str) -> Iterator[Problem]:
    if reader.WhichOneof("input_reader") is None:
        yield Problem(path, "has no input", 'use tf_record_input_reader { input_path: "train.record-*" }')
    elif reader.WhichOneof("input_reader") == "tf_record_input_reader" and not reader.tf_record_input_reader.input_path:
        yield Problem(f"{path}.tf_record_input_reader.input_path", "is empty", "name the records, or a glob")
    if reader.sample_1_of_n_examples < 1:
        yield Problem(f"{path}.sample_1_of_n_examples", "0 leaves no records", "use 1 or more")
    if reader.max_number_of_boxes < 1:
        yield Problem(f"{path}.max_number_of_boxes", "leaves no ground truth", "use 1 or more")
    weights, paths = reader.sample_from_datasets_weights, reader.tf_record_input_reader.input_path
    if weights and len(weights) != len(paths):
        reason = f"{len(weights)} weights for {len(paths)} input_path"
        yield Problem(f"{path}.sample_from_datasets_weights", reason, "give one weight to each")
    elif weights and (min(weights) < 0 or sum(weights) <= 0):
        yield Problem(f"{path}.sample_from_datasets_weights", "are shares", "use 0 or more, and not 0 for all")
