"""What a `Hyperparams` message says of a layer: initializer, regularizer, activation, normalisation.

Meanings are those of `KerasLayerHyperparams` in the API's builders/hyperparams_builder.py.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import tf_keras

from train.models.batch_norm import FreezableBatchNorm, freeze_batch_norm, pin_batch_norm

_ACTIVATIONS = {"NONE": "linear", "RELU": "relu", "RELU_6": "relu6", "SWISH": "swish"}
_VARIANCE_MODES = {"FAN_IN": "fan_in", "FAN_OUT": "fan_out", "FAN_AVG": "fan_avg"}
# tf_slim's group_norm, which is what the message's `group_norm` (without fields) stood for.
_GROUPS = 32
_GROUP_EPSILON = 1e-6


@dataclasses.dataclass(frozen=True)
class LayerHyperparams:
    """A `Hyperparams` message in Keras' terms.

    Attributes:
        config: The message.
        activation: A name that Keras and Model Garden know.
        norm_momentum: Of the moving averages; the schema's default where the message has no batch norm.
        norm_epsilon: Added to the variance; the schema's default where the message has no batch norm.
        has_batch_norm: Whether the message asks for batch norm, synchronised or not.
    """

    config: Any
    activation: str
    norm_momentum: float
    norm_epsilon: float
    has_batch_norm: bool

    @classmethod
    def from_config(cls, config: Any) -> LayerHyperparams:
        """Reads a `Hyperparams` message; every default is the schema's own."""
        norm = _batch_norm_message(config)
        return cls(
            config=config,
            activation=_ACTIVATIONS[_enum_name(config, "activation")],
            norm_momentum=norm.decay,
            norm_epsilon=norm.epsilon,
            has_batch_norm=config.HasField("batch_norm") or config.HasField("sync_batch_norm"),
        )

    @property
    def has_norm(self) -> bool:
        """Whether the message asks for any normalisation."""
        return self.config.WhichOneof("normalizer_oneof") is not None

    @property
    def use_bias(self) -> bool:
        """Whether a convolution that this message describes, normalised after, has a bias.

        The offset of a batch norm stands in for it, so batch norm with `center: false` brings it back.
        """
        has_offset = self.has_norm and (not self.has_batch_norm or _batch_norm_message(self.config).center)
        return self.config.force_use_bias or not has_offset

    def regularizer(self) -> tf_keras.regularizers.Regularizer | None:
        """A new regularizer of kernels, or None where its weight is 0.

        The API's l2 regularizer, like the slim one before it, is half the squared norm times the weight.
        """
        kind = self.config.regularizer.WhichOneof("regularizer_oneof")
        if kind == "l1_regularizer" and self.config.regularizer.l1_regularizer.weight:
            return tf_keras.regularizers.L1(self.config.regularizer.l1_regularizer.weight)
        if kind == "l2_regularizer" and self.config.regularizer.l2_regularizer.weight:
            return tf_keras.regularizers.L2(self.config.regularizer.l2_regularizer.weight * 0.5)
        return None

    def initializer(self) -> tf_keras.initializers.Initializer:
        """A new initializer of kernels; Glorot's uniform, Keras' own, where the message names none.

        Of the truncated ones, variance scaling makes up for what truncation takes off the deviation (as Keras does,
        and the API where it builds for Keras), and truncated normal does not.

        Raises:
            ValueError: Keras has no initializer of the name in `keras_initializer_by_name`.
        """
        config = self.config.initializer
        kind = config.WhichOneof("initializer_oneof")
        if kind == "truncated_normal_initializer":
            normal = config.truncated_normal_initializer
            return tf_keras.initializers.TruncatedNormal(normal.mean, normal.stddev)
        if kind == "random_normal_initializer":
            normal = config.random_normal_initializer
            return tf_keras.initializers.RandomNormal(normal.mean, normal.stddev)
        if kind == "variance_scaling_initializer":
            scaling = config.variance_scaling_initializer
            return tf_keras.initializers.VarianceScaling(
                scale=scaling.factor,
                mode=_VARIANCE_MODES[_enum_name(scaling, "mode")],
                distribution="uniform" if scaling.uniform else "truncated_normal",
            )
        if kind == "keras_initializer_by_name":
            return _initializer_by_name(config.keras_initializer_by_name)
        return tf_keras.initializers.GlorotUniform()

    def initializer_config(self) -> dict[str, Any]:
        """The initializer as Keras' config, from which each of several layers makes one of its own.

        An unseeded initializer that layers share gives all of them the same values.
        """
        return tf_keras.initializers.serialize(self.initializer())

    def convolution_arguments(self) -> dict[str, Any]:
        """New arguments of a `Conv2D` or `Dense` layer: its kernel's initializer and regularizer."""
        return {"kernel_initializer": self.initializer(), "kernel_regularizer": self.regularizer()}

    def separable_arguments(self, *, depthwise: bool = True, pointwise: bool = True) -> dict[str, Any]:
        """New arguments of a `SeparableConv2D` layer.

        Args:
            depthwise: Whether the message describes the depthwise kernel; else it has Keras' defaults.
            pointwise: Whether the message describes the pointwise kernel; else it has Keras' defaults.
        """
        arguments: dict[str, Any] = {}
        for half in ("depthwise",) * depthwise + ("pointwise",) * pointwise:
            arguments[f"{half}_initializer"] = self.initializer()
            arguments[f"{half}_regularizer"] = self.regularizer()
        return arguments

    def apply_to_separable(self, model: tf_keras.Model) -> None:
        """Gives a built model's separable convolutions this initializer and regularizer.

        Model Garden's pyramid passes them under names that only plain convolutions know.
        """
        for layer in model.layers:
            if isinstance(layer, tf_keras.layers.SeparableConv2D):
                for kernel in (layer.depthwise_kernel, layer.pointwise_kernel):
                    kernel.assign(self.initializer()(kernel.shape))
                    regularizer = self.regularizer()
                    if regularizer is not None:
                        model.add_loss(functools.partial(regularizer, kernel))

    def apply_to_batch_norms(self, model: tf_keras.Model) -> None:
        """Gives a built model's batch norms what Model Garden takes no argument for: `center`, `scale` and `train`."""
        if self.has_batch_norm:
            norm = _batch_norm_message(self.config)
            pin_batch_norm(model, center=norm.center, scale=norm.scale)
            if not norm.train:
                freeze_batch_norm(model)

    @property
    def is_synchronized(self) -> bool:
        """Whether batch norm's statistics are those of all replicas together."""
        return self.config.HasField("sync_batch_norm")

    def activate(self, features: Any) -> Any:
        """Applies the activation to a tensor."""
        return tf_keras.activations.get(self.activation)(features)

    def batch_norm(self, name: str | None = None) -> tf_keras.layers.Layer:
        """A new layer of the normalisation that the message asks for, or one that does nothing where it asks for none.

        `train: false` keeps the moving statistics, and uses them in training, as `is_training` of tf_slim's batch norm
        did; scale and offset train on.
        """
        if self.has_batch_norm:
            norm = _batch_norm_message(self.config)
            return FreezableBatchNorm(
                momentum=norm.decay,
                epsilon=norm.epsilon,
                center=norm.center,
                scale=norm.scale,
                frozen=not norm.train,
                synchronized=self.is_synchronized,
                name=name,
            )
        if self.has_norm:
            return tf_keras.layers.GroupNormalization(groups=_GROUPS, epsilon=_GROUP_EPSILON, name=name)
        return tf_keras.layers.Activation("linear", name=name)


def _batch_norm_message(config: Any) -> Any:
    return config.sync_batch_norm if config.HasField("sync_batch_norm") else config.batch_norm


def _enum_name(message: Any, field: str) -> str:
    values = type(message).DESCRIPTOR.fields_by_name[field].enum_type.values_by_number
    return values[getattr(message, field)].name


def _initializer_by_name(name: str) -> tf_keras.initializers.Initializer:
    try:
        return tf_keras.initializers.get(name)
    except ValueError as error:
        raise ValueError(
            f'keras_initializer_by_name: "{name}" is no initializer of Keras; write one such as "glorot_uniform"'
        ) from error
