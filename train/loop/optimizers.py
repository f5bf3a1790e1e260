"""Keras' and Model Garden's optimizers with a learning rate for each variable.

Their slots, and so their checkpoints, are those of the classes that they are made of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras
from official.modeling.optimization import lamb, legacy_adamw

# By which an optimizer finds a variable's slots, from any of its copies on several devices; there is no public name.
from tf_keras.src.optimizers.legacy.optimizer_v2 import _var_key

# What an optimizer keeps under these names for a step is the learning rate, or a number times it.
_RATES = ("lr_t", "lr", "neg_lr_t")


class VariableRates:
    """A mixin for legacy optimizers: the learning rate of a variable is the schedule's times a number of its own.

    The update is multiplied, and not the gradient, which Adam and its like would divide by its own size again. Before
    momentum, as in Keras: a step and what momentum repeats of it are of the rate that held then.
    """

    _multipliers: Mapping[Any, float] = {}

    def multiply_rates(self, multipliers: Mapping[Any, float]) -> None:
        """Sets what the rate of each variable is multiplied by; to be called before the first step.

        Args:
            multipliers: By a variable's `ref()`; the others keep the schedule's rate.
        """
        self._multipliers = {_var_key(reference.deref()): value for reference, value in multipliers.items()}

    def _resource_apply_dense(self, grad: Any, var: Any, apply_state: Any = None) -> Any:
        return super()._resource_apply_dense(grad, var, apply_state=self._state_of(var, apply_state))  # type: ignore[misc]

    def _resource_apply_sparse_duplicate_indices(
        self, grad: Any, var: Any, indices: Any, apply_state: Any = None
    ) -> Any:
        return super()._resource_apply_sparse_duplicate_indices(  # type: ignore[misc]
            grad, var, indices, apply_state=self._state_of(var, apply_state)
        )

    def _state_of(self, variable: Any, apply_state: Any) -> Any:
        """A step's numbers as a variable is to see them."""
        multiplier = self._multipliers.get(_var_key(variable), 1.0)
        if multiplier == 1.0:
            return apply_state
        place = (variable.device, variable.dtype.base_dtype)
        numbers = apply_state[place]
        return {place: {**numbers, **{name: numbers[name] * multiplier for name in _RATES if name in numbers}}}


class Momentum(VariableRates, tf_keras.optimizers.legacy.SGD):
    """Gradient descent with momentum."""


class Adam(VariableRates, tf_keras.optimizers.legacy.Adam):
    """Adam."""


class RmsProp(VariableRates, tf_keras.optimizers.legacy.RMSprop):
    """RMSProp with momentum."""


class AdamW(VariableRates, legacy_adamw.AdamWeightDecay):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019), https://arxiv.org/abs/1711.05101.

    A step takes rate * weight_decay of a weight and Adam's step, both from where the weight was. Variables of one
    dimension are spared: biases, norms' scales and shifts, the weights of a BiFPN's inputs.
    """

    def __init__(self, learning_rate: Any, **kwargs: Any) -> None:
        # The trainer clips, where the config says so.
        super().__init__(learning_rate, gradient_clip_norm=0.0, name="AdamW", **kwargs)

    def _decay_weights_op(self, var: Any, learning_rate: Any, apply_state: Any) -> Any:
        return tf.no_op() if _is_spared(var) else super()._decay_weights_op(var, learning_rate, apply_state)


class Lamb(VariableRates, lamb.LAMB):
    """LAMB (You et al., 2020), https://arxiv.org/abs/1904.00962.

    Variables of one dimension, as for `AdamW`, get no weight decay, nor steps as long as they are themselves: a bias
    that is nearly 0 would never leave it.
    """

    def __init__(self, learning_rate: Any, **kwargs: Any) -> None:
        super().__init__(learning_rate, name="Lamb", **kwargs)
        self._spared_names: set[str] = set()

    def _create_slots(self, var_list: Sequence[tf.Variable]) -> None:
        super()._create_slots(var_list)
        self._spared_names |= {_name(variable.name) for variable in var_list if _is_spared(variable)}

    def _do_use_weight_decay(self, param_name: str) -> bool:
        return _name(param_name) not in self._spared_names

    def _do_layer_adaptation(self, param_name: str) -> bool:
        return _name(param_name) not in self._spared_names


def _is_spared(variable: Any) -> bool:
    return bool(variable.shape.rank <= 1)


def _name(variable_name: str) -> str:
    """A variable's name, which is the same on every replica."""
    return re.sub(r"(/replica_\d+)?(:\d+)?$", "", variable_name)
