"""The ledger of rejected inputs: one JSON object a line with the reason, and a count by reason."""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from pathlib import Path
from typing import IO

from data_prep.runtime.atomic_files import held, naming_full_disk, new_temporary_path, remove_leftovers
from data_prep.runtime.command_line import EXIT_DONE, EXIT_TOO_MANY_REJECTED
from data_prep.runtime.url_credentials import without_credentials

MAX_VALUE_LENGTH = 500  # of one value in the ledger: a hostile CSV must not grow it without bound


class RejectedError(ValueError):
    """An image, a box or another item that cannot be used.

    Attributes:
        reason: A few words from a small fixed set, for counting.
        detail: What was seen.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[RejectedError], tuple[str, str]]:
        """Lets the error travel back from a worker process whole."""
        return type(self), (self.reason, self.detail)


class Ledger:
    """Collects rejected items; `with Ledger(path) as ledger:` writes the file even when the work in it fails.

    The file is replaced when the ledger closes, so an earlier run's stays until then. An empty ledger leaves no file:
    what is there always names something that a person may want to look at. What killed runs have left of it is removed.

    Attributes:
        counts: How many items were rejected, by reason.
    """

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        """Opens a ledger.

        Args:
            path: The JSON lines file to write; None only counts.
        """
        self.path = Path(path) if path is not None else None
        self.counts: Counter[str] = Counter()
        self._file: IO[str] | None = None
        self._held = contextlib.ExitStack()

    @property
    def total(self) -> int:
        """How many items were rejected."""
        return self.counts.total()

    def reject(self, item: str, reason: str, detail: str = "") -> None:
        """Notes that `item` (an image id, a file, `file:row`) was left out.

        Args:
            item: What was rejected.
            reason: A few words from a small fixed set, for counting.
            detail: What was seen, and where.
        """
        self.counts[reason] += 1
        self.note(item, reason, detail)

    def note(self, item: str, reason: str, detail: str = "") -> None:
        """Writes a line as `reject` does and counts nothing: for what is left out because of items that were rejected.

        Args:
            item: What was left out.
            reason: A few words from a small fixed set.
            detail: What was seen, and where.
        """
        if self.path is None:
            return
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary = new_temporary_path(self.path)
            self._held.enter_context(held(temporary))
            self._file = temporary.open("w", encoding="utf-8")
        item, detail = (without_credentials(text)[:MAX_VALUE_LENGTH] for text in (item, detail))
        entry = {"item": item, "reason": reason, "detail": detail}
        with naming_full_disk(self.path):
            self._file.write(json.dumps(entry) + "\n")

    def close(self) -> None:
        """Puts the file in its place, or removes an earlier run's when nothing was rejected."""
        if self.path is None:
            return
        if self._file is None:
            self.path.unlink(missing_ok=True)
            return
        with self._held, naming_full_disk(self.path):
            self._file.close()
            Path(self._file.name).replace(self.path)
        self._file = None

    def __enter__(self) -> Ledger:
        if self.path is not None:
            remove_leftovers(self.path)
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self.close()

    def summary(self) -> str:
        """Returns the counts in words, most frequent reason first, such as `3 rejected (2 not found, 1 timed out)`."""
        if not self.counts:
            return "0 rejected"
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.counts.most_common())
        where = f"; see {self.path}" if self.path is not None else ""
        return f"{self.total} rejected ({reasons}{where})"

    def exit_code(self, max_failures: int) -> int:
        """Returns 0, or 3 when more than `max_failures` items were rejected."""
        return EXIT_TOO_MANY_REJECTED if self.total > max_failures else EXIT_DONE
