"""Images to watch a training by: inputs of the model, and detections beside the ground truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from data_prep.images.drawing import Color, color_of, draw_boxes
from data_prep.images.image_grid import side_by_side

IGNORED_COLOUR = (140, 140, 140)  # of ground truth that the losses leave out: its weight is 0


def input_images(
    images: npt.ArrayLike, labels: Mapping[str, Any], names_by_id: Mapping[int, str], max_images: int = 4
) -> np.ndarray:
    """Draws the ground truth on images exactly as the model is given them: resized, padded and augmented.

    Boxes with weight 0 are grey.

    Args:
        images: float32 [B, H, W, 3], 0..255.
        labels: As `train.inputs.reader` yields them; tensors or arrays.
        names_by_id: Class names by label map id.
        max_images: How many of the batch to draw at most.

    Returns:
        uint8 [min(B, max_images), H, W, 3].
    """
    shown = _as_uint8(np.asarray(images)[:max_images])
    drawn = np.empty_like(shown)
    for index, image in enumerate(shown):
        count = int(np.asarray(labels["num_groundtruth_boxes"])[index])
        boxes = np.asarray(labels["groundtruth_boxes"])[index, :count]
        classes = np.asarray(labels["groundtruth_classes"])[index, :count]
        weights = np.asarray(labels["groundtruth_weights"])[index, :count]
        names = _names(classes, names_by_id)
        colours = [_colour(name, ignored=weight <= 0) for name, weight in zip(names, weights, strict=True)]
        height, width = image.shape[:2]
        in_pixels = boxes * np.array([height, width, height, width])
        drawn[index] = draw_boxes(Image.fromarray(image), in_pixels, names, colors=colours)
    return drawn


def evaluation_image(
    image: npt.ArrayLike,
    *,
    groundtruth_boxes: npt.ArrayLike | None,
    groundtruth_classes: npt.ArrayLike,
    detection_boxes: npt.ArrayLike,
    detection_classes: npt.ArrayLike,
    detection_scores: npt.ArrayLike,
    names_by_id: Mapping[int, str],
    min_score: float = 0.5,
    max_boxes: int = 20,
    show_names: bool = True,
    show_scores: bool = True,
    overlay_color: Color | None = None,
    detections_caption: str = "",
) -> np.ndarray:
    """Draws ground truth (left) beside detections (right) of one image.

    Args:
        image: [H, W, 3], 0..255.
        groundtruth_boxes: [N, 4], ymin xmin ymax xmax in pixels of `image`, without padding; None shows none, and the
            image as it is on the left.
        groundtruth_classes: [N] label map ids.
        detection_boxes: [D, 4], likewise.
        detection_classes: [D] label map ids.
        detection_scores: [D].
        names_by_id: Class names by label map id.
        min_score: Detections below it are not drawn (`eval_config.min_score_threshold`).
        max_boxes: Only so many of the best are drawn (`eval_config.max_num_boxes_to_visualize`).
        show_names: Writes the detections' classes (not `eval_config.skip_labels`).
        show_scores: Writes their scores (not `eval_config.skip_scores`).
        overlay_color: Red, green, blue in which the ground truth is drawn, dashed, under the detections too; None
            leaves it to the left image.
        detections_caption: Stands over the detections; empty says from which score on they are drawn.

    Returns:
        uint8 [H', W', 3], both images with their captions.
    """
    shown = Image.fromarray(_as_uint8(np.asarray(image)))
    scores = np.asarray(detection_scores, np.float32).reshape(-1)
    best = np.argsort(-scores, kind="stable")
    best = best[scores[best] >= min_score][:max_boxes]
    truth_boxes = np.zeros((0, 4)) if groundtruth_boxes is None else np.asarray(groundtruth_boxes).reshape(-1, 4)
    truth_names = _names(np.asarray(groundtruth_classes), names_by_id) if len(truth_boxes) else []
    truth = draw_boxes(shown, truth_boxes, truth_names)
    names = _names(np.asarray(detection_classes).reshape(-1)[best], names_by_id)
    ground = shown
    if overlay_color is not None:
        count = len(truth_boxes)
        ground = draw_boxes(shown, truth_boxes, [""] * count, colors=[overlay_color] * count, dashed=True)
    detected = draw_boxes(
        ground,
        np.asarray(detection_boxes).reshape(-1, 4)[best],
        names if show_names else [""] * len(names),
        scores[best].tolist() if show_scores else None,
        colors=[color_of(name) for name in names],
    )
    captions = [
        "image" if groundtruth_boxes is None else "ground truth",
        detections_caption or f"detections from {min_score:.0%}",
    ]
    return np.asarray(side_by_side([truth, detected], captions))


def _as_uint8(values: np.ndarray) -> np.ndarray:
    return values if values.dtype == np.uint8 else np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _names(classes: np.ndarray, names_by_id: Mapping[int, str]) -> list[str]:
    return [names_by_id.get(int(class_id), f"class {int(class_id)}") for class_id in classes]


def _colour(name: str, *, ignored: bool) -> Color:
    return IGNORED_COLOUR if ignored else color_of(name)
