"""The record schema: the keys of the Object Detection API's `tf.train.Example`s, making one, and its values.

Everything that writes or reads records takes the names from here. TensorFlow is not imported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from data_prep.formats.example_proto import example_class

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


def values_of(features: Any, key: str) -> Sequence[Any]:
    """Returns an example's values of a key of `FEATURES`; none where it is missing or of another type."""
    feature, kind = features.get(key), f"{FEATURES[key].kind}_list"
    if feature is None or feature.WhichOneof("kind") != kind:
        return ()
    values: Sequence[Any] = getattr(feature, kind).value
    return values
