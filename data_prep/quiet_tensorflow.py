"""TensorFlow without its notes on CPU features and missing GPUs: what a command prints is for people."""

from __future__ import annotations

import logging
import os
import warnings


def quiet_tensorflow() -> None:
    """Keeps TensorFlow's and Model Garden's warnings off the terminal; errors stay.

    To be called before the first import of TensorFlow. A `TF_CPP_MIN_LOG_LEVEL` that is set already is left alone, so
    that a person can ask for everything.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    for name in ("tensorflow", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Model Garden feeds its models dictionaries with more levels than they take, and says so at each call.
    warnings.filterwarnings("ignore", message="Input dict contained keys")
