"""The files of a data set that TensorFlow Datasets has prepared: its splits, their shards, and the names of classes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.annotations.class_names import read_class_names
from data_prep.runtime.command_line import UsageError

INFO_FILE = "dataset_info.json"
FEATURES_FILE = "features.json"
LABELS_SUFFIX = "-label.labels.txt"
MAX_INFO_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 3  # folders between what is given and a version's folder: NAME/CONFIG/VERSION

_SHARD = re.compile(r".+-(?P<split>[A-Za-z0-9_]+)\.tfrecord-(?P<index>\d{5})-of-(?P<count>\d{5})", re.DOTALL)
_BOX_FORMAT = re.compile(rb'"bboxFormat"\s*:\s*"(\w+)"')
_OUR_BOX_FORMAT = b"REL_YXYX"


@dataclass(frozen=True)
class DataSet:
    """A prepared data set.

    Attributes:
        folder: The version's.
        shards: The files of each split, in their order.
        lengths: How many records each file must have, by its name, where dataset_info.json says it.
        objects: The names of the classes, by the sequences of objects that may have boxes.
    """

    folder: Path
    shards: Mapping[str, list[Path]]
    lengths: Mapping[str, int]
    objects: Mapping[str, list[str]]


def find_data_set(path: Path) -> DataSet:
    """Returns the only data set in a folder or up to `MAX_DEPTH` folders below it.

    Raises:
        UsageError: There is none, or there are several; it lacks a file, or is not of TFRecords.
    """
    found = [file for depth in range(MAX_DEPTH + 1) for file in sorted(path.glob("*/" * depth + INFO_FILE))]
    if len(found) != 1:
        listed = ", ".join(str(file.parent) for file in found[:5]) or "none"
        raise UsageError(f"{path}: one folder with {INFO_FILE} is wanted, as NAME/CONFIG/VERSION; found {listed}")
    folder = found[0].parent
    info = _read_info(found[0])
    file_format = info.get("fileFormat", "tfrecord")
    if file_format != "tfrecord":
        raise UsageError(f"{found[0]}: the data set is of {str(file_format)[:40]!r}; only TFRecords are read")
    box_formats = set(_BOX_FORMAT.findall(_read_bytes(folder / FEATURES_FILE)))
    if box_formats - {_OUR_BOX_FORMAT}:
        other = min(box_formats - {_OUR_BOX_FORMAT}).decode()[:40]
        raise UsageError(f"{folder / FEATURES_FILE}: boxes are {other}; only REL_YXYX are read")
    by_split: dict[str, dict[str, Path]] = {}
    for file in sorted(folder.iterdir()):
        if match := _SHARD.fullmatch(file.name):
            by_split.setdefault(match["split"], {})[f"{match['index']}-of-{match['count']}"] = file
    if not by_split:
        raise UsageError(f"{folder}: no files NAME-SPLIT.tfrecord-00000-of-000NN in it")
    for split, shards in by_split.items():
        count = int(next(iter(shards))[-5:])
        missing = [name for name in (f"{i:05d}-of-{count:05d}" for i in range(count)) if name not in shards]
        if missing or len(shards) != count:
            what = f"{len(missing)} are missing, the first {missing[0]}" if missing else "there are more"
            raise UsageError(f"{folder}: of the {count} files of split {split!r}, {what}; prepare it again")
    objects = {}
    for file in sorted(folder.glob("*" + LABELS_SUFFIX)):
        objects[file.name.removesuffix(LABELS_SUFFIX)] = list(read_class_names(file)[0].values())
    listed_shards = {split: list(shards.values()) for split, shards in by_split.items()}
    return DataSet(folder, listed_shards, _lengths(info, listed_shards), objects)


def _lengths(info: Mapping[str, Any], shards: Mapping[str, list[Path]]) -> dict[str, int]:
    lengths: dict[str, int] = {}
    splits = info.get("splits")
    for split in splits if isinstance(splits, list) else []:
        counts = split.get("shardLengths") if isinstance(split, dict) else None
        files = shards.get(str(split.get("name"))) if isinstance(split, dict) else None
        if isinstance(counts, list) and files is not None and len(counts) == len(files):
            pairs = zip(files, map(str, counts), strict=True)
            lengths |= {file.name: int(count) for file, count in pairs if count.isdecimal() and len(count) < 12}
    return lengths


def _read_info(path: Path) -> dict[str, Any]:
    try:
        info = json.loads(_read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not JSON: {error}") from error
    if not isinstance(info, dict):
        raise UsageError(f"{path}: must be a JSON object")
    return info


def _read_bytes(path: Path) -> bytes:
    """Returns a file's bytes; none where it is not there, as older versions write no features.json."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_INFO_BYTES + 1)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    if len(content) > MAX_INFO_BYTES:
        raise UsageError(f"{path}: over {MAX_INFO_BYTES // 2**20} MiB")
    return content
