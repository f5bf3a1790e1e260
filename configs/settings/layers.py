"""Settings of layers: regularizer, initializer, activation and normalization of a `Hyperparams` message."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, TypeAlias

from configs.schema.diagnosis import nearest
from configs.schema.problem import Problem
from configs.settings.declaration import Choice, Settings, choice, nested
from configs.settings.reading import read_settings_text
from configs.settings.values import declared, number, scalar

# More channels, or larger kernels, than any network has; what is beyond is a slip, and would fill the memory.
_MOST_CHANNELS = 2**16
_LARGEST_KERNEL = 1000
_MOST_LAYERS = 1000
# Products of larger numbers leave 32 bits.
_LARGEST = 1e6


def channels(*, at_least: int = 1, reason: str = "", instead: str = "") -> Any:
    """An attribute that is a number of channels."""
    return number(at_least=at_least, at_most=_MOST_CHANNELS, reason=reason, instead=instead)


def kernel_side() -> Any:
    """An attribute that is the side of a square kernel, in cells."""
    return number(at_least=1, at_most=_LARGEST_KERNEL)


def layer_count() -> Any:
    """An attribute that is a number of layers."""
    return number(at_least=0, at_most=_MOST_LAYERS)


# ------------------------------------------------------------------------------------------------------- regularizers


@dataclasses.dataclass(frozen=True, kw_only=True)
class L1Regularizer(Settings, message="L1Regularizer"):
    """The sum of absolute values, times `weight`."""

    weight: float = number(at_least=0.0, at_most=_LARGEST)


@dataclasses.dataclass(frozen=True, kw_only=True)
class L2Regularizer(Settings, message="L2Regularizer"):
    """Half the sum of squares, times `weight`."""

    weight: float = number(at_least=0.0, at_most=_LARGEST)


Regularizer: TypeAlias = L1Regularizer | L2Regularizer

# What a `Regularizer` message may be.
REGULARIZERS = Choice(alternatives={"l1_regularizer": L1Regularizer, "l2_regularizer": L2Regularizer})

# ------------------------------------------------------------------------------------------------------- initializers


@dataclasses.dataclass(frozen=True, kw_only=True)
class TruncatedNormalInitializer(Settings, message="TruncatedNormalInitializer"):
    """A normal distribution without what is further than two deviations from its mean."""

    mean: float = number(at_least=-_LARGEST, at_most=_LARGEST)
    stddev: float = number(at_least=0.0, at_most=_LARGEST)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomNormalInitializer(Settings, message="RandomNormalInitializer"):
    """A normal distribution."""

    mean: float = number(at_least=-_LARGEST, at_most=_LARGEST)
    stddev: float = number(at_least=0.0, at_most=_LARGEST)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VarianceScalingInitializer(Settings, message="VarianceScalingInitializer"):
    """A distribution whose variance is `factor` over the number of a kernel's inputs, outputs, or their mean.

    Attributes:
        factor: 2 is He's, 1 with FAN_AVG Glorot's.
        uniform: Whether it is uniform; else a truncated normal.
        mode: FAN_IN, FAN_OUT or FAN_AVG.
    """

    factor: float = number(above=0.0, at_most=_LARGEST)
    uniform: bool = scalar()
    mode: str = scalar()


# Keras' initializers, by both of the names that Keras takes for each.
_IN_CAMEL_CASE = (
    *("Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity", "LecunNormal"),
    *("LecunUniform", "Ones", "Orthogonal", "RandomNormal", "RandomUniform", "TruncatedNormal"),
    *("VarianceScaling", "Zeros"),
)
_IN_SNAKE_CASE = (
    *("constant", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "identity", "lecun_normal"),
    *("lecun_uniform", "ones", "orthogonal", "random_normal", "random_uniform", "truncated_normal"),
    *("variance_scaling", "zeros", "normal", "one", "uniform", "zero"),
)
_OF_VERSION_2 = (
    *(f"{name}V2" for name in _IN_CAMEL_CASE),
    *(f"{name}V2" for name in _IN_SNAKE_CASE if name.startswith(("glorot_", "he_", "lecun_"))),
)
KERAS_INITIALIZERS = frozenset((*_IN_CAMEL_CASE, *_IN_SNAKE_CASE, *_OF_VERSION_2))
_OF_MATRICES_ALONE = ("Identity", "IdentityV2", "identity")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Initializer(Settings, message="Initializer"):
    """What kernels are drawn from; Glorot's uniform distribution where nothing is set.

    Attributes:
        truncated_normal_initializer, variance_scaling_initializer, random_normal_initializer: One of them, or none.
        keras_initializer_by_name: One of `KERAS_INITIALIZERS`; empty where one of the others is set, or none.
    """

    truncated_normal_initializer: TruncatedNormalInitializer | None = nested(TruncatedNormalInitializer, optional=True)
    variance_scaling_initializer: VarianceScalingInitializer | None = nested(VarianceScalingInitializer, optional=True)
    random_normal_initializer: RandomNormalInitializer | None = nested(RandomNormalInitializer, optional=True)
    keras_initializer_by_name: str = scalar()

    def problems(self) -> Iterator[Problem]:
        """See `Settings.problems`."""
        name = self.keras_initializer_by_name
        if "keras_initializer_by_name" in self.written and name not in KERAS_INITIALIZERS:
            near = nearest(name, KERAS_INITIALIZERS) or "glorot_uniform"
            reason = f'"{name}" is no initializer of Keras'
            yield Problem("keras_initializer_by_name", reason, f'write one such as "{near}"')


# ------------------------------------------------------------------------------------------------------ normalization


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchNorm(Settings, message="BatchNorm"):
    """Batch normalization.

    Attributes:
        decay: Of the moving averages: Keras' momentum.
        center: Whether an offset is learned.
        scale: Whether a factor is learned.
        epsilon: Added to the variance.
        train: Whether training uses and updates the batch's own statistics.
    """

    decay: float = number(at_least=0.0, at_most=1.0)
    center: bool = scalar()
    scale: bool = scalar()
    epsilon: float = number(at_least=0.0, at_most=_LARGEST)
    train: bool = scalar()


@dataclasses.dataclass(frozen=True, kw_only=True)
class SyncBatchNorm(BatchNorm):
    """Batch normalization with the statistics of all replicas together."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroupNorm(Settings, message="GroupNorm"):
    """Group normalization, of 32 groups."""


# ------------------------------------------------------------------------------------------------------------- layers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hyperparams(Settings, message="Hyperparams"):
    """The settings of convolutions or dense layers, and of what follows each.

    Attributes:
        op: CONV or FC.
        regularizer: Of kernels; None: none.
        initializer: Of kernels.
        activation: NONE, RELU, RELU_6 or SWISH, after normalization.
        normalizer_oneof: Between the layer and its activation; None: none.
        force_use_bias: Whether there is a bias where a normalization makes up for it, too.
    """

    op: str = scalar()
    regularizer: Regularizer | None = declared(REGULARIZERS)
    initializer: Initializer = nested(Initializer)
    activation: str = scalar()
    normalizer_oneof: BatchNorm | GroupNorm | None = choice(
        inline=True,
        alternatives={"batch_norm": BatchNorm, "sync_batch_norm": SyncBatchNorm, "group_norm": GroupNorm},
    )
    force_use_bias: bool = scalar()
    no_effect = {"regularize_depthwise": "in TensorFlow 2 the API reads it nowhere: each layer's kind decides"}

    def problems(self) -> Iterator[Problem]:
        """See `Settings.problems`."""
        name = self.initializer.keras_initializer_by_name
        if name in _OF_MATRICES_ALONE and self.op == "CONV":
            reason = f'"{name}" makes matrices, which kernels of convolutions are not'
            yield Problem("initializer.keras_initializer_by_name", reason, 'write one such as "glorot_uniform"')

    @property
    def batch_norm(self) -> BatchNorm | None:
        """The batch norm that is asked for, synchronised or not."""
        return self.normalizer_oneof if isinstance(self.normalizer_oneof, BatchNorm) else None


@functools.cache
def default_batch_norm() -> BatchNorm:
    """The schema's own, for networks that always have one."""
    return read_settings_text(BatchNorm, "")
