"""OpenCV, imported where it is first needed: it takes a fifth of a second."""

from __future__ import annotations

import functools
from types import ModuleType


@functools.cache
def opencv() -> ModuleType:
    """Returns the module `cv2`, which then works in one thread.

    Images are shared out to processes: threads within them would only wait for each other.
    """
    import cv2

    cv2.setNumThreads(1)
    return cv2
