"""The record schema: the keys of the Object Detection API's `tf.train.Example`s, making one, and the names of shards.

Everything that writes or reads records takes the names from here. TensorFlow is imported only where a parsing spec is
built.
"""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from data_prep.formats.example_proto import example_class
from data_prep.runtime.atomic_files import TEMPORARY_PREFIX
from data_prep.runtime.command_line import UsageError

IMAGE_ENCODED = "image/encoded"
IMAGE_FORMAT = "image/format"
IMAGE_FILENAME = "image/filename"
IMAGE_SOURCE_ID = "image/source_id"
IMAGE_SHA256 = "image/key/sha256"
IMAGE_HEIGHT = "image/height"
IMAGE_WIDTH = "image/width"
BOX_XMIN = "image/object/bbox/xmin"
BOX_XMAX = "image/object/bbox/xmax"
BOX_YMIN = "image/object/bbox/ymin"
BOX_YMAX = "image/object/bbox/ymax"
CLASS_TEXT = "image/object/class/text"
CLASS_LABEL = "image/object/class/label"
OBJECT_IS_CROWD = "image/object/is_crowd"
OBJECT_DIFFICULT = "image/object/difficult"
OBJECT_TRUNCATED = "image/object/truncated"
OBJECT_OCCLUDED = "image/object/occluded"
OBJECT_GROUP_OF = "image/object/group_of"
OBJECT_DEPICTION = "image/object/depiction"
OBJECT_AREA = "image/object/area"
OBJECT_WEIGHT = "image/object/weight"
IMAGE_CLASS_TEXT = "image/class/text"
IMAGE_CLASS_LABEL = "image/class/label"


@dataclass(frozen=True)
class Feature:
    """Type of one key of a record.

    Attributes:
        kind: The list of `tf.train.Feature` that it is stored in, by its value type.
        is_list: Whether it holds any number of values (one an object, mostly) rather than exactly one.
    """

    kind: Literal["bytes", "float", "int64"]
    is_list: bool = False


FEATURES: dict[str, Feature] = {
    IMAGE_ENCODED: Feature("bytes"),
    IMAGE_FORMAT: Feature("bytes"),
    IMAGE_FILENAME: Feature("bytes"),
    IMAGE_SOURCE_ID: Feature("bytes"),
    IMAGE_SHA256: Feature("bytes"),
    IMAGE_HEIGHT: Feature("int64"),
    IMAGE_WIDTH: Feature("int64"),
    BOX_XMIN: Feature("float", is_list=True),
    BOX_XMAX: Feature("float", is_list=True),
    BOX_YMIN: Feature("float", is_list=True),
    BOX_YMAX: Feature("float", is_list=True),
    CLASS_TEXT: Feature("bytes", is_list=True),
    CLASS_LABEL: Feature("int64", is_list=True),
    OBJECT_IS_CROWD: Feature("int64", is_list=True),
    OBJECT_DIFFICULT: Feature("int64", is_list=True),
    OBJECT_TRUNCATED: Feature("int64", is_list=True),
    OBJECT_OCCLUDED: Feature("int64", is_list=True),
    OBJECT_GROUP_OF: Feature("int64", is_list=True),
    OBJECT_DEPICTION: Feature("int64", is_list=True),
    OBJECT_AREA: Feature("float", is_list=True),
    OBJECT_WEIGHT: Feature("float", is_list=True),
    IMAGE_CLASS_TEXT: Feature("bytes", is_list=True),
    IMAGE_CLASS_LABEL: Feature("int64", is_list=True),
}

# Lists with one value an object, which must therefore be equally long.
OBJECT_KEYS = tuple(key for key in FEATURES if key.startswith("image/object/"))

MAX_SHARDS = 99_999  # five digits in a shard's name

_SHARD = re.compile(r"(?P<prefix>.*)-(?P<index>\d{5})-of-(?P<count>\d{5})", re.DOTALL)
_SHARDED_NAME = re.compile(r"(?P<prefix>.+)@(?P<count>\d{1,9})", re.DOTALL)
_WILDCARDS = frozenset("*?[")
# Beside records lie manifests, stamps and ledgers, and parts of what is being written: never records, in any glob.
_OTHER_SUFFIXES = (".json", ".jsonl")
_SET_OF_ONE = re.compile(r"(?P<prefix>.+)-(\*|\?{5}|0{5})-of-0{4}1", re.DOTALL)


def make_example(
    *,
    encoded_image: bytes,
    image_format: str,
    source_id: str,
    height: int,
    width: int,
    boxes_ymin_xmin_ymax_xmax: npt.ArrayLike,
    class_labels: Sequence[int],
    class_texts: Sequence[str],
    filename: str | None = None,
    is_crowd: Sequence[bool] | None = None,
    difficult: Sequence[bool] | None = None,
    truncated: Sequence[bool] | None = None,
    occluded: Sequence[bool] | None = None,
    group_of: Sequence[bool] | None = None,
    depiction: Sequence[bool] | None = None,
    areas: Sequence[float] | None = None,
    weights: Sequence[float] | None = None,
    image_class_labels: Sequence[int] | None = None,
    image_class_texts: Sequence[str] | None = None,
) -> bytes:
    """Makes one record. The same arguments give the same bytes, always.

    Args:
        encoded_image: The image's file.
        image_format: `jpeg` or `png`.
        source_id: The image's id, unique in its data set.
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        boxes_ymin_xmin_ymax_xmax: Float [N, 4], relative to the image (0..1). N may be 0.
        class_labels: [N] ids of the label map.
        class_texts: [N] names of the label map (its `name`, the MID in Open Images).
        filename: The image's file name; by default the source id.
        is_crowd: [N] whether COCO would call it a crowd; by default none is. So for the flags that follow.
        difficult: [N] as in Pascal VOC.
        truncated: [N] goes on beyond the image's edge.
        occluded: [N] partly hidden by something else.
        group_of: [N] one box around several objects.
        depiction: [N] a drawing or a statue, not the thing itself.
        areas: [N] in pixels of the image; by default the boxes'.
        weights: [N] of the losses; by default the key is left out, which reads as 1.
        image_class_labels: Ids of the classes that a person verified for the image as a whole.
        image_class_texts: Their names.

    Returns:
        A serialised `tf.train.Example`.

    Raises:
        ValueError: Lengths differ.
    """
    boxes = np.asarray(boxes_ymin_xmin_ymax_xmax, dtype=np.float32).reshape(-1, 4)
    count = len(boxes)
    none = [False] * count
    values: dict[str, Any] = {
        IMAGE_ENCODED: [encoded_image],
        IMAGE_FORMAT: [image_format],
        IMAGE_FILENAME: [source_id if filename is None else filename],
        IMAGE_SOURCE_ID: [source_id],
        IMAGE_SHA256: [hashlib.sha256(encoded_image).hexdigest()],
        IMAGE_HEIGHT: [height],
        IMAGE_WIDTH: [width],
        BOX_YMIN: boxes[:, 0],
        BOX_XMIN: boxes[:, 1],
        BOX_YMAX: boxes[:, 2],
        BOX_XMAX: boxes[:, 3],
        CLASS_TEXT: class_texts,
        CLASS_LABEL: class_labels,
        OBJECT_IS_CROWD: none if is_crowd is None else is_crowd,
        OBJECT_DIFFICULT: none if difficult is None else difficult,
        OBJECT_TRUNCATED: none if truncated is None else truncated,
        OBJECT_OCCLUDED: none if occluded is None else occluded,
        OBJECT_GROUP_OF: none if group_of is None else group_of,
        OBJECT_DEPICTION: none if depiction is None else depiction,
        OBJECT_AREA: box_areas(boxes, height, width) if areas is None else areas,
    }
    if weights is not None:
        values[OBJECT_WEIGHT] = weights
    if image_class_labels is not None or image_class_texts is not None:
        values[IMAGE_CLASS_LABEL] = image_class_labels or []
        values[IMAGE_CLASS_TEXT] = image_class_texts or []
        if len(values[IMAGE_CLASS_LABEL]) != len(values[IMAGE_CLASS_TEXT]):
            raise ValueError(f"{source_id}: {IMAGE_CLASS_LABEL} and {IMAGE_CLASS_TEXT} differ in length")
    for key in OBJECT_KEYS:
        if key in values and len(values[key]) != count:
            raise ValueError(f"{source_id}: {count} boxes, but {key} has {len(values[key])} values")
    return _serialize(values)


def _serialize(values: dict[str, Any]) -> bytes:
    example = example_class()()
    for key, value in values.items():
        feature = example.features.feature[key]
        kind = FEATURES[key].kind
        if kind == "bytes":
            feature.bytes_list.value.extend(item.encode() if isinstance(item, str) else item for item in value)
        elif kind == "float":
            feature.float_list.value.extend(np.asarray(value, np.float32).tolist())
        else:
            feature.int64_list.value.extend(map(int, value))
    # The features are a protobuf map, whose order is otherwise left to chance.
    return bytes(example.SerializeToString(deterministic=True))


def box_areas(boxes_ymin_xmin_ymax_xmax: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.float32]:
    """Returns the areas [N] of boxes [N, 4] relative to the image (0..1), in its pixels."""
    boxes = boxes_ymin_xmin_ymax_xmax
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) * height * width


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
