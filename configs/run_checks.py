"""What the parts of a config about training, evaluation and input must be together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from configs.diagnosis import nearest
from configs.effective import input_sizes_vary
from configs.problem import Problem
from configs.run_rules import FINE_TUNE_CHECKPOINT_TYPES, METRICS_SETS, OTHER_METRICS_SETS


def check_runs(config: Any) -> Iterator[Problem]:
    """Checks every part of a `TrainEvalPipelineConfig` but the model; yields each problem.

    A part that is not there at all is no problem: a config for evaluation needs no `train_config`.
    """
    if config.HasField("train_config"):
        yield from _check_training(config.train_config, "train_config")
    if config.HasField("eval_config"):
        yield from _check_evaluation(config.eval_config, "eval_config")
    if config.HasField("train_input_reader"):
        yield from _check_reader(config.train_input_reader, "train_input_reader")
    for index, reader in enumerate(config.eval_input_reader):
        yield from _check_reader(reader, f"eval_input_reader[{index}]")
    yield from _check_batches_of_one_size(config)
    yield from _check_extensions(config)


def _check_batches_of_one_size(config: Any) -> Iterator[Problem]:
    """Pictures that the resizer leaves in sizes of their own make no batch, as in the API."""
    kind = config.model.WhichOneof("model")
    if kind not in ("ssd", "faster_rcnn"):
        return
    resizer = getattr(config.model, kind).image_resizer
    if not input_sizes_vary(resizer):
        return
    chosen = resizer.WhichOneof("image_resizer_oneof")
    instead = "use batch_size: 1"
    if chosen == "keep_aspect_ratio_resizer":
        instead += f", or pad_to_max_dimension: true in model.{kind}.image_resizer.{chosen}"
    else:
        instead += f", or fixed_shape_resizer in model.{kind}.image_resizer"
    for part in ("train_config", "eval_config"):
        size = getattr(config, part).batch_size
        if config.HasField(part) and size > 1:
            unset = "" if getattr(config, part).HasField("batch_size") else "unset, which means "
            reason = f"{unset}{size} pictures of different sizes, as {chosen} leaves them, make no batch"
            yield Problem(f"{part}.batch_size", reason, instead)


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
    if extensions.HasField("early_stopping"):
        stopping = extensions.early_stopping
        if not stopping.metric:
            reason, instead = "is empty", 'use "DetectionBoxes_Precision/mAP", or delete it'
            yield Problem("extensions.early_stopping.metric", reason, instead)
        if stopping.min_delta < 0:
            yield Problem(
                "extensions.early_stopping.min_delta", f"{stopping.min_delta:g} is no gain", "use 0.0 or more"
            )


def _check_training(train: Any, path: str) -> Iterator[Problem]:
    if train.batch_size < 1:
        yield Problem(f"{path}.batch_size", "0 pictures make no batch", "use 1 or more")
    kind = train.optimizer.WhichOneof("optimizer")
    if kind is None:
        yield Problem(f"{path}.optimizer", "is not set", "use momentum_optimizer { learning_rate { ... } }")
    elif getattr(train.optimizer, kind).learning_rate.WhichOneof("learning_rate") is None:
        instead = "use cosine_decay_learning_rate { ... }"
        yield Problem(f"{path}.optimizer.{kind}.learning_rate", "is not set", instead)
    for index, step in enumerate(train.data_augmentation_options):
        if step.WhichOneof("preprocessing_step") is None:
            yield Problem(
                f"{path}.data_augmentation_options[{index}]", "is empty", "name an augmentation, or delete it"
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
