"""Ground truth as notebooks provide it, lists with an element an image, made the labels that detectors take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from object_detection.core.standard_fields import BoxListFields, InputDataFields
from train.models.detector import Labels

# The names of `provide_groundtruth`'s arguments, and the fields under which they are kept.
_FIELDS = {
    "groundtruth_boxes_list": BoxListFields.boxes,
    "groundtruth_classes_list": BoxListFields.classes,
    "groundtruth_weights_list": BoxListFields.weights,
    "groundtruth_confidences_list": BoxListFields.confidences,
    "groundtruth_masks_list": BoxListFields.masks,
    "groundtruth_mask_weights_list": BoxListFields.mask_weights,
    "groundtruth_keypoints_list": BoxListFields.keypoints,
    "groundtruth_keypoint_visibilities_list": BoxListFields.keypoint_visibilities,
    "groundtruth_keypoint_depths_list": BoxListFields.keypoint_depths,
    "groundtruth_keypoint_depth_weights_list": BoxListFields.keypoint_depth_weights,
    "groundtruth_dp_num_points_list": BoxListFields.densepose_num_points,
    "groundtruth_dp_part_ids_list": BoxListFields.densepose_part_ids,
    "groundtruth_dp_surface_coords_list": BoxListFields.densepose_surface_coords,
    "groundtruth_track_ids_list": BoxListFields.track_ids,
    "groundtruth_temporal_offsets_list": BoxListFields.temporal_offsets,
    "groundtruth_track_match_flags_list": BoxListFields.track_match_flags,
    "groundtruth_is_crowd_list": BoxListFields.is_crowd,
    "groundtruth_group_of_list": BoxListFields.group_of,
    "groundtruth_area_list": InputDataFields.groundtruth_area,
    "is_annotated_list": InputDataFields.is_annotated,
    "groundtruth_labeled_classes": InputDataFields.groundtruth_labeled_classes,
    "groundtruth_verified_neg_classes": InputDataFields.groundtruth_verified_neg_classes,
    "groundtruth_not_exhaustive_classes": InputDataFields.groundtruth_not_exhaustive_classes,
    "groundtruth_image_classes": InputDataFields.groundtruth_image_classes,
}


def kept_by_field(given: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """Ground truth by the field under which it is kept, without what was not given.

    Args:
        given: By the names of `provide_groundtruth`'s arguments; what has another name is left out.
    """
    return {
        field: given[name] for name, field in _FIELDS.items() if given.get(name) is not None and len(given[name]) > 0
    }


def as_labels(
    boxes: Sequence[Any],
    classes: Sequence[Any],
    weights: Sequence[Any] | None,
    true_image_shapes: tf.Tensor,
    is_annotated: Sequence[Any] | None = None,
) -> Labels:
    """Pads an image's ground truth to the batch's most, and joins them.

    Args:
        boxes: Of each image [n, 4], ymin xmin ymax xmax in 0..1 of the padded input.
        classes: Of each image [n, classes], 1 for each class that a box has, without background.
        weights: Of each image [n]; 1 each where there are none.
        true_image_shapes: int32 [B, 3].
        is_annotated: Of each image, a bool.

    Raises:
        ValueError: The lists differ in length, or classes are no rows of classes.
        NotImplementedError: An image is not annotated.
    """
    if is_annotated is not None and not all(isinstance(one, (bool, int)) and one for one in is_annotated):
        raise NotImplementedError("is_annotated_list: leave images that were not annotated out of the batch")
    if not len(boxes) == len(classes) == len(weights if weights is not None else boxes):
        raise ValueError(
            f"ground truth of {len(boxes)} images has boxes, of {len(classes)} classes"
            + (f", of {len(weights)} weights" if weights is not None else "")
        )
    rows = [tf.cast(tf.convert_to_tensor(one), tf.float32) for one in classes]
    for one in rows:
        if one.shape.rank != 2:
            raise ValueError(
                f"classes of an image have the shape {one.shape}, and must be [boxes, num_classes], one-hot; "
                "tf.one_hot(class_ids - 1, num_classes) makes them"
            )
    all_boxes = [tf.reshape(tf.cast(tf.convert_to_tensor(one), tf.float32), [-1, 4]) for one in boxes]
    if weights is None:
        all_weights = [tf.ones_like(one[:, 0]) for one in all_boxes]
    else:
        all_weights = [tf.cast(tf.convert_to_tensor(one), tf.float32) for one in weights]
    # One row at least, of padding: nothing can be matched against no row at all.
    most = tf.reduce_max([1, *(tf.shape(one)[0] for one in all_boxes)])
    class_targets = _stacked(rows, most)
    has_class = tf.reduce_max(class_targets, axis=-1) > 0
    ids = tf.argmax(class_targets, axis=-1, output_type=tf.int32) + 1
    return {
        "groundtruth_boxes": _stacked(all_boxes, most),
        "groundtruth_classes": tf.where(has_class, ids, 0),
        "groundtruth_class_targets": class_targets,
        "groundtruth_weights": _stacked(all_weights, most),
        "true_image_shape": true_image_shapes,
    }


def _stacked(rows: Sequence[tf.Tensor], most: tf.Tensor) -> tf.Tensor:
    """[B, most, ...] of [n, ...], with zeros beyond n."""
    return tf.stack([tf.pad(one, [[0, most - tf.shape(one)[0]], *[[0, 0]] * (one.shape.rank - 1)]) for one in rows])
