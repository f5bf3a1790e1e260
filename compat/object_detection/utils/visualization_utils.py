"""Boxes, names and scores drawn on images as notebooks ask for it: images are changed in place."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from data_prep.images.drawing import PALETTE
from object_detection.absent_modules import absent_names
from object_detection.utils.image_annotations import (
    blend_mask,
    draw_bounding_box_on_image,
    draw_bounding_box_on_image_array,
    draw_bounding_boxes_on_image,
    draw_bounding_boxes_on_image_array,
    draw_keypoints_on_image,
    draw_keypoints_on_image_array,
    draw_mask_on_image_array,
)

__all__ = [
    "STANDARD_COLORS",
    "draw_bounding_box_on_image",
    "draw_bounding_box_on_image_array",
    "draw_bounding_boxes_on_image",
    "draw_bounding_boxes_on_image_array",
    "draw_bounding_boxes_on_image_tensors",
    "draw_keypoints_on_image",
    "draw_keypoints_on_image_array",
    "draw_mask_on_image_array",
    "encode_image_array_as_png_str",
    "save_image_array_as_png",
    "visualize_boxes_and_labels_on_image_array",
]

__getattr__ = absent_names(
    __name__,
    {
        "draw_side_by_side_evaluation_image": "python -m train.evaluate writes detections beside ground truth",
        "EvalMetricOpsVisualization": "python -m train.evaluate writes images to TensorBoard",
        "VisualizeSingleFrameDetections": "python -m train.evaluate writes images to TensorBoard",
        "draw_densepose_visualizations": "only boxes are detected here",
        "draw_heatmaps_on_image": "only boxes are detected here",
        "add_cdf_image_summary": "tf.summary.histogram does it",
        "add_hist_image_summary": "tf.summary.histogram does it",
    },
)

# The colours that classes get in turn, as `PIL.ImageColor` reads them: those of every image that the project draws.
STANDARD_COLORS = ["#{:02x}{:02x}{:02x}".format(*color) for color in PALETTE]
_AGNOSTIC_COLOR = "DarkOrange"


@dataclasses.dataclass
class _Drawn:
    """All that is drawn at one place."""

    color: str = ""
    lines: list[str] = dataclasses.field(default_factory=list)
    keypoints: list[Any] = dataclasses.field(default_factory=list)
    keypoint_scores: list[Any] = dataclasses.field(default_factory=list)
    mask: Any = None
    boundary: Any = None

    def take(self, index: int, keypoints: Any, keypoint_scores: Any, masks: Any, boundaries: Any) -> None:
        """Adds keypoints, and replaces mask and boundary, by those of detection `index`."""
        self.keypoints.extend([] if keypoints is None else keypoints[index])
        self.keypoint_scores.extend([] if keypoint_scores is None else keypoint_scores[index])
        self.mask = None if masks is None else masks[index]
        self.boundary = None if boundaries is None else boundaries[index]


def visualize_boxes_and_labels_on_image_array(
    image: np.ndarray,
    boxes: Any,
    classes: Any,
    scores: Any,
    category_index: Mapping[int, Mapping[str, Any]],
    instance_masks: Any = None,
    instance_boundaries: Any = None,
    keypoints: Any = None,
    keypoint_scores: Any = None,
    keypoint_edges: Sequence[tuple[int, int]] | None = None,
    track_ids: Any = None,
    use_normalized_coordinates: bool = False,
    max_boxes_to_draw: int | None = 20,
    min_score_thresh: float = 0.5,
    agnostic_mode: bool = False,
    line_thickness: int = 4,
    mask_alpha: float = 0.4,
    groundtruth_box_visualization_color: str = "black",
    skip_boxes: bool = False,
    skip_scores: bool = False,
    skip_labels: bool = False,
    skip_track_ids: bool = False,
) -> np.ndarray:
    """Draws boxes with names and scores; detections in one place share a box.

    Args:
        image: uint8 [height, width, 3], changed in place.
        boxes: [N, 4], ymin xmin ymax xmax.
        classes: [N], label map ids.
        scores: [N]; None for ground truth, of which all boxes are drawn in one colour without names.
        category_index: Classes by id, as `label_map_util.create_category_index_from_labelmap` returns them.
        instance_masks: uint8 [N, height, width].
        instance_boundaries: uint8 [N, height, width].
        keypoints: [N, K, 2], y before x.
        keypoint_scores: [N, K].
        keypoint_edges: Pairs of keypoints to connect.
        track_ids: [N]; colours go by them in place of classes.
        use_normalized_coordinates: Whether boxes and keypoints are in 0..1; else pixels.
        max_boxes_to_draw: How many places; None or 0 for all.
        min_score_thresh: What scores must exceed.
        agnostic_mode: Whether classes do not count.
        line_thickness: Of boxes, in pixels.
        mask_alpha: How much a mask covers, 0..1.
        groundtruth_box_visualization_color: Where there are no scores.
        skip_boxes: Whether boxes are left out; names stay.
        skip_scores: Whether scores are left out.
        skip_labels: Whether names are left out.
        skip_track_ids: Whether track ids are left out.

    Returns:
        `image`.
    """
    boxes = np.asarray(boxes)
    # Those that are in one place share a box.
    places: dict[tuple[float, ...], _Drawn] = {}
    for index, box in enumerate(boxes.tolist()):
        if len(places) == (max_boxes_to_draw or len(boxes)):
            break
        if scores is not None and not scores[index] > min_score_thresh:
            continue
        track = None if track_ids is None else track_ids[index]
        if scores is None:
            color = groundtruth_box_visualization_color
        elif agnostic_mode:
            color = _AGNOSTIC_COLOR
        else:
            color = STANDARD_COLORS[int(classes[index] if track is None else track) % len(STANDARD_COLORS)]
        drawn = places.setdefault(tuple(box), _Drawn())
        drawn.color = color
        if scores is not None:
            name = "" if skip_labels or agnostic_mode else _name_of(classes[index], category_index)
            percent = "" if skip_scores else f"{round(float(100 * scores[index]))}%"
            of_track = "" if skip_track_ids or track is None else f"ID {track}"
            drawn.lines.append(": ".join(filter(None, [name, percent, of_track])))
        drawn.take(index, keypoints, keypoint_scores, instance_masks, instance_boundaries)

    pil_image = Image.fromarray(np.asarray(image, np.uint8)).convert("RGB")
    thickness = 0 if skip_boxes else line_thickness
    for (ymin, xmin, ymax, xmax), drawn in places.items():
        for mask, color, alpha in ((drawn.mask, drawn.color, mask_alpha), (drawn.boundary, "red", 1.0)):
            if mask is not None:
                blend_mask(pil_image, mask, color, alpha)
        draw_bounding_box_on_image(
            pil_image, ymin, xmin, ymax, xmax, drawn.color, thickness, drawn.lines, use_normalized_coordinates
        )
        if drawn.keypoints:
            draw_keypoints_on_image(
                pil_image,
                drawn.keypoints,
                drawn.keypoint_scores or None,
                min_score_thresh=min_score_thresh,
                color=drawn.color,
                radius=line_thickness / 2,
                use_normalized_coordinates=use_normalized_coordinates,
                keypoint_edges=keypoint_edges,
                keypoint_edge_color=drawn.color,
                keypoint_edge_width=line_thickness // 2,
            )
    np.copyto(image, np.array(pil_image))
    return image


def _name_of(class_id: Any, category_index: Mapping[int, Mapping[str, Any]]) -> str:
    category = category_index.get(int(class_id))
    return "N/A" if category is None else str(category["name"])


def draw_bounding_boxes_on_image_tensors(
    images: Any,
    boxes: Any,
    classes: Any,
    scores: Any,
    category_index: Mapping[int, Mapping[str, Any]],
    original_image_spatial_shape: Any = None,
    true_image_shape: Any = None,
    instance_masks: Any = None,
    keypoints: Any = None,
    keypoint_scores: Any = None,
    keypoint_edges: Sequence[tuple[int, int]] | None = None,
    track_ids: Any = None,
    max_boxes_to_draw: int | None = 20,
    min_score_thresh: float = 0.2,
    use_normalized_coordinates: bool = True,
) -> tf.Tensor:
    """Draws on a batch of images, also within a `tf.function`.

    Args:
        images: uint8 [B, H, W, C]; of more than 3 channels the first 3 count, and 1 becomes 3.
        boxes: float32 [B, N, 4], ymin xmin ymax xmax.
        classes: [B, N], label map ids.
        scores: float32 [B, N].
        category_index: Classes by id.
        original_image_spatial_shape: Means nothing here: images are drawn on as they are.
        true_image_shape: Means nothing here.
        instance_masks: uint8 [B, N, H, W].
        keypoints: float32 [B, N, K, 2].
        keypoint_scores: float32 [B, N, K].
        keypoint_edges: Pairs of keypoints to connect.
        track_ids: [B, N].
        max_boxes_to_draw: See `visualize_boxes_and_labels_on_image_array`.
        min_score_thresh: The same.
        use_normalized_coordinates: The same.

    Returns:
        uint8 [B, H, W, 3].
    """
    del original_image_spatial_shape, true_image_shape
    images = tf.convert_to_tensor(images)
    images = images[..., :3] if images.shape[-1] != 1 else tf.image.grayscale_to_rgb(images)
    more = {
        "instance_masks": instance_masks,
        "keypoints": keypoints,
        "keypoint_scores": keypoint_scores,
        "track_ids": track_ids,
    }
    names = [name for name, value in more.items() if value is not None]

    def draw(*tensors: Any) -> np.ndarray:
        batch, *rest = (tensor.numpy() for tensor in tensors)
        batch = batch.copy()
        for number, image in enumerate(batch):
            of_boxes, of_classes, of_scores, *others = (value[number] for value in rest)
            visualize_boxes_and_labels_on_image_array(
                image,
                of_boxes,
                of_classes,
                of_scores,
                category_index,
                **dict(zip(names, others, strict=True)),
                keypoint_edges=keypoint_edges,
                use_normalized_coordinates=use_normalized_coordinates,
                max_boxes_to_draw=max_boxes_to_draw,
                min_score_thresh=min_score_thresh,
            )
        return batch

    drawn = tf.py_function(draw, [images, boxes, classes, scores, *(more[name] for name in names)], tf.uint8)
    drawn.set_shape(images.shape)
    return drawn


def save_image_array_as_png(image: Any, output_path: str) -> None:
    """Writes an array [height, width, 3] of 0..255 as a PNG."""
    Path(output_path).write_bytes(encode_image_array_as_png_str(image))


def encode_image_array_as_png_str(image: Any) -> bytes:
    """An array [height, width, 3] of 0..255 as the bytes of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(image, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()
