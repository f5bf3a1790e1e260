"""Markdown escaping of texts from outside (file names, class names, a server's messages), and the page's sentences."""

from __future__ import annotations

import re

from serving.client_library.detections import Detection
from serving.demonstration.results import Comparison

MAX_LENGTH = 600
# Streamlit makes links of bare addresses and images of :words:, whatever is escaped; an invisible joiner stops it.
_ADDRESS = re.compile(r"(:(?=//)|:(?!\d{4,5}:)(?=[\w+-]+:)|@|\bwww(?=\.))", re.IGNORECASE)
_WORD_JOINER = "\u2060"
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


def plain(text: object) -> str:
    """Returns one line of Markdown that shows `text` as it is: no link, image, colour or formula in it is one."""
    words = " ".join(str(text).split())
    if len(words) > MAX_LENGTH:
        words = words[:MAX_LENGTH] + "..."
    return _PUNCTUATION.sub(r"\\\1", _ADDRESS.sub(rf"\1{_WORD_JOINER}", words))


def sentence(error: object) -> str:
    """Returns an error's message as a sentence of Markdown, begun with a capital and ended with a full stop."""
    words = plain(error)
    return words[:1].upper() + words[1:].removesuffix(r"\.") + "."


def differences(comparison: Comparison, first: object, second: object) -> str:
    """Returns what two versions see differently, as Markdown.

    Args:
        comparison: What they see.
        first: What a person calls the first version.
        second: What a person calls the second.
    """
    parts = [f"**{len(comparison.both)}** in both"]
    for which, only in ((first, comparison.only_first), (second, comparison.only_second)):
        parts.append(f"only in {plain(which)}: {', '.join(map(_with_score, only)) or 'none'}")
    return "; ".join(parts)


def _with_score(detection: Detection) -> str:
    return f"**{plain(detection.name)}** {100 * detection.score:.0f}%"
