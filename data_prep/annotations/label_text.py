"""Text files of labels, one an image, a box a line of words: read whole within bounds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_prep.runtime.input_files import TooLargeError, read_bounded_text
from data_prep.runtime.ledger import RejectedError

MAX_LABEL_BYTES = 16 * 1024 * 1024  # of one image's file


def read_label_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields the number, from 1, and the words of each line that is not blank.

    Raises:
        RejectedError: The file cannot be read, is too large, or is not UTF-8 text.
    """
    try:
        text = read_bounded_text(path, MAX_LABEL_BYTES)
    except OSError as error:
        raise RejectedError("unreadable", error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise RejectedError("not text", f"byte {error.start} is not UTF-8") from error
    except TooLargeError as error:
        raise RejectedError("too many bytes", f"more than {MAX_LABEL_BYTES // 2**20} MiB") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if words := line.split():
            yield number, words
