"""Tiny but real: JPEGs of coloured blocks, records of them, and pipeline configs that a test trains in seconds."""

import ctypes
import gc
import io
import resource
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from data_prep.formats.label_map import LabelMap, LabelMapItem, write_label_map
from data_prep.formats.tf_example import make_example

GIVEN_BACK_FROM_BYTES = 1_500_000_000
_kept_bytes = [0]  # what a process had after it last gave memory back
CLASSES = ("Red block", "Blue block")
COLORS = ((220, 40, 40), (40, 60, 220))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts files with few tests first: those train and serve, and one that came last would leave a core idle."""
    tests_of_file = Counter(item.path for item in items)
    items.sort(key=lambda item: (tests_of_file[item.path], item.path))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Lists before the closing line what was skipped: how many tests, or files, and for which reason."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    if reasons:
        terminalreporter.section("skipped, and why")
    for reason, count in reasons.most_common():
        terminalreporter.line(f"{count:4}  {reason}")


@pytest.fixture(autouse=True)
def _memory_given_back() -> Iterator[None]:
    """Gives back to the machine what a test's graphs took, once it is gigabytes: a worker would keep all of it."""
    yield
    if _resident_bytes() < _kept_bytes[-1] + GIVEN_BACK_FROM_BYTES:
        return
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)
    _kept_bytes[:] = [_resident_bytes()]


def _resident_bytes() -> int:
    """What this process has in memory; 0 where there is no /proc to ask."""
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[1]) * resource.getpagesize() if pages.is_file() else 0


SSD_CONFIG = """
model { ssd {
  num_classes: 2
  image_resizer { fixed_shape_resizer { height: 96 width: 96 } }
  feature_extractor {
    type: "ssd_mobilenet_v2_fpn_keras" use_depthwise: true depth_multiplier: 0.35
    fpn { min_level: 3 max_level: 5 additional_layer_depth: 32 }
    conv_hyperparams {
      activation: RELU_6
      regularizer { l2_regularizer { weight: 0.00004 } }
      initializer { truncated_normal_initializer { stddev: 0.03 } }
      batch_norm { decay: 0.9 epsilon: 0.001 }
    }
  }
  box_coder { faster_rcnn_box_coder {} }
  matcher { argmax_matcher { matched_threshold: 0.5 unmatched_threshold: 0.4 force_match_for_each_row: true } }
  similarity_calculator { iou_similarity {} }
  encode_background_as_zeros: true
  anchor_generator { multiscale_anchor_generator {
    min_level: 3 max_level: 5 anchor_scale: 4.0 aspect_ratios: [1.0, 2.0, 0.5] scales_per_octave: 1
  } }
  box_predictor { weight_shared_convolutional_box_predictor {
    depth: 32 num_layers_before_predictor: 1 kernel_size: 3 use_depthwise: true class_prediction_bias_init: -4.6
    conv_hyperparams {
      activation: RELU_6
      regularizer { l2_regularizer { weight: 0.00004 } }
      initializer { random_normal_initializer { stddev: 0.03 } }
      batch_norm { decay: 0.9 epsilon: 0.001 }
    }
  } }
  loss {
    classification_loss { weighted_sigmoid_focal { alpha: 0.25 gamma: 2.0 } }
    localization_loss { weighted_smooth_l1 {} }
  }
  normalize_loss_by_num_matches: true
  normalize_loc_loss_by_codesize: true
  post_processing {
    batch_non_max_suppression {
      score_threshold: 0.001 iou_threshold: 0.6 max_detections_per_class: 20 max_total_detections: 20
    }
    score_converter: SIGMOID
  }
} }
"""

FASTER_RCNN_CONFIG = """
model { faster_rcnn {
  num_classes: 2
  image_resizer { fixed_shape_resizer { height: 64 width: 64 } }
  feature_extractor { type: "faster_rcnn_resnet50_keras" batch_norm_trainable: true }
  first_stage_anchor_generator { grid_anchor_generator {
    scales: [0.06, 0.12] aspect_ratios: [0.5, 1.0, 2.0] height_stride: 16 width_stride: 16
  } }
  first_stage_box_predictor_conv_hyperparams {
    op: CONV
    regularizer { l2_regularizer { weight: 0.0 } }
    initializer { truncated_normal_initializer { stddev: 0.01 } }
  }
  first_stage_box_predictor_depth: 64
  first_stage_nms_score_threshold: 0.0
  first_stage_nms_iou_threshold: 0.7
  first_stage_max_proposals: 12
  first_stage_minibatch_size: 32
  second_stage_batch_size: 8
  initial_crop_size: 4
  maxpool_kernel_size: 2
  maxpool_stride: 2
  second_stage_box_predictor { mask_rcnn_box_predictor {
    use_dropout: true dropout_keep_probability: 0.5
    fc_hyperparams {
      op: FC
      regularizer { l2_regularizer { weight: 0.0 } }
      # Small, so that boxes of an untrained network stay in the image.
      initializer { variance_scaling_initializer { factor: 0.0001 uniform: true mode: FAN_AVG } }
    }
  } }
  second_stage_post_processing {
    batch_non_max_suppression {
      score_threshold: 0.0 iou_threshold: 0.6 max_detections_per_class: 10 max_total_detections: 10
    }
    score_converter: SOFTMAX
  }
} }
"""

RUN_CONFIG = """
train_config {
  batch_size: 2 num_steps: 4
  optimizer { momentum_optimizer {
    learning_rate { constant_learning_rate { learning_rate: 0.01 } } momentum_optimizer_value: 0.9
  } }
  gradient_clipping_by_norm: 10.0
  data_augmentation_options { random_horizontal_flip {} }
}
train_input_reader {
  label_map_path: "PATH_TO_BE_CONFIGURED/label_map.pbtxt"
  tf_record_input_reader { input_path: "PATH_TO_BE_CONFIGURED/train.record-*" }
}
eval_config { metrics_set: "coco_detection_metrics" batch_size: 4 num_visualizations: 2 }
eval_input_reader {
  label_map_path: "PATH_TO_BE_CONFIGURED/label_map.pbtxt"
  shuffle: false
  tf_record_input_reader { input_path: "PATH_TO_BE_CONFIGURED/validation.record-*" }
}
"""


def block_image(number: int, height: int = 96, width: int = 128) -> tuple[bytes, np.ndarray, list[int]]:
    """A JPEG with one block of each class on grey, its boxes (ymin xmin ymax xmax in 0..1) and label map ids."""
    random = np.random.default_rng(number)
    image = Image.new("RGB", (width, height), (128, 128, 128))
    boxes, ids = [], []
    for class_id, color in enumerate(COLORS, start=1):
        side = int(random.integers(24, 40))
        left = int(random.integers(0, width // 2 - side)) + (class_id - 1) * width // 2
        top = int(random.integers(0, height - side))
        ImageDraw.Draw(image).rectangle((left, top, left + side - 1, top + side - 1), fill=color)
        boxes.append([top / height, left / width, (top + side) / height, (left + side) / width])
        ids.append(class_id)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return buffer.getvalue(), np.array(boxes, np.float32), ids


def write_records(path: Path, numbers: range) -> None:
    """Writes one shard of block images."""
    import tensorflow as tf

    with tf.io.TFRecordWriter(f"{path}-00000-of-00001") as writer:
        for number in numbers:
            encoded, boxes, ids = block_image(number)
            writer.write(
                make_example(
                    encoded_image=encoded,
                    image_format="jpeg",
                    source_id=f"photo{number}",
                    height=96,
                    width=128,
                    boxes_ymin_xmin_ymax_xmax=boxes,
                    class_labels=ids,
                    class_texts=[CLASSES[class_id - 1] for class_id in ids],
                )
            )


@pytest.fixture(scope="session")
def block_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with label_map.pbtxt, train.record-* of 8 images and validation.record-* of 6."""
    folder = tmp_path_factory.mktemp("blocks")
    write_label_map(
        folder / "label_map.pbtxt", LabelMap(tuple(LabelMapItem(i, name) for i, name in enumerate(CLASSES, 1)))
    )
    write_records(folder / "train.record", range(8))
    write_records(folder / "validation.record", range(100, 106))
    return folder


@pytest.fixture(scope="session")
def block_config(block_records: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Writes the config of a family (`ssd` or `faster_rcnn`) with text put after it, and returns its path."""

    def write(family: str, more: str = "") -> Path:
        text = {"ssd": SSD_CONFIG, "faster_rcnn": FASTER_RCNN_CONFIG}[family] + RUN_CONFIG
        path = tmp_path_factory.mktemp("config") / "pipeline.config"
        path.write_text(text.replace("PATH_TO_BE_CONFIGURED", str(block_records)) + more)
        return path

    return write
