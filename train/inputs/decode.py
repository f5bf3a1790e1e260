"""Decoder of a serialised record into an image and its ground truth, checked so that nothing broken reaches a loss.

What is read, and what of it stops the pipeline, with a sentence that names the image (see `input_errors`), is said in
`data_prep/records/record_rules.py`: an image that does not decode, lists of unequal lengths, a class id that the label
map does not know.

Boxes that cannot be trained on are left out and counted, or stop the pipeline too where `extensions.strict_records` is
set. An object whose class has a name that the label map does not know is left out, as in the Object Detection API (so
that a smaller label map trains on some of the records' classes), and counted. Features of other kinds, such as
keypoints and masks, are not read.

Crowd boxes are trained on like others unless their `image/object/weight` is 0: so did the Object Detection API, which
uses `is_crowd` in evaluation only.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from data_prep.formats import tf_example
from data_prep.formats.label_map import LabelMap
from data_prep.records import record_rules as rules
from train.inputs.class_labels import ClassLookup
from train.inputs.ground_truth import AREA, BOXES, CLASSES, DIFFICULT, GROUP_OF, IS_CROWD, WEIGHTS, GroundTruth, keep
from train.inputs.input_errors import ensure, sentence
from train.inputs.label_expansion import LabelExpansion

_DTYPES = {"bytes": tf.string, "float": tf.float32, "int64": tf.int64}
_LISTS = {key: _DTYPES[tf_example.FEATURES[key].kind] for key in rules.LIST_KEYS}


class DecodedRecord(NamedTuple):
    """A record's content.

    Attributes:
        image: uint8 [H, W, 3], RGB.
        ground_truth: Its N objects, boxes relative to the image.
        source_id: String scalar, never empty.
        num_unknown: int32 scalar, objects left out because the label map does not have their class's name.
        num_unusable: int32 scalar, objects left out because their box cannot be trained on.
        unusable_box: String scalar, a sentence about the first of these; empty where there is none.
    """

    image: tf.Tensor
    ground_truth: GroundTruth
    source_id: tf.Tensor
    num_unknown: tf.Tensor
    num_unusable: tf.Tensor
    unusable_box: tf.Tensor


class RecordDecoder:
    """Decodes records; to be called inside `tf.data.Dataset.map`."""

    def __init__(
        self,
        label_map: LabelMap | None,
        num_classes: int,
        *,
        is_strict: bool = False,
        expansion: LabelExpansion | None = None,
    ) -> None:
        """Prepares the look-up of class names.

        Args:
            label_map: Gives ids to `image/object/class/text`, by `name` or `display_name`; where a record has names,
                they count and not its ids, as in the Object Detection API. None takes the ids.
            num_classes: The largest id that the network can learn.
            is_strict: Whether a box that cannot be trained on stops the pipeline, and is not left out.
            expansion: Repeats objects for the classes above theirs; None leaves them.
        """
        self._expansion = expansion
        self._look_up = ClassLookup(label_map, num_classes)
        self._is_strict = is_strict

    @tf.autograph.experimental.do_not_convert
    def __call__(self, record: tf.Tensor, index: tf.Tensor) -> DecodedRecord:
        """Decodes one record.

        Args:
            record: String scalar, a serialised `tf.train.Example`.
            index: int64 scalar, names a record that carries no id of its own.
        """
        spec: dict[str, tf.io.FixedLenFeature | tf.io.FixedLenSequenceFeature] = {
            key: tf.io.FixedLenFeature((), tf.string, default_value="") for key in rules.SINGLE_KEYS
        }
        for key, dtype in _LISTS.items():
            spec[key] = tf.io.FixedLenSequenceFeature((), dtype, allow_missing=True)
        fields = tf.io.parse_single_example(record, spec)
        source_id = _first_non_empty(
            *(fields[key] for key in rules.NAME_KEYS),
            tf.strings.join(["record ", tf.strings.as_string(index)]),
        )
        image = _decode_image(fields[tf_example.IMAGE_ENCODED], source_id)
        with tf.control_dependencies([_check_lengths(fields, source_id)]):
            fields = {key: tf.identity(fields[key]) for key in _LISTS}
        boxes = tf.stack([fields[key] for key in rules.BOX_KEYS], axis=1)
        count = tf.shape(boxes)[0]
        weights = _or_default(fields[tf_example.OBJECT_WEIGHT], tf.ones([count]))
        is_usable = rules.are_usable(boxes, weights, _every)
        unusable_box = self._sentence_about_unusable(is_usable, boxes, weights, source_id)
        boxes = tf.clip_by_value(boxes, 0.0, 1.0)
        sides = (boxes[:, 2:] - boxes[:, :2]) * tf.cast(tf.shape(image)[:2], tf.float32)
        names = _or_default(fields[tf_example.CLASS_TEXT], tf.fill([count], ""))
        ids = _or_default(fields[tf_example.CLASS_LABEL], tf.zeros([count], tf.int64))
        classes = self._look_up(names, ids)
        with tf.control_dependencies([self._look_up.ensure_learnable(classes, source_id)]):
            is_known = tf.identity(classes.is_known)
        ground_truth = {
            BOXES: boxes,
            CLASSES: classes.ids,
            WEIGHTS: weights,
            IS_CROWD: _flags(fields[tf_example.OBJECT_IS_CROWD], count),
            DIFFICULT: _flags(fields[tf_example.OBJECT_DIFFICULT], count),
            GROUP_OF: _flags(fields[tf_example.OBJECT_GROUP_OF], count),
            AREA: _or_default(fields[tf_example.OBJECT_AREA], sides[:, 0] * sides[:, 1]),
        }
        is_kept = is_usable & is_known
        num_usable, num_kept = (tf.reduce_sum(tf.cast(mask, tf.int32)) for mask in (is_usable, is_kept))
        kept = keep(ground_truth, is_kept)
        return DecodedRecord(
            image,
            self._expansion.objects(kept) if self._expansion is not None else kept,
            source_id,
            num_unknown=num_usable - num_kept,
            num_unusable=count - num_usable,
            unusable_box=unusable_box,
        )

    def _sentence_about_unusable(
        self, is_usable: tf.Tensor, boxes: tf.Tensor, weights: tf.Tensor, source_id: tf.Tensor
    ) -> tf.Tensor:
        """Returns a sentence about the first box that cannot be used, or nothing; stops with it where that is asked."""

        def about_first() -> tf.Tensor:
            return _unusable_box(tf.argmax(~is_usable), boxes, weights, source_id)

        if not self._is_strict:
            return tf.cond(tf.reduce_all(is_usable), lambda: tf.constant(""), about_first)
        with tf.control_dependencies([ensure(tf.reduce_all(is_usable), about_first)]):
            return tf.constant("")


def _decode_image(encoded: tf.Tensor, source_id: tf.Tensor) -> tf.Tensor:
    """Decodes a JPEG, PNG, BMP or GIF (its first frame) to uint8 [H, W, 3]."""

    def decode(content: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_image(content, channels=3, expand_animations=False)
        image.set_shape([None, None, 3])
        return image

    # An op that fails says nothing of the image. A dataset of one element that leaves out what fails, and an empty
    # image behind it, is the way to catch that without leaving the graph; it costs 0.1 ms.
    failed = tf.data.Dataset.from_tensors(tf.zeros([0, 0, 3], tf.uint8))
    one = tf.data.Dataset.from_tensors(encoded).map(decode).ignore_errors().concatenate(failed).take(1)
    image = one.get_single_element()
    size = tf.strings.as_string(tf.strings.length(encoded))
    check = ensure(
        tf.size(image) > 0,
        lambda: sentence(source_id, "its encoded image does not decode (", size, " bytes)"),
    )
    with tf.control_dependencies([check]):
        return tf.identity(image)


def _check_lengths(fields: dict[str, tf.Tensor], source_id: tf.Tensor) -> tf.Tensor:
    """Every list has one value an object, or none at all where it is optional."""
    keys = list(_LISTS)
    sizes = tf.stack([tf.size(fields[key]) for key in keys])
    count = sizes[keys.index(tf_example.BOX_YMIN)]
    may_be_empty = tf.constant([key not in rules.BOX_KEYS for key in keys])
    fits = (sizes == count) | (may_be_empty & (sizes == 0))
    num_classes = tf.maximum(sizes[keys.index(tf_example.CLASS_LABEL)], sizes[keys.index(tf_example.CLASS_TEXT)])

    def message() -> tf.Tensor:
        number = tf.argmax(~fits)
        size, boxes = tf.strings.as_string(sizes[number]), tf.strings.as_string(count)
        return tf.where(
            tf.reduce_all(fits),
            sentence(source_id, boxes, " boxes, but no classes for them"),
            sentence(source_id, tf.constant(keys)[number], " has ", size, " values for ", boxes, " boxes"),
        )

    return ensure(tf.reduce_all(fits) & (num_classes == count), message)


def _unusable_box(number: tf.Tensor, boxes: tf.Tensor, weights: tf.Tensor, source_id: tf.Tensor) -> tf.Tensor:
    """Says which box cannot be trained on, and why."""
    problem = tf.constant("")
    for kind, holds in reversed(rules.reasons_unusable(boxes, weights, _every).items()):
        problem = tf.where(holds[number], rules.UNUSABLE_IN_WORDS[kind], problem)
    coordinates = tf.strings.reduce_join(tf.strings.as_string(boxes[number], shortest=True), separator=" ")
    box = ["box ", tf.strings.as_string(number), " (ymin xmin ymax xmax ", coordinates, ") "]
    return sentence(source_id, *box, problem)


def _every(mask: tf.Tensor) -> tf.Tensor:
    return tf.reduce_all(mask, axis=1)


def _first_non_empty(*candidates: tf.Tensor) -> tf.Tensor:
    chosen = candidates[-1]
    for candidate in reversed(candidates[:-1]):
        chosen = tf.where(tf.equal(candidate, ""), chosen, candidate)
    return chosen


def _or_default(values: tf.Tensor, default: tf.Tensor) -> tf.Tensor:
    """Returns `values`, or `default` when they are absent; both are vectors, and `values` has all or none."""
    return tf.concat([values, default[tf.size(values) :]], axis=0)


def _flags(values: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    return tf.cast(_or_default(values, tf.zeros([count], tf.int64)), tf.bool)
