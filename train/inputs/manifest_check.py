"""Check of a reader's label map against the manifests beside its records: ids that moved would train wrong classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from configs.settings.inputs import InputReader
from data_prep.formats.label_map import LabelMapItem, read_label_map
from data_prep.formats.shard_names import find_shards
from data_prep.records.manifest import Manifest, class_differences, manifest_path_of_shard, read_manifest
from data_prep.runtime.command_line import UsageError
from train.inputs.records import check_filled_in, input_paths


def check_manifests(reader: InputReader, where: str) -> None:
    """Checks that the records of an input reader were made with its label map, as far as manifests say so.

    Records without a manifest pass, and so does a reader without a label map, which takes the records' ids. Several
    record sets may have classes of their own, as long as each class of the label map is in one of them.

    Args:
        reader: The input reader.
        where: Its path in the config, for messages.

    Raises:
        UsageError: A class of the records is missing from the label map or has another id there, or a class of the
            label map is in none of the records; with what to do.
        UserError: A manifest is broken.
    """
    if not reader.label_map_path:
        return
    check_filled_in(reader.label_map_path, f"{where}.label_map_path")
    label_map = read_label_map(reader.label_map_path)
    shards = find_shards(input_paths(reader, where))
    manifests: dict[str, Manifest] = {}
    num_listed = 0
    for path in dict.fromkeys(map(manifest_path_of_shard, shards)):
        manifest = read_manifest(path)
        if manifest is None:
            continue
        names = {entry.name for entry in manifest.shards}
        of_manifest = [shard for shard in shards if manifest_path_of_shard(shard) == path and _name(shard) in names]
        if of_manifest:  # otherwise it is that of another set, whose shards are gone
            manifests[path] = manifest
            num_listed += len(of_manifest)
    for path, manifest in manifests.items():
        if differences := class_differences(manifest, label_map):
            raise UsageError(_sentence(where, path, manifest, reader.label_map_path, differences))
    if num_listed < len(shards):
        return  # any class may be in the records that no manifest tells of
    unknown = [item for item in label_map if not any(_knows(manifest, item) for manifest in manifests.values())]
    if unknown:
        path, manifest = next(iter(manifests.items()))
        differences = [f"class {item.name!r}, id {item.id} here, is missing there" for item in unknown]
        raise UsageError(_sentence(where, path, manifest, reader.label_map_path, differences))


def _sentence(where: str, path: str, manifest: Manifest, label_map_path: str, differences: Sequence[str]) -> str:
    more = f" (and {len(differences) - 1} more differences)" if len(differences) > 1 else ""
    return (
        f"{where}: the label map that the records were made with ({path}, there) is not {label_map_path} (here): "
        f"{differences[0]}{more}; set label_map_path to the records' own, which was {manifest.label_map_path}, or "
        f"write the records again with data_prep.make_tfrecords --label_map_path {label_map_path}"
    )


def _knows(manifest: Manifest, item: LabelMapItem) -> bool:
    return any(other.name in (item.name, item.display_name) for other in manifest.label_map)


def _name(shard: str) -> str:
    return PurePath(shard).name
