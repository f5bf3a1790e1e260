import tensorflow as tf

from train.models.assignment import assign
from train.models.matchers import IGNORED, UNMATCHED


def targets(**arguments):
    return assign(
        matches=tf.constant([[UNMATCHED, IGNORED, 1, 0]]),
        groundtruth_boxes=tf.constant([[[0.0, 0, 1, 1], [2.0, 2, 3, 3]]]),
        groundtruth_classes=tf.constant([[7, 9]]),
        groundtruth_weights=tf.constant([[0.5, 1.0]]),
        **arguments,
    )


def test_targets_carry_weights_and_ignored_anchors_weigh_nothing():
    found = targets()
    assert found.classes.numpy().tolist() == [[0, 0, 9, 7]]
    assert found.class_weights.numpy().tolist() == [[1.0, 0.0, 1.0, 0.5]]
    assert found.box_weights.numpy().tolist() == [[0.0, 0.0, 1.0, 0.5]]
    assert found.positive.numpy().tolist() == [[False, False, True, True]]
    assert found.boxes.numpy()[0].tolist() == [[0] * 4, [0] * 4, [2, 2, 3, 3], [0, 0, 1, 1]]


def test_background_weighs_what_the_negative_class_weight_says():
    assert targets(negative_class_weight=0.25).class_weights.numpy().tolist() == [[0.25, 0.0, 1.0, 0.5]]
