"""Words of others in Markdown: shown as they are, whatever they hold."""

from __future__ import annotations

import re

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
