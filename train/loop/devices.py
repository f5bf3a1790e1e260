"""The devices that a run uses."""

from __future__ import annotations

import tensorflow as tf
import tf_keras


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


def set_precision(policy: str) -> None:
    """Sets the precision of all layers built from here on, such as `PipelineSettings.precision_policy`."""
    tf_keras.mixed_precision.set_global_policy(policy)
