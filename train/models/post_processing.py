"""Post-processing of raw predictions into detections: score converters and batch non-maximum suppression (NMS).

As the API's builders/post_processing_builder.py and core/post_processing.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from configs.settings.post_processing import BatchNonMaxSuppression, PostProcessing
from train.models.calibration import calibrate, calibrates_logits

# So many anchors for each detection that may be given are looked at before all are.
_ANCHORS_A_DETECTION = 10


def scores_from_logits(logits: tf.Tensor, settings: PostProcessing) -> tf.Tensor:
    """Converts and calibrates.

    Args:
        logits: [..., columns] as the network gives them, background's column included where it has one.
        settings: Of post-processing.

    Returns:
        float32 of the same shape.
    """
    logits = tf.cast(logits, tf.float32)
    calibration = settings.calibration_config
    if calibration is not None and calibrates_logits(calibration):
        logits, calibration = calibrate(logits, calibration), None
    scores = convert_scores(logits, settings.score_converter, settings.logit_scale)
    return scores if calibration is None else calibrate(scores, calibration)


def convert_scores(logits: tf.Tensor, converter: str, logit_scale: float = 1.0) -> tf.Tensor:
    """Turns class logits into scores.

    Args:
        logits: float32 [..., classes].
        converter: `IDENTITY`, `SIGMOID` or `SOFTMAX`, as `PostProcessing.score_converter` names them.
        logit_scale: What logits are divided by first.

    Returns:
        float32 of the same shape.
    """
    logits = tf.cast(logits, tf.float32) / logit_scale
    if converter == "SIGMOID":
        return tf.sigmoid(logits)
    if converter == "SOFTMAX":
        return tf.nn.softmax(logits)
    return logits


def batch_non_max_suppression(
    boxes: tf.Tensor,
    scores: tf.Tensor,
    true_image_shape: tf.Tensor,
    settings: BatchNonMaxSuppression,
    *,
    input_shape: tuple[int, int] | tf.Tensor | None = None,
    with_anchors: bool = False,
) -> dict[str, tf.Tensor]:
    """Keeps the best detections: NMS for each class or over all, merged, sorted, clipped, cut to the total.

    As the API's batch_multiclass_non_max_suppression: boxes compete before they are clipped, and what the image without
    padding leaves no area of is dropped before the cut. `use_class_agnostic_nms` lets boxes of all classes compete,
    each with its best class; a `soft_nms_sigma` above 0 lowers the scores of overlapping boxes instead of dropping
    them, unless `use_hard_nms`. The other flags say where and how the API computed the same.

    Args:
        boxes: float32 [B, A, 1 or K, 4], ymin xmin ymax xmax in pixels of the padded input.
        scores: float32 [B, A, K] of K classes without background.
        true_image_shape: int32 [B, 2 or 3]: height, width (in pixels of the input, without padding), channels.
        settings: Of the NMS.
        input_shape: Height and width of the padded input in pixels, which boxes are relative to where
            `change_coordinate_frame` is false. Without it that field is not looked at: Faster R-CNN's second stage
            always changes the frame.
        with_anchors: Whether to say which row of `boxes` each detection is; costs a comparison with all of them.

    Returns:
        `detection_boxes` float32 [B, D, 4] ymin xmin ymax xmax in 0..1 of the image without padding (of the padded
        input where `change_coordinate_frame` is false); `detection_scores` float32 [B, D], falling;
        `detection_classes` float32 [B, D] from 1 (label map ids); `num_detections` float32 [B]. D is
        `max_total_detections`; rows beyond `num_detections` are 0. `with_anchors` adds `detection_anchor_indices`
        int32 [B, D], from 0.
    """
    boxes, scores = tf.cast(boxes, tf.float32), tf.cast(scores, tf.float32)
    sides = tf.cast(true_image_shape[:, tf.newaxis, :2], tf.float32)
    window = tf.concat([sides, sides], axis=-1)
    best = _best_of_few_anchors(boxes, scores, window, settings)

    frame = window
    if input_shape is not None and not settings.change_coordinate_frame:
        padded_sides = tf.cast(tf.stack([input_shape[0], input_shape[1]]), tf.float32)
        frame = tf.concat([padded_sides, padded_sides], axis=0)
    count = tf.reduce_sum(tf.cast(best.scores >= 0, tf.int32), axis=1)
    is_kept = tf.sequence_mask(count, settings.max_total_detections, tf.float32)
    detections = {
        "detection_boxes": tf.clip_by_value(best.boxes, 0.0, window) / frame * is_kept[..., tf.newaxis],
        "detection_scores": best.scores * is_kept,
        "detection_classes": (best.classes + 1.0) * is_kept,
        "num_detections": tf.cast(count, tf.float32),
    }
    if with_anchors:
        anchors = _find_anchors(best.boxes, tf.cast(best.classes, tf.int32), boxes, scores)
        detections["detection_anchor_indices"] = anchors * tf.cast(is_kept, tf.int32)
    return detections


def with_raw(detections: dict[str, tf.Tensor], raw_boxes: tf.Tensor, raw_scores: tf.Tensor) -> dict[str, tf.Tensor]:
    """Adds what detections were chosen from, under the API's names; see `Detector.detect_with_raw`.

    Args:
        detections: As `batch_non_max_suppression` returns them.
        raw_boxes: float32 [B, A, 4], ymin xmin ymax xmax.
        raw_scores: float32 [B, A, K], background included where there is one.
    """
    found = {**detections, "raw_detection_boxes": raw_boxes, "raw_detection_scores": raw_scores}
    if "detection_anchor_indices" in detections:
        indices = detections["detection_anchor_indices"]
        is_kept = tf.sequence_mask(tf.cast(detections["num_detections"], tf.int32), tf.shape(indices)[1], tf.float32)
        of_anchors = tf.gather(raw_scores, indices, batch_dims=1)
        found["detection_multiclass_scores"] = of_anchors * is_kept[..., tf.newaxis]
        found["detection_anchor_indices"] = tf.cast(indices, tf.float32)
    return found


def without_raw(detections: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Leaves out what `with_raw` added of what detections were chosen from."""
    return {name: value for name, value in detections.items() if not name.startswith("raw_")}


def _find_anchors(chosen: tf.Tensor, classes: tf.Tensor, boxes: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """Finds the rows that detections were taken from, which the fused op does not say: they have its very numbers.

    Args:
        chosen: float32 [B, D, 4], as they are in `boxes`.
        classes: int32 [B, D], from 0.
        boxes: float32 [B, A, 1 or K, 4].
        scores: float32 [B, A, K]; the best row counts where several have the same box.

    Returns:
        int32 [B, D].
    """
    of_class = tf.gather(tf.transpose(scores, [0, 2, 1]), classes, batch_dims=1)
    if boxes.shape[2] == 1:
        candidates = tf.transpose(boxes, [0, 2, 1, 3])
    else:
        candidates = tf.gather(tf.transpose(boxes, [0, 2, 1, 3]), classes, batch_dims=1)
    is_same = tf.reduce_all(candidates == chosen[:, :, tf.newaxis], axis=-1)
    return tf.argmax(tf.where(is_same, of_class, -np.inf), axis=-1, output_type=tf.int32)


class _Best(NamedTuple):
    """The best of what survives NMS, in falling order.

    Attributes:
        boxes: float32 [B, D, 4], not clipped.
        scores: float32 [B, D], -1 where there is none.
        classes: float32 [B, D], from 0.
    """

    boxes: tf.Tensor
    scores: tf.Tensor
    classes: tf.Tensor


def _best_of_few_anchors(
    boxes: tf.Tensor, scores: tf.Tensor, window: tf.Tensor, settings: BatchNonMaxSuppression
) -> _Best:
    """What `_best` returns, looked for among the anchors with the best scores first.

    Of 76,725 anchors and 80 classes whose scores all pass the threshold, NMS at once took 164 ms of CPU time, this 4
    (tests/benchmarks/nms.py). What scores less never suppresses what scores more: if the strongest anchors give all
    the detections that may be given, or if no other passes the threshold, the answer is that of all anchors. Otherwise
    all are looked at.

    Args:
        boxes: float32 [B, A, 1 or K, 4], as for `batch_non_max_suppression`.
        scores: float32 [B, A, K].
        window: float32 [B, 1, 4], what boxes are clipped to.
        settings: Of the NMS.
    """
    few, num_anchors = _ANCHORS_A_DETECTION * settings.max_total_detections, scores.shape[1]
    is_soft = settings.soft_nms_sigma and not settings.use_hard_nms  # which makes scores of one another lower
    if num_anchors is None or num_anchors < 2 * few or is_soft:
        return _best(boxes, scores, window, settings)
    strongest, rows = tf.math.top_k(tf.reduce_max(scores, axis=-1), few + 1)
    bound = strongest[:, -1]  # what scores more is of the rows before
    rows = tf.sort(rows[:, :-1])  # as they were, so that equal scores meet in their order
    few_scores = tf.gather(scores, rows, batch_dims=1)
    few_scores = tf.where(few_scores > bound[:, tf.newaxis, tf.newaxis], few_scores, few_scores.dtype.min)
    best = _best(tf.gather(boxes, rows, batch_dims=1), few_scores, window, settings)
    is_complete = (bound <= settings.score_threshold) | (best.scores[:, -1] >= 0)
    return tf.cond(
        tf.reduce_all(is_complete), lambda: best, lambda: _best(boxes, scores, window, settings), name="all_anchors"
    )


def _best(boxes: tf.Tensor, scores: tf.Tensor, window: tf.Tensor, settings: BatchNonMaxSuppression) -> _Best:
    """The detections that survive NMS and have an area in the window, cut to the total, which is the D of the result.

    Args:
        boxes: As for `_best_of_few_anchors`, and the others too.
        scores: float32 [B, A, K].
        window: float32 [B, 1, 4].
        settings: Of the NMS.
    """
    unclipped_boxes, kept_scores, kept_classes = _suppress(boxes, scores, settings)
    kept_boxes = tf.clip_by_value(unclipped_boxes, 0.0, window)
    has_area = tf.reduce_all(kept_boxes[..., 2:] > kept_boxes[..., :2], axis=-1)
    kept_scores = tf.where(has_area, kept_scores, -1.0)
    total = settings.max_total_detections
    missing = tf.maximum(total - tf.shape(kept_scores)[1], 0)
    best_scores, best = tf.math.top_k(tf.pad(kept_scores, [[0, 0], [0, missing]], constant_values=-1.0), total)
    best = tf.minimum(best, tf.shape(kept_scores)[1] - 1)
    return _Best(
        tf.gather(unclipped_boxes, best, batch_dims=1), best_scores, tf.gather(kept_classes, best, batch_dims=1)
    )


def _suppress(
    boxes: tf.Tensor, scores: tf.Tensor, settings: BatchNonMaxSuppression
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Boxes [B, N, 4], scores [B, N] and classes from 0 [B, N] that survive; scores are -1 where there is none."""
    if settings.use_class_agnostic_nms:
        best_classes = tf.argmax(scores, axis=-1, output_type=tf.int32)
        if boxes.shape[2] != 1:
            boxes = tf.gather(boxes, best_classes, axis=2, batch_dims=2)[:, :, tf.newaxis]
        scores = tf.reduce_max(scores, axis=-1, keepdims=True)
        kept, kept_scores, _ = _suppress_by_class(boxes, scores, settings.max_total_detections, settings)
        kept_classes = tf.gather(best_classes, kept, batch_dims=1)
        return tf.gather(boxes[:, :, 0], kept, batch_dims=1), kept_scores, tf.cast(kept_classes, tf.float32)
    if settings.soft_nms_sigma and not settings.use_hard_nms:
        kept, kept_scores, kept_classes = _suppress_by_class(boxes, scores, settings.max_detections_per_class, settings)
        flat = kept if boxes.shape[2] == 1 else kept * boxes.shape[2] + tf.cast(kept_classes, tf.int32)
        flat_boxes = tf.reshape(boxes, [tf.shape(boxes)[0], -1, 4])
        return tf.gather(flat_boxes, flat, batch_dims=1), kept_scores, kept_classes
    return _suppress_fused(boxes, scores, settings)


def _suppress_fused(
    boxes: tf.Tensor, scores: tf.Tensor, settings: BatchNonMaxSuppression
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """All classes at once, for the usual case.

    Model Garden's own generator pads, tiles and sorts in graph code, and costs several times what the fused op takes
    (6 ms against 0.3 to 6.3 ms for 1 to 80 classes over 12,276 anchors was the fused op's share of a 22 ms forward
    pass).
    """
    num_anchors = scores.shape[1] or settings.max_detections_per_class
    by_class = min(settings.max_detections_per_class, num_anchors)
    kept_boxes, kept_scores, kept_classes, count = tf.image.combined_non_max_suppression(
        boxes,
        scores,
        max_output_size_per_class=by_class,
        max_total_size=by_class * scores.shape[2],
        iou_threshold=settings.iou_threshold,
        score_threshold=settings.score_threshold,
        clip_boxes=False,
    )
    exists = tf.sequence_mask(count, tf.shape(kept_scores)[1])
    return kept_boxes, tf.where(exists, kept_scores, -1.0), kept_classes


def _suppress_by_class(
    boxes: tf.Tensor, scores: tf.Tensor, max_size: int, settings: BatchNonMaxSuppression
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """NMS image by image and class by class, hard or soft.

    Returns:
        Indices of anchors int32 [B, K * max_size], their scores [B, K * max_size], -1 where there is none, and classes
        from 0.
    """
    batch_size, num_classes = tf.shape(scores)[0], scores.shape[2]
    boxes_by_class = tf.transpose(boxes, [0, 2, 1, 3])  # [B, 1 or K, A, 4]
    has_own_boxes = boxes.shape[2] != 1
    sigma = 0.0 if settings.use_hard_nms else settings.soft_nms_sigma

    def suppress_one(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image, class_index = index // num_classes, index % num_classes
        kept, kept_scores, count = tf.raw_ops.NonMaxSuppressionV5(
            boxes=boxes_by_class[image, class_index if has_own_boxes else 0],
            scores=scores[image, :, class_index],
            max_output_size=max_size,
            iou_threshold=settings.iou_threshold,
            score_threshold=settings.score_threshold,
            soft_nms_sigma=sigma,  # Above 0, scores fall by exp(-iou^2 / (2 sigma)), and the threshold has no say.
            pad_to_max_output_size=True,
        )
        return kept, tf.where(tf.range(max_size) < count, kept_scores, -1.0)

    kept, kept_scores = tf.map_fn(
        suppress_one,
        tf.range(batch_size * num_classes),
        fn_output_signature=(tf.TensorSpec([max_size], tf.int32), tf.TensorSpec([max_size], tf.float32)),
    )
    rows = [batch_size, num_classes * max_size]
    classes = tf.repeat(tf.range(num_classes, dtype=tf.int32), max_size)
    classes = tf.broadcast_to(tf.cast(classes, tf.float32), rows)
    return tf.reshape(kept, rows), tf.reshape(kept_scores, rows), classes
