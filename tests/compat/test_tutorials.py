"""Two public tutorials, command by command, in a workspace of their own: only paths are other than on their pages.

The first is "TensorFlow 2 Object Detection API tutorial": XML to a CSV to records with `generate_tfrecord.py`,
`model_main_tf2.py`, `exporter_main_v2.py`, and detections from the SavedModel. The second is the workspace course on
`my_ssd_mobnet`: the config edited in a notebook, trained, restored from a checkpoint, drawn, and written for TensorFlow
Lite. The small network and images are the tests'.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from object_detection.builders import model_builder
from object_detection.protos import pipeline_pb2
from object_detection.utils import config_util, label_map_util
from object_detection.utils import visualization_utils as viz_utils

from tests.compat.workspaces import NAMES, SCRIPTS, python, write_labelled_image
from tests.conftest import CLASSES, RUN_CONFIG, SSD_CONFIG

# As shops have it: the script of the first tutorial, whose pandas and PIL calls are the same.
GENERATE_TFRECORD = """
import os, glob, io, argparse
import pandas as pd
import xml.etree.ElementTree as ET
import tensorflow.compat.v1 as tf
from PIL import Image
from object_detection.utils import dataset_util, label_map_util
from collections import namedtuple

parser = argparse.ArgumentParser()
parser.add_argument("-x", "--xml_dir", type=str)
parser.add_argument("-l", "--labels_path", type=str)
parser.add_argument("-o", "--output_path", type=str)
parser.add_argument("-c", "--csv_path", type=str, default=None)
args = parser.parse_args()
label_map = label_map_util.load_labelmap(args.labels_path)
label_map_dict = label_map_util.get_label_map_dict(label_map)

def xml_to_csv(path):
    xml_list = []
    for xml_file in sorted(glob.glob(path + '/*.xml')):
        root = ET.parse(xml_file).getroot()
        for member in root.findall('object'):
            box = member.find('bndbox')
            xml_list.append((root.find('filename').text, int(root.find('size')[0].text),
                int(root.find('size')[1].text), member.find('name').text, int(box.find('xmin').text),
                int(box.find('ymin').text), int(box.find('xmax').text), int(box.find('ymax').text)))
    return pd.DataFrame(xml_list, columns=['filename', 'width', 'height', 'class', 'xmin', 'ymin', 'xmax', 'ymax'])

def split(df, group):
    data = namedtuple('data', ['filename', 'object'])
    gb = df.groupby(group)
    return [data(filename, gb.get_group(x)) for filename, x in zip(gb.groups.keys(), gb.groups)]

def create_tf_example(group, path):
    with tf.gfile.GFile(os.path.join(path, '{}'.format(group.filename)), 'rb') as fid:
        encoded_jpg = fid.read()
    width, height = Image.open(io.BytesIO(encoded_jpg)).size
    rows = [row for _, row in group.object.iterrows()]
    filename = group.filename.encode('utf8')
    return tf.train.Example(features=tf.train.Features(feature={
        'image/height': dataset_util.int64_feature(height),
        'image/width': dataset_util.int64_feature(width),
        'image/filename': dataset_util.bytes_feature(filename),
        'image/source_id': dataset_util.bytes_feature(filename),
        'image/encoded': dataset_util.bytes_feature(encoded_jpg),
        'image/format': dataset_util.bytes_feature(b'jpg'),
        'image/object/bbox/xmin': dataset_util.float_list_feature([row['xmin'] / width for row in rows]),
        'image/object/bbox/xmax': dataset_util.float_list_feature([row['xmax'] / width for row in rows]),
        'image/object/bbox/ymin': dataset_util.float_list_feature([row['ymin'] / height for row in rows]),
        'image/object/bbox/ymax': dataset_util.float_list_feature([row['ymax'] / height for row in rows]),
        'image/object/class/text': dataset_util.bytes_list_feature([row['class'].encode('utf8') for row in rows]),
        'image/object/class/label': dataset_util.int64_list_feature([label_map_dict[row['class']] for row in rows]),
    }))

def main(_):
    writer = tf.python_io.TFRecordWriter(args.output_path)
    examples = xml_to_csv(args.xml_dir)
    for group in split(examples, 'filename'):
        writer.write(create_tf_example(group, args.xml_dir).SerializeToString())
    writer.close()
    print('Successfully created the TFRecord file: {}'.format(args.output_path))
    if args.csv_path is not None:
        examples.to_csv(args.csv_path, index=None)

if __name__ == '__main__':
    tf.app.run(argv=['generate_tfrecord.py'])
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    """Images, annotations and records, and `exported-models/my_model` after a few steps of training."""
    root = tmp_path_factory.mktemp("workspace")
    for split, numbers in (("train", range(6)), ("test", range(100, 103))):
        (root / "images" / split).mkdir(parents=True)
        for number in numbers:
            write_labelled_image(root / "images" / split, number)
    (root / "annotations").mkdir()
    (root / "annotations" / "label_map.pbtxt").write_text(
        "".join(f"item {{ \n\tname:'{name}'\n\tid:{number}\n}}\n" for number, name in enumerate(NAMES, 1))
    )
    (root / "generate_tfrecord.py").write_text(GENERATE_TFRECORD)
    for split in ("train", "test"):
        words = ["-x", f"images/{split}", "-l", "annotations/label_map.pbtxt", "-o", f"annotations/{split}.record"]
        assert "Successfully created" in python(root, "generate_tfrecord.py", *words)
    assert len(CLASSES) == len(NAMES)

    # The notebook's cell that edits the config of the downloaded model.
    (root / "models" / "my_model").mkdir(parents=True)
    downloaded = root / "pre-trained.config"
    downloaded.write_text(SSD_CONFIG.replace("num_classes: 2", "num_classes: 90") + RUN_CONFIG)
    pipeline_config = pipeline_pb2.TrainEvalPipelineConfig()
    with tf.io.gfile.GFile(str(downloaded), "r") as file:
        text_format.Merge(file.read(), pipeline_config)
    pipeline_config.model.ssd.num_classes = 2
    pipeline_config.train_config.batch_size = 2
    pipeline_config.train_input_reader.label_map_path = "annotations/label_map.pbtxt"
    pipeline_config.train_input_reader.tf_record_input_reader.input_path[:] = ["annotations/train.record"]
    pipeline_config.eval_input_reader[0].label_map_path = "annotations/label_map.pbtxt"
    pipeline_config.eval_input_reader[0].tf_record_input_reader.input_path[:] = ["annotations/test.record"]
    config_text = text_format.MessageToString(pipeline_config)
    with tf.io.gfile.GFile(str(root / "models" / "my_model" / "pipeline.config"), "wb") as file:
        file.write(config_text)

    # The script copied into the workspace, as the first tutorial says.
    (root / "model_main_tf2.py").write_text((SCRIPTS / "model_main_tf2.py").read_text())
    python(
        root, "model_main_tf2.py", "--model_dir=models/my_model",
        "--pipeline_config_path=models/my_model/pipeline.config", "--num_train_steps=3", "--alsologtostderr",
    )  # fmt: skip
    return root


def test_exported_by_the_script_and_called_as_a_function(workspace):
    out = python(
        workspace, SCRIPTS / "exporter_main_v2.py", "--input_type", "image_tensor",
        "--pipeline_config_path", "models/my_model/pipeline.config", "--trained_checkpoint_dir", "models/my_model/",
        "--output_directory", "exported-models/my_model",
    )  # fmt: skip
    assert "serving_default takes image_tensor" in out
    exported = workspace / "exported-models" / "my_model"
    assert {"checkpoint", "pipeline.config", "saved_model"} <= {path.name for path in exported.iterdir()}
    category_index = label_map_util.create_category_index_from_labelmap(
        str(workspace / "annotations" / "label_map.pbtxt"), use_display_name=True
    )
    detect_fn = tf.saved_model.load(str(exported / "saved_model"))
    image_np = tf.io.decode_jpeg((workspace / "images" / "test" / "photo100.jpg").read_bytes()).numpy()
    input_tensor = tf.convert_to_tensor(image_np)[tf.newaxis, ...]
    detections = detect_fn(input_tensor)
    assert {"raw_detection_boxes", "raw_detection_scores", "detection_multiclass_scores"} <= set(detections)
    num_detections = int(detections.pop("num_detections"))
    detections = {key: value[0, :num_detections].numpy() for key, value in detections.items()}
    detections["num_detections"] = num_detections
    detections["detection_classes"] = detections["detection_classes"].astype(np.int64)
    assert set(detections["detection_classes"]) <= set(category_index)
    image_np_with_detections = image_np.copy()
    viz_utils.visualize_boxes_and_labels_on_image_array(
        image_np_with_detections,
        detections["detection_boxes"],
        detections["detection_classes"],
        detections["detection_scores"],
        category_index,
        use_normalized_coordinates=True,
        max_boxes_to_draw=200,
        min_score_thresh=0.0,
        agnostic_mode=False,
    )
    assert not np.array_equal(image_np_with_detections, image_np)


def test_restored_from_the_trainings_checkpoint(workspace):
    """`ckpt.restore(os.path.join(CHECKPOINT_PATH, 'ckpt-3')).expect_partial()` takes what `train.train` wrote."""
    folder = workspace / "models" / "my_model"
    configs = config_util.get_configs_from_pipeline_file(str(folder / "pipeline.config"))
    detection_model = model_builder.build(model_config=configs["model"], is_training=False)
    before = [variable.numpy() for variable in detection_model.trainable_variables]
    ckpt = tf.compat.v2.train.Checkpoint(model=detection_model)
    ckpt.restore(os.path.join(folder, "ckpt-3")).expect_partial()  # noqa: PTH118  as the notebook has it
    changed = [
        not np.array_equal(variable.numpy(), value)
        for variable, value in zip(detection_model.trainable_variables, before, strict=True)
    ]
    assert np.mean(changed) > 0.9

    @tf.function
    def detect_fn(image):
        image, shapes = detection_model.preprocess(image)
        prediction_dict = detection_model.predict(image, shapes)
        return detection_model.postprocess(prediction_dict, shapes)

    img = tf.io.decode_jpeg((workspace / "images" / "test" / "photo101.jpg").read_bytes()).numpy()
    detections = detect_fn(tf.convert_to_tensor(np.expand_dims(img, 0), dtype=tf.float32))
    assert detections["detection_boxes"].shape == (1, 20, 4)
    assert set(detections["detection_classes"].numpy().ravel().astype(np.int64) + 1) <= {1, 2}


def test_written_for_tensorflow_lite(workspace):
    python(
        workspace, SCRIPTS / "export_tflite_graph_tf2.py", "--pipeline_config_path=models/my_model/pipeline.config",
        "--trained_checkpoint_dir=models/my_model", "--output_directory=models/tfliteexport",
    )  # fmt: skip
    converter = tf.lite.TFLiteConverter.from_saved_model(str(workspace / "models" / "tfliteexport" / "saved_model"))
    converter.allow_custom_ops = True
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    details = interpreter.get_output_details()
    # Where scripts for such models look: scores, boxes, number, classes.
    assert "StatefulPartitionedCall" in details[0]["name"]
    assert [list(one["shape"]) for one in details] == [[1, 10], [1, 10, 4], [1], [1, 10]]
    (given,) = interpreter.get_input_details()
    assert list(given["shape"]) == [1, 96, 96, 3]

    # It is the model that was converted and checked.
    checked = tf.lite.Interpreter(str(workspace / "models" / "tfliteexport" / "model_float.tflite"))
    checked.allocate_tensors()
    image = np.random.default_rng(0).uniform(-1, 1, [1, 96, 96, 3]).astype(np.float32)
    expected = {}
    for one in (interpreter, checked):
        one.set_tensor(one.get_input_details()[0]["index"], image)
        one.invoke()
    for detail in checked.get_output_details():
        expected.setdefault(tuple(detail["shape"]), []).append(checked.get_tensor(detail["index"]))
    scores, boxes, number, classes = (interpreter.get_tensor(one["index"]) for one in details)
    assert np.allclose(boxes, expected[1, 10, 4][0], atol=1e-5) and number == expected[(1,)][0]
    assert any(np.allclose(scores, one, atol=1e-5) for one in expected[1, 10])
    assert any(np.array_equal(classes, one) for one in expected[1, 10])
    assert np.all(np.diff(scores) <= 0) and 0 < scores.max() <= 1
