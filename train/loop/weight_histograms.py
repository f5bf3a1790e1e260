"""The weights of a network by name, for histograms."""

from __future__ import annotations

from collections import Counter

import numpy as np
import tf_keras


def weights_by_name(network: tf_keras.Model) -> dict[str, np.ndarray]:
    """Returns a network's trainable weights, each under a name of its own.

    Args:
        network: Its layers may bear the same name; such weights are numbered.

    Returns:
        float32 arrays by `weights/NAME`, in the order in which the network has them.
    """
    found: dict[str, np.ndarray] = {}
    times: Counter[str] = Counter()
    for weight in network.trainable_weights:
        name = str(weight.name).split(":")[0]
        times[name] += 1
        found[f"weights/{name}" + (f"_{times[name]}" if times[name] > 1 else "")] = weight.numpy()
    return found
