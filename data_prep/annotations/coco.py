"""COCO's `instances_*.json` and `panoptic_*.json`, and LVIS' and Objects365's, which follow it.

A panoptic annotation is an image's list of segments, each with a box; things (`isthing`) are objects, and stuff, such
as sky, is left out: https://cocodataset.org/#format-data.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from data_prep.annotations.large_json import read_json
from data_prep.annotations.source_image import (
    Reject,
    SourceBox,
    SourceImage,
    SourceSet,
    check_label,
    read_number,
    read_side,
    shown,
)
from data_prep.formats.label_map import MAX_ID
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.ledger import RejectedError

MAX_URL_LENGTH = 2000
CHANGES_SHOWN = 3

_BLANK = re.compile(r"\s")
_PARTS = ("images", "annotations", "categories")
# Polygons are nine tenths of the file and none of our business: dropped while parsing, they never pile up in memory.
_KEYS = frozenset(
    {*_PARTS, "id", "file_name", "width", "height", "coco_url", "flickr_url", "name"}
    | {"image_id", "category_id", "bbox", "iscrowd", "area", "segmentation", "segments_info", "isthing", "score"}
)

_WHERE = "where"  # a key of ours, which `_KEYS` lets no file set


def read_coco(path: Path, *, keep_category_ids: bool, reject: Reject) -> SourceSet:
    """Reads a COCO file.

    `iscrowd` becomes `is_group_of` and `is_crowd`; the `score` that detectors add becomes `confidence`. Where
    an object has a segmentation, or is a segment itself, its `area` becomes `segment_area`, a share of the image:
    COCO's small, medium and large go by it.

    Args:
        path: The JSON, plain or gzipped.
        keep_category_ids: Keeps the ids of categories even where they have gaps.
        reject: Takes what cannot be used.

    Raises:
        UsageError: It is no such file, or its categories are ambiguous.
    """
    content = _read_coco_json(path)
    names = _read_categories(path, content["categories"])
    stuff = {category["id"] for category in content["categories"] if category.get("isthing", 1) in (0, False)}
    things = {class_id: name for class_id, name in names.items() if class_id not in stuff}
    if not things:
        raise UsageError(f"{path}: all its categories are stuff (isthing is 0), which has no boxes to detect")
    class_ids, remark = _class_ids(path, things, keep_category_ids)
    source = SourceSet(iter(()), class_ids, class_remark=remark)
    if any(isinstance(at, dict) and "segments_info" in at for at in content["annotations"]):
        content["annotations"] = list(_flat(path.name, content["annotations"]))
    source.images = _images(path.name, content, things, stuff, source, reject)
    return source


def _flat(file: str, annotations: list[Any]) -> Iterator[Any]:
    """Yields each annotation, and of a panoptic one each of its segments, which knows where it stands."""
    for number, annotation in enumerate(annotations):
        if not isinstance(annotation, dict) or "segments_info" not in annotation:
            yield annotation
            continue
        where = f"{file}:annotations[{number}].segments_info"
        of_all = {"image_id": annotation.get("image_id"), "segmentation": True}
        segments = annotation["segments_info"]
        if not isinstance(segments, list):
            yield {"bbox": segments, **of_all, _WHERE: where}  # to be rejected as a box, so that its image has lost one
            continue
        for segment_number, segment in enumerate(segments):
            keys = segment if isinstance(segment, dict) else {"bbox": segment}
            yield {**keys, **of_all, _WHERE: f"{where}[{segment_number}]"}


def _where_of(file: str, number: int, annotation: Any) -> str:
    where = annotation.get(_WHERE) if isinstance(annotation, dict) else None
    return where if where is not None else f"{file}:annotations[{number}]"


def _images(
    file: str,
    content: Mapping[str, Any],
    names: Mapping[int, str],
    stuff: Collection[int],
    source: SourceSet,
    reject: Reject,
) -> Iterator[SourceImage]:
    known = _known_images(file, content["images"], reject)
    numbers_of_image: dict[Any, list[int]] = {}
    num_stuff = 0
    for number, annotation in enumerate(content["annotations"]):
        image_id = annotation.get("image_id") if isinstance(annotation, dict) else None
        if not _is_id(image_id) or image_id not in known:
            where = _where_of(file, number, annotation)
            reject(where, "image not in the file", f"image_id {shown(image_id)}")
        elif stuff and _is_id(category := annotation.get("category_id")) and category in stuff:
            num_stuff += 1
        else:
            numbers_of_image.setdefault(image_id, []).append(number)
    if stuff:
        source.remarks.append(f"{num_stuff} segments of stuff left out, of {len(stuff)} categories that are no things")
    for image_id, number in known.items():
        image = content["images"][number]
        width, height = read_side(image.get("width")), read_side(image.get("height"))
        boxes = []
        numbers = numbers_of_image.pop(image_id, [])
        for annotation_number in numbers:
            annotation = content["annotations"][annotation_number]
            where = _where_of(file, annotation_number, annotation)
            if _is_id(annotation.get("id")):
                where += f" (id {str(annotation['id'])[:40]})"
            try:
                boxes.append(_box(where, annotation, names, (width, height)))
            except RejectedError as error:
                reject(where, error.reason, f"image {image_id}: {error.detail}")
        urls = [url for key in ("coco_url", "flickr_url") if (url := _web_address(image.get(key)))]
        name = image.get("file_name")
        if not isinstance(name, str) or not name:  # LVIS has but the URL
            name = PurePosixPath(urlsplit(urls[0]).path).name if urls else ""
        yield SourceImage(
            f"{file}:images[{number}] (id {str(image_id)[:40]})",
            (name,),
            is_relative=False,
            boxes=tuple(boxes),
            width=width,
            height=height,
            url=urls[0] if urls else "",
            num_rejected=len(numbers) - len(boxes),
        )


def _known_images(file: str, images: list[Any], reject: Reject) -> dict[Any, int]:
    """Returns the numbers of the images in the file, by their ids."""
    known: dict[Any, int] = {}
    for number, image in enumerate(images):
        where = f"{file}:images[{number}]"
        image_id = image.get("id") if isinstance(image, dict) else None
        if not _is_id(image_id):
            reject(where, "image without an id", shown(image_id))
        elif known.setdefault(image_id, number) != number:
            reject(where, "image listed twice", f"id {image_id}, before at images[{known[image_id]}]")
    return known


def _box(
    where: str, annotation: Mapping[str, Any], names: Mapping[int, str], size: tuple[int | None, int | None]
) -> SourceBox:
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise RejectedError("not a box", f"bbox {shown(box)}, not x, y, width and height")
    category = annotation.get("category_id")
    if isinstance(category, bool) or not isinstance(category, int) or category not in names:
        raise RejectedError("unknown category", f"category_id {shown(category)}")
    x, y, width, height = (read_number(value, "bbox") for value in box)
    extra: dict[str, Any] = {}
    if annotation.get("iscrowd") not in (None, 0, False):
        extra = {"is_group_of": True, "is_crowd": True}
    if annotation.get("segmentation") and size[0] and size[1] and "area" in annotation:
        share = read_number(annotation["area"], "area") / (size[0] * size[1])
        if 0 < share <= 1:
            extra["segment_area"] = share
    if annotation.get("score") is not None:  # of a detector, whose boxes are to be corrected
        extra["confidence"] = read_number(annotation["score"], "score")
        if not 0 <= extra["confidence"] <= 1:
            raise RejectedError("bad score", f"{extra['confidence']:g}, outside 0..1")
    return SourceBox(where, names[category], x, y, x + width, y + height, extra)


def _read_coco_json(path: Path) -> dict[str, Any]:
    root = read_json(path, _without_polygons)
    if not isinstance(root, dict):
        raise UsageError(f"{path}: must be a JSON object with {', '.join(_PARTS)}; a list is COCO's form of detections")
    for part in _PARTS:
        if not isinstance(root.get(part), list):
            raise UsageError(f"{path}: no array {part!r}; COCO's annotations hold {', '.join(_PARTS)}")
    return root


def _without_polygons(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    kept = {key: value for key, value in pairs if key in _KEYS}
    if "segmentation" in kept:
        kept["segmentation"] = kept["segmentation"] not in (None, [])
    return kept


def _read_categories(path: Path, categories: list[Any]) -> dict[int, str]:
    names: dict[int, str] = {}
    ids: dict[str, int] = {}
    for number, category in enumerate(categories):
        where = f"{path}: categories[{number}]"
        if not isinstance(category, dict):
            raise UsageError(f"{where}: must be an object with 'id' and 'name'")
        class_id, name = category.get("id"), category.get("name")
        if isinstance(class_id, bool) or not isinstance(class_id, int) or not 0 <= class_id <= MAX_ID:
            raise UsageError(f"{where}: 'id' must be a whole number from 0, not {shown(class_id)}")
        if not isinstance(name, str):
            raise UsageError(f"{where}: 'name' must be a text, not {shown(name)}")
        try:
            name = check_label(name)
        except RejectedError as error:
            raise UsageError(f"{where}: 'name' is {error.detail}, which is no name of a class") from error
        if names.setdefault(class_id, name) != name:
            raise UsageError(f"{where}: id {class_id} is {names[class_id]!r} and {name!r}; give each its own")
        if ids.setdefault(name, class_id) != class_id:
            raise UsageError(f"{where}: {name!r} has the ids {ids[name]} and {class_id}; rename or merge one of them")
    if not names:
        raise UsageError(f"{path}: no categories")
    return names


def _class_ids(path: Path, names: Mapping[int, str], keep: bool) -> tuple[dict[str, int], str]:
    """Returns the label map's ids by name, and what to say of them."""
    ids = sorted(names)
    span = f"{ids[0]}..{ids[-1]}"
    if ids == list(range(1, len(ids) + 1)):
        return {names[class_id]: class_id for class_id in ids}, f"category ids {span} are kept"
    if keep:
        if ids[0] == 0:
            raise UsageError(f"{path}: category {names[0]!r} has id 0, which a label map cannot keep: 0 is background")
        return {names[class_id]: class_id for class_id in ids}, f"{len(ids)} category ids {span} are kept, with gaps"
    new_ids = {names[class_id]: number for number, class_id in enumerate(ids, start=1)}
    changes = [(names[class_id], class_id) for class_id in ids if new_ids[names[class_id]] != class_id]
    examples = ", ".join(f"{name!r} {old} -> {new_ids[name]}" for name, old in changes[:CHANGES_SHOWN])
    more = ", ..." * (len(changes) > CHANGES_SHOWN)
    remark = f"category ids {span} have gaps or begin elsewhere: {len(changes)} of {len(ids)} changed to make them "
    return new_ids, f"{remark}1..{len(ids)}, in their order ({examples}{more})"


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _web_address(url: Any) -> str:
    """Returns `url` if it is one of http or https, else an empty string."""
    if not isinstance(url, str) or len(url) > MAX_URL_LENGTH or _BLANK.search(url):
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that are no IPv6 address
        return ""
    return url if parts.scheme in ("http", "https") and parts.netloc else ""
