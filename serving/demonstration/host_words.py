"""Troubles in a host's words: what became of a photo, and what to do. Details are for those who run the page."""

from __future__ import annotations

from data_prep.images.image_file import NOT_AN_IMAGE

NOT_NOW = "We cannot look at your photos right now. Please try again in a few minutes."
NOT_SET_UP = "This page is not set up yet. Whoever runs it finds the reason below."

_TOO_LARGE = "is too large for us. Please add a smaller copy; as a phone takes it, a photo is fine."
_DAMAGED = "is damaged or incomplete. Please add it again."
_ANOTHER = "We could not look at {photo}. Please add it in another format, such as JPEG."
_AGAIN = "We could not look at {photo} just now. Please try again."
# By the reasons of `ImageError` and of the client's `Failure`.
_SENTENCES = {
    NOT_AN_IMAGE: "{photo} is not a photo that we can read. Please add a JPEG, PNG or WebP file.",
    "empty file": "{photo} is an empty file. Please add it again.",
    "does not decode": f"{{photo}} {_DAMAGED}",
    "damaged": f"{{photo}} {_DAMAGED}",
    "too many pixels": f"{{photo}} {_TOO_LARGE}",
    "too many bytes": f"{{photo}} {_TOO_LARGE}",
    "too many scans": f"{{photo}} {_TOO_LARGE}",
    "out of memory": f"{{photo}} {_TOO_LARGE}",
    "refused by the server": _ANOTHER,
    "timed out": _AGAIN,
    "too much for the server": _AGAIN,
    "failed at the server": _AGAIN,
}


def photo_trouble(name: str, reason: str) -> str:
    """Returns a sentence or two about a photo that cannot be used.

    Args:
        name: What its host calls it.
        reason: Why, as `ImageError` and `Failure` have it.
    """
    return _SENTENCES.get(reason, _ANOTHER).format(photo=f"“{name}”")


def number_of(count: int, one: str) -> str:
    """Returns a count with its noun, such as `1 photo` and `2 photos`."""
    return f"{count} {one if count == 1 else f'{one}s'}"
