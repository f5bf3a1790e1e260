"""Two public tutorials of TensorFlow 1, command by command, in workspaces of their own.

Both label with LabelImg, make a CSV with `xml_to_csv.py` and records with `generate_tfrecord.py`, train with a sample
config of the API, and export; the second opens the frozen graph in a Session. Beyond paths a person edits:

- in their scripts, `import tensorflow as tf` to `import tensorflow.compat.v1 as tf`: TensorFlow 2 has no `tf.app`;
- the config, by `python -m configs.migrate`, and the zoo's folder where that leaves it to be filled in;
- the names of the API's commands: `model_main_tf2.py --model_dir` for `train.py --train_dir` and `model_main.py`, and
  `exporter_main_v2.py --also_frozen_graph` for `export_inference_graph.py`;
- a checkpoint's name: `ckpt-N` for `model.ckpt-N`.

The small images, networks and step counts are the tests', as is an image written to a file instead of a window.
"""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from object_detection.builders import model_builder
from object_detection.utils import config_util

from tests.compat.workspaces import COMPAT, NAMES, ROOT, SCRIPTS, python, write_labelled_image
from tests.configs.migrating import older_configs

# As shops have them: what either tutorial changes in the other's script stands in capitals.
XML_TO_CSV = """
import os
import glob
import pandas as pd
import xml.etree.ElementTree as ET

def xml_to_csv(path):
    xml_list = []
    for xml_file in glob.glob(path + '/*.xml'):
        root = ET.parse(xml_file).getroot()
        for member in root.findall('object'):
            xml_list.append((root.find('filename').text, int(root.find('size')[0].text),
                int(root.find('size')[1].text), member[0].text, int(member[4][0].text), int(member[4][1].text),
                int(member[4][2].text), int(member[4][3].text)))
    return pd.DataFrame(xml_list, columns=['filename', 'width', 'height', 'class', 'xmin', 'ymin', 'xmax', 'ymax'])

def main():
    for folder, labels in FOLDERS:
        image_path = os.path.join(os.getcwd(), folder)
        xml_df = xml_to_csv(image_path)
        xml_df.to_csv(labels, index=None)
        print('Successfully converted xml to csv.')

main()
"""
GENERATE_TFRECORD = """
from __future__ import division
from __future__ import print_function
from __future__ import absolute_import

import os
import io
import pandas as pd
import tensorflow as tf
from PIL import Image
from object_detection.utils import dataset_util
from collections import namedtuple, OrderedDict

flags = tf.app.flags
flags.DEFINE_string('csv_input', '', 'Path to the CSV input')
flags.DEFINE_string('image_dir', 'images', 'Path to the image directory')
flags.DEFINE_string('output_path', '', 'Path to output TFRecord')
FLAGS = flags.FLAGS

# TO-DO replace this with label map
def class_text_to_int(row_label):
    return CLASSES.get(row_label)

def split(df, group):
    data = namedtuple('data', ['filename', 'object'])
    gb = df.groupby(group)
    return [data(filename, gb.get_group(x)) for filename, x in zip(gb.groups.keys(), gb.groups)]

def create_tf_example(group, path):
    with tf.gfile.GFile(os.path.join(path, '{}'.format(group.filename)), 'rb') as fid:
        encoded_jpg = fid.read()
    width, height = Image.open(io.BytesIO(encoded_jpg)).size
    filename = group.filename.encode('utf8')
    xmins, xmaxs, ymins, ymaxs, classes_text, classes = [], [], [], [], [], []
    for index, row in group.object.iterrows():
        xmins.append(row['xmin'] / width)
        xmaxs.append(row['xmax'] / width)
        ymins.append(row['ymin'] / height)
        ymaxs.append(row['ymax'] / height)
        classes_text.append(row['class'].encode('utf8'))
        classes.append(class_text_to_int(row['class']))
    return tf.train.Example(features=tf.train.Features(feature={
        'image/height': dataset_util.int64_feature(height),
        'image/width': dataset_util.int64_feature(width),
        'image/filename': dataset_util.bytes_feature(filename),
        'image/source_id': dataset_util.bytes_feature(filename),
        'image/encoded': dataset_util.bytes_feature(encoded_jpg),
        'image/format': dataset_util.bytes_feature(b'jpg'),
        'image/object/bbox/xmin': dataset_util.float_list_feature(xmins),
        'image/object/bbox/xmax': dataset_util.float_list_feature(xmaxs),
        'image/object/bbox/ymin': dataset_util.float_list_feature(ymins),
        'image/object/bbox/ymax': dataset_util.float_list_feature(ymaxs),
        'image/object/class/text': dataset_util.bytes_list_feature(classes_text),
        'image/object/class/label': dataset_util.int64_list_feature(classes),
    }))

def main(_):
    writer = tf.python_io.TFRecordWriter(FLAGS.output_path)
    path = os.path.join(os.getcwd(), FLAGS.image_dir)
    grouped = split(pd.read_csv(FLAGS.csv_input), 'filename')
    for group in grouped:
        writer.write(create_tf_example(group, path).SerializeToString())
    writer.close()
    print('Successfully created the TFRecords: {}'.format(os.path.join(os.getcwd(), FLAGS.output_path)))

if __name__ == '__main__':
    tf.app.run()
"""
OBJECT_DETECTION_IMAGE = """
import os
import cv2
import numpy as np
import tensorflow as tf
import sys

# This is needed since the script is stored in the object_detection folder.
sys.path.append("..")

from utils import label_map_util
from utils import visualization_utils as vis_util

MODEL_NAME = 'inference_graph'
IMAGE_NAME = 'images/test/photo100.jpg'
CWD_PATH = os.getcwd()
PATH_TO_CKPT = os.path.join(CWD_PATH, MODEL_NAME, 'frozen_inference_graph.pb')
PATH_TO_LABELS = os.path.join(CWD_PATH, 'training', 'labelmap.pbtxt')
PATH_TO_IMAGE = os.path.join(CWD_PATH, IMAGE_NAME)
NUM_CLASSES = 2

label_map = label_map_util.load_labelmap(PATH_TO_LABELS)
categories = label_map_util.convert_label_map_to_categories(
    label_map, max_num_classes=NUM_CLASSES, use_display_name=True)
category_index = label_map_util.create_category_index(categories)

detection_graph = tf.Graph()
with detection_graph.as_default():
    od_graph_def = tf.GraphDef()
    with tf.gfile.GFile(PATH_TO_CKPT, 'rb') as fid:
        serialized_graph = fid.read()
        od_graph_def.ParseFromString(serialized_graph)
        tf.import_graph_def(od_graph_def, name='')
    sess = tf.Session(graph=detection_graph)

image_tensor = detection_graph.get_tensor_by_name('image_tensor:0')
detection_boxes = detection_graph.get_tensor_by_name('detection_boxes:0')
detection_scores = detection_graph.get_tensor_by_name('detection_scores:0')
detection_classes = detection_graph.get_tensor_by_name('detection_classes:0')
num_detections = detection_graph.get_tensor_by_name('num_detections:0')

image = cv2.imread(PATH_TO_IMAGE)
image_rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
image_expanded = np.expand_dims(image_rgb, axis=0)
(boxes, scores, classes, num) = sess.run(
    [detection_boxes, detection_scores, detection_classes, num_detections],
    feed_dict={image_tensor: image_expanded})
vis_util.visualize_boxes_and_labels_on_image_array(
    image,
    np.squeeze(boxes),
    np.squeeze(classes).astype(np.int32),
    np.squeeze(scores),
    category_index,
    use_normalized_coordinates=True,
    line_thickness=8,
    min_score_thresh=0.0)
cv2.imwrite('detected.png', image)
np.savez('detected.npz', boxes=boxes, scores=scores, classes=classes, num=num)
"""


def for_tensorflow_2(script: str) -> str:
    """The one line of a script that a person edits."""
    edited = script.replace("import tensorflow as tf\n", "import tensorflow.compat.v1 as tf\n")
    assert edited != script
    return edited


def write_workspace(root: Path, names: tuple[str, ...], label_map: str, folders: list[tuple[str, str]]) -> None:
    """The scripts, with their lines for one's own classes and folders, and the label map."""
    ids = {name: number for number, name in enumerate(dict.fromkeys(names), 1)}
    (root / "training").mkdir()
    (root / "training" / label_map).write_text(
        "\n".join(f"item {{\n  id: {number}\n  name: '{name}'\n}}\n" for name, number in ids.items())
    )
    (root / "xml_to_csv.py").write_text(XML_TO_CSV.replace("FOLDERS", repr(folders)))
    (root / "generate_tfrecord.py").write_text(for_tensorflow_2(GENERATE_TFRECORD.replace("CLASSES", repr(ids))))


def edited_by_hand(config: str, num_classes: int, label_map: str, records: str) -> str:
    """What either tutorial says to edit in a sample config: classes and paths. The batch is the test's."""
    config = config.replace("num_classes: 2", f"num_classes: {num_classes}").replace("batch_size: 24", "batch_size: 2")
    config = config.replace("PATH_TO_BE_CONFIGURED/label_map.pbtxt", f"training/{label_map}")
    config = config.replace("PATH_TO_BE_CONFIGURED/train.record", f"{records}train.record")
    return config.replace("PATH_TO_BE_CONFIGURED/validation.record", f"{records}test.record")


def migrated(root: Path, old: str, new: str) -> str:
    """Runs `configs.migrate`, and returns what it says."""
    return python(root, "-m", "configs.migrate", old, "--output", new, python_path=(ROOT,))


def test_the_raccoon_detector(tmp_path):
    """One class, images and XML in folders of their own, an SSD whose config says `ssd_mobilenet_v1`.

    Nothing is left to be filled in: the TensorFlow 2 zoo has no such SSD, so that `configs.migrate` writes `imagenet`.
    Weights of that name lie where Keras keeps what it has downloaded.
    """
    root = tmp_path
    for folder in ("images", "annotations/train", "annotations/test", "data"):
        (root / folder).mkdir(parents=True)
    for split, numbers in (("train", range(4)), ("test", range(100, 102))):
        for number in numbers:
            write_labelled_image(root / "images", number, ("raccoon", "raccoon"), root / "annotations" / split)
    folders = [(f"annotations/{split}", f"data/{split}_labels.csv") for split in ("train", "test")]
    write_workspace(root, ("raccoon",), "object-detection.pbtxt", folders)
    assert python(root, "xml_to_csv.py").count("Successfully converted xml to csv.") == 2
    for split in ("train", "test"):
        words = [f"--csv_input=data/{split}_labels.csv", f"--output_path=data/{split}.record"]
        assert "Successfully created the TFRecords" in python(root, "generate_tfrecord.py", *words)

    sample = older_configs.ssd("ssd_mobilenet_v1", height=96, width=96, width_multiplier=0.25)
    sample = sample.replace("random_horizontal_flip {\n    }\n", "ssd_random_crop {\n    }\n")
    old = root / "training" / "ssd_mobilenet_v1_pets.config"
    old.write_text(edited_by_hand(sample, 1, "object-detection.pbtxt", "data/"))
    page = migrated(root, "training/ssd_mobilenet_v1_pets.config", "training/pipeline.config")
    assert page.endswith("training/pipeline.config: can be used\n") and "to fill" not in page

    kept = root / "home" / ".keras" / "models"
    kept.mkdir(parents=True)
    trunk = tf_keras.applications.MobileNet(alpha=0.25, weights=None, include_top=False)
    trunk.save_weights(kept / "mobilenet_2_5_224_tf_no_top.h5")
    out = python(
        root, SCRIPTS / "model_main_tf2.py", "--logtostderr", "--model_dir=training/",
        "--pipeline_config_path=training/pipeline.config", "--num_train_steps=2", HOME=str(root / "home"),
    )  # fmt: skip
    assert "tf_keras.applications.MobileNet" in out
    python(
        root, SCRIPTS / "exporter_main_v2.py", "--input_type", "image_tensor",
        "--pipeline_config_path", "training/pipeline.config", "--trained_checkpoint_prefix", "training/ckpt-2",
        "--output_directory", "raccoon_inference_graph", "--also_frozen_graph",
    )  # fmt: skip
    assert (root / "raccoon_inference_graph" / "frozen_inference_graph.pb").is_file()
    detect_fn = tf.saved_model.load(str(root / "raccoon_inference_graph" / "saved_model"))
    detections = detect_fn(tf.io.decode_jpeg((root / "images" / "photo100.jpg").read_bytes())[tf.newaxis])
    assert set(detections["detection_classes"].numpy().ravel()) == {1.0}


@pytest.mark.slow
def test_the_card_detector(tmp_path):
    """Several classes, images and XML together, `faster_rcnn_inception_v2_pets.config`, a script that opens the graph.

    `configs.migrate` makes it a `faster_rcnn_resnet50_keras`, and leaves to be filled in where the zoo's checkpoint was
    unpacked. The script, which lay in the folder `object_detection`, says `from utils import ...`: that is found with
    this folder and the project's on the path.
    """
    root = tmp_path
    for split, numbers in (("train", range(4)), ("test", range(100, 102))):
        (root / "images" / split).mkdir(parents=True)
        for number in numbers:
            write_labelled_image(root / "images" / split, number)
    folders = [(f"images/{split}", f"images/{split}_labels.csv") for split in ("train", "test")]
    write_workspace(root, NAMES, "labelmap.pbtxt", folders)
    assert python(root, "xml_to_csv.py").count("Successfully converted xml to csv.") == 2
    for split in ("train", "test"):
        words = [f"--csv_input=images/{split}_labels.csv", f"--image_dir=images/{split}"]
        python(root, "generate_tfrecord.py", *words, f"--output_path={split}.record")

    sample = older_configs.faster_rcnn(
        "faster_rcnn_inception_v2", resizer="keep_aspect_ratio_resizer { min_dimension: 64 max_dimension: 128 }"
    ).replace("first_stage_max_proposals: 100", "first_stage_max_proposals: 16\n    second_stage_batch_size: 8")
    # Boxes of a head that has hardly begun to learn stay in the image.
    sample = sample.replace("factor: 1.0", "factor: 0.0001")
    old = root / "training" / "faster_rcnn_inception_v2_pets.config"
    old.write_text(edited_by_hand(sample, 2, "labelmap.pbtxt", ""))
    page = migrated(root, "training/faster_rcnn_inception_v2_pets.config", "training/pipeline.config")
    assert "to fill  train_config.fine_tune_checkpoint: replace PATH_TO_BE_CONFIGURED" in page
    new = root / "training" / "pipeline.config"
    new.write_text(new.read_text().replace('"PATH_TO_BE_CONFIGURED/', '"'))

    # What lies in the zoo's folder: other classes, and activations that stay as small as a trained network's.
    configs = config_util.get_configs_from_pipeline_file(str(new))
    configs["model"].faster_rcnn.num_classes = 5
    detector = model_builder.build(model_config=configs["model"], is_training=False)
    for variable in detector.variables:
        if "gamma" in variable.name:
            variable.assign(0.2 * tf.ones_like(variable))
    (named,) = re.findall(r'^ *fine_tune_checkpoint: "(.*)"', new.read_text(), re.MULTILINE)
    assert named == "faster_rcnn_resnet50_v1_640x640_coco17_tpu-8/checkpoint/ckpt-0"
    checkpoint = tf.train.Checkpoint(model=detector, step=tf.Variable(0, dtype=tf.int64))
    tf.train.CheckpointManager(checkpoint, str((root / named).parent), 1).save(checkpoint_number=0)

    python(
        root, SCRIPTS / "model_main_tf2.py", "--logtostderr", "--model_dir=training/",
        "--pipeline_config_path=training/pipeline.config", "--num_train_steps=1",
    )  # fmt: skip
    python(
        root, SCRIPTS / "exporter_main_v2.py", "--input_type", "image_tensor",
        "--pipeline_config_path", "training/pipeline.config", "--trained_checkpoint_prefix", "training/ckpt-1",
        "--output_directory", "inference_graph", "--also_frozen_graph",
    )  # fmt: skip
    (root / "Object_detection_image.py").write_text(for_tensorflow_2(OBJECT_DETECTION_IMAGE))
    python(root, "Object_detection_image.py", python_path=(COMPAT, SCRIPTS, ROOT))
    found = np.load(root / "detected.npz")
    photo = str(root / "images" / "test" / "photo100.jpg")
    assert (cv2.imread(str(root / "detected.png")) != cv2.imread(photo)).any()
    image = tf.io.decode_jpeg(tf.io.read_file(photo), dct_method="INTEGER_ACCURATE")[tf.newaxis]
    expected = tf.saved_model.load(str(root / "inference_graph" / "saved_model"))(image)
    assert found["num"] == expected["num_detections"].numpy() > 0
    assert np.allclose(found["scores"], expected["detection_scores"], atol=0.01)
    assert found["boxes"].shape == (1, 100, 4) and set(found["classes"].ravel()) <= {0, 1, 2}
    assert np.all(np.diff(found["scores"]) <= 0)
