"""The classes that people looked for in an image as a whole, found or not: Open Images' verified labels.

Records hold them as `image/class/text` and `image/class/label`. Evaluation needs them where a metric leaves out
detections of classes that nobody looked for; whether a class was found (its confidence) makes no difference to that.
"""

from __future__ import annotations

import tensorflow as tf

from data_prep.formats import tf_example
from data_prep.formats.label_map import LabelMap
from train.inputs.class_labels import ClassLookup, read_names_and_ids

VERIFIED_CLASS_IDS = "verified_class_ids"


class VerifiedLabelReader:
    """Reads them; to be called inside `tf.data.Dataset.map`."""

    def __init__(self, label_map: LabelMap | None, num_classes: int) -> None:
        """Prepares the look-up of class names.

        Args:
            label_map: Gives ids to names; None takes the record's ids.
            num_classes: The largest id.
        """
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
        padded = tf.pad(known, [[0, self._num_classes - tf.size(known)]])
        padded.set_shape([self._num_classes])
        return padded
