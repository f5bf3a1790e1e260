"""What a `Hyperparams` message says of a layer: initializer, regularizer, activation, batch norm."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import tf_keras

_ACTIVATIONS = {"NONE": "linear", "RELU": "relu", "RELU_6": "relu6", "SWISH": "swish"}
_VARIANCE_MODES = {"FAN_IN": "fan_in", "FAN_OUT": "fan_out", "FAN_AVG": "fan_avg"}


@dataclasses.dataclass(frozen=True)
class LayerHyperparams:
    """A `Hyperparams` message in Keras' terms.

    Attributes:
        config: The message.
        activation: A name that Keras and Model Garden know.
        norm_momentum: Of the moving averages.
        norm_epsilon: Added to the variance.
        has_batch_norm: Whether the message asks for batch norm.
    """

    config: Any
    activation: str
    norm_momentum: float
    norm_epsilon: float
    has_batch_norm: bool

    @classmethod
    def from_config(cls, config: Any) -> LayerHyperparams:
        """Reads a `Hyperparams` message; every default is the schema's own."""
        activation = type(config).DESCRIPTOR.fields_by_name["activation"].enum_type
        return cls(
            config=config,
            activation=_ACTIVATIONS[activation.values_by_number[config.activation].name],
            norm_momentum=config.batch_norm.decay,
            norm_epsilon=config.batch_norm.epsilon,
            has_batch_norm=config.HasField("batch_norm"),
        )

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
        """A new initializer of kernels."""
        config = self.config.initializer
        kind = config.WhichOneof("initializer_oneof")
        if kind == "random_normal_initializer":
            normal = config.random_normal_initializer
            return tf_keras.initializers.RandomNormal(normal.mean, normal.stddev)
        if kind == "variance_scaling_initializer":
            scaling = config.variance_scaling_initializer
            mode = type(scaling).DESCRIPTOR.fields_by_name["mode"].enum_type.values_by_number[scaling.mode].name
            return tf_keras.initializers.VarianceScaling(
                scale=scaling.factor,
                mode=_VARIANCE_MODES[mode],
                distribution="uniform" if scaling.uniform else "truncated_normal",
            )
        normal = config.truncated_normal_initializer
        return tf_keras.initializers.TruncatedNormal(normal.mean, normal.stddev)

    def initializer_config(self) -> dict[str, Any]:
        """The initializer as Keras' config, from which each of several layers makes one of its own.

        An unseeded initializer that layers share gives all of them the same values.
        """
        return tf_keras.initializers.serialize(self.initializer())

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

    def batch_norm(self, name: str | None = None) -> tf_keras.layers.BatchNormalization:
        """A new batch norm layer."""
        norm = self.config.batch_norm
        return tf_keras.layers.BatchNormalization(
            momentum=norm.decay,
            epsilon=norm.epsilon,
            center=norm.center,
            scale=norm.scale,
            trainable=norm.train,
            name=name,
        )
