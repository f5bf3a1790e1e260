"""Perceptual hashes: 64 bits that stay nearly the same when an image is encoded anew, resized or slightly retouched.

The hash is pHash (imagehash.phash): of the image shrunk to 32x32 grey pixels, the 8x8 lowest frequencies of the
cosine transform, each above or below their median. Copies of a photograph differ in 0 to 4 bits, unrelated photographs
in about 32. Images without content (one flat colour) all have much the same hash. A mirrored or turned copy is not
found: its hash is another.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
from PIL import Image

from data_prep.images.image_file import decode_rgb, read_header
from data_prep.runtime.large_image_turn import large_image_turn

HASH_BITS = 64
DECODED_PIXELS = 128  # a side, at least: four times what the hash shrinks an image to
DEFAULT_MAX_DISTANCE = 4
LARGEST_MAX_DISTANCE = 12  # beyond it, unrelated photographs of plain scenes are taken for copies
EDGES_AT_ONCE = 4_000_000
_SORTING_COST = 4.0  # of one hash in one table, in comparisons of two hashes; measured


def perceptual_hash(image: Image.Image) -> int:
    """Returns the 64-bit perceptual hash of an image, 0 <= hash < 2**64; EXIF orientation is not applied."""
    import imagehash  # brings SciPy, half a second

    bits = imagehash.phash(image).hash.reshape(HASH_BITS)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def hash_content(content: bytes) -> int:
    """Returns the perceptual hash of an encoded image.

    A JPEG is decoded at a half, a quarter or an eighth of its size, as far as the hash has no need of more, and without
    its colours.

    Raises:
        ImageError: It does not decode, or only in part, or has too many pixels.
    """
    header = read_header(content)
    with large_image_turn(header.width * header.height):  # which is not over before the decoded image is gone
        return _hash_content(content, header.format)


def _hash_content(content: bytes, image_format: str) -> int:
    if image_format == "JPEG":
        import simplejpeg

        try:
            grey = simplejpeg.decode_jpeg(content, "GRAY", min_height=DECODED_PIXELS, min_width=DECODED_PIXELS)
        except ValueError:
            pass  # CMYK, or broken: Pillow decodes it, or says what is wrong
        else:
            return perceptual_hash(Image.fromarray(grey[:, :, 0]))
    return perceptual_hash(decode_rgb(content))


def near_pairs(hashes: np.ndarray, max_distance: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields all pairs of hashes that differ in at most `max_distance` bits, in chunks; a pair may come more than once.

    The bits are cut into `max_distance + k` blocks. Two hashes within the distance agree in at least k whole blocks, so
    that a table for every choice of k blocks, sorted by their bits, brings each such pair together in one of the tables
    (G. S. Manku, A. Jain, A. Das Sarma: "Detecting Near-Duplicates for Web Crawling", WWW 2007). With k chosen for the
    number of hashes, a table's keys are nearly all different and the time grows like sorting.

    Args:
        hashes: [N] uint64, each different from all others.
        max_distance: 0..64.

    Yields:
        Three arrays [M]: indices of `hashes` (int64, the left below the right), and their distances (uint8).
    """
    if not 0 <= max_distance <= HASH_BITS:
        raise ValueError(f"a distance of {max_distance} bits")
    if max_distance == 0 or len(hashes) < 2:
        return
    for mask in _table_masks(len(hashes), max_distance):
        keys = hashes & np.uint64(mask)
        order = np.argsort(keys)
        keys, in_order = keys[order], hashes[order]
        # Within a run of equal keys every two are compared: neighbours first, then those two apart, and so on.
        positions: np.ndarray = np.arange(len(keys) - 1)
        for apart in range(1, len(keys)):
            positions = positions[positions < len(keys) - apart]
            positions = positions[keys[positions] == keys[positions + apart]]
            if not len(positions):
                break
            distances = np.bitwise_count(in_order[positions] ^ in_order[positions + apart])
            near = np.flatnonzero(distances <= max_distance)
            if len(near):
                first, second = order[positions[near]], order[positions[near] + apart]
                yield np.minimum(first, second), np.maximum(first, second), distances[near]


def near_duplicate_groups(hashes: np.ndarray, max_distance: int) -> np.ndarray:
    """Puts hashes into groups: two are in one group when steps of at most `max_distance` bits lead from one to another.

    Args:
        hashes: [N] uint64, in any order, equal ones included.
        max_distance: In bits, 0..64.

    Returns:
        [N] int64, the group of each hash; groups are numbered from 0 in the order of their first hash.
    """
    unique, inverse = np.unique(np.asarray(hashes, np.uint64), return_inverse=True)
    edges: list[np.ndarray] = []
    groups = np.arange(len(unique))
    for left, right, _ in near_pairs(unique, max_distance):
        edges.append(np.stack([left, right]))
        if sum(edge.shape[1] for edge in edges) > EDGES_AT_ONCE:
            groups, edges = joined_groups(groups, np.concatenate(edges, axis=1)), []
    if edges:
        groups = joined_groups(groups, np.concatenate(edges, axis=1))
    return numbered_by_first(groups[inverse.reshape(-1)])


def joined_groups(groups: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Joins groups whose members an edge connects.

    Args:
        groups: [N] int64, the group of each item, 0 to N - 1.
        edges: [2, M] int64, pairs of items.

    Returns:
        [N] int64, the new group of each item.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    left, right = groups[edges[0]], groups[edges[1]]
    size = int(groups.max()) + 1 if len(groups) else 0
    graph = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(size, size))
    return connected_components(graph, directed=False)[1].astype(np.int64)[groups]


def numbered_by_first(groups: np.ndarray) -> np.ndarray:
    """Returns `groups` ([N]) renumbered from 0 in the order in which each first comes; [N] int64."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    number = np.empty(len(first), np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    return number[inverse.reshape(-1)]


def _table_masks(num_hashes: int, max_distance: int) -> list[int]:
    """Returns the bits that each table goes by, for the number of blocks to agree in that costs least."""

    def cost(agreeing: int) -> float:
        num_blocks = max_distance + agreeing
        bits = HASH_BITS * agreeing / num_blocks
        return math.comb(num_blocks, agreeing) * (_SORTING_COST + num_hashes / 2 ** (bits + 1))

    agreeing = min(range(HASH_BITS - max_distance + 1), key=cost)  # of none: one table, in which all are compared
    num_blocks = max_distance + agreeing
    # Neighbouring bits are of neighbouring frequencies and alike: a block takes every num_blocks-th bit.
    blocks = [sum(1 << bit for bit in range(block, HASH_BITS, num_blocks)) for block in range(num_blocks)]
    return [sum(chosen) for chosen in itertools.combinations(blocks, agreeing)]
