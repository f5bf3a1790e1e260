"""The tree of objects in which the Object Detection API holds a model's layers, whatever tree holds them here.

Checkpoints of TensorFlow 2 name variables by the attributes that lead to them. `variables_by_path` of such a tree gives
the API's names; `tf.train.Checkpoint(model=tree)` reads and writes the API's files.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def tree(**children: Any) -> tf.Module:
    """An object with these attributes, as checkpoints see it.

    Args:
        **children: Layers, other trees, or lists and dictionaries of such. Names may be no Python names
            (`layer_with_weights-0`).
    """
    node = tf.Module()
    for name, child in children.items():
        setattr(node, name, child)
    return node


def place() -> tf.Module:
    """Stands in a list for a layer that has no variables, so that those after it keep their numbers."""
    return tf.Module()
