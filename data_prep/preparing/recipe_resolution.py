"""The size that a recipe's network wants of its images."""

from __future__ import annotations

import re
from pathlib import Path

from data_prep.runtime.command_line import UsageError

LARGEST_DIMENSION = 1024  # of Open Images' copies
_MAX_BYTES = 1024 * 1024
_COMMENT = re.compile(r"#[^\n]*")
_RESIZER = re.compile(r"\bimage_resizer\s*:?\s*\{(?P<fields>[^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")
_DIMENSION = re.compile(r"\b(?:height|width|min_dimension|max_dimension)\s*:\s*([0-9]{1,6})\b")


def max_dimension_for(recipe: Path) -> int:
    """Returns the longest side that images are worth keeping, in pixels.

    That is twice the longest side that the resizer gives the network, since random crops enlarge what is in them; and
    no more than Open Images' copies have.

    Args:
        recipe: A pipeline config, filled in or not.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        text = recipe.read_bytes()[:_MAX_BYTES].decode("utf-8")
    except OSError as error:
        raise UsageError(f"--recipe {recipe}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"--recipe {recipe}: not UTF-8 text; is it a pipeline config?") from error
    resizer = _RESIZER.search(_COMMENT.sub("", text))
    sides = [int(side) for side in _DIMENSION.findall(resizer["fields"])] if resizer else []
    return min(LARGEST_DIMENSION, 2 * max(sides)) if any(sides) else LARGEST_DIMENSION
