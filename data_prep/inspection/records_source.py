"""Reader of a data set from records, which are what training reads, checked as `verify_tfrecords` checks them.

As in training, a class' text counts and not the id beside it.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from data_prep.formats import tf_example
from data_prep.formats.example_proto import example_class
from data_prep.formats.label_map import LabelMap
from data_prep.inspection import data_set
from data_prep.inspection.data_set import DataSet, DataSetBuilder
from data_prep.records.record_checks import RecordChecker
from data_prep.records.record_files import CorruptRecordError, read_record_file
from data_prep.records.record_report import RecordReport, text_of_value
from data_prep.records.record_rules import READ_KEYS, ids_by_text
from data_prep.records.shard_checks import CORRUPT_FILE, MOSTLY_UNUSABLE, ShardSummary, judge_usable
from data_prep.runtime.command_line import UserError
from data_prep.runtime.ledger import Ledger
from data_prep.runtime.progress import progress

_FLAGS = {
    tf_example.OBJECT_OCCLUDED: data_set.OCCLUDED,
    tf_example.OBJECT_TRUNCATED: data_set.TRUNCATED,
    tf_example.OBJECT_GROUP_OF: data_set.GROUP_OF,
    tf_example.OBJECT_DEPICTION: data_set.DEPICTION,
    tf_example.OBJECT_IS_CROWD: data_set.CROWD,
    tf_example.OBJECT_DIFFICULT: data_set.DIFFICULT,
}
_BOX_KEYS = (tf_example.BOX_YMIN, tf_example.BOX_XMIN, tf_example.BOX_YMAX, tf_example.BOX_XMAX)
_MAX_SIDE = 2**31 - 1
_PROBLEMS_SHOWN = 5  # of each kind


def read_records_data_set(
    shards: Sequence[str], label_map: LabelMap | None, *, ledger: Ledger, decode_fraction: float = 1.0
) -> DataSet:
    """Reads every record and checks it; one with a problem is in the data set as far as it can be shown.

    Args:
        shards: Record files.
        label_map: Names the class ids; None: the records' own class texts do.
        ledger: Takes records that cannot be read, which are not in the data set, and those with a problem that would
            stop training, once for each kind.
        decode_fraction: The share of the images, by chance, that the checks decode; of others they read the header.

    Raises:
        UserError: There is not one record.
    """
    names = {item.name: item.display_name or item.name for item in label_map} if label_map is not None else {}
    labels = _Labels(label_map) if label_map is not None else None
    builder = DataSetBuilder(names, lists_all=True)
    seen: set[str] = set()
    count = 0
    check, checked = RecordChecker(label_map), ShardSummary()
    for shard, index, serialized in progress(_records(shards, ledger, checked), description="records", unit="records"):
        report = check(serialized, decode_fraction=decode_fraction)
        checked.add_record(report, f"{shard}, record {index}", _PROBLEMS_SHOWN)
        try:
            features = _features(serialized)
            image_id = _text(features, tf_example.IMAGE_SOURCE_ID) or _text(features, tf_example.IMAGE_FILENAME)
            flags = data_set.REPEATED_ID if image_id in seen else 0
            flags |= data_set.BAD_RECORD if report.errors else 0
            flags |= 0 if report.has_image else data_set.NO_IMAGE
            size = report.image_size if report.has_image else _stored_size(features)
            _add_record(builder, features, labels, image_id or f"record {index}", size, flags, (shard, index))
        except ValueError as error:
            ledger.reject(f"{shard}, record {index}", "unreadable record", str(error))
            continue
        _list_problems(report, f"{shard}, record {index}, image {image_id}", ledger)
        seen.add(image_id)
        count += 1
    if not count:
        raise UserError(f"{len(shards)} files, but not one record that can be read: {', '.join(shards[:3])}")
    if sentence := judge_usable(checked):
        ledger.reject(", ".join(shards[:3]), MOSTLY_UNUSABLE, sentence)
    shown = shards[0] if len(shards) == 1 else f"{shards[0]} and {len(shards) - 1} more"
    found = builder.finish(f"records of {shown}")
    found.checked = checked
    return found


def _list_problems(report: RecordReport, where: str, ledger: Ledger) -> None:
    kinds: dict[str, list[str]] = {}
    for kind, detail in report.errors:
        kinds.setdefault(kind, []).append(detail)
    for kind, details in kinds.items():
        more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
        ledger.reject(where, kind, details[0] + more)


def read_encoded_images(places: Collection[tuple[str, int]]) -> Iterator[tuple[tuple[str, int], bytes]]:
    """Yields the image files of the records at `places` (file, number from 0), in the order in which they lie."""
    wanted: dict[str, set[int]] = {}
    for shard, index in places:
        wanted.setdefault(shard, set()).add(index)
    for shard, indices in wanted.items():
        for index, serialized in enumerate(itertools.islice(read_record_file(shard), max(indices) + 1)):
            if index in indices:
                yield (shard, index), bytes(_value(_features(serialized), tf_example.IMAGE_ENCODED) or b"")


def _records(shards: Sequence[str], ledger: Ledger, checked: ShardSummary) -> Iterator[tuple[str, int, bytes]]:
    for shard in shards:
        index = 0
        try:
            for serialized in read_record_file(shard):
                yield shard, index, serialized
                index += 1
        except CorruptRecordError as error:
            ledger.reject(f"{shard}, record {index}", CORRUPT_FILE, str(error))
            checked.note_some(CORRUPT_FILE, f"{shard}, record {index}: {error}", _PROBLEMS_SHOWN)
            checked.num_bad_records += 1


def _features(serialized: bytes) -> Any:
    """Returns a record's features by key.

    Raises:
        ValueError: It is no `tf.train.Example`.
    """
    try:
        return example_class().FromString(serialized).features.feature
    except DecodeError as error:
        raise ValueError(f"not a tf.train.Example: {error}") from error


def _add_record(
    builder: DataSetBuilder,
    features: Any,
    labels: _Labels | None,
    image_id: str,
    size: tuple[int, int],
    flags: int,
    place: tuple[str, int],
) -> None:
    columns = [_values(features, key) for key in _BOX_KEYS]
    texts = _values(features, tf_example.CLASS_TEXT)
    classes = _values(features, tf_example.CLASS_LABEL) or [0] * len(texts)
    lengths = {len(column) for column in (*columns, classes)}
    if len(lengths) > 1:
        raise ValueError(f"{image_id}: lists of {', '.join(map(str, sorted(lengths)))} coordinates and classes")
    flag_lists = [(_values(features, key), bit) for key, bit in _FLAGS.items()]
    image_classes, image_texts = (
        _values(features, key) for key in (tf_example.IMAGE_CLASS_LABEL, tf_example.IMAGE_CLASS_TEXT)
    )
    # From here on nothing fails: a record is in the data set whole or not at all.
    builder.add_image(image_id, width=size[1], height=size[0], flags=flags, place=place)
    boxed = set()
    for index, (class_id, *box) in enumerate(zip(classes, *columns, strict=True)):
        box_flags = sum(bit for values, bit in flag_lists if index < len(values) and values[index])
        text = text_of_value(texts[index]) if index < len(texts) else ""
        label = _label(class_id, text, labels)
        builder.add_box(label, (box[0], box[1], box[2], box[3]), box_flags)
        boxed.add(label)
    for index in range(max(len(image_classes), len(image_texts))):
        # Records say which classes a person looked for, found or not; what was found has boxes.
        text = text_of_value(image_texts[index]) if index < len(image_texts) else ""
        label = _label(image_classes[index] if index < len(image_classes) else 0, text, labels)
        builder.add_verified_label(label, is_present=label in boxed)


class _Labels:
    """Names of classes by what records say."""

    def __init__(self, label_map: LabelMap) -> None:
        self._names = {item.id: item.name for item in label_map}
        self._ids = ids_by_text(label_map)

    def name_of(self, class_id: int, text: str) -> str:
        if text in self._ids:
            return self._names[self._ids[text]]
        if text and class_id in self._names:
            return f"{text} (not in the label map)"
        return self._names.get(class_id) or f"{f'id {class_id}' if class_id else text or 'id 0'} (not in the label map)"


def _label(class_id: int, text: str, labels: _Labels | None) -> str:
    if labels is None:
        return text or f"id {class_id}"
    return labels.name_of(class_id, text)


def _stored_size(features: Any) -> tuple[int, int]:
    """Returns height and width as the record says them."""
    height, width = (
        min(max(int(_value(features, key) or 0), 0), _MAX_SIDE)
        for key in (tf_example.IMAGE_HEIGHT, tf_example.IMAGE_WIDTH)
    )
    return height, width


def _values(features: Any, key: str) -> Sequence[Any]:
    if key not in features:
        return ()
    stored, kind = features[key], tf_example.FEATURES[key].kind
    found = stored.WhichOneof("kind")
    if found is not None and found != f"{kind}_list":
        if key not in READ_KEYS:
            return ()
        raise ValueError(f"{key} is a {found}, not a {kind}_list")
    values: Sequence[Any] = getattr(stored, f"{kind}_list").value
    return values


def _value(features: Any, key: str) -> Any:
    values = _values(features, key)
    return values[0] if len(values) else None


def _text(features: Any, key: str) -> str:
    value = _value(features, key)
    return text_of_value(value) if value else ""
