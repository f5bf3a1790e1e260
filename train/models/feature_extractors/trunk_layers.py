"""Layers that Keras Applications' networks are made of when they are the trunk of a detector.

Keras Applications take a `layers` argument: something with the layers' names. What is here stands there and gives
every layer the initializer, regularizer, normalisation and activation of a detector's trunk, as the Object Detection
API's own `models/keras_models` did, so that Keras' definitions are used and none is written again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import tf_keras

from train.models.batch_norm import FreezableBatchNorm
from train.models.hyperparams import LayerHyperparams


@dataclasses.dataclass(frozen=True)
class TrunkDefaults:
    """Hyperparameters of a trunk's layers where the config does not override them.

    Attributes:
        regularizer: Makes a kernel's regularizer.
        initializer: Makes a kernel's initializer; None leaves the layer's own.
        activation: By its name in Keras.
        norm_momentum: Of batch norm's moving averages.
        norm_epsilon: Added to the variance.
        norm_scale: Whether batch norm has a scale.
    """

    regularizer: Callable[[], Any]
    initializer: Callable[[], Any] | None
    activation: str
    norm_momentum: float
    norm_epsilon: float
    norm_scale: bool = True


class TrunkLayers:
    """Stands where Keras Applications look for layers; whatever it does not override is Keras' own."""

    def __init__(
        self,
        defaults: TrunkDefaults,
        hyperparams: LayerHyperparams | None = None,
        *,
        filters: Callable[[str, int], int] = lambda name, count: count,
        use_explicit_padding: bool = False,
        freeze_batch_norm: bool = False,
    ) -> None:
        """Describes the layers.

        Args:
            defaults: Used where `hyperparams` is None.
            hyperparams: Overrides the defaults: `override_base_feature_extractor_hyperparams`.
            filters: Gives a convolution's filters from its name and what Keras would use.
            use_explicit_padding: Pads by the kernel's size, whatever the input's, instead of TensorFlow's SAME.
            freeze_batch_norm: Whether batch norm keeps its moving statistics.
        """
        self.defaults = defaults
        self.hyperparams = hyperparams
        self.filters = filters
        self.use_explicit_padding = use_explicit_padding
        self.freeze_batch_norm = freeze_batch_norm

    def __getattr__(self, name: str) -> Any:
        """Any other layer is Keras' own."""
        return getattr(tf_keras.layers, name)

    def kernel_arguments(self) -> dict[str, Any]:
        """New arguments of a convolution: its kernel's initializer and regularizer."""
        if self.hyperparams is not None:
            return self.hyperparams.convolution_arguments()
        arguments = {"kernel_regularizer": self.defaults.regularizer()}
        if self.defaults.initializer is not None:
            arguments["kernel_initializer"] = self.defaults.initializer()
        return arguments

    def Conv2D(self, filters: int, kernel_size: Any, **kwargs: Any) -> Any:  # noqa: N802 - Keras' name
        """A convolution, padded as SAME or explicitly."""
        size = _side(kernel_size)
        arguments = {**kwargs, **self.kernel_arguments(), "padding": "same"}
        count = self.filters(kwargs.get("name") or "", filters)
        if not self._pads_explicitly(size, _side(kwargs.get("strides", 1))):
            return tf_keras.layers.Conv2D(count, size, **arguments)
        arguments["padding"] = "valid"
        return _padded(tf_keras.layers.Conv2D(count, size, **arguments), size)

    def DepthwiseConv2D(self, kernel_size: Any, **kwargs: Any) -> Any:  # noqa: N802 - Keras' name
        """A depthwise convolution, padded as SAME or explicitly."""
        size = _side(kernel_size)
        arguments = {**kwargs, "padding": "same"}
        arguments |= {name.replace("kernel_", "depthwise_"): value for name, value in self.kernel_arguments().items()}
        if not (self.use_explicit_padding and size > 1):
            return tf_keras.layers.DepthwiseConv2D(size, **arguments)
        arguments["padding"] = "valid"
        return _padded(tf_keras.layers.DepthwiseConv2D(size, **arguments), size)

    def BatchNormalization(self, **kwargs: Any) -> tf_keras.layers.Layer:  # noqa: N802 - Keras' name
        """The normalisation of this trunk, by the name that Keras gives it."""
        if self.hyperparams is not None:
            norm = self.hyperparams.batch_norm(kwargs.get("name"))
            if self.freeze_batch_norm and isinstance(norm, FreezableBatchNorm):
                norm.frozen = True
            return norm
        return FreezableBatchNorm(
            momentum=self.defaults.norm_momentum,
            epsilon=self.defaults.norm_epsilon,
            scale=self.defaults.norm_scale,
            frozen=self.freeze_batch_norm,
            name=kwargs.get("name"),
        )

    def Activation(self, activation: Any = None, **kwargs: Any) -> tf_keras.layers.Layer:  # noqa: N802 - Keras' name
        """The activation of this trunk, by the name that Keras gives it."""
        del activation
        name = self.defaults.activation if self.hyperparams is None else self.hyperparams.activation
        return tf_keras.layers.Activation(name, name=kwargs.get("name"))

    def ReLU(self, *args: Any, **kwargs: Any) -> tf_keras.layers.Layer:  # noqa: N802 - Keras' name
        """The activation of this trunk: MobileNets ask for it by this name."""
        del args
        return self.Activation(name=kwargs.get("name"))

    def ZeroPadding2D(self, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:  # noqa: N802 - Keras' name
        """Nothing: convolutions pad themselves here."""
        del args, kwargs
        return lambda tensor: tensor

    def MaxPooling2D(self, pool_size: Any, **kwargs: Any) -> tf_keras.layers.Layer:  # noqa: N802 - Keras' name
        """Max pooling, padded as SAME."""
        return tf_keras.layers.MaxPooling2D(pool_size, **{**kwargs, "padding": "same"})

    def _pads_explicitly(self, kernel_size: int, stride: int) -> bool:
        del stride
        return self.use_explicit_padding and kernel_size > 1


def _side(size: Any) -> int:
    """A kernel's or stride's one number; networks here have square ones only, where it matters."""
    return int(size[0]) if isinstance(size, (tuple, list)) else int(size)


def _padded(layer: tf_keras.layers.Layer, kernel_size: int) -> Callable[[Any], Any]:
    """A layer that pads its input by its kernel's size first."""
    before = (kernel_size - 1) // 2
    pad = tf_keras.layers.ZeroPadding2D(((before, kernel_size - 1 - before),) * 2)
    return lambda tensor: layer(pad(tensor))
