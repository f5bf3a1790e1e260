"""Choice of a model's variables by patterns of their names."""

from __future__ import annotations

import re
from collections.abc import Sequence

import tensorflow as tf
import tf_keras

from data_prep.runtime.command_line import UsageError
from train.checkpoints.object_paths import variables_by_path

# What the Object Detection API called the parts of its models, which is what patterns in configs are written for.
_SSD_PARTS = {
    "backbone": "FeatureExtractor",
    "feature_extractor": "FeatureExtractor",
    "decoder": "FeatureExtractor",
    "head": "WeightSharedConvolutionalBoxPredictor",
}
_FASTER_RCNN_PARTS = {
    "backbone": "FirstStageFeatureExtractor",
    "proposal_features": "FirstStageFeatureExtractor",
    "box_classifier_features": "SecondStageFeatureExtractor",
    "rpn_head": "FirstStageBoxPredictor",
    "detection_head": "SecondStageBoxPredictor",
}


def trainable_variables_of(
    model: tf_keras.Model, update: Sequence[str] = (), freeze: Sequence[str] = ()
) -> list[tf.Variable]:
    """Picks the variables to train by `train_config.update_trainable_variables` and `freeze_variables`.

    A pattern is searched, as in the API, anywhere in a variable's name; it may meet the variable under any of its
    names: its path in each part of the model that has it (`backbone/layer_with_weights-3/kernel`), Keras' name
    (`conv2d_3/kernel`), and Keras' name below what the API called such a part (`FeatureExtractor/conv2d_3/kernel`).

    Args:
        model: A detection model with `checkpoint_items`.
        update: Sound regular expressions of which a variable must match one; none: all variables.
        freeze: Sound regular expressions of which a variable must match none.

    Returns:
        The variables in the order of `model.trainable_variables`.

    Raises:
        UsageError: A pattern matches nothing, or no variable is left.
    """
    names = _names_by_variable(model)
    if not update and not freeze:
        return list(model.trainable_variables)
    updated = {key for keys in _met(names, update, "train_config.update_trainable_variables") for key in keys}
    frozen = {key for keys in _met(names, freeze, "train_config.freeze_variables") for key in keys}
    kept = [v for v in model.trainable_variables if (not update or id(v) in updated) and id(v) not in frozen]
    if not kept:
        raise UsageError("train_config.freeze_variables and update_trainable_variables leave no variable to train")
    return kept


def first_pattern_by_variable(model: tf_keras.Model, patterns: Sequence[str], field: str) -> dict[int, int]:
    """Says for each trainable variable which pattern meets it first; see `trainable_variables_of` for what they meet.

    Args:
        model: A detection model with `checkpoint_items`.
        patterns: Sound regular expressions.
        field: What to call the list of them in errors.

    Returns:
        The index of a pattern by the id of a variable; none for a variable that no pattern meets.

    Raises:
        UsageError: A pattern matches nothing.
    """
    first: dict[int, int] = {}
    for index, keys in enumerate(_met(_names_by_variable(model), patterns, field)):
        for key in keys:
            first.setdefault(key, index)
    return first


def _names_by_variable(model: tf_keras.Model) -> dict[int, tuple[str, ...]]:
    items = model.checkpoint_items
    api_names = _FASTER_RCNN_PARTS if "rpn_head" in items else _SSD_PARTS
    names: dict[int, tuple[str, ...]] = {
        id(variable): (_short_name(variable),) for variable in model.trainable_variables
    }
    for item, part in items.items():
        for path, variable in variables_by_path(part).items():
            if id(variable) in names:
                short = _short_name(variable)
                names[id(variable)] += (f"{item}/{path}", f"{api_names.get(item, item)}/{short}")
    return names


def _short_name(variable: tf.Variable) -> str:
    return str(variable.name).split(":")[0]


def _met(names: dict[int, tuple[str, ...]], patterns: Sequence[str], field: str) -> list[set[int]]:
    """The variables that each pattern meets."""
    found = []
    for index, pattern in enumerate(patterns):
        expression = re.compile(pattern)
        matching = {key for key, its_names in names.items() if any(expression.search(name) for name in its_names)}
        if not matching:
            examples = ", ".join(its_names[-1] for its_names in list(names.values())[:: max(1, len(names) // 3)][:3])
            raise UsageError(
                f'{field}[{index}]: "{pattern}" matches none of the {len(names)} variables, such as {examples}'
            )
        found.append(matching)
    return found
