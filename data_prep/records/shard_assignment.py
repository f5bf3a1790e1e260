"""The shard of each image, and its place there, by its id and the seed alone.

An image that joins or leaves changes no other's place, so that only the shard that it belongs to need be written anew;
and any process, on any machine, knows an image's place without knowing the other images.
"""

from __future__ import annotations

import hashlib

_RANGE = 2**64


def shuffle_key(image_id: str, seed: int) -> int:
    """Returns the place of an image among all: a whole number of 64 bits, by chance, the same for the same seed.

    An image belongs to shard `key % num_shards`; within a shard, images are in the order of their keys.
    """
    return _draw(image_id, seed, b"place")


def chance(image_id: str, seed: int) -> float:
    """Returns a number from 0 to below 1 for an image, by chance, the same for the same seed."""
    return _draw(image_id, seed, b"chance") / _RANGE


def _draw(image_id: str, seed: int, purpose: bytes) -> int:
    digest = hashlib.blake2b(f"{seed}:{image_id}".encode(), digest_size=8, person=purpose).digest()
    return int.from_bytes(digest, "little")
