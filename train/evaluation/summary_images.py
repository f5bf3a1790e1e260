"""The images of an evaluation, for TensorBoard and, where `eval_config` names a folder, as files."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor

from configs.settings.evaluation import EvalConfig
from data_prep.images.drawing import Color
from data_prep.runtime.atomic_files import write_bytes
from train.evaluation.detected_image import DetectedImage
from train.loop.summaries import evaluation_image

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_ID = 100  # in a file's name


class EvaluationImages:
    """Draws the first images of an evaluation as `eval_config` says.

    Attributes:
        drawn: uint8 [H, W, 3] each: ground truth beside detections.
    """

    def __init__(self, eval_config: EvalConfig, names_by_id: Mapping[int, str]) -> None:
        """Reads how to draw.

        Args:
            eval_config: Honoured are `num_visualizations`, `min_score_threshold`,
                `max_num_boxes_to_visualize`, `skip_scores`, `skip_labels`, `ignore_groundtruth`,
                `visualize_groundtruth_boxes` and `groundtruth_box_visualization_color` (ground truth under the
                detections too), `visualization_export_dir` and `keep_image_id_for_visualization_export`, as in the
                API's `eval_util.py`.
            names_by_id: Class names by label map id.
        """
        self._eval_config = eval_config
        self._names_by_id = names_by_id
        self._overlay_color: Color | None = None
        if eval_config.visualize_groundtruth_boxes:
            red, green, blue = ImageColor.getrgb(eval_config.groundtruth_box_visualization_color)[:3]
            self._overlay_color = red, green, blue
        self.drawn: list[np.ndarray] = []

    def add(self, detected: DetectedImage) -> None:
        """Draws, and exports, the image if it is one of the first."""
        if len(self.drawn) >= self._eval_config.num_visualizations:
            return
        image = self._draw(detected, min_score=self._eval_config.min_score_threshold)
        if self._eval_config.visualization_export_dir:
            self._export(image, detected.source_id)
        self.drawn.append(image)

    def draw_from(self, detected: DetectedImage, thresholds: Mapping[int, float], *, caption: str) -> np.ndarray:
        """Draws the ground truth beside the detections that count at thresholds of their classes.

        Args:
            detected: The image.
            thresholds: By label map id; detections of other classes are left out.
            caption: Stands over the detections.

        Returns:
            uint8 [H, W, 3].
        """
        scores, classes = detected.detections["scores"], detected.detections["classes"].astype(int).tolist()
        counts = scores >= np.array([thresholds.get(class_id, np.inf) for class_id in classes])
        detections = {name: values[counts] for name, values in detected.detections.items()}
        return self._draw(dataclasses.replace(detected, detections=detections), min_score=0.0, caption=caption)

    def _draw(self, detected: DetectedImage, *, min_score: float, caption: str = "") -> np.ndarray:
        config = self._eval_config
        sides = np.array(detected.image.shape[:2] * 2, np.float32)
        return evaluation_image(
            detected.image,
            groundtruth_boxes=None if config.ignore_groundtruth else detected.groundtruth["boxes"] * sides,
            groundtruth_classes=detected.groundtruth["classes"],
            detection_boxes=detected.detections["boxes"] * sides,
            detection_classes=detected.detections["classes"],
            detection_scores=detected.detections["scores"],
            names_by_id=self._names_by_id,
            min_score=min_score,
            detections_caption=caption,
            max_boxes=config.max_num_boxes_to_visualize,
            show_names=not config.skip_labels,
            show_scores=not config.skip_scores,
            overlay_color=self._overlay_color,
        )

    def _export(self, image: np.ndarray, source_id: str) -> None:
        name = f"export-image-{len(self.drawn)}"
        if self._eval_config.keep_image_id_for_visualization_export:
            # An id may hold anything, slashes too; the number before it keeps the names apart.
            name += "-" + _UNSAFE.sub("_", source_id)[:_LONGEST_ID]
        content = io.BytesIO()
        Image.fromarray(image).save(content, "PNG")
        write_bytes(Path(self._eval_config.visualization_export_dir) / f"{name}.png", content.getvalue())
