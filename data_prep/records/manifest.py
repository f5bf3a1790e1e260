"""NAME.record.manifest.json, beside the shards: what is in them, and what they were made from.

Written by `make_tfrecords`, which reads it to do only what has changed; read by `verify_tfrecords`, and by training,
which holds its label map against the one that the records were made with.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.formats.label_map import LabelMap, LabelMapItem, format_label_map
from data_prep.records.record_rules import ids_by_text
from data_prep.records.shard_report import ShardReport, report_of_json, sum_of
from data_prep.runtime.atomic_files import write_text
from data_prep.runtime.command_line import UsageError, UserError

VERSION = 1
SUFFIX = ".manifest.json"
MAX_BYTES = 512 * 1024 * 1024  # ten thousand shards of all 600 classes have some 200 MB

_SHARD_NAME = re.compile(r"(?P<prefix>.*)-\d{5}-of-\d{5}", re.DOTALL)
_SPLIT_SUFFIXES = (".record", ".records", ".tfrecord", ".tfrecords")


@dataclass(frozen=True)
class ShardEntry:
    """One shard.

    Attributes:
        name: The file's name.
        fingerprint: Of what it was made from: points, images (their sizes and times), ids and rules.
        report: What is in it.
    """

    name: str
    fingerprint: str
    report: ShardReport

    def as_json(self) -> dict[str, Any]:
        """Returns the entry as JSON holds it."""
        return {"name": self.name, "fingerprint": self.fingerprint, **self.report.as_json()}


@dataclass(frozen=True)
class Manifest:
    """Record of what one run of `make_tfrecords` wrote.

    Attributes:
        name: What the shards' names begin with, such as `train.record`.
        label_map: The classes that the records were made with.
        label_map_path: Where they were read from.
        settings: The flags that decide what is written, by name.
        command: The command line.
        shards: In their order.
    """

    name: str
    label_map: LabelMap
    label_map_path: str
    settings: Mapping[str, Any]
    command: str
    shards: tuple[ShardEntry, ...]

    @property
    def split(self) -> str:
        """The split's name: that of the records without its ending, such as `train`."""
        suffix = next((suffix for suffix in _SPLIT_SUFFIXES if self.name.endswith(suffix)), "")
        return self.name.removesuffix(suffix) or self.name

    def total(self) -> ShardReport:
        """Returns the sum over the shards."""
        return sum_of(entry.report for entry in self.shards)


def class_differences(manifest: Manifest, label_map: LabelMap) -> list[str]:
    """Returns what of the records' classes is not the same in `label_map`, in words.

    A class may be called by its name or its display name, as where records are read. Classes that only `label_map` has
    are no difference: records know nothing of them.
    """
    if label_map_hash(manifest.label_map) == label_map_hash(label_map):
        return []
    ids = ids_by_text(label_map)
    found = []
    for item in manifest.label_map:
        name = f"{item.name!r} ({item.display_name})" if item.display_name else repr(item.name)
        if item.name not in ids:
            found.append(f"class {name}, id {item.id} there, is missing here")
        elif ids[item.name] != item.id:
            found.append(f"class {name} has id {item.id} there and {ids[item.name]} here")
    return found


def label_map_hash(label_map: LabelMap) -> str:
    """Returns the SHA-256 of what a label map says, whatever its layout, order and comments."""
    return hashlib.sha256(format_label_map(label_map).encode()).hexdigest()


def manifest_path(output_path: str | os.PathLike[str]) -> Path:
    """Returns the manifest's path beside the shards whose names begin with `output_path`."""
    path = Path(output_path)
    return path.with_name(path.name + SUFFIX)


def manifest_path_of_shard(shard: str) -> str:
    """Returns where the manifest of a shard would lie, or of a file that is a set of its own."""
    match = _SHARD_NAME.fullmatch(shard)
    return (match["prefix"] if match else shard) + SUFFIX


def format_manifest(manifest: Manifest) -> str:
    """Returns the manifest's text: totals first, for people; then a line for each shard."""
    total = manifest.total()
    reasons: dict[str, int] = {}
    for entry in manifest.shards:
        for _, reason, _ in entry.report.rejected:
            reasons[reason] = reasons.get(reason, 0) + 1
    head = {
        "version": VERSION,
        "name": manifest.name,
        "split": manifest.split,
        "num_points": total.num_points,
        "num_records": total.num_images,
        "num_records_without_boxes": total.num_images_without_boxes,
        "num_boxes": total.boxes_by_label.total(),
        "num_bytes": total.num_bytes,
        "left_out": dict(sorted(total.left_out.items())),
        "rejected": dict(sorted(reasons.items())),
        "command": manifest.command,
        "settings": dict(manifest.settings),
        "label_map": {"path": manifest.label_map_path, "sha256": label_map_hash(manifest.label_map)},
    }
    classes = [
        {
            "id": item.id,
            "name": item.name,
            "display_name": item.display_name,
            "boxes": total.boxes_by_label[item.name],
            "images": total.images_by_label[item.name],
            "verified_present": total.verified_present[item.name],
            "verified_absent": total.verified_absent[item.name],
        }
        for item in manifest.label_map
    ]
    shards = [entry.as_json() for entry in manifest.shards]
    lists = [
        f' "{key}": [\n' + ",\n".join(f"  {json.dumps(item)}" for item in items) + "\n ]"
        for key, items in (("classes", classes), ("shards", shards))
    ]
    return ",\n".join([json.dumps(head, indent=1)[: -len("\n}")], *lists]) + "\n}\n"


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Writes a manifest, whole or not at all."""
    write_text(path, format_manifest(manifest))


def read_manifest(path: str | os.PathLike[str]) -> Manifest | None:
    """Reads a manifest; None where there is none.

    Args:
        path: A file here, or what `tf.io.gfile` opens (`gs://...`).

    Raises:
        UserError: It is there, but is none.
    """
    content = _content(str(path))
    if content is None:
        return None
    try:
        return _of_json(json.loads(content))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, UsageError) as error:
        raise UserError(
            f"{path} is no manifest of ours ({type(error).__name__}: {str(error)[:200]}); delete it, or write the "
            "records again with data_prep.make_tfrecords"
        ) from error


def _of_json(values: Any) -> Manifest:
    if values["version"] != VERSION:
        raise ValueError(f"version {values['version']!r}, not {VERSION}")
    classes = LabelMap(
        LabelMapItem(int(item["id"]), str(item["name"]), str(item["display_name"])) for item in values["classes"]
    )
    shards = tuple(
        ShardEntry(str(shard["name"]), str(shard["fingerprint"]), report_of_json(shard)) for shard in values["shards"]
    )
    return Manifest(
        name=str(values["name"]),
        label_map=classes,
        label_map_path=str(values["label_map"]["path"]),
        settings=dict(values["settings"]),
        command=str(values["command"]),
        shards=shards,
    )


def _content(path: str) -> bytes | None:
    if "://" in path:
        import tensorflow as tf

        if not tf.io.gfile.exists(path):
            return None
        with tf.io.gfile.GFile(path, "rb") as file:
            return bytes(file.read(MAX_BYTES))
    if not Path(path).is_file():
        return None
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_BYTES)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
