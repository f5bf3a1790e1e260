"""Small sets of records, settings that read them, and the batches that training gets of them."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from configs.schema.descriptors import message_class
from configs.schema.pipeline_file import parse_text
from configs.settings.pipeline import PipelineSettings
from configs.settings.reading import read_settings
from data_prep.formats.tf_example import make_example
from data_prep.records.record_files import RecordWriter
from train.inputs.reader import build_training_dataset

# Of a config, what the input does not look at.
REST = """
model { ssd {
  num_classes: 3
  image_resizer { fixed_shape_resizer { height: 16 width: 16 } }
  feature_extractor { type: "ssd_mobilenet_v2_keras" }
  box_coder { faster_rcnn_box_coder { } }
  matcher { argmax_matcher { } }
  similarity_calculator { iou_similarity { } }
  box_predictor { convolutional_box_predictor { } }
  anchor_generator { ssd_anchor_generator { } }
  loss { classification_loss { weighted_sigmoid { } } localization_loss { weighted_smooth_l1 { } } }
} }
train_config {
  batch_size: 3
  optimizer { adam_optimizer { learning_rate { constant_learning_rate { } } } }
  data_augmentation_options { random_horizontal_flip { } }
  data_augmentation_options { random_adjust_brightness { } }
}
"""


def example(source_id: str, label: int = 1, encoded: bytes | None = None) -> bytes:
    if encoded is None:
        content = io.BytesIO()
        pixels = np.random.default_rng(zlib.crc32(source_id.encode())).integers(0, 255, (12, 14, 3), np.uint8)
        Image.fromarray(pixels).save(content, "PNG")
        encoded = content.getvalue()
    return make_example(
        encoded_image=encoded,
        image_format="png",
        source_id=source_id,
        height=12,
        width=14,
        boxes_ymin_xmin_ymax_xmax=[[0.25, 0.125, 0.75, 0.5]],
        class_labels=[label],
        class_texts=[""],
    )


class Records:
    """A folder of shards, and settings that read them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, *sizes: int, name: str = "data", labels: tuple[int, ...] = (1,)) -> None:
        number = 0
        for index, size in enumerate(sizes):
            with RecordWriter(self.folder / f"{name}.record-{index:05d}-of-{len(sizes):05d}") as writer:
                for _ in range(size):
                    writer.write(example(f"{name}{number}", labels[number % len(labels)]))
                    number += 1

    def settings(self, *more: str, names: tuple[str, ...] = ("data",)) -> PipelineSettings:
        """Of a config with one text merged after the other."""
        paths = " ".join(f"input_path: '{self.folder}/{name}.record-*'" for name in names)
        texts = [f"{REST} train_input_reader {{ tf_record_input_reader {{ {paths} }} }}", *more]
        message = message_class("TrainEvalPipelineConfig")()
        for text in texts:
            message.MergeFrom(parse_text(text, "text", "TrainEvalPipelineConfig"))
        return read_settings(PipelineSettings, message)


def batches(settings: PipelineSettings, count: int = -1, **more: Any) -> list[dict[str, np.ndarray]]:
    taken = build_training_dataset(settings, **{"seed": 5, **more}).take(count)
    return [{"images": images, **labels} for images, labels in taken.as_numpy_iterator()]


def assert_equal(one: list[dict[str, np.ndarray]], other: list[dict[str, np.ndarray]]) -> None:
    assert [batch["source_id"].tolist() for batch in one] == [batch["source_id"].tolist() for batch in other]
    for first, second in zip(one, other, strict=True):
        assert first.keys() == second.keys()
        for name in first:
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def ids(taken: list[dict[str, np.ndarray]]) -> list[str]:
    return [source_id.decode() for batch in taken for source_id in batch["source_id"]]
