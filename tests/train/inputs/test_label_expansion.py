"""`expand_labels_hierarchy`: objects and labels of images are also of the classes above, as in the API's decoder."""

from __future__ import annotations

import io

import pytest
import tensorflow as tf
from PIL import Image

from configs.settings.inputs import InputReader
from configs.settings.reading import read_settings_text
from data_prep.formats.label_map import LabelMap, LabelMapItem, parse_label_map
from data_prep.formats.tf_example import make_example
from data_prep.runtime.command_line import UsageError
from train.inputs.class_labels import VerifiedLabelReader
from train.inputs.decode import RecordDecoder
from train.inputs.label_expansion import LabelExpansion, label_expansion

LABEL_MAP = parse_label_map(
    "item { id: 1 name: 'Furniture' descendant_ids: [2, 4] }"
    "item { id: 2 name: 'Bed' ancestor_ids: 1 descendant_ids: 4 }"
    "item { id: 3 name: 'Lamp' } item { id: 4 name: 'Cot' ancestor_ids: [1, 2] }"
)


def record():
    content = io.BytesIO()
    Image.new("RGB", (40, 20)).save(content, "PNG")
    return make_example(
        encoded_image=content.getvalue(),
        image_format="png",
        source_id="a",
        height=20,
        width=40,
        boxes_ymin_xmin_ymax_xmax=[[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]],
        class_labels=[4, 3],
        class_texts=["Cot", "Lamp"],
        group_of=[True, False],
        image_class_labels=[4],
        image_class_texts=["Cot"],
    )


def test_objects_and_verified_labels_are_also_of_the_classes_above():
    expansion = LabelExpansion(LABEL_MAP, 5)
    decode = RecordDecoder(LABEL_MAP, 5, expansion=expansion)
    truth = decode(tf.constant(record()), tf.constant(0, tf.int64)).ground_truth
    assert truth["groundtruth_classes"].numpy().tolist() == [1, 2, 4, 3]
    assert truth["groundtruth_boxes"].numpy()[:, 0].tolist() == [0, 0, 0, 0.5]
    assert truth["groundtruth_group_of"].numpy().tolist() == [True, True, True, False]
    assert truth["groundtruth_weights"].numpy().tolist() == [1, 1, 1, 1]
    verified = VerifiedLabelReader(LABEL_MAP, 5, expansion=expansion)(tf.constant(record()))
    assert verified.numpy().tolist() == [1, 2, 4, 0, 0]


def test_what_has_no_hierarchy_is_refused_where_it_is_asked_for():
    plain = LabelMap([LabelMapItem(1, "Bed")])
    asking = read_settings_text(InputReader, 'expand_labels_hierarchy: true tf_record_input_reader { input_path: "a" }')
    silent = read_settings_text(InputReader, 'tf_record_input_reader { input_path: "a" }')
    assert label_expansion(silent, plain, 1) is None
    with pytest.raises(UsageError, match=r"the label map has no ancestor_ids; python -m data_prep.make_label_map"):
        label_expansion(asking, plain, 1)
    with pytest.raises(UsageError, match="label_map_path is not"):
        label_expansion(asking, None, 1)
    with pytest.raises(UsageError, match="ancestor_ids of 'Bed' have 7, which is no class"):
        LabelExpansion(LabelMap([LabelMapItem(1, "Bed", ancestor_ids=(7,))]), 1)
