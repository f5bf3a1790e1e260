"""TensorFlow's settings for training and evaluation: oneDNN on a CPU, and no notes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from data_prep.runtime.quiet_tensorflow import quiet_tensorflow

_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"


def prepare_tensorflow() -> None:
    """Has TensorFlow use oneDNN, unless `TF_ENABLE_ONEDNN_OPTS` is set already, and be quiet; see `quiet_tensorflow`.

    To be called before the first import of TensorFlow. TensorFlow by itself uses oneDNN only on CPUs with instructions
    for neural networks. On one without (AMD EPYC, AVX2, batches of crops as in Faster R-CNN's second stage), its own
    gradient of a convolution's input took 10 to 15 times as long, and a step of Faster R-CNN twice as long.
    """
    # First: what keeps TensorFlow quiet loads its library, which reads the variable as it comes.
    os.environ.setdefault(_ONEDNN, "1")
    quiet_tensorflow()


@contextlib.contextmanager
def batch_norm_apart() -> Iterator[None]:
    """Where oneDNN is in use, has networks called inside compute a convolution and its batch norm one after the other.

    By itself, TensorFlow puts both into one oneDNN operation where nothing is trained. For a batch of one image (what
    most of the API's configs evaluate with) oneDNN then takes a path that is slow beyond reason: 1.8 s an image
    instead of 0.1 for SSD MobileNetV2 FPNLite (AMD EPYC, AVX2). A batch of eight takes as long either way, and training
    has nothing to put together.
    """
    if os.environ.get(_ONEDNN, "").lower() not in ("1", "true"):
        yield
        return
    import tensorflow as tf

    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"remapping": False})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"remapping": before.get("remapping", True)})
