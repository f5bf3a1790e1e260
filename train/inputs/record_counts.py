"""Numbers of records in files, without reading the records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

import tensorflow as tf

from data_prep.records.manifest import manifest_path_of_shard, read_manifest
from data_prep.records.record_files import CorruptRecordError, count_records
from data_prep.runtime.command_line import UserError
from data_prep.runtime.progress import progress


def count_records_of_files(paths: Sequence[str]) -> list[int]:
    """Returns how many records each file has.

    A manifest beside a file that tells of one of its name and size says it; else the lengths in front of the records
    are gone through.

    Raises:
        UserError: A file or a manifest is broken.
    """
    manifests: dict[str, dict[str, tuple[int, int]]] = {}
    counts = []
    for path in progress(paths, description="counting records", unit="file"):
        manifest_path = manifest_path_of_shard(path)
        if manifest_path not in manifests:
            manifests[manifest_path] = _counts_of_manifest(manifest_path)
        num_bytes, num_records = manifests[manifest_path].get(PurePath(path).name, (None, 0))
        try:
            is_listed = num_bytes == tf.io.gfile.stat(path).length
            counts.append(num_records if is_listed else count_records(path))
        except CorruptRecordError as error:
            raise UserError(f"{path}, record {error.number}: {error}; write it again, or leave it out") from error
        except (OSError, tf.errors.OpError) as error:
            raise UserError(f"{path}: {error}; write it again, or leave it out") from error
    return counts


def _counts_of_manifest(path: str) -> dict[str, tuple[int, int]]:
    """Each shard's number of bytes and of records, by its name."""
    manifest = read_manifest(path)
    shards = manifest.shards if manifest is not None else ()
    return {entry.name: (entry.report.num_bytes, entry.report.num_images) for entry in shards}
