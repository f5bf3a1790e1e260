"""Patterns of variables' names: regular expressions that are looked for anywhere in a name."""

from __future__ import annotations

import re
from collections.abc import Iterator

from configs.schema.problem import Problem


def check_pattern(pattern: str, path: str) -> Iterator[Problem]:
    """Yields a problem if a pattern is no regular expression.

    Args:
        pattern: As it is written.
        path: Of its field.
    """
    try:
        re.compile(pattern)
    except re.error as error:
        reason = f'"{pattern}" is no regular expression: {error}'
        yield Problem(path, reason, "write one; it is looked for anywhere in a name")
