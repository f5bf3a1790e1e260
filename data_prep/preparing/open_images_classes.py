"""The classes that a preparation of Open Images is asked for, looked up in the release."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.metadata.hierarchy import Expansion, read_hierarchy
from data_prep.metadata.open_images import read_class_descriptions, wanted_classes, with_descendants
from data_prep.preparing.release_files import CLASS_DESCRIPTIONS, HIERARCHY
from data_prep.preparing.release_metadata import ReleaseMetadata


@dataclass(frozen=True)
class Classes:
    """The classes asked for.

    Attributes:
        labels: Their MIDs, kinds among them where they are asked for.
        names: The names of all classes of the release, by MID.
        descriptions: The file that has the names.
        hierarchy: The file that says what is a kind of what; None where no flag wants it.
        expansion: What `--expand_hierarchy` repeats; None without it.
    """

    labels: Sequence[str]
    names: Mapping[str, str]
    descriptions: Path
    hierarchy: Path | None
    expansion: Expansion | None


def read_classes(flags: argparse.Namespace, metadata: ReleaseMetadata) -> Classes:
    """Looks the classes up, before anything large is fetched.

    Raises:
        UsageError: One is unknown.
        UserError: A file cannot be had.
    """
    names = [CLASS_DESCRIPTIONS[flags.version]]
    names += [HIERARCHY] * (flags.with_descendants or flags.expand_hierarchy)
    descriptions_path, *others = metadata.have(names)
    descriptions = read_class_descriptions(descriptions_path)
    labels = wanted_classes(flags.trainable_classes_path, flags.classes, descriptions)
    if not others:
        return Classes(labels or (), descriptions, descriptions_path, None, None)
    hierarchy = read_hierarchy(others[0])
    if flags.with_descendants:
        labels = with_descendants(labels, hierarchy, descriptions)
    expansion = Expansion(hierarchy, labels, descriptions) if flags.expand_hierarchy else None
    return Classes(labels or (), descriptions, descriptions_path, others[0], expansion)
