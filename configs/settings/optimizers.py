"""Settings of `Optimizer` and below: what moves the weights, and how fast."""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

from configs.settings.declaration import Choice, Settings, choice
from configs.settings.learning_rates import Schedule, learning_rate
from configs.settings.values import number, scalar

_BELOW_ONE = "must be from 0 up to, but not, 1"
_ABOVE_ZERO = "must be greater than 0"


@dataclasses.dataclass(frozen=True, kw_only=True)
class MomentumOptimizer(Settings, message="MomentumOptimizer"):
    """Gradient descent with momentum, which is not Nesterov's."""

    learning_rate: Schedule = learning_rate()
    momentum_optimizer_value: float = number(at_least=0.0, below=1.0, reason=_BELOW_ONE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdamOptimizer(Settings, message="AdamOptimizer"):
    """Adam, with the usual decays of its two averages."""

    learning_rate: Schedule = learning_rate()
    epsilon: float = number(above=0.0, reason=_ABOVE_ZERO)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RmsPropOptimizer(Settings, message="RMSPropOptimizer"):
    """RMSProp with momentum; `decay` is that of the average of squared gradients."""

    learning_rate: Schedule = learning_rate()
    momentum_optimizer_value: float = number(at_least=0.0, below=1.0, reason=_BELOW_ONE)
    decay: float = number(at_least=0.0, below=1.0, reason=_BELOW_ONE)
    epsilon: float = number(above=0.0, reason=_ABOVE_ZERO)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer(Settings, message="Optimizer"):
    """One of the optimizers, and the moving average of the weights that it keeps."""

    optimizer: MomentumOptimizer | AdamOptimizer | RmsPropOptimizer = choice(
        inline=True,
        required="use momentum_optimizer { learning_rate { ... } }",
        alternatives={
            "momentum_optimizer": MomentumOptimizer,
            "adam_optimizer": AdamOptimizer,
            "rms_prop_optimizer": RmsPropOptimizer,
        },
    )
    use_moving_average: bool = scalar()
    moving_average_decay: float = number(at_least=0.0, below=1.0, reason=_BELOW_ONE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdamW(Settings, message="AdamW"):
    """Adam whose weight decay is a part of the step and not of the gradient.

    From Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, https://arxiv.org/abs/1711.05101.
    """

    weight_decay: float = number(at_least=0.0, at_most=10.0)
    beta_1: float = number(at_least=0.0, below=1.0, reason=_BELOW_ONE)
    beta_2: float = number(at_least=0.0, below=1.0, reason=_BELOW_ONE)
    epsilon: float = number(above=0.0, reason=_ABOVE_ZERO)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lamb(Settings, message="Lamb"):
    """AdamW's direction, made as long for each layer as its weights are: for large batches.

    From You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes", 2020,
    https://arxiv.org/abs/1904.00962.
    """

    weight_decay: float = number(at_least=0.0, at_most=10.0)
    beta_1: float = number(at_least=0.0, below=1.0, reason=_BELOW_ONE)
    beta_2: float = number(at_least=0.0, below=1.0, reason=_BELOW_ONE)
    epsilon: float = number(above=0.0, reason=_ABOVE_ZERO)


AnyOptimizer: TypeAlias = MomentumOptimizer | AdamOptimizer | RmsPropOptimizer | AdamW | Lamb

DECOUPLED = Choice(
    optional=True,
    missing="is empty",
    required="write adamw { } or lamb { }, or delete it",
    alternatives={"adamw": AdamW, "lamb": Lamb},
)
