"""Numbers in the text of annotation files, stricter than Python's `float`."""

from __future__ import annotations


def float_of(text: str) -> float:
    """Returns the number that a text holds.

    Python takes `0_1` for 1 and digits of other scripts, such as Arabic-Indic ones, for its own; no annotation format
    has either, so that such a text is damaged, or means something else.

    Raises:
        ValueError: It holds none, or one that only Python would read.
    """
    if not text.isascii() or "_" in text:
        raise ValueError(f"not a number: {text[:40]!r}")
    return float(text)
