"""How long a server asks to wait."""

from __future__ import annotations

import email.utils
import time


def retry_after_seconds(text: str) -> float | None:
    """Reads a `Retry-After` header, a number of seconds or a date; None where it is neither."""
    if text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
