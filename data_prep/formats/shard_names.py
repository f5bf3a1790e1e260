"""The names of record files: of the shards of a set, and the files that a pattern means.

TensorFlow is imported only where paths are not of the local disk.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path, PurePath

from data_prep.runtime.atomic_files import TEMPORARY_PREFIX
from data_prep.runtime.command_line import UsageError

MAX_SHARDS = 99_999  # five digits in a shard's name

_SHARD = re.compile(r"(?P<prefix>.*)-(?P<index>\d{5})-of-(?P<count>\d{5})", re.DOTALL)
_SHARDED_NAME = re.compile(r"(?P<prefix>.+)@(?P<count>\d{1,9})", re.DOTALL)
_WILDCARDS = frozenset("*?[")
# Beside records lie manifests, stamps and ledgers, and parts of what is being written: never records, in any glob.
_OTHER_SUFFIXES = (".json", ".jsonl")
_SET_OF_ONE = re.compile(r"(?P<prefix>.+)-(\*|\?{5}|0{5})-of-0{4}1", re.DOTALL)


def shard_path(output_path: str | Path, index: int, count: int) -> Path:
    """Returns the path of shard `index` of `count`, such as `train.record-00000-of-00010`.

    The only shard of a set has the plain name, such as `train.record`, as the API's scripts write it.
    """
    path = Path(output_path)
    if count == 1:
        return path
    return path.with_name(f"{path.name}-{index:05d}-of-{count:05d}")


def find_shards(pattern: str | Sequence[str]) -> list[str]:
    """Returns the record files that `pattern` names, sorted within each of its parts.

    Args:
        pattern: A path, a glob (`train.record-*`), a sharded name (`train.record@10`), several of these with commas
            between, or a list of them. Globs on `gs://` and the like are left to TensorFlow; no glob takes manifests,
            ledgers, stamps and unfinished files. `train.record@1` and `train.record-?????-of-00001` are `train.record`
            too, where there is no other.

    Raises:
        UsageError: A part matches nothing, with what is there in its place; a shard of an `-of-NNNNN` set that a glob
            or `@N` names is missing; or a glob matches two sets of one name (an older run's, with another number of
            shards), which would train twice on the same images.
    """
    parts = pattern.split(",") if isinstance(pattern, str) else [part for item in pattern for part in item.split(",")]
    shards: dict[str, None] = {}  # a dictionary for its order: a file that two parts name is read once
    for part in (part.strip() for part in parts):
        if part:
            shards.update(dict.fromkeys(_expand(part)))
    if not shards:
        raise UsageError(f"no record files: {pattern!r} names none")
    return list(shards)


def refuse_pattern(folder: Path) -> None:
    """Refuses a folder whose name, before that of records, `find_shards` would not take as it is.

    Raises:
        UsageError: It has a comma or a wildcard.
    """
    if {",", *_WILDCARDS} & set(str(folder)):
        raise UsageError(f"{folder}: records in this folder would be taken for a pattern, or for several; rename it")


def _expand(part: str) -> list[str]:
    if _exists(part):
        return [part]
    sharded = _SHARDED_NAME.fullmatch(part)
    one = _SET_OF_ONE.fullmatch(part)
    plain = one["prefix"] if one else sharded["prefix"] if sharded and int(sharded["count"]) == 1 else ""
    if plain and not _WILDCARDS & set(plain) and _exists(plain) and not _exists(f"{plain}-00000-of-00001"):
        return [plain]
    if sharded is not None:
        paths = _set_of(sharded["prefix"], int(sharded["count"]))
        _check_complete(part, paths)
        return paths
    if "://" not in part and Path(part).exists():
        raise UsageError(f"{part}: not a regular file, as records must be in")
    if not _WILDCARDS & set(part):
        raise UsageError(f"no such record file: {part}{_what_is_there(part)}")
    matches = _glob(part)
    if not matches:
        raise UsageError(f"no record file matches {part}{_what_is_there(part)}")
    counts: dict[str, set[int]] = {}
    for shard in filter(None, map(_SHARD.fullmatch, matches)):
        counts.setdefault(shard["prefix"], set()).add(int(shard["count"]))
    for prefix, of_prefix in counts.items():
        if len(of_prefix) > 1:
            in_words = " and ".join(str(count) for count in sorted(of_prefix))
            raise UsageError(
                f"{part} matches two runs of {prefix}, of {in_words} shards; delete the stale ones or write the number "
                f"out, as in {prefix}-?????-of-{max(of_prefix):05d}"
            )
        count = of_prefix.pop()
        if prefix in matches:
            raise UsageError(
                f"{part} matches two runs of {prefix}, one of a single file and one of {count} shards; delete what is "
                f"stale, or write {prefix} or {prefix}-?????-of-{count:05d}"
            )
        # On disk, not among the matches: who writes `-0000[0-4]-of-00010` wants just these five.
        _check_complete(part, _set_of(prefix, count))
    return matches


def _what_is_there(part: str) -> str:
    """Returns, for a message, what records lie where there is no `part`: under the plain name, or as shards."""
    if _WILDCARDS & set(part):
        plain = re.sub(r"-[^-/]*(-of-[^-/]*)?$", "", part)
        if plain != part and not _WILDCARDS & set(plain) and _exists(plain):
            return f"; {plain} is there: write that"
        return ""
    shards = [path for path in _glob(glob.escape(part) + "-*-of-*") if _SHARD.fullmatch(path)]
    if not shards:
        return ""
    if len(shards) == 1:
        return f"; {shards[0]} is there: write that, or {part}-*"
    return f"; {shards[0]} and {len(shards) - 1} more shards are there: write {part}-*"


def _set_of(prefix: str, count: int) -> list[str]:
    if not 1 <= count <= MAX_SHARDS:
        raise UsageError(f"{prefix}: {count} shards is not a number from 1 to {MAX_SHARDS}")
    return [f"{prefix}-{index:05d}-of-{count:05d}" for index in range(count)]


def _check_complete(pattern: str, paths: Sequence[str]) -> None:
    missing = [path for path in paths if not _exists(path)]
    if missing:
        raise UsageError(f"{pattern}: {len(missing)} of {len(paths)} shards are missing, the first {missing[0]}")


def _exists(path: str) -> bool:
    if "://" not in path:
        return Path(path).is_file()
    import tensorflow as tf

    return bool(tf.io.gfile.exists(path))


def _glob(pattern: str) -> list[str]:
    if "://" not in pattern:
        found = [path for path in glob.glob(pattern) if Path(path).is_file()]  # noqa: PTH207 - absolute or not
    else:
        import tensorflow as tf

        found = tf.io.gfile.glob(pattern)
    return sorted(path for path in found if not _is_other(PurePath(path).name))


def _is_other(name: str) -> bool:
    return name.endswith(_OTHER_SUFFIXES) or name.startswith(TEMPORARY_PREFIX)
