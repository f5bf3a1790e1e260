"""Image ids, which become file names, made from the names that annotations give to images.

The rule: a file name without its suffix is the id, if it can be one. Where there are folders in the name, or characters
that an id may not hold, every run of those becomes `_`, and ten digits of the name's SHA-256 follow, so that `a/1.jpg`
and `b/1.jpg`, or `a b.jpg` and `a_b.jpg`, stay apart. An id depends on the name alone: adding images changes none.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import PurePosixPath

from data_prep.annotations.source_image import shown
from data_prep.formats.points import MAX_IMAGE_ID_LENGTH, check_image_id
from data_prep.images.image_file import SUFFIXES
from data_prep.runtime.command_line import UserError
from data_prep.runtime.ledger import RejectedError

MAX_NAME_LENGTH = 1000  # characters
MAX_PART_BYTES = 255  # what file systems take
DIGEST_DIGITS = 10

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")
_ABSOLUTE = re.compile(r"/|[A-Za-z]:")


def safe_parts(name: str) -> tuple[str, ...]:
    """Returns the folders and the file name of an image, none of which leads out of the folder it is looked for in.

    Backslashes count as slashes, `.` parts go. Of an absolute path (`C:\\Users\\me\\1.jpg`: another machine's) only the
    file name stays.

    Raises:
        RejectedError: It is empty or too long, goes up a folder, or holds control characters.
    """
    if not name.strip() or len(name) > MAX_NAME_LENGTH or _CONTROL.search(name):
        raise RejectedError("unsafe image name", shown(name))
    path = name.strip().replace("\\", "/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or path.endswith("/") or ".." in parts:
        raise RejectedError("unsafe image name", shown(name))
    if _ABSOLUTE.match(path):
        parts = parts[-1:]
    try:
        too_long = any(len(part.encode("utf-8")) > MAX_PART_BYTES for part in parts)
    except UnicodeEncodeError:  # half a surrogate pair, out of a JSON escape
        too_long = True
    if too_long:
        raise RejectedError("unsafe image name", shown(name))
    return tuple(parts)


def stem_of(file_name: str) -> str:
    """Returns a file's name without its suffix, if that is one of an image; `IMG.v2` keeps its own."""
    path = PurePosixPath(file_name)
    return path.stem if path.suffix.lower() in SUFFIXES else file_name


def image_id_of(name: str, *, with_folders: bool = True) -> str:
    """Returns the id of the image that annotations call `name`; see the rule above.

    Args:
        name: The file's name, with or without folders and suffix.
        with_folders: Whether folders count; otherwise only the file name does.

    Raises:
        RejectedError: The name is none of a file below a folder.
    """
    parts = safe_parts(name)
    if not with_folders:
        parts = parts[-1:]
    plain = unicodedata.normalize("NFC", "/".join((*parts[:-1], stem_of(parts[-1]))))
    if len(parts) == 1:
        try:
            return check_image_id(plain)
        except UserError:
            pass  # it is made one below
    readable = _UNSAFE.sub("_", plain).strip(".")[: MAX_IMAGE_ID_LENGTH - DIGEST_DIGITS - 1] or "image"
    return check_image_id(f"{readable}-{hashlib.sha256(plain.encode('utf-8')).hexdigest()[:DIGEST_DIGITS]}")
