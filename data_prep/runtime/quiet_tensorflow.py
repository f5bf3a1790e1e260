"""TensorFlow without its notes on CPU features and missing GPUs, and without the Keras that nothing here uses."""

from __future__ import annotations

import ctypes
import importlib.util
import logging
import os
import warnings
from pathlib import Path

# absl::SetMinLogLevel as TensorFlow 2.20's library names it; another release has another name, and then its notes.
_SET_MIN_LOG_LEVEL = "_ZN4absl12lts_2025012714SetMinLogLevelENS0_18LogSeverityAtLeastE"
_ERRORS_AND_WORSE = 2  # absl::LogSeverityAtLeast::kError


def quiet_tensorflow() -> None:
    """Keeps TensorFlow's and Model Garden's warnings off the terminal; errors stay.

    It also says that `tf.keras` is tf_keras, as for Model Garden: TensorFlow then leaves Keras 3 out, and with it
    scikit-learn and matplotlib, and its import takes 4.4 CPU seconds instead of 7.3.

    To be called before the first import of TensorFlow. A `TF_CPP_MIN_LOG_LEVEL` that is set already is left alone, so
    that a person can ask for everything.
    """
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    for name in ("tensorflow", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)
    _quiet_native_parts()
    # Model Garden feeds its models dictionaries with more levels than they take, and says so at each call.
    warnings.filterwarnings("ignore", message="Input dict contained keys")
    # Google's API client, which TensorFlow imports where it is, says of Python 3.10 that it will go unsupported.
    warnings.filterwarnings("ignore", category=FutureWarning, module="google.api_core")


def _quiet_native_parts() -> None:
    """Tells the part of TensorFlow that is in C++, whose notes no environment variable stops.

    They read "All log messages before absl::InitializeLog() is called are written to STDERR", and then that there is no
    GPU, which are of no use to an export on a CPU.
    """
    package = importlib.util.find_spec("tensorflow")
    if package is None or package.origin is None:
        return
    library = Path(package.origin).with_name("libtensorflow_framework.so.2")
    if library.is_file():
        set_level = getattr(ctypes.CDLL(str(library)), _SET_MIN_LOG_LEVEL, None)
        if set_level is not None:
            set_level(_ERRORS_AND_WORSE)
