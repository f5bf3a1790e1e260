"""The URLs of the images of images.json: their own, in a bucket laid out by split, or by a template."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from data_prep.formats.json_array import read_array_items
from data_prep.formats.points import check_image_id, check_is_new
from data_prep.runtime.command_line import UsageError, UserError

NO_URL = "no URL"  # the reason of a failure
NO_URL_DETAIL = "images.json has no url for it; --base_url or --url_template says where it lies"
_TEMPLATE_FIELDS = frozenset({"id", "subset", "url"})
MAX_URL_LENGTH = 8192


@dataclass(frozen=True, slots=True)  # there may be two million
class ImageSource:
    """One entry of images.json.

    Attributes:
        image_id: A plain file name.
        url: Where the image lies; empty where nothing says so.
        md5: Of the image, in base64, as Open Images has it; empty where it is not known.
        num_bytes: Of the image; None where it is not known.
    """

    image_id: str
    url: str
    md5: str = ""
    num_bytes: int | None = None


def read_image_sources(path: str | Path, url_template: str | None = None) -> list[ImageSource]:
    """Reads images.json: an array of `{"id"}` with, optionally, `url`, `subset`, `original_md5` and `original_size`.

    An image without a URL where one is needed is returned with an empty one: it costs no other image.

    Args:
        path: The file.
        url_template: Where the images lie instead of at their URL, with `{id}`, `{subset}` and `{url}` filled in.
            Such copies are often resized, so the original's MD5 and size are then not asked of them.

    Raises:
        UsageError: It is not of that shape (with the item's number, from 1), or an id is not a plain file name or comes
            twice.
    """
    sources = []
    seen: set[str] = set()
    for item in read_array_items(path):
        where = f"{path}: item {item.number}"
        entry = item.value
        if not isinstance(entry, dict):
            raise UsageError(f"{where}: must be an object with 'id' and 'url'")
        try:
            image_id = check_image_id(entry.get("id"))
        except UserError as error:
            raise UsageError(f"{where}: {error}") from error
        check_is_new(image_id, seen, where)
        sources.append(_source(entry, image_id, url_template, f"{where} (id {image_id})"))
    return sources


def check_url_template(template: str) -> None:
    """Checks that `template` names no field but `{id}`, `{subset}` and `{url}`.

    Raises:
        UsageError: It does, or has no field, or its braces do not match.
    """
    try:
        fields = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise UsageError(f"--url_template {template!r}: {error}") from error
    if not fields or not fields <= _TEMPLATE_FIELDS:
        raise UsageError(f"--url_template {template!r}: the fields are {{id}}, {{subset}} and {{url}}")


def check_base_url(flag: str, url: str) -> str:
    """Returns a base URL without the slash at its end.

    Raises:
        UsageError: It is no http URL.
    """
    try:
        parts = urlsplit(url)
        is_url = parts.scheme.lower() in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_url = False
    if not is_url:
        raise UsageError(f"{flag} {url!r}: must begin with http:// or https:// and name a host")
    return url.rstrip("/")


def bucket_template(base_url: str) -> str:
    """Returns the URL template of a bucket laid out as Open Images' own, `SUBSET/ID.jpg` below `base_url`.

    Raises:
        UsageError: It is no http URL.
    """
    return check_base_url("--base_url", base_url).replace("{", "{{").replace("}", "}}") + "/{subset}/{id}.jpg"


def hosts_named_by(url_template: str | None) -> frozenset[str]:
    """Returns the host that a template names itself: it was chosen by the user, so a private address is allowed."""
    if url_template is None:
        return frozenset()
    try:
        parts = urlsplit(url_template)
        host = parts.hostname
    except ValueError:
        return frozenset()
    return frozenset() if not host or "{" in parts.netloc else frozenset({host})


def _source(entry: Mapping[str, Any], image_id: str, url_template: str | None, where: str) -> ImageSource:
    for key in ("url", "subset", "original_md5"):
        if not isinstance(entry.get(key) or "", str):
            raise UsageError(f"{where}: {key!r} must be a text")
    url = entry.get("url") or ""
    if len(url) > MAX_URL_LENGTH:
        raise UsageError(f"{where}: 'url' has {len(url)} characters, at most {MAX_URL_LENGTH} are taken")
    num_bytes = entry.get("original_size")
    if num_bytes is not None and (not isinstance(num_bytes, int) or num_bytes < 0):
        raise UsageError(f"{where}: 'original_size' must be a number of bytes")
    if url_template is None:
        return ImageSource(image_id, url, entry.get("original_md5") or "", num_bytes)
    subset = entry.get("subset") or ""
    if not subset and "{subset" in url_template:
        raise UsageError(f"{where}: the URL template asks for {{subset}}, which is missing here")
    if not url and "{url" in url_template:
        return ImageSource(image_id, "")
    return ImageSource(image_id, url_template.format(id=image_id, subset=quote(subset, safe=""), url=url), "", None)
