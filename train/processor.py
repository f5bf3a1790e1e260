"""What TensorFlow computes convolutions with on a CPU."""

from __future__ import annotations

import os


def prefer_onednn() -> None:
    """Has TensorFlow use oneDNN, unless `TF_ENABLE_ONEDNN_OPTS` is set already.

    To be called before the first import of TensorFlow, and before `quiet_tensorflow`, which loads its library: the
    variable is read as that comes. TensorFlow by itself uses oneDNN only on CPUs with instructions for
    neural networks. On one without (AMD EPYC, AVX2, batches of crops as in Faster R-CNN's second stage), its own
    gradient of a convolution's input took 10 to 15 times as long, and a step of Faster R-CNN twice as long.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
