"""Keys of JSON objects that had another name in earlier versions, whose files are read still."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_EARLIER = {"image": "picture", "images": "pictures", "images_with": "pictures_with"}


def value_of(entry: Mapping[str, Any], key: str) -> Any:
    """Returns `entry[key]`, or in an earlier version's object what the key's earlier name has.

    Raises:
        KeyError: Neither is there; it names the key as it is now.
    """
    earlier = _EARLIER[key]
    return entry[earlier if key not in entry and earlier in entry else key]
