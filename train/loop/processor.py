"""TensorFlow as training and evaluation use it: oneDNN on a CPU, no notes, and nothing imported that is not used."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator

from data_prep.runtime.quiet_tensorflow import quiet_tensorflow

_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
# What TensorFlow and tf_keras import where it is installed, and do without where it is not: data frames and sparse
# matrices as inputs of `Model.fit`, transformations of images in NumPy, and Cloud TPUs.
_NOT_NEEDED = ("pandas", "scipy", "googleapiclient", "oauth2client")


def prepare_tensorflow() -> None:
    """Imports TensorFlow, quiet (see `quiet_tensorflow`), with oneDNN unless `TF_ENABLE_ONEDNN_OPTS` is set already.

    To be called before the first import of TensorFlow. TensorFlow by itself uses oneDNN only on CPUs with instructions
    for neural networks. On one without (AMD EPYC, AVX2, batches of crops as in Faster R-CNN's second stage), its own
    gradient of a convolution's input took 10 to 15 times as long, and a step of Faster R-CNN twice as long.

    Importing it here, and not where it is used first, keeps out what nothing here uses, and Python's search for garbage
    among the hundreds of thousands of objects that an import makes and keeps: 1.4 CPU seconds instead of 2.3.
    """
    # First: what keeps TensorFlow quiet loads its library, which reads the variable as it comes.
    os.environ.setdefault(_ONEDNN, "1")
    quiet_tensorflow()
    if "tensorflow" not in sys.modules:
        with garbage_kept(), _hidden(_NOT_NEEDED):
            import tensorflow  # noqa: F401
            import tf_keras  # noqa: F401
        # What is there now stays, and need not be looked through again.
        gc.freeze()


@contextlib.contextmanager
def garbage_kept() -> Iterator[None]:
    """Inside this context Python looks for no circular garbage; afterwards it does, if it did before.

    Where many objects are made that stay, such as a graph's, looking through them again and again takes a fifth of the
    time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def _hidden(packages: tuple[str, ...]) -> Iterator[None]:
    """Inside this context packages that are not imported yet are as if they were not installed."""
    hidden = [package for package in packages if package not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None is how Python marks them
    try:
        yield
    finally:
        for package in hidden:
            del sys.modules[package]


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
