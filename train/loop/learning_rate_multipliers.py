"""Learning rates of their own for some variables: `extensions.learning_rate_multiplier` and `_decay_by_depth`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import tf_keras

from configs.settings.extensions import Extensions
from train.loop.variable_patterns import first_pattern_by_variable
from train.models.layer_depth import depth_by_variable


def rate_multipliers(extensions: Extensions, network: tf_keras.Model) -> dict[Any, float]:
    """Says what each variable's learning rate is multiplied by.

    Of the patterns, the first that meets a variable counts; see `trainable_variables_of` for what they meet. With
    `learning_rate_decay_by_depth` also by that number to the power of the variable's depth, which
    `train.models.layer_depth` defines: the discriminative fine-tuning of Howard and Ruder, "Universal Language Model
    Fine-tuning for Text Classification", 2018, https://arxiv.org/abs/1801.06146, with stages for layers.

    Args:
        extensions: The config's.
        network: A detection model with `checkpoint_items`.

    Returns:
        The multiplier by each trainable variable's `ref()`; empty where the config says nothing of it.

    Raises:
        UsageError: A pattern matches nothing.
    """
    multipliers, decay = extensions.learning_rate_multiplier, extensions.learning_rate_decay_by_depth
    if not multipliers and decay == 1.0:
        return {}
    patterns = [multiplier.pattern for multiplier in multipliers]
    first = first_pattern_by_variable(network, patterns, "extensions.learning_rate_multiplier")
    depths = depth_by_variable(network) if decay < 1.0 else {}
    found = {}
    for variable in network.trainable_variables:
        index = first.get(id(variable))
        by_pattern = 1.0 if index is None else multipliers[index].multiplier
        found[variable.ref()] = by_pattern * decay ** depths.get(variable.ref(), 0)
    return found


def describe_multipliers(multipliers: Mapping[Any, float]) -> str:
    """Says in one line how many variables learn how fast, the fastest first."""
    counts = Counter(multipliers.values())
    parts = [f"x {value:.3g} for {count}" for value, count in sorted(counts.items(), reverse=True)]
    return f"learning rate {', '.join(parts)} of {len(multipliers)} variables"
