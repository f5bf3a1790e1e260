"""The devices that a run uses, and the strategy that spreads it over them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import tensorflow as tf
import tf_keras
from official.common import distribute_utils
from tensorflow.python.framework import config  # turning determinism off again has no public name

from data_prep.runtime.command_line import UsageError
from train.loop.cluster import VARIABLE, Cluster
from train.loop.strategies import AUTO, MIRRORED, MULTI_WORKER, ONE_DEVICE

_KINDS = {ONE_DEVICE: "one device", MIRRORED: "mirrored", MULTI_WORKER: "mirrored over several machines"}


def pick_strategy(
    name: str = AUTO, *, virtual_devices: int | None = None, cluster: Cluster | None = None
) -> tf.distribute.Strategy:
    """Returns the strategy for the devices present, or the one that is asked for.

    To be called before TensorFlow does anything else: virtual devices and the connections to other machines can only be
    made then.

    Args:
        name: One of `strategies.STRATEGIES`. `auto` is several machines where a cluster names them, all GPUs of this
            one where there are two or more, and otherwise one device.
        virtual_devices: Splits the CPU into so many devices and mirrors over them, leaving GPUs alone.
        cluster: Of this process, where there is one.

    Raises:
        UsageError: What is asked for cannot be had with these devices.
    """
    if cluster is not None:
        if name not in (AUTO, MULTI_WORKER):
            raise UsageError(
                f"--strategy {name} would train {cluster.num_workers} runs side by side into one folder: {VARIABLE} "
                f"names {cluster.num_workers} workers; leave out --strategy, or unset {VARIABLE}"
            )
        if virtual_devices:
            raise UsageError(f"--virtual_devices splits one process' CPU; unset {VARIABLE} to use it")
        cluster.require_free_port()
        os.environ[VARIABLE] = cluster.to_tf_config()
        return distribute_utils.get_distribution_strategy(MULTI_WORKER, num_gpus=len(_gpus()))
    if name == MULTI_WORKER:
        raise UsageError(
            f"--strategy {name} needs {VARIABLE}, which tells each process of the others; docs/devices.md shows it"
        )
    if virtual_devices:
        if name == ONE_DEVICE and virtual_devices > 1:
            raise UsageError(f"--virtual_devices {virtual_devices} is more than --strategy {name} uses")
        _split_cpu(virtual_devices)
        if virtual_devices > 1 or name == MIRRORED:
            return tf.distribute.MirroredStrategy([f"/cpu:{index}" for index in range(virtual_devices)])
        return distribute_utils.get_distribution_strategy(ONE_DEVICE, num_gpus=0)
    gpus = _gpus()
    if name == MIRRORED or (name == AUTO and len(gpus) > 1):
        return distribute_utils.get_distribution_strategy(MIRRORED, num_gpus=len(gpus))
    return distribute_utils.get_distribution_strategy(ONE_DEVICE, num_gpus=min(len(gpus), 1))


def _gpus() -> list[tf.config.PhysicalDevice]:
    gpus: list[tf.config.PhysicalDevice] = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        # Without this TensorFlow takes all of the card's memory, and nothing else can run beside it.
        tf.config.experimental.set_memory_growth(gpu, True)
    return gpus


def _split_cpu(count: int) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError as error:
        if len(tf.config.list_logical_devices("CPU")) != count:
            raise UsageError(f"--virtual_devices {count}: TensorFlow is in use already in this process") from error


def require_divisible(batch_size: int, strategy: tf.distribute.Strategy) -> None:
    """Makes sure that all replicas get equal shares of a batch.

    Raises:
        UsageError: They cannot.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        lower = batch_size - batch_size % replicas
        near = " or ".join(str(size) for size in (lower, lower + replicas) if size)
        raise UsageError(
            f"train_config.batch_size is {batch_size}, of all replicas together, and {replicas} replicas cannot share "
            f"it equally; use {near}"
        )


def describe_strategy(strategy: tf.distribute.Strategy, batch_size: int) -> str:
    """Says in one line what a run uses: kind, replicas, and how many images each has of a batch."""
    replicas = strategy.num_replicas_in_sync
    devices = strategy.extended.worker_devices
    device = "GPU" if any("GPU" in name.upper() for name in devices) else "CPU"
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        num_workers = len(strategy.cluster_resolver.cluster_spec().as_dict()["worker"])
        where = f"{_KINDS[MULTI_WORKER]}: {num_workers} workers, {replicas} replicas"
    elif isinstance(strategy, tf.distribute.MirroredStrategy):
        where = f"{_KINDS[MIRRORED]}: {replicas} replica{'s' if replicas > 1 else ''}"
    else:
        return f"{_KINDS[ONE_DEVICE]} ({device}), batches of {batch_size}"
    return f"{where} ({device}), batches of {batch_size}, {batch_size // replicas} a replica"


@contextlib.contextmanager
def repeatable_operations(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Inside this context, operations on a CPU give the same result each time, to the last bit.

    By itself the gradient of cutting crops out of a feature map, which Faster R-CNN does, adds up in the order in which
    threads come. On GPUs nothing changes: some operations have no such form there, and would be refused.
    """
    if any("GPU" in name.upper() for name in strategy.extended.worker_devices):
        yield
        return
    tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        config.disable_op_determinism()


def set_precision(policy: str) -> None:
    """Sets the precision of all layers built from here on, such as `PipelineSettings.precision_policy`."""
    tf_keras.mixed_precision.set_global_policy(policy)
