"""Data sets that TensorFlow Datasets has prepared on disk, its Open Images, COCO and VOC among them.

A folder `NAME/CONFIG/VERSION` holds dataset_info.json, the class names of each label (`bobjects-label.labels.txt`) and
`NAME-SPLIT.tfrecord-00000-of-000NN`. A record is a tf.Example whose keys are the paths of features: `image` (the
encoded file), `image/filename`, and, for a sequence of objects such as `bobjects` or `objects`, `objects/bbox` with
ymin, xmin, ymax, xmax of one after the other in shares of the image, `objects/label`, `objects/is_crowd` and so on.

The layout: https://www.tensorflow.org/datasets/external_tfrecord#file_naming_convention and
https://www.tensorflow.org/datasets/api_docs/python/tfds/features/BBoxFeature; the features:
https://www.tensorflow.org/datasets/catalog/open_images_v4 and https://www.tensorflow.org/datasets/catalog/coco.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from data_prep.annotations.source_image import Reject, SourceBox, SourceImage, SourceSet, read_number
from data_prep.annotations.source_splits import chosen_splits
from data_prep.annotations.tfds_layout import INFO_FILE, LABELS_SUFFIX, DataSet, find_data_set
from data_prep.formats.example_proto import example_class
from data_prep.images.image_file import ImageError, read_header
from data_prep.records.record_files import CorruptRecordError, read_record_file
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.ledger import RejectedError

_FLAGS = ("is_occluded", "is_truncated", "is_group_of", "is_depiction", "is_inside", "is_difficult")


def read_tfds(path: Path, *, splits: Sequence[str] | None, image_directory: Path | None, reject: Reject) -> SourceSet:
    """Reads a data set, without TensorFlow.

    Flags that Open Images gives as unknown (-1) are false, as in its CSVs. `is_crowd` becomes `is_group_of` and
    `is_crowd`, COCO's `area` `segment_area`.

    Args:
        path: The version's folder, or one above that has no other.
        splits: Those to take where it holds several.
        image_directory: Holds the images; None takes them out of the records.
        reject: Takes what cannot be used.

    Raises:
        UsageError: There is no such data set or there are several, it has no boxes, lacks a file, or is not of
            TFRecords.
    """
    data_set = find_data_set(path)
    names = chosen_splits(data_set.shards, splits, data_set.folder)
    key = _objects_key(data_set, [shard for name in names for shard in data_set.shards[name]])
    class_names = data_set.objects[key]
    class_ids = {name: number for number, name in enumerate(class_names, start=1)}
    images = (
        image
        for name in names
        for image in _images_of_split(data_set, name, key, image_directory is None, reject, is_only=len(names) == 1)
    )
    remark = f"{len(class_names)} class names from {key}{LABELS_SUFFIX}"
    return SourceSet(images, class_ids, "class 0 has id 1, and so on", [remark])


def _objects_key(data_set: DataSet, shards: Sequence[Path]) -> str:
    """Returns the name of the sequence of objects that has boxes, by the first record."""
    for shard in shards:
        try:
            for record in read_record_file(str(shard)):
                features = _parse(record).features.feature
                keys = [key for key in data_set.objects if f"{key}/bbox" in features]
                if len(keys) == 1:
                    return keys[0]
                if keys:
                    listed = ", ".join(keys)
                    raise UsageError(f"{data_set.folder}: several of its features have boxes: {listed}; one is read")
                seen = ", ".join(sorted(features)[:20])
                raise UsageError(
                    f"{data_set.folder}: no feature with boxes and classes, such as objects/bbox with "
                    f"objects{LABELS_SUFFIX}; its records have {seen[:500]}"
                )
        except (CorruptRecordError, RejectedError):
            continue  # it is rejected when it is read
    raise UsageError(f"{data_set.folder}: not one record that can be read")


def _images_of_split(
    data_set: DataSet, split: str, key: str, with_content: bool, reject: Reject, *, is_only: bool
) -> Iterator[SourceImage]:
    """Yields the images of a split.

    Raises:
        UsageError: It has no box, as COCO's test splits, and is to be read with another: all its images would be
            trained on as images without objects.
    """
    num_objects = 0
    for image in _images(data_set, data_set.shards[split], key, with_content, reject):
        num_objects += len(image.boxes) + image.num_rejected
        yield image
    if not num_objects and not is_only:
        raise UsageError(f"{data_set.folder}: split {split!r} has not one box; leave it out of --splits")


def _images(
    data_set: DataSet, shards: Sequence[Path], key: str, with_content: bool, reject: Reject
) -> Iterator[SourceImage]:
    for shard in shards:
        number = 0
        expected = data_set.lengths.get(shard.name)
        try:
            for record in read_record_file(str(shard)):
                number += 1
                where = f"{shard.name}:{number}"
                try:
                    features = _parse(record).features.feature
                    image = _image(where, shard, features, key, data_set.objects[key], with_content, reject)
                except RejectedError as error:
                    reject(where, error.reason, error.detail)
                else:
                    yield image
        except (CorruptRecordError, OSError) as error:
            of = f" of {expected}" if expected is not None else ""
            reject(f"{shard.name}:{number + 1}", "damaged file", f"{error}; only {number} records{of} are read")
        else:
            if expected is not None and number != expected:
                reject(shard.name, "damaged file", f"{number} records, {INFO_FILE} says {expected}")


def _image(
    where: str,
    shard: Path,
    features: Any,
    key: str,
    class_names: Sequence[str],
    with_content: bool,
    reject: Reject,
) -> SourceImage:
    encoded = list(features["image"].bytes_list.value) if "image" in features else []
    if with_content and len(encoded) != 1:
        raise RejectedError("no image", f"feature 'image' has {len(encoded)} values")
    edges = features[f"{key}/bbox"].float_list.value if f"{key}/bbox" in features else []
    labels = _integers(features, f"{key}/label")
    if len(edges) != 4 * len(labels):
        raise RejectedError("features of different lengths", f"{len(edges)} edges and {len(labels)} labels")
    columns: dict[str, Sequence[int]] = {}
    for name in (*_FLAGS, "is_crowd", "area"):
        values = _integers(features, f"{key}/{name}")
        if len(values) not in (0, len(labels)):
            raise RejectedError("features of different lengths", f"{len(values)} {name} and {len(labels)} labels")
        columns[name] = values
    num_pixels = _num_pixels(encoded[0]) if columns["area"] and encoded else None
    boxes = []
    for index, label in enumerate(labels):
        of_object = f"{where}: object {index + 1}"
        try:
            if not 0 <= label < len(class_names):
                raise RejectedError("unknown class number", f"{label}, known are 0..{len(class_names) - 1}")
            ymin, xmin, ymax, xmax = (read_number(edge, "bbox") for edge in edges[4 * index : 4 * index + 4])
        except RejectedError as error:
            reject(of_object, error.reason, error.detail)
            continue
        extra = _extra(columns, index, num_pixels)
        boxes.append(SourceBox(of_object, class_names[label], xmin, ymin, xmax, ymax, extra))
    return SourceImage(
        where,
        (_name(features),),
        is_relative=True,
        boxes=tuple(boxes),
        num_rejected=len(labels) - len(boxes),
        content=encoded[0] if with_content else None,
        container=shard if with_content else None,
    )


def _extra(columns: Mapping[str, Sequence[int]], index: int, num_pixels: int | None) -> dict[str, Any]:
    extra: dict[str, Any] = {name: True for name in _FLAGS if columns[name] and columns[name][index] > 0}
    if columns["is_crowd"] and columns["is_crowd"][index] > 0:
        extra |= {"is_group_of": True, "is_crowd": True}
    if columns["area"] and num_pixels and 0 < columns["area"][index] <= num_pixels:
        extra["segment_area"] = columns["area"][index] / num_pixels
    return extra


def _name(features: Any) -> str:
    """Returns what the image is called.

    Raises:
        RejectedError: It has no name.
    """
    if "image/filename" in features and (names := features["image/filename"].bytes_list.value):
        try:
            return str(names[0].decode())
        except UnicodeDecodeError as error:
            raise RejectedError("unsafe image name", f"byte {error.start} is not UTF-8") from error
    if numbers := _integers(features, "image/id"):
        return str(numbers[0])
    raise RejectedError("unsafe image name", "neither image/filename nor image/id")


def _integers(features: Any, key: str) -> Sequence[int]:
    values: Sequence[int] = features[key].int64_list.value if key in features else ()
    return values


def _num_pixels(encoded: bytes) -> int | None:
    try:
        header = read_header(encoded)
    except ImageError:
        return None  # it is rejected when it is looked for
    return header.width * header.height


def _parse(record: bytes) -> Any:
    try:
        return example_class().FromString(record)
    except DecodeError as error:
        raise RejectedError("not a tf.Example", str(error)) from error
