"""torchvision's MobileNetV2 up to its last feature map, written down from its modules' names and paddings."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

# Of features.1 to features.17.
STRIDES = (1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1)


def random_tensors(width: float, seed: int) -> dict[str, np.ndarray]:
    """Tensors of a narrow network, by torch's names and in torch's order of axes."""
    random = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {}

    def channels(count: int) -> int:
        rounded = max(8, int(count * width + 4) // 8 * 8)
        return rounded if rounded >= 0.9 * count * width else rounded + 8

    def add(convolution: str, norm: str, shape: tuple[int, ...]) -> None:
        fan = int(np.prod(shape[1:]))
        tensors[f"{convolution}.weight"] = random.normal(0, (2 / fan) ** 0.5, shape).astype(np.float32)
        for name, low, high in (("weight", 0.8, 1.2), ("bias", -0.2, 0.3), ("running_mean", -0.2, 0.2)):
            tensors[f"{norm}.{name}"] = random.uniform(low, high, shape[0]).astype(np.float32)
        tensors[f"{norm}.running_var"] = random.uniform(0.2, 1.5, shape[0]).astype(np.float32)
        tensors[f"{norm}.num_batches_tracked"] = np.int64(7)

    last = channels(32)
    add("features.0.0", "features.0.1", (last, 3, 3, 3))
    outputs = [16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320]
    for number, output in enumerate(map(channels, outputs), start=1):
        prefix, inner = f"features.{number}.conv", last
        if number == 1:
            add(f"{prefix}.0.0", f"{prefix}.0.1", (inner, 1, 3, 3))
            add(f"{prefix}.1", f"{prefix}.2", (output, inner, 1, 1))
        else:
            inner = last * 6
            add(f"{prefix}.0.0", f"{prefix}.0.1", (inner, last, 1, 1))
            add(f"{prefix}.1.0", f"{prefix}.1.1", (inner, 1, 3, 3))
            add(f"{prefix}.2", f"{prefix}.3", (output, inner, 1, 1))
        last = output
    add("features.18.0", "features.18.1", (channels(1280) if width < 1 else 1280, last, 1, 1))
    tensors["classifier.1.weight"] = np.zeros((10, 4), np.float32)
    tensors["classifier.1.bias"] = np.zeros(10, np.float32)
    return tensors


def features(tensors: Mapping[str, np.ndarray], pixels: np.ndarray) -> np.ndarray:
    """The last feature map, [B, h, w, C], of pixels [B, H, W, 3] in 0..255.

    The image's border is padded with middle grey, a MobileNet's zero here, where torch pads with ImageNet's mean.
    """
    pixels = np.pad(pixels, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=127.5)
    mean, deviation = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    x = tf.constant((pixels / np.float32(255) - mean) / deviation)

    def layer(x, convolution: str, norm: str, stride: int = 1, activate: bool = True):
        kernel = tensors[f"{convolution}.weight"]
        pad = (kernel.shape[2] - 1) // 2 if convolution != "features.0.0" else 0
        x = tf.pad(x, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
        if kernel.shape[1] == 1 and kernel.shape[2] == 3:
            x = tf.nn.depthwise_conv2d(x, kernel.transpose(2, 3, 0, 1), [1, stride, stride, 1], "VALID")
        else:
            x = tf.nn.conv2d(x, kernel.transpose(2, 3, 1, 0), stride, "VALID")
        scale, shift, mean, variance = (
            tensors[f"{norm}.{n}"] for n in ("weight", "bias", "running_mean", "running_var")
        )
        x = (x - mean) / np.sqrt(variance + np.float32(1e-5)) * scale + shift
        return tf.nn.relu6(x) if activate else x

    x = layer(x, "features.0.0", "features.0.1", 2)
    for number, stride in enumerate(STRIDES, start=1):
        prefix, before = f"features.{number}.conv", x
        if number == 1:
            x = layer(x, f"{prefix}.0.0", f"{prefix}.0.1", stride)
            x = layer(x, f"{prefix}.1", f"{prefix}.2", activate=False)
        else:
            x = layer(x, f"{prefix}.0.0", f"{prefix}.0.1")
            x = layer(x, f"{prefix}.1.0", f"{prefix}.1.1", stride)
            x = layer(x, f"{prefix}.2", f"{prefix}.3", activate=False)
        if stride == 1 and x.shape[-1] == before.shape[-1]:
            x = x + before
    return layer(x, "features.18.0", "features.18.1").numpy()
