"""TensorFlow as training and evaluation want it: with oneDNN on a CPU, and quiet."""

from __future__ import annotations

import os

from data_prep.quiet_tensorflow import quiet_tensorflow


def prepare_tensorflow() -> None:
    """Has TensorFlow use oneDNN, unless `TF_ENABLE_ONEDNN_OPTS` is set already, and be quiet; see `quiet_tensorflow`.

    To be called before the first import of TensorFlow. TensorFlow by itself uses oneDNN only on CPUs with instructions
    for neural networks. On one without (AMD EPYC, AVX2, batches of crops as in Faster R-CNN's second stage), its own
    gradient of a convolution's input took 10 to 15 times as long, and a step of Faster R-CNN twice as long.
    """
    # First: what keeps TensorFlow quiet loads its library, which reads the variable as it comes.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    quiet_tensorflow()
