"""SSD in all its forms: a feature extractor, shared or separate heads, and the rest of an `ssd`'s settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import tensorflow as tf

from configs.settings.model import NO_EXTENSIONS, ModelExtensions
from configs.settings.resizers import FixedShapeResizer
from configs.settings.ssd import Ssd
from train.models.anchors import build_anchor_generator
from train.models.batch_norm import freeze_batch_norm
from train.models.box_coders import build_box_coder
from train.models.detector import Detector, GroundTruth, Labels, actual_shape, flatten_levels
from train.models.feature_extractors.registry import build_ssd_extractor
from train.models.post_processing import batch_non_max_suppression, scores_from_logits, with_raw, without_raw
from train.models.ssd_losses import SsdLosses
from train.models.ssd_network import ApiSsdNetwork, build_ssd_box_predictor, build_ssd_network
from train.models.ssd_targets import ClassSlots, SsdTargetAssigner, SsdTargets

if TYPE_CHECKING:
    from train.models.model_garden_network import ModelGardenSsdNetwork

# Logits float32 [B, A, slots], codes float32 [B, A, code size], and anchors float32 [A, 4] in 0..1 of the input.
Predictions: TypeAlias = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


class SsdDetector(Detector):
    """A one-stage detector with the anchors, assignment, losses and post-processing of its settings.

    Boxes and anchors are compared and coded in 0..1 of the input, as in the API's meta_architectures/ssd_meta_arch.py.

    Attributes:
        settings: Of the model.
        box_coder: Between boxes and codes.
        anchors: float32 [A, 4], ymin xmin ymax xmax in pixels of the padded input; None where its size is not known
            beforehand.
        normalized_anchors: float32 [A, 4], the same in 0..1 of the padded input, as codes and matches take them; or
            None.
    """

    loss_names = ("Loss/classification_loss", "Loss/localization_loss")

    settings: Ssd
    network: ApiSsdNetwork | ModelGardenSsdNetwork

    def __init__(self, settings: Ssd, extensions: ModelExtensions = NO_EXTENSIONS) -> None:
        """Builds the network.

        Args:
            settings: Of the model.
            extensions: What the config adds to it.

        Raises:
            UsageError: A plugin's function is not where the plugin says.
            ValueError: Model Garden's backbone, or a plugin's network, does not suit the pyramid.
        """
        self.settings = settings
        self.num_classes = settings.num_classes
        # Without sides where every image has a size of its own.
        self.input_shape = settings.image_resizer.static_size
        self._slots = ClassSlots.from_settings(settings)
        self.box_coder = build_box_coder(settings.box_coder)
        self._assigner = SsdTargetAssigner(
            similarity=settings.similarity_calculator,
            matcher=settings.matcher,
            box_coder=self.box_coder,
            slots=self._slots,
            negative_class_weight=settings.negative_class_weight,
            use_confidences_as_targets=settings.use_confidences_as_targets,
            implicit_example_weight=settings.implicit_example_weight,
        )
        self._losses = SsdLosses(
            settings.loss,
            slots=self._slots,
            box_coder=self.box_coder,
            normalize_loss_by_num_matches=settings.normalize_loss_by_num_matches,
            normalize_loc_loss_by_codesize=settings.normalize_loc_loss_by_codesize,
            plugin=extensions.classification_loss,
        )
        self._anchor_generator = build_anchor_generator(settings.anchor_generator)
        extractor = build_ssd_extractor(
            settings.feature_extractor,
            input_shape=self.input_shape,
            freeze_batch_norm=settings.freeze_batchnorm,
            extensions=extensions,
        )
        self._normalize, self._levels = extractor.normalize, list(extractor.levels)
        self.anchors: np.ndarray | None = None
        self.normalized_anchors: np.ndarray | None = None
        height, width = self.input_shape
        if height is not None and width is not None:
            shapes = extractor.feature_shapes((height, width))
            generator = self._anchor_generator
            self.anchors = np.concatenate(generator.generate(shapes, (height, width)))
            self.normalized_anchors = np.concatenate(generator.generate_normalized(shapes, (height, width)))
        head = build_ssd_box_predictor(
            settings.box_predictor,
            num_class_slots=self._slots.num_slots,
            anchors_per_location=settings.anchor_generator.anchors_per_location,
            levels=self._levels,
        )
        self.network = build_ssd_network(extractor, head)
        if settings.freeze_batchnorm:
            freeze_batch_norm(self.network)

    def preprocess(self, images: tf.Tensor, true_image_shape: tf.Tensor) -> tf.Tensor:
        """Normalises, then sets padding to 0: the API's SSD resizes and pads what is normalised already."""
        if isinstance(self.settings.image_resizer, FixedShapeResizer):  # which pads nothing
            return self._normalize(images)
        height, width = actual_shape(images, self.input_shape)
        rows = tf.range(height)[tf.newaxis, :] < true_image_shape[:, 0:1]
        columns = tf.range(width)[tf.newaxis, :] < true_image_shape[:, 1:2]
        inside = tf.logical_and(rows[:, :, tf.newaxis], columns[:, tf.newaxis, :])[..., tf.newaxis]
        return tf.where(inside, self._normalize(images), 0.0)

    def compute_losses(self, images: tf.Tensor, labels: Labels, *, training: bool) -> dict[str, tf.Tensor]:
        """See `Detector.compute_losses`; names are `Loss/classification_loss` and `Loss/localization_loss`."""
        predictions = self.predict(images, self.preprocess(images, labels["true_image_shape"]), training=training)
        return self.losses_of(predictions, labels, training=training)

    def compute_losses_of_part(
        self, images: tf.Tensor, labels: Labels, *, training: bool
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """See `Detector.compute_losses_of_part`; the number is what is matched, or 0 where that divides nothing."""
        predictions = self.predict(images, self.preprocess(images, labels["true_image_shape"]), training=training)
        return self._losses.of_part(*self._compared(predictions, labels, training=training))

    def losses_of(self, predictions: Predictions, labels: Labels, *, training: bool) -> dict[str, tf.Tensor]:
        """Compares what `predict` returned with a batch's ground truth; returns what `compute_losses` does."""
        return self._losses(*self._compared(predictions, labels, training=training))

    def _compared(self, predictions: Predictions, labels: Labels, *, training: bool) -> tuple[Any, ...]:
        """What the losses take: targets and predictions."""
        targets = self._assign(labels, predictions[2], training=training)
        return targets, *predictions, labels.get("sampling_seed")

    def detect_and_compute_losses(
        self, images: tf.Tensor, labels: Labels
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """See `Detector.detect_and_compute_losses`."""
        true_image_shape = labels["true_image_shape"]
        predictions = self.predict(images, self.preprocess(images, true_image_shape), training=False)
        losses = self.losses_of(predictions, labels, training=False)
        return without_raw(self.detections_of(predictions, images, true_image_shape)), losses

    def predict(self, images: tf.Tensor, normalized: tf.Tensor, *, training: bool) -> Predictions:
        """Runs the network.

        Args:
            images: float32 [B, height, width, 3], RGB 0..255; only the shape counts.
            normalized: What `preprocess` makes of them.
            training: Whether batch norm trains and dropout acts.

        Returns:
            Logits float32 [B, A, slots], codes float32 [B, A, code size], and anchors float32 [A, 4] in 0..1.
        """
        return self.predict_on(self.network.feature_maps(normalized, training=training), images, training=training)

    def predict_on(self, features: dict[str, tf.Tensor], images: tf.Tensor, *, training: bool | None) -> Predictions:
        """Runs the heads; what `predict` does after the feature extractor.

        Args:
            features: By level, finest first, [B, h, w, channels].
            images: As for `predict`.
            training: As for `predict`; None leaves it to Keras' learning phase.
        """
        logits, codes, _ = self.network.head(features, training=training)
        return (
            flatten_levels(logits, self._levels, self._slots.num_slots),
            flatten_levels(codes, self._levels, self.box_coder.code_size),
            self._anchors_in_unit_square(images, features),
        )

    def _anchors_in_unit_square(self, images: tf.Tensor, features: dict[str, tf.Tensor]) -> tf.Tensor:
        """float32 [A, 4], ymin xmin ymax xmax in 0..1 of the padded input, not clipped."""
        if self.normalized_anchors is not None:
            return tf.constant(self.normalized_anchors)
        shape = actual_shape(images, self.input_shape)
        map_shapes = [tf.shape(features[level]) for level in self._levels]
        sides = [(map_shape[1], map_shape[2]) for map_shape in map_shapes]
        return tf.concat(self._anchor_generator.generate_normalized(sides, shape), axis=0)

    def assign_targets(self, labels: Labels) -> SsdTargets:
        """Assigns a batch's ground truth to the anchors of an input whose size is known beforehand.

        Raises:
            ValueError: The input's size is not known beforehand.
        """
        if self.normalized_anchors is None:
            raise ValueError("every batch has anchors of its own, for model.ssd.image_resizer gives no common size")
        return self._assign(labels, tf.constant(self.normalized_anchors), training=True)

    def _assign(self, labels: Labels, anchors: tf.Tensor, *, training: bool) -> SsdTargets:
        truth = GroundTruth.from_labels(labels, (1, 1))
        class_targets = labels.get("groundtruth_class_targets")
        if class_targets is not None:
            class_targets = class_targets[:, : tf.shape(truth.boxes)[1]]
        return self._assigner.assign(truth, anchors, class_targets, training=training)

    def detect(self, images: tf.Tensor, true_image_shape: tf.Tensor) -> dict[str, tf.Tensor]:
        """See `Detector.detect`."""
        return without_raw(self.detect_with_raw(images, true_image_shape))

    def detect_with_raw(
        self, images: tf.Tensor, true_image_shape: tf.Tensor, *, with_anchors: bool = False
    ) -> dict[str, tf.Tensor]:
        """See `Detector.detect_with_raw`; raw boxes are in 0..1 of the padded input, not clipped, as in the API."""
        predictions = self.predict(images, self.preprocess(images, true_image_shape), training=False)
        return self.detections_of(predictions, images, true_image_shape, with_anchors=with_anchors)

    def detections_of(
        self,
        predictions: Predictions,
        images: tf.Tensor,
        true_image_shape: tf.Tensor,
        *,
        with_anchors: bool = False,
    ) -> dict[str, tf.Tensor]:
        """The detections of `detect_with_raw`, from what `predict` returned; of `images` only the shape counts."""
        logits, codes, anchors = predictions
        shape = actual_shape(images, self.input_shape)
        raw_boxes = self.box_coder.decode(codes, anchors[tf.newaxis])
        processing = self.settings.post_processing
        raw_scores = scores_from_logits(logits, processing)
        detections = batch_non_max_suppression(
            (raw_boxes * _height_width_twice(shape))[:, :, tf.newaxis],
            self._slots.without_background(raw_scores),
            true_image_shape,
            processing.batch_non_max_suppression,
            input_shape=tf.stack(shape),
            with_anchors=with_anchors,
        )
        return with_raw(detections, raw_boxes, raw_scores)


def _height_width_twice(shape: tuple[Any, Any]) -> tf.Tensor:
    """float32 [4]: height, width, height, width."""
    sides = tf.cast(tf.stack(shape), tf.float32)
    return tf.concat([sides, sides], axis=0)
