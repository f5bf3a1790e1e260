"""`DetectionModel`: what both families of models have in common, over a detector of `train.models`."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import tensorflow as tf
import tf_keras

from object_detection.core.provided_ground_truth import as_labels, kept_by_field
from object_detection.core.variable_names import give_api_names
from train.checkpoints.object_paths import children_of
from train.inputs.resize import resize_image
from train.models.detector import Detector, Labels

AnyDetector = TypeVar("AnyDetector", bound=Detector)
# Within a notebook's tf.function there is nothing to convert here, and what AutoGraph adds to local names is in the
# way.
as_written = tf.autograph.experimental.do_not_convert


@dataclasses.dataclass
class _State:
    """What a Keras layer would otherwise take for parts to put into checkpoints."""

    ground_truth: dict[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    training_step: Any = None


class DetectionModel(tf_keras.layers.Layer, Generic[AnyDetector]):
    """A model that preprocesses, predicts, postprocesses, and compares with ground truth.

    Its attributes hold its layers under the API's names, so that `tf.train.Checkpoint(model=model)` reads and writes
    the API's checkpoints. It reads those of `train.train` and of exports too, whose names are others. Variables exist,
    and have the API's names, as soon as the model is built.

    Attributes:
        detector: What does the work.
    """

    def __init__(self, detector: AnyDetector, *, is_training: bool) -> None:
        """Takes a detector.

        Args:
            detector: With an API's tree of objects.
            is_training: Whether losses are for training; batch norm and dropout train where Keras' learning phase says
                so besides, or a Keras model that the call is within.

        Raises:
            ValueError: The API has no such network.
        """
        tree = getattr(detector.network, "api_objects", None)
        if tree is None:
            kind = detector.settings.feature_extractor.type
            raise ValueError(
                f'feature_extractor.type: "{kind}" is none of the API\'s networks; train.models.build.build_detector '
                "builds it"
            )
        super().__init__(name="detection_model")
        self.detector = detector
        self._is_training = bool(is_training)
        self._state = _State()
        for name, child in children_of(tree).items():
            setattr(self, name, child)
        give_api_names(tree, detector.settings.feature_extractor.type)

    @property
    def num_classes(self) -> int:
        """Classes without background."""
        return self.detector.num_classes

    @property
    def trainable_weights(self) -> list[tf.Variable]:
        """Variables that training changes."""
        return self.detector.network.trainable_weights

    @property
    def non_trainable_weights(self) -> list[tf.Variable]:
        """Moving statistics and what is frozen."""
        return self.detector.network.non_trainable_weights

    @property
    def _keras_training(self) -> bool | None:
        """What Keras layers get: None leaves it to Keras' learning phase."""
        return None if self._is_training else False

    def _lookup_dependency(self, name: str, cached_dependencies: Mapping[str, Any] | None = None) -> Any:
        """Where a checkpoint's part belongs: by the API's names, or by those of this project's checkpoints."""
        found = super()._lookup_dependency(name, cached_dependencies)
        return children_of(self.detector.network).get(name) if found is None else found

    @as_written
    def preprocess(self, inputs: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Resizes, pads and normalises images.

        Args:
            inputs: [B, height, width, 3], RGB 0..255.

        Returns:
            What `predict` takes, float32 [B, height, width, 3], and the shapes without padding, int32 [B, 3].
        """
        images, true_shapes = resize_image(tf.convert_to_tensor(inputs), self.detector.settings.image_resizer)
        return self.detector.preprocess(images, true_shapes), true_shapes

    @abc.abstractmethod
    def predict(self, preprocessed_inputs: tf.Tensor, true_image_shapes: Any, **side_inputs: Any) -> dict[str, Any]:
        """Runs the network.

        Args:
            preprocessed_inputs: What `preprocess` returned.
            true_image_shapes: The same.
            **side_inputs: Must be empty: they are for Context R-CNN.

        Returns:
            Raw predictions by name, for `postprocess` and `loss`.
        """

    @abc.abstractmethod
    def postprocess(self, prediction_dict: dict[str, Any], true_image_shapes: Any) -> dict[str, tf.Tensor]:
        """Makes detections of predictions.

        Args:
            prediction_dict: What `predict` returned.
            true_image_shapes: What `preprocess` returned; None where nothing was padded.

        Returns:
            `detection_boxes` float32 [B, D, 4] ymin xmin ymax xmax in 0..1 of the image without padding,
            `detection_scores` float32 [B, D], `detection_classes` float32 [B, D] from 0 (label map ids less 1),
            `num_detections` float32 [B], `detection_multiclass_scores`, `detection_anchor_indices` int32 [B, D],
            `raw_detection_boxes` and `raw_detection_scores`.
        """

    @abc.abstractmethod
    def loss(self, prediction_dict: dict[str, Any], true_image_shapes: Any, scope: Any = None) -> dict[str, tf.Tensor]:
        """Compares predictions with what `provide_groundtruth` was given.

        Args:
            prediction_dict: What `predict` returned.
            true_image_shapes: What `preprocess` returned.
            scope: Means nothing.

        Returns:
            float32 scalars by name, such as `Loss/classification_loss`, without regularisation.

        Raises:
            RuntimeError: There is no ground truth.
        """

    @abc.abstractmethod
    def restore_from_objects(self, fine_tune_checkpoint_type: str = "detection") -> dict[str, Any]:
        """What to restore: `tf.train.Checkpoint(**model.restore_from_objects(...)).restore(path)`.

        Args:
            fine_tune_checkpoint_type: `classification` (the trunk), `detection` (the feature extractor) or `full`.

        Raises:
            ValueError: It is none of these.
        """

    @as_written
    def call(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """From images [B, height, width, 3], RGB 0..255, to detections."""
        preprocessed, shapes = self.preprocess(images)
        return self.postprocess(self.predict(preprocessed, shapes), shapes)

    @as_written
    def provide_groundtruth(
        self,
        groundtruth_boxes_list: Sequence[Any],
        groundtruth_classes_list: Sequence[Any],
        groundtruth_masks_list: Sequence[Any] | None = None,
        groundtruth_mask_weights_list: Sequence[Any] | None = None,
        groundtruth_keypoints_list: Sequence[Any] | None = None,
        groundtruth_keypoint_visibilities_list: Sequence[Any] | None = None,
        groundtruth_dp_num_points_list: Sequence[Any] | None = None,
        groundtruth_dp_part_ids_list: Sequence[Any] | None = None,
        groundtruth_dp_surface_coords_list: Sequence[Any] | None = None,
        groundtruth_track_ids_list: Sequence[Any] | None = None,
        groundtruth_temporal_offsets_list: Sequence[Any] | None = None,
        groundtruth_track_match_flags_list: Sequence[Any] | None = None,
        groundtruth_weights_list: Sequence[Any] | None = None,
        groundtruth_confidences_list: Sequence[Any] | None = None,
        groundtruth_is_crowd_list: Sequence[Any] | None = None,
        groundtruth_group_of_list: Sequence[Any] | None = None,
        groundtruth_area_list: Sequence[Any] | None = None,
        is_annotated_list: Sequence[Any] | None = None,
        groundtruth_labeled_classes: Sequence[Any] | None = None,
        groundtruth_verified_neg_classes: Sequence[Any] | None = None,
        groundtruth_not_exhaustive_classes: Sequence[Any] | None = None,
        groundtruth_keypoint_depths_list: Sequence[Any] | None = None,
        groundtruth_keypoint_depth_weights_list: Sequence[Any] | None = None,
        groundtruth_image_classes: Sequence[Any] | None = None,
        training_step: Any = None,
    ) -> None:
        """Takes ground truth, an element an image, for `loss` and, in training, for Faster R-CNN's `predict`.

        Of the lists that are not described only boxes' losses know nothing: they can be asked for with
        `groundtruth_lists`.

        Args:
            groundtruth_boxes_list: float32 [n, 4], ymin xmin ymax xmax in 0..1 of the preprocessed image, padding
                included.
            groundtruth_classes_list: [n, num_classes], 1 for each class that a box has; column 0 is label map id 1.
            groundtruth_masks_list: Masks.
            groundtruth_mask_weights_list: Their weights.
            groundtruth_keypoints_list: Keypoints.
            groundtruth_keypoint_visibilities_list: Whether they can be seen.
            groundtruth_dp_num_points_list: DensePose's.
            groundtruth_dp_part_ids_list: DensePose's.
            groundtruth_dp_surface_coords_list: DensePose's.
            groundtruth_track_ids_list: Tracks.
            groundtruth_temporal_offsets_list: Tracks.
            groundtruth_track_match_flags_list: Tracks.
            groundtruth_weights_list: [n], 1 each by default.
            groundtruth_confidences_list: [n, num_classes].
            groundtruth_is_crowd_list: [n].
            groundtruth_group_of_list: [n].
            groundtruth_area_list: [n].
            is_annotated_list: Whether an image was annotated; `loss` refuses images that were not.
            groundtruth_labeled_classes: [num_classes].
            groundtruth_verified_neg_classes: [num_classes].
            groundtruth_not_exhaustive_classes: [num_classes].
            groundtruth_keypoint_depths_list: Keypoints.
            groundtruth_keypoint_depth_weights_list: Keypoints.
            groundtruth_image_classes: [num_classes].
            training_step: For `training_step`.
        """
        self._state.ground_truth |= kept_by_field(locals())
        if training_step is not None:
            self._state.training_step = training_step

    def groundtruth_lists(self, field: str) -> Sequence[Any]:
        """Ground truth by its field's name in `core.standard_fields`.

        Raises:
            RuntimeError: It was not provided.
        """
        if field not in self._state.ground_truth:
            raise RuntimeError(f"ground truth {field} was not provided; call provide_groundtruth first")
        return self._state.ground_truth[field]

    def groundtruth_has_field(self, field: str) -> bool:
        """Whether ground truth of this name was provided."""
        return field in self._state.ground_truth

    @property
    def training_step(self) -> Any:
        """The step that `provide_groundtruth` was told.

        Raises:
            ValueError: It was told none.
        """
        if self._state.training_step is None:
            raise ValueError("provide_groundtruth was given no training_step")
        return self._state.training_step

    def _labels(self, true_image_shapes: Any) -> Labels:
        """The ground truth as detectors take it."""
        boxes, classes = (self.groundtruth_lists(field) for field in ("boxes", "classes"))
        weights = self._state.ground_truth.get("weights")
        return as_labels(boxes, classes, weights, true_image_shapes, self._state.ground_truth.get("is_annotated"))

    def regularization_losses(self) -> list[tf.Tensor]:
        """The weight decay of every variable that has some, float32 scalars."""
        return list(self.detector.network.losses)

    def updates(self) -> list[Any]:
        """Nothing: moving statistics are updated as the network runs."""
        return []

    def restore_map(self, **kwargs: Any) -> dict[str, Any]:
        """Is not here.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError(
            "restore_map is for TensorFlow 1's checkpoints; tf.train.Checkpoint(**model.restore_from_objects(...)) "
            "restores those of TensorFlow 2"
        )


def api_detections(detections: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Detections with classes from 0 and int32 anchor indices, as `postprocess` gives them."""
    found = dict(detections)
    # Rows beyond num_detections have class 0 already.
    found["detection_classes"] = tf.maximum(found["detection_classes"] - 1.0, 0.0)
    if "detection_anchor_indices" in found:
        found["detection_anchor_indices"] = tf.cast(found["detection_anchor_indices"], tf.int32)
    return found


def shapes_of(preprocessed_inputs: tf.Tensor, true_image_shapes: Any) -> tf.Tensor:
    """Shapes without padding, int32 [B, 3]: those that are given, or the whole images where there are none."""
    if true_image_shapes is not None:
        return tf.cast(tf.convert_to_tensor(true_image_shapes), tf.int32)
    shape = tf.shape(preprocessed_inputs)
    return tf.tile(shape[tf.newaxis, 1:], [shape[0], 1])
