"""Class labels of records, of objects and of whole images: label map ids for the names and ids that records hold."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from data_prep.formats import tf_example
from data_prep.formats.label_map import LabelMap
from data_prep.records.record_rules import ids_by_text
from train.inputs.input_errors import ensure, sentence
from train.inputs.label_expansion import LabelExpansion

VERIFIED_CLASS_IDS = "verified_class_ids"


class ClassIds(NamedTuple):
    """Objects' classes.

    Attributes:
        ids: int32 [N], label map ids; -1 for a name that the label map does not have.
        is_known: bool [N], whether the id is one to train on.
        is_named: bool [N], whether a name said it and not an id.
    """

    ids: tf.Tensor
    is_known: tf.Tensor
    is_named: tf.Tensor


class ClassLookup:
    """Looks classes up as the Object Detection API's `data_decoders/tf_example_decoder.py` does.

    Where a record has names, they count and not its ids; they are looked up among `name`s and `display_name`s alike.
    """

    def __init__(self, label_map: LabelMap | None, num_classes: int) -> None:
        """Prepares the look-up.

        Args:
            label_map: Ids may have gaps. None takes the records' ids.
            num_classes: The largest id that the network can learn.
        """
        self._num_classes = num_classes
        self._ids_by_name: tf.lookup.StaticHashTable | None = None
        known = [False] + [True] * num_classes
        if label_map is not None:
            ids = ids_by_text(label_map)
            self._ids_by_name = tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(list(ids), list(ids.values()), tf.string, tf.int64),
                default_value=-1,
                # Lives as long as a dataset that looks up in it, even when this object is gone.
                experimental_is_anonymous=True,
            )
            present = set(ids.values())
            known = [class_id in present for class_id in range(num_classes + 1)]
        self._known = tf.constant(known, tf.bool)

    def __call__(self, names: tf.Tensor, ids: tf.Tensor) -> ClassIds:
        """Looks up the classes of N objects.

        Args:
            names: string [N], empty where there is none.
            ids: int64 [N], 0 where there is none.
        """
        is_named = tf.zeros_like(ids, tf.bool)
        if self._ids_by_name is not None:
            is_named = tf.not_equal(names, "")
            ids = tf.where(is_named, self._ids_by_name.lookup(names), ids)
        in_range = (ids >= 1) & (ids <= self._num_classes)
        is_known = in_range & tf.gather(self._known, tf.where(in_range, ids, 0))
        return ClassIds(tf.cast(ids, tf.int32), is_known, is_named)

    def ensure_learnable(self, classes: ClassIds, source_id: tf.Tensor) -> tf.Operation | tf.Tensor:
        """Stops the pipeline at an id that the network cannot learn, or that the label map leaves out.

        A name that the label map does not have passes: such objects are left out, as in the API, and counted.
        """
        is_right = classes.is_known | (classes.is_named & (classes.ids < 0))

        def message() -> tf.Tensor:
            class_id = tf.strings.as_string(classes.ids[tf.argmax(~is_right)])
            where = "not in the label map" if self._ids_by_name is not None else "missing (set label_map_path)"
            beyond = f" is {where}, or beyond num_classes ({self._num_classes})"
            return sentence(source_id, "class id ", class_id, beyond)

        return ensure(tf.reduce_all(is_right), message)


def read_names_and_ids(record: tf.Tensor, names_key: str, ids_key: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Reads a serialised record's list of class names and its list of class ids, and nothing else of it.

    Args:
        record: string scalar, a serialised tf.Example.
        names_key: The key of the names, such as `image/object/class/text`.
        ids_key: The key of the ids.

    Returns:
        string [N] and int64 [N]. Where a list is absent or, in a broken record, too short, it is filled up with empty
        names or zeros: reading the whole record says what is wrong with it.
    """
    fields = tf.io.parse_single_example(
        record,
        {
            names_key: tf.io.FixedLenSequenceFeature((), tf.string, allow_missing=True),
            ids_key: tf.io.FixedLenSequenceFeature((), tf.int64, allow_missing=True),
        },
    )
    names, ids = fields[names_key], fields[ids_key]
    size = tf.maximum(tf.size(names), tf.size(ids))
    names = tf.concat([names, tf.fill([size - tf.size(names)], "")], axis=0)
    return names, tf.concat([ids, tf.zeros([size - tf.size(ids)], tf.int64)], axis=0)


class VerifiedLabelReader:
    """Reads the classes that people looked for in an image as a whole, found or not: Open Images' verified labels.

    Records hold them as `image/class/text` and `image/class/label`. Evaluation needs them where a metric leaves out
    detections of classes that nobody looked for; whether a class was found (its confidence) makes no difference to
    that. To be called inside `tf.data.Dataset.map`.
    """

    def __init__(
        self, label_map: LabelMap | None, num_classes: int, *, expansion: LabelExpansion | None = None
    ) -> None:
        """Prepares the look-up of class names.

        Args:
            label_map: Gives ids to names; None takes the record's ids.
            num_classes: The largest id.
            expansion: Looks for the classes above with each; None leaves them.
        """
        self._expansion = expansion
        self._look_up = ClassLookup(label_map, num_classes)
        self._num_classes = num_classes

    @tf.autograph.experimental.do_not_convert
    def __call__(self, record: tf.Tensor) -> tf.Tensor:
        """Returns a record's verified classes.

        As in the API's `data_decoders/tf_example_decoder.py` and `inputs.py`, names go before ids, and classes that the
        label map does not have are left out.

        Args:
            record: String scalar, a serialised `tf.train.Example`.

        Returns:
            int32 [num_classes], label map ids, each once, then zeros.
        """
        classes = self._look_up(*read_names_and_ids(record, tf_example.IMAGE_CLASS_TEXT, tf_example.IMAGE_CLASS_LABEL))
        known, _ = tf.unique(tf.boolean_mask(classes.ids, classes.is_known))
        if self._expansion is not None:
            known = self._expansion.image_labels(known)
        padded = tf.pad(known, [[0, self._num_classes - tf.size(known)]])
        padded.set_shape([self._num_classes])
        return padded
