"""Groups of images that must stay together: of one author or product by a CSV's column, or near-duplicates by hash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.metadata.csv_rows import read_rows
from data_prep.runtime.ledger import Ledger
from data_prep.runtime.progress import progress
from data_prep.splitting.hash_cache import hash_images
from data_prep.splitting.image_hash import joined_groups, near_duplicate_groups, numbered_by_first


@dataclass(frozen=True)
class ColumnGroups:
    """Images by the value of a CSV's column.

    Attributes:
        groups: [N] int64, the group of each image; one without a value has a group of its own.
        num_without_value: Images with an empty value.
        num_not_listed: Images that no CSV lists.
    """

    groups: np.ndarray
    num_without_value: int
    num_not_listed: int


def groups_by_column(
    image_ids: Sequence[str], csv_paths: Sequence[Path], *, id_column: str, group_column: str, ledger: Ledger
) -> ColumnGroups:
    """Groups images whose rows have the same value in a column.

    Args:
        image_ids: N ids.
        csv_paths: One or more CSVs with a header, plain or gzipped.
        id_column: Holds the image id.
        group_column: Holds what images of a group share. Spaces around it do not count.
        ledger: Gets rows that are no CSV.

    Raises:
        UsageError: A CSV cannot be read or lacks a column.
        UserError: It is damaged.
    """
    number_of_id = {image_id: number for number, image_id in enumerate(image_ids)}
    value_numbers: dict[str, int] = {}
    edges: list[tuple[int, int]] = []  # (image, value): an image with two rows joins both values' images
    listed = np.zeros(len(image_ids), bool)
    with_value = np.zeros(len(image_ids), bool)
    for path in csv_paths:

        def reject_row(line: int, reason: str, detail: str, name: str = path.name) -> None:
            ledger.reject(f"{name}:{line}", reason, detail)

        rows = read_rows(path, required=(id_column, group_column), on_bad_row=reject_row)
        for _, (image_id, value) in progress(rows, description=f"reading {path.name}", unit="rows"):
            number = number_of_id.get(image_id)
            if number is None:
                continue
            listed[number] = True
            shared = value.strip()
            if shared:
                with_value[number] = True
                edges.append((number, value_numbers.setdefault(shared, len(value_numbers))))
    num_images = len(image_ids)
    nodes = np.arange(num_images + len(value_numbers))
    if edges:
        pairs = np.array(edges, np.int64).T
        pairs[1] += num_images
        nodes = joined_groups(nodes, pairs)
    groups = numbered_by_first(nodes[:num_images])
    return ColumnGroups(groups, int((listed & ~with_value).sum()), int((~listed).sum()))


@dataclass(frozen=True)
class HashGroups:
    """Images by their likeness.

    Attributes:
        groups: [N] int64, the group of each image; one without a hash has a group of its own.
        num_hashed: Images that this run hashed.
        num_from_cache: Images that an earlier run hashed.
    """

    groups: np.ndarray
    num_hashed: int
    num_from_cache: int


def groups_by_likeness(
    image_ids: Sequence[str],
    directories: Sequence[Path],
    *,
    max_distance: int,
    ledger: Ledger,
    num_processes: int | None = None,
    cache_directory: Path | None = None,
) -> HashGroups:
    """Groups near-duplicates: images whose perceptual hashes differ in at most `max_distance` bits.

    Args:
        image_ids: N plain file names.
        directories: Where the images are.
        max_distance: In bits, 0..64.
        ledger: Gets images that cannot be read, with the reason; they stay, in groups of their own.
        num_processes: Images hashed at a time; None for one a core.
        cache_directory: Where hashes are kept; None for beside each folder.
    """
    hashes = np.zeros(len(image_ids), np.uint64)
    has_hash = np.zeros(len(image_ids), bool)
    num_from_cache = 0
    outcomes = hash_images(image_ids, directories, num_processes=num_processes, cache_directory=cache_directory)
    for number, outcome in enumerate(outcomes):
        if outcome.hash is None:
            ledger.reject(image_ids[number], outcome.reason, outcome.detail)
            continue
        hashes[number] = outcome.hash
        has_hash[number] = True
        num_from_cache += outcome.from_cache
    groups = np.arange(len(image_ids)) + len(image_ids)  # those without a hash: each its own
    groups[has_hash] = near_duplicate_groups(hashes[has_hash], max_distance)
    return HashGroups(numbered_by_first(groups), int(has_hash.sum()) - num_from_cache, num_from_cache)


def united_groups(*groupings: np.ndarray) -> np.ndarray:
    """Returns [N] int64 groups in which two images are together when any grouping has them together, or a chain does.

    Args:
        groupings: One or more of [N] int64.
    """
    num_images = len(groupings[0])
    joined = np.arange(num_images)
    for grouping in groupings:
        _, first, inverse = np.unique(grouping, return_index=True, return_inverse=True)
        joined = joined_groups(joined, np.stack([np.arange(num_images), first[inverse.reshape(-1)]]))
    return numbered_by_first(joined)


def group_sizes_line(groups: np.ndarray, image_ids: Sequence[str]) -> str:
    """Returns, in words, how many groups there are, how many have several images, and the largest."""
    sizes = np.bincount(groups)
    largest = int(np.argmax(sizes))
    example = image_ids[int(np.argmax(groups == largest))]
    shared = sizes[sizes > 1]
    return (
        f"{len(groups)} images in {len(sizes)} groups, {len(shared)} of several images "
        f"({int(shared.sum())} in all); the largest, with {example}, has {int(sizes[largest])}"
    )
