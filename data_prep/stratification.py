"""Pictures with several classes each shared out to splits so that every class comes in the asked-for proportion.

After K. Sechidis, G. Tsoumakas, I. Vlahavas: "On the Stratification of Multi-Label Data", ECML PKDD 2011: the class
with the fewest pictures left goes first, each of its pictures to the split that lacks most of it. Rare classes are
shared out while every split still has room; common ones come right in the end by their number. Here, groups of pictures
(of one object, by one author) go as one, the largest first; a split's size is kept; and a class that several groups
have is present in every split that must have it, wherever moving one group can bring that about.

The time grows with the number of (picture, class) pairs, not with pictures times classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOVES_TRIED = 10_000  # groups looked at for one that makes room for another


@dataclass(frozen=True)
class Groups:
    """G groups of pictures and the classes on them, C in all.

    Attributes:
        sizes: [G] int64, pictures in each group, from 1.
        starts: [G + 1] int64; group g's pairs are `starts[g]` to `starts[g + 1]`.
        classes: [P] int64, the class of each pair; within a group each at most once.
        counts: [P] int64, how many of the group's pictures have the class.
        num_classes: C.
    """

    sizes: np.ndarray
    starts: np.ndarray
    classes: np.ndarray
    counts: np.ndarray
    num_classes: int


def group_pictures(
    image_of_pair: np.ndarray, class_of_pair: np.ndarray, group_of_image: np.ndarray, num_classes: int
) -> Groups:
    """Sums the classes of pictures up by group.

    Args:
        image_of_pair: [P] int64, a picture,
        class_of_pair: [P] int64, and a class that is on it; no pair twice.
        group_of_image: [N] int64, the group of each picture: 0 to G - 1, none empty.
        num_classes: C.
    """
    sizes = np.bincount(group_of_image).astype(np.int64)
    keys = group_of_image[image_of_pair] * np.int64(max(num_classes, 1)) + class_of_pair
    pairs, counts = np.unique(keys, return_counts=True)
    group_of_pair, classes = np.divmod(pairs, max(num_classes, 1))
    starts = np.searchsorted(group_of_pair, np.arange(len(sizes) + 1))
    return Groups(sizes, starts.astype(np.int64), classes, counts.astype(np.int64), num_classes)


def stratify(
    groups: Groups, sizes: Sequence[int], *, required: Sequence[int], seed: int, strict_sizes: bool = False
) -> np.ndarray:
    """Shares groups out to splits.

    Args:
        groups: What is shared out.
        sizes: Pictures wanted in each split; their sum is the number of all pictures. Where all groups are of one
            picture, exactly as many go there; otherwise as near as whole groups come.
        required: Splits that should have every class; a class of fewer groups than these goes to the first of them.
        seed: Decides between groups that are alike.
        strict_sizes: Rather leaves a class out of a split than changes the split's size for it.

    Returns:
        [G] int64, the split of each group.

    Raises:
        ValueError: The sizes do not add up to the number of pictures.
    """
    if sum(sizes) != int(groups.sizes.sum()):
        raise ValueError(f"splits of {list(sizes)} pictures cannot hold {int(groups.sizes.sum())}")
    sharing = _Sharing(groups, sizes, required, np.random.default_rng(seed % 2**63))
    sharing.share_out()
    sharing.bring_missing_classes(strict_sizes=strict_sizes)
    return np.array(sharing.split_of_group, np.int64)


class _Sharing:
    """The state of sharing out; plain lists, since they are read and written one number at a time."""

    def __init__(
        self, groups: Groups, sizes: Sequence[int], required: Sequence[int], random: np.random.Generator
    ) -> None:
        num_splits, num_groups = len(sizes), len(groups.sizes)
        pictures_of_class = np.bincount(groups.classes, groups.counts, groups.num_classes)
        total = max(int(groups.sizes.sum()), 1)
        self._groups = groups
        self._random = random
        self._required = [split for split in required if sizes[split] > 0]
        self._sizes: list[int] = groups.sizes.tolist()
        starts, classes, counts = groups.starts.tolist(), groups.classes.tolist(), groups.counts.tolist()
        self._pairs = [
            list(zip(classes[start:end], counts[start:end], strict=True)) for start, end in itertools.pairwise(starts)
        ]
        self._groups_of_class: list[int] = np.bincount(groups.classes, minlength=groups.num_classes).tolist()
        # Pictures that each split still lacks, of each class and in all; and groups of each class that it has.
        self._wanted: list[list[float]] = [(pictures_of_class * (size / total)).tolist() for size in sizes]
        self._room = list(sizes)
        self._present = [[0] * groups.num_classes for _ in range(num_splits)]
        self.split_of_group = [-1] * num_groups
        self._simplest_first: list[int] = []  # groups by number of classes, once a move needs it

    def share_out(self) -> None:
        """Gives every group a split."""
        # The largest groups go first, while there is room for them; among equals, chance decides.
        order = np.lexsort((self._random.random(len(self._sizes)), -self._groups.sizes))
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        group_of_pair = np.repeat(np.arange(len(self._sizes)), np.diff(self._groups.starts))
        by_class = np.lexsort((rank[group_of_pair], self._groups.classes))
        members_of_class = np.split(
            group_of_pair[by_class],
            np.searchsorted(self._groups.classes[by_class], np.arange(1, self._groups.num_classes)),
        )
        left = np.array(self._groups_of_class, np.int64)
        while left.any():
            rarest = int(np.argmin(np.where(left > 0, left, np.iinfo(np.int64).max)))
            members = [group for group in members_of_class[rarest].tolist() if self.split_of_group[group] < 0]
            for done, group in enumerate(members):
                self._place(group, self._best_split(group, rarest, len(members) - done))
            pairs = [self._groups.classes[self._groups.starts[g] : self._groups.starts[g + 1]] for g in members]
            left -= np.bincount(np.concatenate(pairs), minlength=len(left))
        for group in order.tolist():
            if self.split_of_group[group] < 0:  # nothing is on its pictures
                self._place(group, max(range(len(self._room)), key=self._room.__getitem__))

    def bring_missing_classes(self, *, strict_sizes: bool) -> None:
        """Moves single groups so that required splits have the classes that sharing out has kept from them."""
        rarest_first = sorted(range(self._groups.num_classes), key=self._groups_of_class.__getitem__)
        members_of_class: dict[int, list[int]] = {}
        lacking = [
            (label, split)
            for label in rarest_first
            for place, split in enumerate(self._required)
            if self._groups_of_class[label] > place and not self._present[split][label]
        ]
        missing = {label for label, _ in lacking}
        for group, pairs in enumerate(self._pairs if missing else ()):
            for label, _ in pairs:
                if label in missing:
                    members_of_class.setdefault(label, []).append(group)
        for label, split in lacking:
            if self._present[split][label]:  # an earlier move has brought it
                continue
            for group in sorted(members_of_class[label], key=self._sizes.__getitem__):
                if self._may_leave(group) and self._move(group, split, strict_sizes):
                    break

    def _best_split(self, group: int, label: int, groups_left: int) -> int:
        lacking = [split for split in self._required if not self._present[split][label]]
        size = self._sizes[group]
        if lacking and groups_left <= len(lacking) and self._room[lacking[0]] >= size:
            return lacking[0]
        open_splits = [split for split, room in enumerate(self._room) if room >= size]
        if not open_splits:
            return max(range(len(self._room)), key=self._room.__getitem__)
        best = open_splits[0]
        for split in open_splits[1:]:
            ahead = self._wanted[split][label] - self._wanted[best][label]
            if ahead > 0 or (ahead == 0 and self._room[split] > self._room[best]):
                best = split
        return best

    def _place(self, group: int, split: int) -> None:
        wanted, present = self._wanted[split], self._present[split]
        for label, count in self._pairs[group]:
            wanted[label] -= count
            present[label] += 1
        self._room[split] -= self._sizes[group]
        self.split_of_group[group] = split

    def _take_out(self, group: int) -> int:
        split = self.split_of_group[group]
        for label, count in self._pairs[group]:
            self._wanted[split][label] += count
            self._present[split][label] -= 1
        self._room[split] += self._sizes[group]
        return split

    def _may_leave(self, group: int) -> bool:
        """Tells whether no required split loses its last group of a class with this one."""
        split = self.split_of_group[group]
        return split not in self._required or all(self._present[split][label] > 1 for label, _ in self._pairs[group])

    def _move(self, group: int, target: int, strict_sizes: bool) -> bool:
        """Moves a group, and one of the same size back; returns whether it could be."""
        source = self._take_out(group)
        self._place(group, target)
        size = self._sizes[group]
        if not self._simplest_first:
            self._simplest_first = np.argsort(np.diff(self._groups.starts), kind="stable").tolist()
        for other in self._simplest_first[:MOVES_TRIED]:
            back = other != group and self.split_of_group[other] == target and self._sizes[other] == size
            if back and self._may_leave(other):
                self._take_out(other)
                self._place(other, source)
                return True
        if strict_sizes:
            self._take_out(group)
            self._place(group, source)
        return not strict_sizes
