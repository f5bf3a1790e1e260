"""Ground truth of a class that is also of its ancestors, as `expand_labels_hierarchy` asks for."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from configs.settings.inputs import InputReader
from data_prep.formats.label_map import LabelMap
from data_prep.runtime.command_line import UsageError
from train.inputs.ground_truth import CLASSES, GroundTruth


class LabelExpansion:
    """Repeats objects and labels of images for the classes above theirs, by the label map's `ancestor_ids`.

    As the API's `data_decoders/tf_example_decoder.py` with labels of images that say that a class is there.
    """

    def __init__(self, label_map: LabelMap, num_classes: int) -> None:
        """Reads what each class stands for.

        Args:
            label_map: With ancestors.
            num_classes: The largest id.

        Raises:
            UsageError: There are no ancestors in it, or they are no classes of it.
        """
        ids = {item.id for item in label_map}
        stands_for = np.eye(num_classes + 1, dtype=bool)
        for item in label_map:
            unknown = [class_id for class_id in item.ancestor_ids if class_id not in ids]
            if unknown:
                raise UsageError(f"label map: ancestor_ids of {item.name!r} have {unknown[0]}, which is no class of it")
            stands_for[item.id, list(item.ancestor_ids)] = True
        if not any(item.ancestor_ids for item in label_map):
            raise UsageError(
                "expand_labels_hierarchy is set, but the label map has no ancestor_ids; python -m "
                "data_prep.make_label_map --write_hierarchy --hierarchy_path H.json writes them, or delete the field"
            )
        self._stands_for = tf.constant(stands_for)

    def objects(self, ground_truth: GroundTruth) -> GroundTruth:
        """Returns each object for each class that it is of, in order of the objects, then of the ids."""
        rows, classes = tf.unstack(tf.where(tf.gather(self._stands_for, ground_truth[CLASSES])), axis=1)
        expanded = {name: tf.gather(values, rows) for name, values in ground_truth.items()}
        return {**expanded, CLASSES: tf.cast(classes, tf.int32)}

    def image_labels(self, class_ids: tf.Tensor) -> tf.Tensor:
        """Returns the classes, int32 [V], that are looked for with some, int32 [N]; each once, ascending."""
        return tf.cast(tf.where(tf.reduce_any(tf.gather(self._stands_for, class_ids), axis=0))[:, 0], tf.int32)


def label_expansion(reader: InputReader, label_map: LabelMap | None, num_classes: int) -> LabelExpansion | None:
    """Returns what a reader asks for, or None.

    Raises:
        UsageError: It asks for it without a label map that has a hierarchy.
    """
    if not reader.expand_labels_hierarchy:
        return None
    if label_map is None:
        raise UsageError("expand_labels_hierarchy is set, but label_map_path is not, which has the hierarchy")
    return LabelExpansion(label_map, num_classes)
