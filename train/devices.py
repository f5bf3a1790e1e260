"""Which devices a run uses."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

_POLICIES = {"FLOAT32": "float32", "MIXED_BFLOAT16": "mixed_bfloat16", "MIXED_FLOAT16": "mixed_float16"}


def pick_strategy() -> tf.distribute.Strategy:
    """Returns the strategy for the devices present: one CPU, one GPU, or mirrored over several GPUs."""
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        # Without this TensorFlow takes all of the card's memory, and nothing else can run beside it.
        tf.config.experimental.set_memory_growth(gpu, True)
    if len(gpus) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")


def describe_strategy(strategy: tf.distribute.Strategy) -> str:
    """Says in a few words what `strategy` runs on."""
    replicas = strategy.num_replicas_in_sync
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    return f"{replicas} {kind}{'s' if replicas > 1 else ''}"


def precision_of(config: Any) -> str:
    """The precision that a pipeline config asks for: FLOAT32, MIXED_BFLOAT16 or MIXED_FLOAT16."""
    extensions = config.extensions
    if extensions.HasField("mixed_precision"):
        values = extensions.DESCRIPTOR.fields_by_name["mixed_precision"].enum_type.values_by_number
        return values[extensions.mixed_precision].name
    return "MIXED_BFLOAT16" if config.train_config.use_bfloat16 else "FLOAT32"


def set_precision(name: str) -> None:
    """Sets the precision of layers built from here on: FLOAT32, MIXED_BFLOAT16 or MIXED_FLOAT16."""
    tf_keras.mixed_precision.set_global_policy(_POLICIES[name])
