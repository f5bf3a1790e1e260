"""Settings of `EvalConfig`: what is measured, on how many images, and which of them are drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from PIL import ImageColor

from configs.schema.diagnosis import nearest
from configs.schema.problem import Problem
from configs.settings.declaration import Settings, between, mapped
from configs.settings.reasons import BOXES_ONLY, KEYPOINTS
from configs.settings.values import Scalar, items, number, scalar

DEFAULT_METRICS_SET = "coco_detection_metrics"

# What eval_config.metrics_set may name, as the API's eval_util.py has it, and how the names of each set's metrics
# begin.
METRIC_PREFIXES = {
    DEFAULT_METRICS_SET: "Detection",
    "pascal_voc_detection_metrics": "PascalBoxes_",
    "weighted_pascal_voc_detection_metrics": "WeightedPascalBoxes_",
    "precision_at_recall_detection_metrics": "PrecisionAtRecall",
    "oid_V2_detection_metrics": "OpenImagesV2_",
    "oid_challenge_detection_metrics": "OpenImagesDetectionChallenge_",
}
# What sets were called before the API gave them their present names.
OLDER_METRICS_SETS = {
    "pascal_voc_metrics": "pascal_voc_detection_metrics",
    "weighted_pascal_voc_metrics": "weighted_pascal_voc_detection_metrics",
    "open_images_metrics": "oid_V2_detection_metrics",
    "open_images_detection_metrics": "oid_V2_detection_metrics",
    "open_images_V2_detection_metrics": "oid_V2_detection_metrics",
    "oid_challenge_object_detection_metrics": "oid_challenge_detection_metrics",
}
# Those that the API has and that are about more than boxes: what they are about.
_OTHER_METRICS_SETS = {
    "coco_keypoint_metrics": "keypoints",
    "coco_mask_metrics": "masks",
    "coco_panoptic_metrics": "masks",
    "lvis_mask_metrics": "masks",
    "oid_challenge_segmentation_metrics": "masks",
    "pascal_voc_instance_segmentation_metrics": "masks",
    "weighted_pascal_voc_instance_segmentation_metrics": "masks",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _MetricsSet(Scalar):
    """The name of a metrics set, a present or an older one."""

    def check(self, value: Any) -> Iterator[Problem]:
        """See `Spec.check`."""
        if value in METRIC_PREFIXES or value in OLDER_METRICS_SETS:
            return
        if value in _OTHER_METRICS_SETS:
            reason = f'"{value}" is about {_OTHER_METRICS_SETS[value]}, and only boxes are detected here'
            yield Problem("", reason, f'delete it, or use "{DEFAULT_METRICS_SET}"')
            return
        near = nearest(value, METRIC_PREFIXES)
        instead = f'use "{near}"' if near else f"use one of {', '.join(METRIC_PREFIXES)}"
        yield Problem("", f'"{value}" is not known', instead)

    def describe(self) -> str:
        """See `Spec.describe`."""
        return "one of " + ", ".join(METRIC_PREFIXES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalConfig(Settings, message="EvalConfig"):
    """How a model is evaluated."""

    batch_size: int = number(at_least=1, reason="images make no batch", instead="use 1 or more")
    num_visualizations: int = number()
    num_examples: int = number()
    save_graph: bool = scalar()
    metrics_set: tuple[str, ...] = items(_MetricsSet())
    use_moving_averages: bool = scalar()
    min_score_threshold: float = number(at_least=0.0, at_most=1.0)
    max_num_boxes_to_visualize: int = number(at_least=0)
    include_metrics_per_category: bool = scalar()
    all_metrics_per_category: bool = scalar()
    super_categories: dict[str, str] = mapped()
    recall_lower_bound: float = number(at_least=0.0, at_most=1.0)
    recall_upper_bound: float = number(at_least=0.0, at_most=1.0)
    ignore_groundtruth: bool = scalar()
    skip_predictions_for_unlabeled_class: bool = scalar()
    visualization_export_dir: str = scalar()
    keep_image_id_for_visualization_export: bool = scalar()
    skip_scores: bool = scalar()
    skip_labels: bool = scalar()
    visualize_groundtruth_boxes: bool = scalar()
    groundtruth_box_visualization_color: str = scalar()
    image_classes_field_map_empty_to_ones: bool = scalar()
    use_dummy_loss_in_eval: bool = scalar()

    no_effect = {
        "eval_interval_secs": "extensions.evaluate_every_n_steps says when to evaluate",
        "max_evals": "train.evaluate --once evaluates once",
        "eval_master": "there are no sessions",
        "export_path": "metrics go to metrics.json, in the evaluation folder",
        "retain_original_images": "images for TensorBoard are always there",
    }
    refused = {
        "parameterized_metric": KEYPOINTS,
        "keypoint_edge": KEYPOINTS,
        "eval_instance_masks": BOXES_ONLY,
        "retain_original_image_additional_channels": ("images have 3 channels", "delete it"),
        "force_no_resize": ("the input needs one size", "delete it"),
    }

    @property
    def metrics_sets(self) -> tuple[str, ...]:
        """The sets to measure by their present names, each once; COCO's where none is named, as in the API."""
        names = [OLDER_METRICS_SETS.get(name, name) for name in self.metrics_set]
        return tuple(dict.fromkeys(names)) or (DEFAULT_METRICS_SET,)

    @property
    def max_images(self) -> int:
        """Number of images to measure at most; 0 for all, as where `num_examples` is not written."""
        return self.num_examples if "num_examples" in self.written else 0

    @property
    def has_losses(self) -> bool:
        """Whether losses are computed."""
        return not (self.ignore_groundtruth or self.use_dummy_loss_in_eval)

    @between("recall_lower_bound", "recall_upper_bound")
    def _is_a_range_of_recalls(self) -> Iterator[Problem]:
        if self.recall_lower_bound > self.recall_upper_bound:
            reason = f"{self.recall_lower_bound:g} does not lie between 0 and recall_upper_bound"
            instead = "use recall_lower_bound: 0.0 recall_upper_bound: 1.0"
            yield Problem("recall_lower_bound", reason, instead)

    @between("visualize_groundtruth_boxes", "groundtruth_box_visualization_color")
    def _is_the_color_known(self) -> Iterator[Problem]:
        if self.visualize_groundtruth_boxes:
            try:
                ImageColor.getrgb(self.groundtruth_box_visualization_color)
            except ValueError:
                reason = f"{self.groundtruth_box_visualization_color!r} is no colour"
                instead = 'write one such as "black", "AntiqueWhite" or "#ff8800"'
                yield Problem("groundtruth_box_visualization_color", reason, instead)
