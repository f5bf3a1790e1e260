"""Names and passwords in URLs, which belong into no log, ledger or message."""

from __future__ import annotations

import re

# Up to the last @ before the path, as a URL's reader has it: a password may hold one itself.
_CREDENTIALS = re.compile(r"(?<![A-Za-z0-9+.-])([A-Za-z][A-Za-z0-9+.-]{0,20}://)[^/?#\s]*@")
_MASK = r"\1***@"


def without_credentials(text: str) -> str:
    """Returns a URL, or a text with URLs in it, with `***` in place of each `name:password` before a host."""
    return _CREDENTIALS.sub(_MASK, text) if "@" in text else text
