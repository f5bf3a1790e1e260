"""Standard error without the notes of libraries that no setting quiets."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def standard_error_aside() -> Iterator[None]:
    """Keeps off the terminal what TensorFlow Lite's converter and interpreter say of themselves.

    They write it from C++, whatever the log level; what goes wrong comes as an exception.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
