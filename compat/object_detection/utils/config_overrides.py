"""Changes of a config's parts by key and value, as `config_util.merge_external_params_with_configs` takes them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

_INPUT_FIELDS = ("input_path", "label_map_path", "shuffle", "mask_type", "sample_1_of_n_examples")
_INPUTS = ("train_input_config", "eval_input_configs")
# Keys that name one field of one input.
_SHORT_INPUT_KEYS = {
    "train_shuffle": ("train_input_config", "shuffle"),
    "eval_shuffle": ("eval_input_configs", "shuffle"),
    "train_input_path": ("train_input_config", "input_path"),
    "eval_input_path": ("eval_input_configs", "input_path"),
    "append_train_input_path": ("train_input_config", "input_path"),
    "append_eval_input_path": ("eval_input_configs", "input_path"),
}
_ROOTS = ("graph_rewriter_config", "model", "train_input_config", "train_config", "eval_config")


def merge_external_params_with_configs(
    configs: dict[str, Any], hparams: Any = None, kwargs_dict: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Changes parts of a config in place.

    Args:
        configs: As `config_util.get_configs_from_pipeline_file` returns them.
        hparams: What has `values()`, a dictionary that counts before `kwargs_dict`.
        kwargs_dict: Values by key; empty ones are skipped. A key is a path, `model.ssd.num_classes`; a field of an
            input with a name, `eval_input_configs:NAME:input_path`; or short: `learning_rate` (all rates of a
            schedule, in proportion), `batch_size`, `train_steps`, `num_classes`, `label_map_path` (of all inputs),
            `train_input_path`, `eval_input_path`, `train_shuffle`, `eval_shuffle`, `momentum_optimizer_value`,
            `focal_loss_alpha`, `focal_loss_gamma`, `classification_localization_weight_ratio`, `use_bfloat16`,
            `sample_1_of_n_eval_examples`, `eval_num_epochs`, `eval_with_moving_averages`.

    Returns:
        `configs`. A key that is none of these changes nothing, and is told on standard error.

    Raises:
        ValueError: A key has no such form, or names what is not there.
        TypeError: A value has another type than its field, or the optimizer or loss is of another kind.
    """
    given = {**(kwargs_dict or {}), **(hparams.values() if hparams else {})}
    for key, value in given.items():
        if value is None or value == "":
            continue
        is_input, name, input_name, field = check_and_parse_input_config_key(configs, key)
        if is_input:
            update_input_reader_config(configs, name, input_name, field, value)
        elif key in _SHORT:
            _SHORT[key](configs, value)
        elif key.split(".")[0] in _ROOTS and "." in key:
            _set_path(configs, key, value)
        else:
            print(f"warning: {key} changes nothing: no such key is known", file=sys.stderr)
    return configs


def check_and_parse_input_config_key(
    configs: Mapping[str, Any], key: str
) -> tuple[bool, str | None, str | None, str | None]:
    """Reads a key that may name a field of an input.

    Returns:
        Whether it does; `train_input_config` or `eval_input_configs`; the input's name, or None; the field, or the key.

    Raises:
        ValueError: The key has colons and names no field of an input that is there.
    """
    parts = key.split(":")
    if len(parts) == 1:
        name, field = _SHORT_INPUT_KEYS.get(key, (None, key))
        return key in _SHORT_INPUT_KEYS, name, None, field
    if len(parts) != 3 or parts[0] not in _INPUTS or parts[2] not in _INPUT_FIELDS:
        raise ValueError(
            f"{key}: must be {' or '.join(_INPUTS)}, a colon, the input's name, a colon, and one of "
            f"{', '.join(_INPUT_FIELDS)}"
        )
    name, input_name, field = parts
    if input_name not in [reader.name for reader in _readers(configs, name)]:
        raise ValueError(f"{key}: no {name} is called {input_name}")
    return True, name, input_name, field


def update_input_reader_config(
    configs: Mapping[str, Any],
    key_name: str | None = None,
    input_name: str | None = None,
    field_name: str | None = None,
    value: Any = None,
    path_updater: Callable[..., None] | None = None,
) -> None:
    """Sets a field of one input.

    Args:
        configs: As `config_util.get_configs_from_pipeline_file` returns them.
        key_name: `train_input_config` or `eval_input_configs`.
        input_name: The `name` of the input; None where there is one only.
        field_name: Of an `InputReader`, or `input_path`.
        value: For `input_path` a path or a list of them, in place of those that were there.
        path_updater: What sets `input_path` of `input_config` in place of that.

    Raises:
        ValueError: Not exactly one input is meant.
    """
    readers = _readers(configs, str(key_name)) if key_name in configs else []
    if input_name is not None:
        readers = [reader for reader in readers if reader.name == input_name]
    if len(readers) != 1 or field_name is None:
        raise ValueError(f"{key_name} {input_name or ''} {field_name}: {len(readers)} inputs are meant, and must be 1")
    if field_name == "input_path":
        (path_updater or _set_input_path)(input_config=readers[0], input_path=value)
    else:
        setattr(readers[0], field_name, value)


def _readers(configs: Mapping[str, Any], name: str) -> list[Any]:
    return [configs[name]] if name == "train_input_config" else list(configs[name])


def _set_input_path(input_config: Any, input_path: Any) -> None:
    if input_config.WhichOneof("input_reader") != "tf_record_input_reader":
        raise TypeError("the input has no tf_record_input_reader")
    paths = [input_path] if isinstance(input_path, str) else list(input_path)
    input_config.tf_record_input_reader.input_path[:] = paths


def _set_path(configs: Mapping[str, Any], key: str, value: Any) -> None:
    first, *between, last = key.split(".")
    message = configs[first]
    for field in between:
        message = getattr(_with_field(message, field, key), field)
    setattr(_with_field(message, last, key), last, value)


def _with_field(message: Any, field: str, key: str) -> Any:
    """The message, which must have the field set: another would choose another model or optimizer unasked."""
    if field not in message.DESCRIPTOR.fields_by_name or not message.HasField(field):
        raise ValueError(f"{key}: {field} is not set in this config")
    return message


def _optimizer(configs: Mapping[str, Any]) -> Any:
    name = configs["train_config"].optimizer.WhichOneof("optimizer")
    if name is None:
        raise TypeError("train_config.optimizer names no optimizer")
    return getattr(configs["train_config"].optimizer, name)


def _set_learning_rate(configs: Mapping[str, Any], rate: float) -> None:
    schedule = _optimizer(configs).learning_rate
    name = schedule.WhichOneof("learning_rate")
    if name is None:
        raise TypeError("the optimizer has no learning rate")
    settings = getattr(schedule, name)
    if name == "constant_learning_rate":
        settings.learning_rate = rate
    elif name == "manual_step_learning_rate":
        factor = rate / settings.initial_learning_rate
        settings.initial_learning_rate = rate
        for step in settings.schedule:
            step.learning_rate *= factor
    elif name == "cosine_decay_learning_rate":
        settings.warmup_learning_rate *= rate / settings.learning_rate_base
        settings.learning_rate_base = rate
    elif name == "exponential_decay_learning_rate":
        settings.initial_learning_rate = rate
    else:
        raise TypeError(f"{name}: set it by its path")


def _set_momentum(configs: Mapping[str, Any], momentum: float) -> None:
    optimizer = _optimizer(configs)
    if not hasattr(optimizer, "momentum_optimizer_value"):
        raise TypeError("only rms_prop_optimizer and momentum_optimizer have a momentum")
    optimizer.momentum_optimizer_value = min(max(0.0, momentum), 1.0)


def _set_focal(field: str) -> Callable[[Mapping[str, Any], Any], None]:
    def change(configs: Mapping[str, Any], value: float) -> None:
        model = configs["model"]
        is_ssd = model.WhichOneof("model") == "ssd"
        loss = model.ssd.loss.classification_loss if is_ssd else model.faster_rcnn.second_stage_classification_loss
        if loss.WhichOneof("classification_loss") != "weighted_sigmoid_focal":
            raise TypeError("the classification loss is not weighted_sigmoid_focal")
        setattr(loss.weighted_sigmoid_focal, field, value)

    return change


def _set_weight_ratio(configs: Mapping[str, Any], ratio: float) -> None:
    model = configs["model"]
    if model.WhichOneof("model") == "ssd":
        model.ssd.loss.localization_weight, model.ssd.loss.classification_weight = 1.0, ratio
    else:
        model.faster_rcnn.first_stage_localization_loss_weight = 1.0
        model.faster_rcnn.first_stage_objectness_loss_weight = ratio
        model.faster_rcnn.second_stage_localization_loss_weight = 1.0
        model.faster_rcnn.second_stage_classification_loss_weight = ratio


def _set_num_classes(configs: Mapping[str, Any], value: int) -> None:
    getattr(configs["model"], configs["model"].WhichOneof("model")).num_classes = value


def _set_batch_size(configs: Mapping[str, Any], value: float) -> None:
    configs["train_config"].batch_size = max(1, round(value))


def _set_train_steps(configs: Mapping[str, Any], value: float) -> None:
    configs["train_config"].num_steps = int(value)


def _set_field(part: str, field: str) -> Callable[[Mapping[str, Any], Any], None]:
    return lambda configs, value: setattr(configs[part], field, value)


def _set_all_inputs(field: str, *names: str) -> Callable[[Mapping[str, Any], Any], None]:
    def change(configs: Mapping[str, Any], value: Any) -> None:
        for name in names:
            for reader in _readers(configs, name):
                setattr(reader, field, value)

    return change


_SHORT: dict[str, Callable[[Mapping[str, Any], Any], None]] = {
    "learning_rate": _set_learning_rate,
    "batch_size": _set_batch_size,
    "momentum_optimizer_value": _set_momentum,
    "classification_localization_weight_ratio": _set_weight_ratio,
    "focal_loss_gamma": _set_focal("gamma"),
    "focal_loss_alpha": _set_focal("alpha"),
    "train_steps": _set_train_steps,
    "num_classes": _set_num_classes,
    "label_map_path": _set_all_inputs("label_map_path", *_INPUTS),
    "mask_type": _set_all_inputs("mask_type", *_INPUTS),
    "sample_1_of_n_eval_examples": _set_all_inputs("sample_1_of_n_examples", "eval_input_configs"),
    "eval_num_epochs": _set_all_inputs("num_epochs", "eval_input_configs"),
    "eval_with_moving_averages": _set_field("eval_config", "use_moving_averages"),
    "retain_original_images_in_eval": _set_field("eval_config", "retain_original_images"),
    "use_bfloat16": _set_field("train_config", "use_bfloat16"),
}
