"""Layer hyperparameters in Keras' terms: initializer, regularizer, activation and normalisation.

Meanings are those of `KerasLayerHyperparams` in the API's builders/hyperparams_builder.py.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import tf_keras

from configs.settings.layers import BatchNorm, Hyperparams, L1Regularizer, SyncBatchNorm, default_batch_norm
from train.models.batch_norm import FreezableBatchNorm, freeze_batch_norm, pin_batch_norm

_ACTIVATIONS = {"NONE": "linear", "RELU": "relu", "RELU_6": "relu6", "SWISH": "swish"}
_VARIANCE_MODES = {"FAN_IN": "fan_in", "FAN_OUT": "fan_out", "FAN_AVG": "fan_avg"}
# tf_slim's group_norm, which is what the message's `group_norm` (without fields) stood for.
_GROUPS = 32
_GROUP_EPSILON = 1e-6


@dataclasses.dataclass(frozen=True)
class LayerHyperparams:
    """`Hyperparams` in Keras' terms.

    Attributes:
        settings: Of the layers.
    """

    settings: Hyperparams

    @property
    def activation(self) -> str:
        """A name that Keras and Model Garden know."""
        return _ACTIVATIONS[self.settings.activation]

    @property
    def norm_momentum(self) -> float:
        """Of batch norm's moving averages; the schema's default where there is none."""
        return self._batch_norm.decay

    @property
    def norm_epsilon(self) -> float:
        """Added to batch norm's variance; the schema's default where there is none."""
        return self._batch_norm.epsilon

    @property
    def _batch_norm(self) -> BatchNorm:
        return self.settings.batch_norm or default_batch_norm()

    @property
    def has_norm(self) -> bool:
        """Whether there is any normalisation."""
        return self.settings.normalizer_oneof is not None

    @property
    def use_bias(self) -> bool:
        """Whether a convolution that these settings describe, normalised after, has a bias.

        The offset of a batch norm stands in for it, so batch norm with `center: false` brings it back.
        """
        norm = self.settings.batch_norm
        has_offset = self.has_norm and (norm is None or norm.center)
        return self.settings.force_use_bias or not has_offset

    def regularizer(self) -> tf_keras.regularizers.Regularizer | None:
        """A new regularizer of kernels, or None where its weight is 0.

        The API's l2 regularizer, like the slim one before it, is half the squared norm times the weight.
        """
        chosen = self.settings.regularizer
        if chosen is None or not chosen.weight:
            return None
        if isinstance(chosen, L1Regularizer):
            return tf_keras.regularizers.L1(chosen.weight)
        return tf_keras.regularizers.L2(chosen.weight * 0.5)

    def initializer(self) -> tf_keras.initializers.Initializer:
        """A new initializer of kernels; Glorot's uniform, Keras' own, where the settings name none.

        Of the truncated ones, variance scaling makes up for what truncation takes off the deviation (as Keras does,
        and the API where it builds for Keras), and truncated normal does not.
        """
        chosen = self.settings.initializer
        if chosen.truncated_normal_initializer is not None:
            normal = chosen.truncated_normal_initializer
            return tf_keras.initializers.TruncatedNormal(normal.mean, normal.stddev)
        if chosen.random_normal_initializer is not None:
            random = chosen.random_normal_initializer
            return tf_keras.initializers.RandomNormal(random.mean, random.stddev)
        if chosen.variance_scaling_initializer is not None:
            scaling = chosen.variance_scaling_initializer
            return tf_keras.initializers.VarianceScaling(
                scale=scaling.factor,
                mode=_VARIANCE_MODES[scaling.mode],
                distribution="uniform" if scaling.uniform else "truncated_normal",
            )
        if chosen.keras_initializer_by_name:
            return tf_keras.initializers.get(chosen.keras_initializer_by_name)
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
            depthwise: Whether the settings are of the depthwise kernel; else it has Keras' defaults.
            pointwise: Whether the settings are of the pointwise kernel; else it has Keras' defaults.
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
        norm = self.settings.batch_norm
        if norm is not None:
            pin_batch_norm(model, center=norm.center, scale=norm.scale)
            if not norm.train:
                freeze_batch_norm(model)

    @property
    def is_synchronized(self) -> bool:
        """Whether batch norm's statistics are those of all replicas together."""
        return isinstance(self.settings.normalizer_oneof, SyncBatchNorm)

    def activate(self, features: Any) -> Any:
        """Applies the activation to a tensor."""
        return tf_keras.activations.get(self.activation)(features)

    def batch_norm(self, name: str | None = None) -> tf_keras.layers.Layer:
        """A new layer of the normalisation that is asked for, or one that does nothing where none is.

        `train: false` keeps the moving statistics, and uses them in training, as `is_training` of tf_slim's batch norm
        did; scale and offset train on.
        """
        norm = self.settings.batch_norm
        if norm is not None:
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
