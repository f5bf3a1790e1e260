"""The choice among the splits that a layout holds in one place, such as train and validation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from data_prep.runtime.command_line import UsageError, printable

MAX_SHOWN = 10


def chosen_splits(found: Iterable[str], wanted: Sequence[str] | None, path: Path) -> list[str]:
    """Returns the splits to read, in the order asked for.

    Args:
        found: Those that are there.
        wanted: Those asked for; None takes the only one there is.
        path: Where they are, for messages.

    Raises:
        UsageError: One is not there, or none was asked for and there are several: a training and a validation set read
            as one would be evaluated on what was trained on.
    """
    names = list(dict.fromkeys(found))
    listed = ", ".join(printable(name, 40) for name in names[:MAX_SHOWN]) + ", ..." * (len(names) > MAX_SHOWN)
    if wanted is None:
        if len(names) > 1:
            raise UsageError(f"{path} holds the splits {listed}; say by --splits which to take, several as one set")
        return names
    for name in wanted:
        if name not in names:
            raise UsageError(f"{path} has no split {name!r} (--splits); it has {listed or 'none'}")
    return list(dict.fromkeys(wanted))
