"""torchvision's MobileNetV2 and ResNets computed from a state dictionary's tensors, and state dictionaries of chance.

Nothing of the project's is used: strides and blocks are those of torchvision's definitions.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

MEANS, DEVIATIONS = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))
# Of MobileNetV2: expansion, channels, blocks, stride of the first.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
RESNET_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
EPSILON = 1e-5


class TorchNetwork:
    """Runs modules by their names.

    Attributes:
        tensors: The state dictionary.
        pads_both_sides: As torch; else as TensorFlow's SAME.
    """

    def __init__(self, tensors: dict[str, np.ndarray], *, pads_both_sides: bool = True) -> None:
        self.tensors = tensors
        self.pads_both_sides = pads_both_sides

    def stem(self, name: str, pixels: np.ndarray, border: Iterable[float] | None) -> tf.Tensor:
        """The first convolution, of stride 2, of pixels 0..255 [B, H, W, 3].

        Args:
            name: The module's.
            pixels: RGB.
            border: The pixel that padding consists of; None for zeros after normalisation, which are torch's.
        """
        size = self.tensors[f"{name}.weight"].shape[-1]
        padding = self._padding(size, 2, pixels.shape[1:3])
        given = np.asarray(pixels, np.float64)
        if border is None:
            x = np.pad((given / 255 - MEANS) / DEVIATIONS, [(0, 0), *padding, (0, 0)])
        else:
            channels = [
                np.pad(given[..., channel], [(0, 0), *padding], constant_values=value)
                for channel, value in enumerate(border)
            ]
            x = (np.stack(channels, axis=-1) / 255 - MEANS) / DEVIATIONS
        return tf.nn.conv2d(x.astype(np.float32), self._kernel(name), 2, "VALID")

    def convolve(self, name: str, x: tf.Tensor, stride: int = 1, *, depthwise: bool = False) -> tf.Tensor:
        size = self.tensors[f"{name}.weight"].shape[-1]
        x = tf.pad(x, [(0, 0), *self._padding(size, stride, x.shape[1:3]), (0, 0)])
        if depthwise:
            kernel = self.tensors[f"{name}.weight"].transpose(2, 3, 0, 1)
            return tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], "VALID")
        return tf.nn.conv2d(x, self._kernel(name), stride, "VALID")

    def normalize(self, name: str, x: tf.Tensor) -> tf.Tensor:
        parts = ("running_mean", "running_var", "bias", "weight")
        return tf.nn.batch_normalization(x, *(self.tensors[f"{name}.{part}"] for part in parts), EPSILON)

    def pool(self, x: tf.Tensor) -> tf.Tensor:
        """Max pooling over 3x3 with stride 2, of what is not negative."""
        x = tf.pad(x, [(0, 0), *self._padding(3, 2, x.shape[1:3]), (0, 0)])
        return tf.nn.max_pool2d(x, 3, 2, "VALID")

    def _kernel(self, name: str) -> np.ndarray:
        return self.tensors[f"{name}.weight"].transpose(2, 3, 1, 0)

    def _padding(self, size: int, stride: int, sides: Iterable[int]) -> list[tuple[int, int]]:
        if self.pads_both_sides:
            return [((size - 1) // 2, (size - 1) // 2)] * 2
        totals = [max((-(-side // stride) - 1) * stride + size - side, 0) for side in sides]
        return [(total // 2, total - total // 2) for total in totals]


def mobilenet_v2(
    network: TorchNetwork, pixels: np.ndarray, border: Iterable[float] | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """The last convolution's features [B, H / 32, W / 32, 1280] and, where there is a classifier, logits [B, 1000]."""
    x = tf.nn.relu6(network.normalize("features.0.1", network.stem("features.0.0", pixels, border)))
    number = 0
    for expansion, _, blocks, first_stride in STAGES:
        for block in range(blocks):
            number += 1
            before, prefix, after = x, f"features.{number}.conv", 0
            stride = first_stride if block == 0 else 1
            if expansion > 1:
                x = tf.nn.relu6(network.normalize(f"{prefix}.0.1", network.convolve(f"{prefix}.0.0", x)))
                after = 1
            x = network.convolve(f"{prefix}.{after}.0", x, stride, depthwise=True)
            x = tf.nn.relu6(network.normalize(f"{prefix}.{after}.1", x))
            x = network.convolve(f"{prefix}.{after + 1}", x)
            x = network.normalize(f"{prefix}.{after + 2}", x)
            if stride == 1 and x.shape[-1] == before.shape[-1]:
                x += before
    x = tf.nn.relu6(network.normalize("features.18.1", network.convolve("features.18.0", x)))
    tensors = network.tensors
    logits = tf.reduce_mean(x, [1, 2]) @ tensors["classifier.1.weight"].T + tensors["classifier.1.bias"]
    return x, logits


def resnet(
    network: TorchNetwork,
    pixels: np.ndarray,
    depth: int,
    border: Iterable[float] | None = None,
    *,
    stride_in_first: bool = False,
    pool_pads_both_sides: bool = True,
) -> tf.Tensor:
    """The last features [B, H / 32, W / 32, 2048].

    Args:
        network: With the tensors.
        pixels: RGB 0..255.
        depth: 50 or 101.
        border: As in `TorchNetwork.stem`.
        stride_in_first: Whether a block's stride is in its first convolution, as in the paper; torchvision's is in the
            second.
        pool_pads_both_sides: As torchvision's max pooling.
    """
    x = tf.nn.relu(network.normalize("bn1", network.stem("conv1", pixels, border)))
    network.pads_both_sides = pool_pads_both_sides
    x = network.pool(x)
    network.pads_both_sides = True
    for stage, blocks in enumerate(RESNET_BLOCKS[depth], 1):
        for block in range(blocks):
            before, prefix = x, f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            strides = (stride, 1) if stride_in_first else (1, stride)
            x = tf.nn.relu(network.normalize(f"{prefix}.bn1", network.convolve(f"{prefix}.conv1", x, strides[0])))
            x = tf.nn.relu(network.normalize(f"{prefix}.bn2", network.convolve(f"{prefix}.conv2", x, strides[1])))
            x = network.normalize(f"{prefix}.bn3", network.convolve(f"{prefix}.conv3", x))
            if block == 0:
                shortcut = network.convolve(f"{prefix}.downsample.0", before, stride)
                before = network.normalize(f"{prefix}.downsample.1", shortcut)
            x = tf.nn.relu(x + before)
    return x


class _Chance:
    """Makes modules with values of chance, under which activations keep their size."""

    def __init__(self, seed: int) -> None:
        self.tensors: dict[str, np.ndarray] = {}
        self._random = np.random.default_rng(seed)

    def convolution(self, name: str, channels: int, inputs: int, size: int = 1) -> None:
        deviation = np.sqrt(2.0 / (inputs * size * size))
        self._put(f"{name}.weight", self._random.normal(0.0, deviation, (channels, inputs, size, size)))

    def norm(self, name: str, channels: int, scale: float = 1.0) -> None:
        # Variances near epsilon, too, so that another epsilon shows.
        variance = self._random.choice([0.002, 0.5, 1.0, 1.5], channels)
        self._put(f"{name}.weight", scale * self._random.uniform(0.5, 1.5, channels) * np.sqrt(variance))
        self._put(f"{name}.bias", self._random.normal(0.0, 0.2, channels))
        self._put(f"{name}.running_mean", self._random.normal(0.0, 0.2, channels))
        self._put(f"{name}.running_var", variance)
        self.tensors[f"{name}.num_batches_tracked"] = np.array(7, np.int64)

    def classifier(self, name: str, inputs: int) -> None:
        self._put(f"{name}.weight", self._random.normal(0.0, 0.01, (1000, inputs)))
        self._put(f"{name}.bias", np.zeros(1000))

    def _put(self, name: str, value: np.ndarray) -> None:
        self.tensors[name] = value.astype(np.float32)


def mobilenet_v2_of_chance(seed: int = 0) -> dict[str, np.ndarray]:
    """A state dictionary of torchvision's `mobilenet_v2()`."""
    chance = _Chance(seed)
    chance.convolution("features.0.0", 32, 3, 3)
    chance.norm("features.0.1", 32)
    number, inputs = 0, 32
    for expansion, channels, blocks, _ in STAGES:
        for _ in range(blocks):
            number += 1
            prefix, after, inside = f"features.{number}.conv", 0, inputs * expansion
            if expansion > 1:
                chance.convolution(f"{prefix}.0.0", inside, inputs)
                chance.norm(f"{prefix}.0.1", inside)
                after = 1
            chance.convolution(f"{prefix}.{after}.0", inside, 1, 3)
            chance.norm(f"{prefix}.{after}.1", inside)
            chance.convolution(f"{prefix}.{after + 1}", channels, inside)
            chance.norm(f"{prefix}.{after + 2}", channels)
            inputs = channels
    chance.convolution("features.18.0", 1280, inputs)
    chance.norm("features.18.1", 1280)
    chance.classifier("classifier.1", 1280)
    return chance.tensors


def resnet_of_chance(depth: int = 50, seed: int = 0) -> dict[str, np.ndarray]:
    """A state dictionary of torchvision's `resnet50()` or `resnet101()`."""
    chance = _Chance(seed)
    chance.convolution("conv1", 64, 3, 7)
    chance.norm("bn1", 64)
    inputs = 64
    for stage, blocks in enumerate(RESNET_BLOCKS[depth], 1):
        width = 32 * 2**stage
        for block in range(blocks):
            prefix = f"layer{stage}.{block}"
            for part, (channels, before, size) in enumerate(
                ((width, inputs, 1), (width, width, 3), (4 * width, width, 1)), 1
            ):
                chance.convolution(f"{prefix}.conv{part}", channels, before, size)
                chance.norm(f"{prefix}.bn{part}", channels, 0.3 if part == 3 else 1.0)
            if block == 0:
                chance.convolution(f"{prefix}.downsample.0", 4 * width, inputs)
                chance.norm(f"{prefix}.downsample.1", 4 * width)
            inputs = 4 * width
    chance.classifier("fc", inputs)
    return chance.tensors
