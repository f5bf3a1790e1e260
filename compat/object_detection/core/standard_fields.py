"""Names under which tensors of images, ground truth and detections are kept, and the keys of a tf.Example."""

from __future__ import annotations

from typing import Any


def _fields(name: str, doc: str, names: str, **others: str) -> Any:
    """A class whose attributes hold their own names, or what `others` says."""
    return type(name, (), {"__doc__": doc, **{field: field for field in names.split()}, **others})


InputDataFields = _fields(
    "InputDataFields",
    "Of what a reader gives a model.",
    "image image_additional_channels original_image original_image_spatial_shape key source_id filename "
    "groundtruth_image_classes groundtruth_image_confidences groundtruth_labeled_classes groundtruth_boxes "
    "groundtruth_classes groundtruth_track_ids groundtruth_temporal_offset groundtruth_track_match_flags "
    "groundtruth_confidences groundtruth_label_types groundtruth_is_crowd groundtruth_area groundtruth_difficult "
    "groundtruth_group_of proposal_boxes proposal_objectness groundtruth_instance_masks "
    "groundtruth_instance_mask_weights groundtruth_instance_boundaries groundtruth_instance_classes "
    "groundtruth_keypoints groundtruth_keypoint_depths groundtruth_keypoint_depth_weights "
    "groundtruth_keypoint_visibilities groundtruth_keypoint_weights groundtruth_label_weights "
    "groundtruth_verified_neg_classes groundtruth_not_exhaustive_classes groundtruth_weights "
    "groundtruth_dp_num_points groundtruth_dp_part_ids groundtruth_dp_surface_coords num_groundtruth_boxes "
    "is_annotated true_image_shape multiclass_scores context_features context_feature_length valid_context_size "
    "context_features_image_id_list image_timestamps image_format image_height image_width",
)
DetectionResultFields = _fields(
    "DetectionResultFields",
    "Of what a model gives.",
    "source_id key detection_boxes detection_scores detection_multiclass_scores detection_features "
    "detection_classes detection_masks detection_surface_coords detection_boundaries detection_keypoints "
    "detection_keypoint_scores detection_keypoint_depths detection_embeddings num_detections raw_detection_boxes "
    "raw_detection_scores detection_anchor_indices",
    detection_offsets="detection_temporal_offsets",
)
BoxListFields = _fields(
    "BoxListFields",
    "Of a `box_list.BoxList`.",
    "boxes classes scores weights confidences objectness masks mask_weights boundaries keypoints "
    "keypoint_visibilities keypoint_heatmaps keypoint_depths keypoint_depth_weights densepose_num_points "
    "densepose_part_ids densepose_surface_coords is_crowd group_of track_ids temporal_offsets track_match_flags",
)
PredictionFields = _fields(
    "PredictionFields",
    "Of what `predict` gives.",
    "feature_maps anchors raw_detection_boxes raw_detection_feature_map_indices",
)
TfExampleFields = _fields(
    "TfExampleFields",
    "The keys of a tf.Example.",
    "",
    **{f"image_{name}": f"image/{name}" for name in ("encoded", "format")},
    **{name: f"image/{name}" for name in ("filename", "channels", "colorspace", "height", "width", "source_id")},
    **{f"image_class_{name}": f"image/class/{name}" for name in ("text", "label", "confidence")},
    **{f"object_class_{name}": f"image/object/class/{name}" for name in ("text", "label")},
    **{f"object_bbox_{side}": f"image/object/bbox/{side}" for side in ("ymin", "xmin", "ymax", "xmax")},
    **{
        f"object_{name}": f"image/object/{name}"
        for name in ("view", "truncated", "occluded", "difficult", "group_of", "depiction", "is_crowd", "weight")
    },
    object_segment_area="image/object/segment/area",
    instance_masks="image/segmentation/object",
    instance_boundaries="image/boundaries/object",
    instance_classes="image/segmentation/object/class",
    detection_class_label="image/detection/label",
    **{f"detection_bbox_{side}": f"image/detection/bbox/{side}" for side in ("ymin", "xmin", "ymax", "xmax")},
    detection_score="image/detection/score",
)
