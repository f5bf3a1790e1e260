"""Matching of ground truth boxes with the anchors of a pipeline config, without its network: only sizes count."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from configs.settings.anchors import AnchorSettings
from configs.settings.matching import SIMILARITIES
from configs.settings.model import ModelExtensions
from configs.settings.pipeline import PipelineSettings
from configs.settings.resizers import FixedShapeResizer
from configs.settings.ssd import Ssd
from train.inputs.resize import resize_image
from train.models.anchors import build_anchor_generator
from train.models.feature_extractors.registry import build_faster_rcnn_extractor, build_ssd_extractor
from train.models.first_stage import MATCHER, InputAnchors
from train.models.matchers import ArgmaxMatcher, BipartiteMatcher, build_matcher
from train.models.similarity import Similarity, build_similarity, pairwise_iou

_BOXES_AT_A_TIME = 128
# Anchors are filled up to a multiple, so that inputs of many sizes are compiled for a few times only.
_ANCHOR_MULTIPLE = 8192
# As the API's Faster R-CNN, whose anchor generator is not told how large the input is.
_DIVISIBLE_SHAPE = (2**20, 2**20)


@dataclasses.dataclass(frozen=True)
class BoxMatches:
    """Matches of boxes with anchors, each box looked at as if it were alone in its image.

    Attributes:
        matched: bool [N], whether any anchor matches by the thresholds.
        best: float32 [N], the similarity of the most similar anchor.
        sides: float32 [N, 2], height and width of each box in pixels of the network's input.
    """

    matched: np.ndarray
    best: np.ndarray
    sides: np.ndarray


class AnchorMatching:
    """The anchors, similarity and matcher of an SSD, or of a Faster R-CNN's first stage.

    Attributes:
        similarity_name: As the config calls it.
        matched_threshold: The similarity from which on an anchor matches; None where every anchor or every box does.
        forces_best_anchor: Whether a box that no anchor matches still has the one that is most similar to it.
        input_shape: Height and width of the network's input; None where images have sizes of their own.
    """

    def __init__(self, settings: PipelineSettings) -> None:
        """Builds what the settings describe.

        Raises:
            ValueError: It cannot be built.
        """
        model = settings.model
        self._is_ssd = isinstance(model, Ssd)
        self._resizer = model.image_resizer
        self.input_shape = model.image_resizer.static_size
        self._similarity: Similarity
        matcher: ArgmaxMatcher | BipartiteMatcher
        anchors: AnchorSettings
        self._extractor: Any
        if isinstance(model, Ssd):
            self._extractor = build_ssd_extractor(
                model.feature_extractor,
                input_shape=self.input_shape,
                extensions=ModelExtensions.of(settings.extensions),
            )
            anchors = model.anchor_generator
            self._similarity = build_similarity(model.similarity_calculator)
            self.similarity_name = SIMILARITIES.name_of(model.similarity_calculator)
            self._prune = False
            matcher = build_matcher(model.matcher)
        else:
            self._extractor = build_faster_rcnn_extractor(model.feature_extractor)
            anchors = model.first_stage_anchor_generator
            self._similarity = _iou
            self.similarity_name = "iou_similarity"
            self._prune = not model.clip_anchors_to_image
            matcher = MATCHER
        self._generator = build_anchor_generator(anchors)
        if isinstance(matcher, ArgmaxMatcher):
            self.matched_threshold = matcher.matched_threshold
            self.forces_best_anchor = matcher.force_match_for_each_row
            matcher = dataclasses.replace(matcher, force_match_for_each_row=False)
        else:
            self.matched_threshold, self.forces_best_anchor = None, True
        self._look = _compiled(self._similarity, matcher)

    def num_anchors(self) -> int | None:
        """Number of anchors of an input; None where images have sizes of their own."""
        height, width = self.input_shape
        if height is None or width is None:
            return None
        return len(self._anchors((height, width))[0])

    def match(self, boxes: np.ndarray, heights: np.ndarray, widths: np.ndarray) -> BoxMatches:
        """Looks at each box as it lies in the network's input.

        Args:
            boxes: float [N, 4], ymin xmin ymax xmax relative to their images (0..1).
            heights: int [N], of each box's image in pixels.
            widths: int [N], likewise.
        """
        count = len(boxes)
        found = BoxMatches(np.zeros(count, bool), np.zeros(count, np.float32), np.zeros((count, 2), np.float32))
        true_shapes, input_shapes = self._resized(heights, widths)
        in_pixels = boxes.astype(np.float32) * np.tile(true_shapes, 2).astype(np.float32)
        found.sides[:] = in_pixels[:, 2:] - in_pixels[:, :2]
        for shape in np.unique(input_shapes, axis=0):
            rows = np.flatnonzero((input_shapes == shape).all(axis=1))
            input_shape = (int(shape[0]), int(shape[1]))
            anchors, usable = self._anchors(input_shape)
            boxes_here = in_pixels[rows]
            if self._is_ssd:  # which compares in 0..1 of the input: distances depend on it
                unit = np.tile(np.array(input_shape, np.float32), 2)
                anchors, boxes_here = anchors / unit, boxes_here / unit
            filler = -len(anchors) % _ANCHOR_MULTIPLE
            anchors = np.pad(anchors, [(0, filler), (0, 0)])
            usable = np.pad(usable, (0, filler))
            for start in range(0, len(rows), _BOXES_AT_A_TIME):
                batch = boxes_here[start : start + _BOXES_AT_A_TIME]
                padded = np.pad(batch, [(0, _BOXES_AT_A_TIME - len(batch)), (0, 0)])
                matched, best = (tensor.numpy()[: len(batch)] for tensor in self._look(padded, anchors, usable))
                here = rows[start : start + _BOXES_AT_A_TIME]
                found.matched[here], found.best[here] = matched, best
        return found

    def _anchors(self, input_shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """The anchors of an input, float32 [A, 4], ymin xmin ymax xmax in pixels, and which are usable, bool [A]."""
        shapes = self._extractor.feature_shapes(input_shape)
        told: Any = input_shape
        if not self._is_ssd:
            told = _DIVISIBLE_SHAPE
        elif self.input_shape[0] is None:
            told = tuple(tf.constant(side) for side in input_shape)  # as in a graph that takes inputs of any size
        boxes = tf.concat(self._generator.generate(shapes, told), axis=0)
        if self._is_ssd:
            return boxes.numpy(), np.ones(len(boxes), bool)
        anchors = InputAnchors.within(boxes, input_shape, prune=self._prune)
        return anchors.boxes.numpy(), anchors.usable.numpy()

    def _resized(self, heights: np.ndarray, widths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Height and width, int32 [N, 2], of what is not padding of each box's image in the input, and of the input.

        Images of zeros go through the resizer itself, one of each size.
        """
        sizes, rows = np.unique(np.stack([heights, widths], axis=1), axis=0, return_inverse=True)
        if isinstance(self._resizer, FixedShapeResizer):
            shapes = np.tile(np.array(self.input_shape, np.int32), (len(heights), 1))
            return shapes, shapes
        true_shapes, input_shapes = [], []
        for height, width in sizes:
            resized, true_shape = resize_image(tf.zeros([int(height), int(width), 3], tf.uint8), self._resizer)
            true_shapes.append(true_shape.numpy()[:2])
            input_shapes.append(resized.shape[:2])
        rows = rows.reshape(-1)  # NumPy 2.0 gave it another shape
        return np.array(true_shapes, np.int32).reshape(-1, 2)[rows], np.array(input_shapes, np.int32).reshape(-1, 2)[
            rows
        ]


def _iou(boxes: tf.Tensor, anchors: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    del scores
    return pairwise_iou(boxes, anchors)


def _compiled(similarity: Similarity, matcher: ArgmaxMatcher | BipartiteMatcher) -> Callable[..., Any]:
    """A function of boxes [N, 4], anchors [A, 4] and usable [A]: whether any anchor matches [N], and how well [N].

    Compiled, nothing as large as N x A is ever written to memory: some ten times as fast.
    """

    @tf.function(jit_compile=True)
    def look(boxes: tf.Tensor, anchors: tf.Tensor, usable: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        alone = boxes[:, tf.newaxis]
        found = similarity(alone, anchors[tf.newaxis], tf.ones_like(alone[..., 0]))
        # Below whatever an anchor may be similar by: -1 for overlaps, and for distances, which are negative, any.
        found = tf.where(usable, found, tf.float32.min)
        best = tf.reduce_max(found, axis=[1, 2])
        if isinstance(matcher, BipartiteMatcher):  # a box that is alone has its best anchor, whatever that is
            return tf.ones_like(best, tf.bool), best
        matches = matcher.match(found, tf.ones_like(alone[..., 0], tf.bool))
        return tf.reduce_any(tf.logical_and(matches >= 0, usable), axis=1), best

    return look
