"""FiftyOne's own exports of detections: labels.json beside the images in `data`.

`labels` has for each image, by its name without suffix or an absolute path, a list of objects: `label`, a class or its
number in `classes`; `bounding_box`, x, y, width and height in shares of the image; perhaps `confidence` and
`attributes`: https://docs.voxel51.com/user_guide/import_datasets.html#fiftyoneimagedetectiondataset.

Its COCO, VOC and YOLO exports are those formats, and read as such.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data_prep.annotations.large_json import read_json
from data_prep.annotations.source_image import (
    Reject,
    SourceBox,
    SourceImage,
    SourceSet,
    check_label,
    read_boxes,
    read_number,
    shown,
)
from data_prep.formats.points import EXTRA_FLAGS, FLAGS
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.ledger import RejectedError

LABELS_FILE = "labels.json"
SAMPLES_FILE = "samples.json"  # of FiftyOneDataset, which is another format
DATA_FOLDER = "data"

_KEYS = frozenset({"label", "bounding_box", "confidence", "attributes"})
# An attribute's name without regard to letter case and underscores: Open Images' IsGroupOf, VOC's difficult.
_FLAG_OF_ATTRIBUTE = {flag.replace("_", ""): flag for flag in (*FLAGS, *EXTRA_FLAGS)}
_FLAG_OF_ATTRIBUTE |= {name.removeprefix("is"): flag for name, flag in _FLAG_OF_ATTRIBUTE.items()}
_FALSE = (None, False, 0, -1, "", "0", "-1", "false", "unspecified")
_TRUE = (True, 1, "1", "true")


def read_fiftyone_labels(path: Path, *, image_directory: Path | None, reject: Reject) -> SourceSet:
    """Reads a labels.json.

    Attributes that are flags of points, such as `IsGroupOf`, are kept; `iscrowd` becomes `is_group_of` and `is_crowd`.
    An image whose labels are null is one that nobody has labelled: it is left out and counted. One with an empty list
    has no objects.

    Args:
        path: The file, plain or gzipped.
        image_directory: Holds the images; None takes those of `data` beside the file, if that is there.
        reject: Takes what cannot be used.

    Raises:
        UsageError: It is no such file.
    """

    def with_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        held = dict(pairs)
        if len(held) < len(pairs):
            key, _ = Counter(key for key, _ in pairs).most_common(1)[0]
            raise UsageError(f"{path}: {shown(key)} comes twice in one object; the first would be lost: remove one")
        return _without_more(held)

    content = read_json(path, with_pairs)
    if not isinstance(content, dict) or not isinstance(content.get("labels"), dict):
        is_coco = isinstance(content, dict) and isinstance(content.get("categories"), list)
        hint = "this is COCO: read it with --format coco" if is_coco else "FiftyOne's has 'classes' and 'labels'"
        raise UsageError(f"{path}: no object 'labels'; {hint}")
    names = _class_names(path, content.get("classes"))
    class_ids = {name: number for number, name in enumerate(names, start=1)} if names is not None else None
    source = SourceSet(iter(()), class_ids, "class 0 has id 1, and so on")
    data = path.parent / DATA_FOLDER
    directory = data if image_directory is None and data.is_dir() else None
    source.images = _images(path.name, content["labels"], names, directory, source, reject)
    return source


def _without_more(held: dict[str, Any]) -> dict[str, Any]:
    """Returns an object of an image without what is none of our business, such as masks; anything else as it is."""
    box = held.get("bounding_box")
    if not isinstance(box, list) or not all(isinstance(edge, int | float) for edge in box):
        return held
    return {key: value for key, value in held.items() if key in _KEYS}


def _class_names(path: Path, classes: Any) -> list[str] | None:
    if classes is None:
        return None
    if not isinstance(classes, list) or not classes:
        raise UsageError(f"{path}: 'classes' must be an array of class names or null, not {shown(classes)}")
    names: list[str] = []
    for number, name in enumerate(classes):
        try:
            names.append(check_label(name if isinstance(name, str) else ""))
        except RejectedError as error:
            raise UsageError(f"{path}: classes[{number}] is {shown(name)}, which is no name of a class") from error
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise UsageError(f"{path}: {count} of its classes are called {name!r}; rename all but one")
    return names


def _images(
    file: str,
    labels: Mapping[str, Any],
    names: list[str] | None,
    directory: Path | None,
    source: SourceSet,
    reject: Reject,
) -> Iterator[SourceImage]:
    num_unlabelled = 0
    for name, objects in labels.items():
        where = f"{file}:labels[{name[:100]!r}]"
        if objects is None:
            num_unlabelled += 1
            continue
        if not isinstance(objects, list):
            reject(where, "not an annotation", f"{shown(objects)}, not an array of objects")
            continue
        boxes = read_boxes(where, objects, lambda of_object, item: _box(of_object, item, names), reject)
        yield SourceImage(
            where,
            (name,),
            is_relative=True,
            boxes=boxes,
            num_rejected=len(objects) - len(boxes),
            directory=directory,
        )
    if num_unlabelled:
        source.remarks.append(
            f"{num_unlabelled} images left out that nobody has labelled: null; [] would say that they have no objects"
        )


def _box(where: str, item: Any, names: list[str] | None) -> SourceBox:
    box = item.get("bounding_box") if isinstance(item, dict) else None
    if not isinstance(box, list) or len(box) != 4:
        raise RejectedError("not a box", f"bounding_box {shown(box)}, not x, y, width and height")
    x, y, width, height = (read_number(value, "bounding_box") for value in box)
    extra = _flags(item.get("attributes"))
    if item.get("confidence") is not None:
        extra["confidence"] = read_number(item["confidence"], "confidence")
        if not 0 <= extra["confidence"] <= 1:
            raise RejectedError("bad confidence", f"{extra['confidence']}, outside 0..1")
    return SourceBox(where, _label(item.get("label"), names), x, y, x + width, y + height, extra)


def _label(label: Any, names: list[str] | None) -> str:
    if names is not None and isinstance(label, int) and not isinstance(label, bool):
        if not 0 <= label < len(names):
            raise RejectedError("unknown class number", f"{label}, known are 0..{len(names) - 1}")
        return names[label]
    if names is not None or not isinstance(label, str):
        raise RejectedError("unknown class", f"{shown(label)}, not {'a number' if names is not None else 'a text'}")
    return label


def _flags(attributes: Any) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    if not isinstance(attributes, dict):
        return extra
    for name, value in attributes.items():
        flag = _FLAG_OF_ATTRIBUTE.get(name.replace("_", "").casefold())
        if flag is None:
            continue
        known = value.strip().casefold() if isinstance(value, str) else value
        if isinstance(known, dict | list) or known not in (*_FALSE, *_TRUE):
            raise RejectedError("bad flag", f"{name} is {shown(value)}, not true or false")
        if known in _TRUE:
            extra[flag] = True
    if extra.get("is_crowd"):
        extra["is_group_of"] = True
    return extra
