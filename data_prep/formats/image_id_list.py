"""Lists of image ids: a text file with an id a line, as the page of an evaluation saves it."""

from __future__ import annotations

from pathlib import Path

from data_prep.formats.points import check_image_id
from data_prep.runtime.command_line import UsageError, UserError
from data_prep.runtime.input_files import read_text

IMAGE_IDS_HELP = "a text file with an id a line, as the page of train.evaluate --report_path saves it"
_MAX_BYTES = 512 * 1024 * 1024


def read_image_ids(path: Path) -> frozenset[str]:
    """Returns the ids of a list; empty lines, and spaces around an id, do not count.

    Raises:
        UsageError: It cannot be read, is larger than 512 MiB, is no UTF-8, lists nothing, or a line is no image id.
    """
    lines = read_text(path, "list of image ids", max_bytes=_MAX_BYTES).splitlines()
    ids = set()
    for number, line in enumerate(lines, start=1):
        if not (image_id := line.strip()):
            continue
        try:
            ids.add(check_image_id(image_id))
        except UserError as error:
            raise UsageError(f"{path}: line {number}: {error}") from error
    if not ids:
        raise UsageError(f"{path} lists no image ids; it must have one a line")
    return frozenset(ids)


def told_missing(path: Path, missing: list[str], points_path: Path) -> str:
    """Returns a sentence about the ids of a list that a points.json lacks.

    Args:
        path: Of the list.
        missing: At least one.
        points_path: Of the points.
    """
    shown = ", ".join(sorted(missing)[:3]) + ", ..." * (len(missing) > 3)
    return f"{len(missing)} of the ids in {path} are not in {points_path}: {shown}"
