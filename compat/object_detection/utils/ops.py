"""Tensor operations that notebooks call: masks put back into images, ground truth chosen, one-hot rows, grids.

`utils_ops.tf = tf.compat.v1`, with which notebooks patched the API's module, changes nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as _tf

from object_detection.absent_modules import absent_names
from object_detection.core.standard_fields import InputDataFields

__getattr__ = absent_names(
    __name__,
    dict.fromkeys(
        ("position_sensitive_crop_regions", "batch_position_sensitive_crop_regions"), "R-FCN is not supported"
    )
    | {"nearest_neighbor_upsampling": "tf.keras.layers.UpSampling2D does it"}
    | {"normalize_to_target": "tf.math.l2_normalize does it"},
)

_OF_BOXES = frozenset(
    getattr(InputDataFields, f"groundtruth_{name}")
    for name in (
        *("boxes", "classes", "confidences", "weights", "is_crowd", "area", "difficult", "label_types", "group_of"),
        *("keypoints", "keypoint_visibilities", "instance_masks"),
    )
)


def expanded_shape(orig_shape: Any, start_dim: Any, num_dims: Any) -> Any:
    """A shape vector with `num_dims` ones put in at `start_dim`."""
    ones = _tf.ones(_tf.reshape(num_dims, [1]), _tf.int32)
    return _tf.concat([orig_shape[:start_dim], ones, orig_shape[start_dim:]], axis=0)


def normalized_to_image_coordinates(normalized_boxes: Any, image_shape: Any, parallel_iterations: int = 32) -> Any:
    """Boxes [B, N, 4] in 0..1 as pixels.

    Args:
        normalized_boxes: ymin xmin ymax xmax.
        image_shape: [B, height, width, channels].
        parallel_iterations: Means nothing.
    """
    del parallel_iterations
    sides = _tf.cast(_tf.stack([image_shape[1], image_shape[2]]), normalized_boxes.dtype)
    return normalized_boxes * _tf.concat([sides, sides], axis=0)


def meshgrid(x: Any, y: Any) -> tuple[Any, Any]:
    """Every pair of two tensors' elements, as numpy.meshgrid: both of the shape of y followed by that of x."""
    x, y = _tf.convert_to_tensor(x), _tf.convert_to_tensor(y)
    of_x = _tf.reshape(x, [*[1] * y.shape.rank, *x.shape])
    of_y = _tf.reshape(y, [*y.shape, *[1] * x.shape.rank])
    return of_x + _tf.zeros_like(of_y, x.dtype), of_y + _tf.zeros_like(of_x, y.dtype)


def pad_to_multiple(tensor: Any, multiple: int) -> Any:
    """Pads images [B, H, W, C] with zeros, below and on the right, to sides that `multiple` divides."""
    shape = _tf.shape(tensor)
    return _tf.pad(tensor, [[0, 0], [0, -shape[1] % multiple], [0, -shape[2] % multiple], [0, 0]])


def padded_one_hot_encoding(indices: Any, depth: int, left_pad: int) -> Any:
    """One-hot rows, float32 [N, left_pad + depth], with `left_pad` columns of zeros first; None where `depth` is 0.

    Raises:
        ValueError: `indices` are not [N], or a number is negative or not whole.
    """
    for name, number in (("depth", depth), ("left_pad", left_pad)):
        if not isinstance(number, int) or number < 0:
            raise ValueError(f"{name} is {number}, and must be a whole number from 0")
    if depth == 0:
        return None
    if indices.shape.rank != 1:
        raise ValueError(f"indices have the shape {indices.shape}, and must be [N]")
    return _tf.pad(_tf.one_hot(_tf.cast(indices, _tf.int64), depth), [[0, 0], [left_pad, 0]])


def dense_to_sparse_boxes(dense_locations: Any, dense_num_boxes: Any, num_classes: int) -> tuple[Any, Any]:
    """The first rows of padded boxes, and their classes, from how many there are of each class.

    Args:
        dense_locations: [max boxes, 4].
        dense_num_boxes: int32 [num_classes]; boxes are sorted by class.
        num_classes: How many classes.

    Returns:
        Boxes [N, 4] and classes int32 [N].
    """
    classes = _tf.repeat(_tf.range(num_classes), dense_num_boxes)
    return dense_locations[: _tf.size(classes)], classes


def indices_to_dense_vector(
    indices: Any, size: Any, indices_value: float = 1.0, default_value: float = 0, dtype: Any = _tf.float32
) -> Any:
    """A vector of `size` with one value at `indices` and another elsewhere."""
    dense = _tf.fill([size], _tf.cast(default_value, dtype))
    places = _tf.cast(indices, _tf.int32)[:, _tf.newaxis]
    return _tf.tensor_scatter_nd_update(dense, places, _tf.fill(_tf.shape(indices), _tf.cast(indices_value, dtype)))


def reduce_sum_trailing_dimensions(tensor: Any, ndims: int) -> Any:
    """The sum over all axes after the first `ndims`."""
    return _tf.reduce_sum(tensor, axis=list(range(ndims, tensor.shape.rank)))


def retain_groundtruth(tensor_dict: Mapping[str, Any], valid_indices: Any) -> dict[str, Any]:
    """Keeps some boxes with all that belongs to them; empty fields, and those that are of images, stay.

    Args:
        tensor_dict: By the names of `InputDataFields`.
        valid_indices: [M] or [M, 1].

    Raises:
        ValueError: There are no boxes, or the indices have another shape.
    """
    if InputDataFields.groundtruth_boxes not in tensor_dict:
        raise ValueError(f"{InputDataFields.groundtruth_boxes} is not among what is given")
    if valid_indices.shape.rank not in (1, 2) or valid_indices.shape[1:] not in ([], [1]):
        raise ValueError(f"the indices have the shape {valid_indices.shape}, and must be [M] or [M, 1]")
    indices = _tf.reshape(valid_indices, [-1])

    def kept(value: Any) -> Any:
        # A reader gives a field that a record lacks as an empty tensor.
        return _tf.cond(_tf.size(value) > 0, lambda: _tf.gather(value, indices), lambda: value)

    return {name: kept(value) if name in _OF_BOXES else value for name, value in tensor_dict.items()}


def retain_groundtruth_with_positive_classes(tensor_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Keeps boxes whose class id is above 0."""
    return retain_groundtruth(tensor_dict, _tf.where(_classes(tensor_dict) > 0))


def filter_unrecognized_classes(tensor_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Keeps boxes whose class id is not negative."""
    return retain_groundtruth(tensor_dict, _tf.where(_classes(tensor_dict) > -1))


def filter_groundtruth_with_crowd_boxes(tensor_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Keeps boxes that are no crowds."""
    if InputDataFields.groundtruth_is_crowd not in tensor_dict:
        return dict(tensor_dict)
    is_crowd = tensor_dict[InputDataFields.groundtruth_is_crowd]
    return retain_groundtruth(tensor_dict, _tf.where(_tf.logical_not(is_crowd)))


def filter_groundtruth_with_nan_box_coordinates(tensor_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Keeps boxes all of whose coordinates are numbers."""
    is_nan = _tf.math.is_nan(tensor_dict[InputDataFields.groundtruth_boxes])
    return retain_groundtruth(tensor_dict, _tf.where(_tf.logical_not(_tf.reduce_any(is_nan, axis=1))))


def _classes(tensor_dict: Mapping[str, Any]) -> Any:
    if InputDataFields.groundtruth_classes not in tensor_dict:
        raise ValueError(f"{InputDataFields.groundtruth_classes} is not among what is given")
    return tensor_dict[InputDataFields.groundtruth_classes]


def reframe_image_corners_relative_to_boxes(boxes: Any) -> Any:
    """The image's corners, 0 0 1 1, in the coordinates of each box [N, 4]."""
    sides = _tf.maximum(boxes[:, 2:] - boxes[:, :2], 1e-4)
    return _tf.concat([-boxes[:, :2] / sides, (1.0 - boxes[:, :2]) / sides], axis=1)


def reframe_box_masks_to_image_masks(
    box_masks: Any, boxes: Any, image_height: Any, image_width: Any, resize_method: str = "bilinear"
) -> Any:
    """Puts masks of boxes where the boxes are in the image.

    Args:
        box_masks: [N, mask height, mask width].
        boxes: float32 [N, 4], ymin xmin ymax xmax in 0..1.
        image_height: In pixels.
        image_width: In pixels.
        resize_method: `bilinear` or `nearest`; uint8 masks are always resized by `nearest`.

    Returns:
        [N, image height, image width], of the masks' type.
    """
    box_masks = _tf.convert_to_tensor(box_masks)
    boxes = _tf.cast(_tf.convert_to_tensor(boxes), _tf.float32)
    method = "nearest" if box_masks.dtype == _tf.uint8 else resize_method
    size = _tf.stack([image_height, image_width])

    def reframed() -> Any:
        corners = reframe_image_corners_relative_to_boxes(boxes)
        images = _tf.image.crop_and_resize(
            _tf.cast(box_masks[..., _tf.newaxis], _tf.float32), corners, _tf.range(_tf.shape(boxes)[0]), size, method
        )
        return _tf.cast(images[..., 0], box_masks.dtype)

    nothing = _tf.zeros(_tf.concat([[0], size], axis=0), box_masks.dtype)
    return _tf.cond(_tf.shape(box_masks)[0] > 0, reframed, lambda: nothing)


def merge_boxes_with_multiple_labels(
    boxes: Any, classes: Any, confidences: Any, num_classes: int, quantization_bins: int = 10000
) -> tuple[Any, Any, Any, Any]:
    """Makes one box of those that lie on each other.

    Args:
        boxes: float32 [N, 4], ymin xmin ymax xmax in 0..1.
        classes: [N], from 0.
        confidences: float32 [N], from 0.
        num_classes: How many classes.
        quantization_bins: Coordinates are compared to one part of so many of the image.

    Returns:
        Boxes [M, 4], classes int32 [M, num_classes] and confidences float32 [M, num_classes] by class, and int32 [M],
        the first of the boxes that each is made of.
    """
    places = _tf.cast(boxes * (quantization_bins - 1), _tf.int64)
    powers = _tf.constant([quantization_bins**axis for axis in range(4)], _tf.int64)
    unique, group_of_box = _tf.unique(_tf.reduce_sum(places * powers, axis=1))
    count = _tf.size(unique)
    first = _tf.math.unsorted_segment_min(_tf.range(_tf.size(group_of_box)), group_of_box, count)
    rows = _tf.one_hot(classes, num_classes)

    def largest(values: Any) -> Any:
        merged = _tf.math.unsorted_segment_max(values, group_of_box, count)
        return _tf.reshape(merged, [count, num_classes])

    by_class = largest(rows * confidences[:, _tf.newaxis])
    return _tf.gather(boxes, first), _tf.cast(largest(rows), _tf.int32), by_class, first


def giou(boxes1: Any, boxes2: Any) -> Any:
    """Generalised IoU row by row, [N], of boxes [N, 4]."""

    def area(low: Any, high: Any) -> Any:
        return _tf.reduce_prod(_tf.maximum(high - low, 0.0), axis=-1)

    low1, high1, low2, high2 = boxes1[:, :2], boxes1[:, 2:], boxes2[:, :2], boxes2[:, 2:]
    common = area(_tf.maximum(low1, low2), _tf.minimum(high1, high2))
    union = area(low1, high1) + area(low2, high2) - common
    hull = area(_tf.minimum(low1, low2), _tf.maximum(high1, high2))
    iou = _tf.math.divide_no_nan(common, union)
    return iou - _tf.where(hull > 0, _tf.math.divide_no_nan(hull - union, hull), iou)
