"""A public notebook that starts from records of an annotation service, cell by cell: only paths are other.

The service's zip has a folder for each split, with records that have no `image/source_id` and a label map beside them.
The notebook writes a sample config anew with regular expressions, trains and exports with the API's scripts, restores
the last checkpoint and draws. Beyond paths a person deletes two things that had no effect there: the import of
`colab_utils`, and `--num_eval_steps`, which the API's script does not define and passes over.

The small network, images and step counts are the test's, and `*.tfrecord` in place of the file's name.
"""

from __future__ import annotations

import glob
import json
import os
import pathlib
import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from object_detection.builders import model_builder
from object_detection.utils import config_util, dataset_util, label_map_util
from object_detection.utils import visualization_utils as viz_utils
from PIL import Image

from tests.compat.workspaces import NAMES, SCRIPTS, python
from tests.conftest import SSD_CONFIG, block_image

# The parts of a TensorFlow 2 sample config of the API that the notebook's expressions look for, as they stand there.
BASE_RUN_CONFIG = """
train_config: {
  fine_tune_checkpoint_version: V2
  fine_tune_checkpoint: "PATH_TO_BE_CONFIGURED/mobilenet_v2.ckpt-1"
  fine_tune_checkpoint_type: "classification"
  batch_size: 128
  sync_replicas: true
  startup_delay_steps: 0
  replicas_to_aggregate: 8
  num_steps: 50000
  data_augmentation_options { random_horizontal_flip { } }
  data_augmentation_options {
    random_crop_image { min_object_covered: 0.0 min_aspect_ratio: 0.75 max_aspect_ratio: 3.0
      min_area: 0.75 max_area: 1.0 overlap_thresh: 0.0 }
  }
  optimizer {
    momentum_optimizer: {
      learning_rate: {
        cosine_decay_learning_rate {
          learning_rate_base: .08 total_steps: 50000 warmup_learning_rate: .026666 warmup_steps: 1000
        }
      }
      momentum_optimizer_value: 0.9
    }
    use_moving_average: false
  }
  max_number_of_boxes: 100
  unpad_groundtruth_tensors: false
}

train_input_reader: {
  label_map_path: "PATH_TO_BE_CONFIGURED/label_map.txt"
  tf_record_input_reader {
    input_path: "PATH_TO_BE_CONFIGURED/train2017-?????-of-00256.tfrecord"
  }
}

eval_config: {
  metrics_set: "coco_detection_metrics"
  use_moving_averages: false
}

eval_input_reader: {
  label_map_path: "PATH_TO_BE_CONFIGURED/label_map.txt"
  shuffle: false
  num_epochs: 1
  tf_record_input_reader {
    input_path: "PATH_TO_BE_CONFIGURED/val2017-?????-of-00032.tfrecord"
  }
}
"""


def write_unpacked(folder: Path, numbers: range) -> None:
    """A folder of the unpacked zip, with an image beside the records."""
    folder.mkdir()
    items = [
        f'item {{\n    name: "{name}",\n    id: {i},\n    display_name: "{name}"\n}}' for i, name in enumerate(NAMES, 1)
    ]
    (folder / "blocks_label_map.pbtxt").write_text("\n".join(items))
    with tf.io.TFRecordWriter(str(folder / "blocks.tfrecord")) as writer:
        for number in numbers:
            encoded, boxes, ids = block_image(number)
            columns = dict(zip(("ymin", "xmin", "ymax", "xmax"), boxes.T.tolist(), strict=True))
            feature = {
                "image/encoded": dataset_util.bytes_feature(encoded),
                "image/filename": dataset_util.bytes_feature(f"photo{number}_jpg.rf.0a1b2c.jpg".encode()),
                "image/format": dataset_util.bytes_feature(b"jpeg"),
                "image/height": dataset_util.int64_feature(96),
                "image/width": dataset_util.int64_feature(128),
                "image/object/class/text": dataset_util.bytes_list_feature([NAMES[i - 1].encode() for i in ids]),
                "image/object/class/label": dataset_util.int64_list_feature(ids),
            } | {f"image/object/bbox/{side}": dataset_util.float_list_feature(one) for side, one in columns.items()}
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    (folder / f"photo{numbers[0]}.jpg").write_bytes(block_image(numbers[0])[0])


def get_num_classes(pbtxt_fname):
    label_map = label_map_util.load_labelmap(pbtxt_fname)
    categories = label_map_util.convert_label_map_to_categories(label_map, max_num_classes=90, use_display_name=True)
    category_index = label_map_util.create_category_index(categories)
    return len(category_index.keys())


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> Path:
    """The notebook's /content: `pipeline_file.config`, and `training/` after two steps."""
    root = tmp_path_factory.mktemp("content")
    for split, numbers in (("train", range(6)), ("valid", range(100, 103)), ("test", range(200, 201))):
        write_unpacked(root / split, numbers)
    (root / "training").mkdir()
    pipeline_fname = str(root / "base.config")
    Path(pipeline_fname).write_text(SSD_CONFIG.replace("num_classes: 2", "num_classes: 90") + BASE_RUN_CONFIG)

    # What is downloaded: a detector of another number of classes.
    configs = config_util.get_configs_from_pipeline_file(pipeline_fname)
    checkpoint = tf.train.Checkpoint(model=model_builder.build(model_config=configs["model"], is_training=False))
    fine_tune_checkpoint = str(root / "downloaded" / "checkpoint" / "ckpt-0")
    tf.train.CheckpointManager(checkpoint, os.path.dirname(fine_tune_checkpoint), 1).save(checkpoint_number=0)  # noqa: PTH120

    test_record_fname = str(root / "valid" / "blocks.tfrecord")
    train_record_fname = str(root / "train" / "*.tfrecord")
    label_map_pbtxt_fname = str(root / "train" / "blocks_label_map.pbtxt")
    batch_size, num_steps = 2, 2
    num_classes = get_num_classes(label_map_pbtxt_fname)
    pipeline_file = str(root / "pipeline_file.config")
    with open(pipeline_fname) as f:  # noqa: PTH123  as the notebook has it, and below
        s = f.read()
    with open(pipeline_file, "w") as f:  # noqa: PTH123
        # fine_tune_checkpoint
        s = re.sub('fine_tune_checkpoint: ".*?"', f'fine_tune_checkpoint: "{fine_tune_checkpoint}"', s)
        # tfrecord files train and test.
        s = re.sub('(input_path: ".*?)(PATH_TO_BE_CONFIGURED/train)(.*?")', f'input_path: "{train_record_fname}"', s)
        s = re.sub('(input_path: ".*?)(PATH_TO_BE_CONFIGURED/val)(.*?")', f'input_path: "{test_record_fname}"', s)
        # label_map_path
        s = re.sub('label_map_path: ".*?"', f'label_map_path: "{label_map_pbtxt_fname}"', s)
        # Set training batch_size.
        s = re.sub("batch_size: [0-9]+", f"batch_size: {batch_size}", s)
        # Set training steps, num_steps
        s = re.sub("num_steps: [0-9]+", f"num_steps: {num_steps}", s)
        # Set number of classes num_classes.
        s = re.sub("num_classes: [0-9]+", f"num_classes: {num_classes}", s)
        # fine-tune checkpoint type
        s = re.sub('fine_tune_checkpoint_type: "classification"', 'fine_tune_checkpoint_type: "detection"', s)
        f.write(s)
    python(
        root, SCRIPTS / "model_main_tf2.py", f"--pipeline_config_path={pipeline_file}", f"--model_dir={root}/training/",
        "--alsologtostderr", f"--num_train_steps={num_steps}", "--sample_1_of_n_eval_examples=1",
    )  # fmt: skip
    assert json.loads((root / "training" / "restore_report.json").read_text())["source"] == fine_tune_checkpoint
    assert (root / "training" / "evaluations.json").is_file()
    return root


def test_the_unused_import_says_what_to_do():
    with pytest.raises(ImportError, match=r"colab_utils is not here: annotate boxes with a tool"):
        from object_detection.utils import colab_utils  # noqa: F401


def test_exported(content):
    python(
        content, SCRIPTS / "exporter_main_v2.py", "--trained_checkpoint_dir", f"{content}/training/",
        "--output_directory", "fine_tuned_model", "--pipeline_config_path", content / "pipeline_file.config",
    )  # fmt: skip
    detect_fn = tf.saved_model.load(str(content / "fine_tuned_model" / "saved_model"))
    image = tf.io.decode_jpeg((content / "test" / "photo200.jpg").read_bytes())
    assert set(detect_fn(image[tf.newaxis])["detection_classes"].numpy().ravel()) <= {1, 2}


def load_image_into_numpy_array(path):
    img_data = tf.io.gfile.GFile(path, "rb").read()
    image = Image.open(BytesIO(img_data))
    (im_width, im_height) = image.size
    return np.array(image.getdata()).reshape((im_height, im_width, 3)).astype(np.uint8)


def test_the_last_checkpoint_detects_and_is_drawn(content):
    filenames = list(pathlib.Path(content / "training").glob("*.index"))
    filenames.sort()
    configs = config_util.get_configs_from_pipeline_file(str(content / "pipeline_file.config"))
    model_config = configs["model"]
    detection_model = model_builder.build(model_config=model_config, is_training=False)
    ckpt = tf.compat.v2.train.Checkpoint(model=detection_model)
    ckpt.restore(os.path.join(str(filenames[-1]).replace(".index", "")))  # noqa: PTH118  as the notebook has it

    def get_model_detection_function(model):
        @tf.function
        def detect_fn(image):
            image, shapes = model.preprocess(image)
            prediction_dict = model.predict(image, shapes)
            detections = model.postprocess(prediction_dict, shapes)
            return detections, prediction_dict, tf.reshape(shapes, [-1])

        return detect_fn

    detect_fn = get_model_detection_function(detection_model)
    label_map_path = configs["eval_input_config"].label_map_path
    label_map = label_map_util.load_labelmap(label_map_path)
    categories = label_map_util.convert_label_map_to_categories(
        label_map, max_num_classes=label_map_util.get_max_label_map_index(label_map), use_display_name=True
    )
    category_index = label_map_util.create_category_index(categories)
    label_map_dict = label_map_util.get_label_map_dict(label_map, use_display_name=True)
    assert label_map_dict == {"red": 1, "blue": 2} and set(category_index) == {1, 2}

    (image_path,) = glob.glob(f"{content}/test/*.jpg")  # noqa: PTH207  as the notebook has it
    image_np = load_image_into_numpy_array(image_path)
    input_tensor = tf.convert_to_tensor(np.expand_dims(image_np, 0), dtype=tf.float32)
    detections, predictions_dict, shapes = detect_fn(input_tensor)
    assert predictions_dict["class_predictions_with_background"].shape[-1] == 3 and shapes.shape == (3,)
    label_id_offset = 1
    image_np_with_detections = image_np.copy()
    viz_utils.visualize_boxes_and_labels_on_image_array(
        image_np_with_detections,
        detections["detection_boxes"][0].numpy(),
        (detections["detection_classes"][0].numpy() + label_id_offset).astype(int),
        detections["detection_scores"][0].numpy(),
        category_index,
        use_normalized_coordinates=True,
        max_boxes_to_draw=200,
        min_score_thresh=0.0,
        agnostic_mode=False,
    )
    assert not np.array_equal(image_np_with_detections, image_np)
