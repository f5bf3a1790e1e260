"""The configs and records of a machine's check: a recipe of each family, made ready on drawn rooms."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from data_prep.formats.label_map import LabelMap, LabelMapItem, write_label_map
from data_prep.formats.tf_example import make_example
from data_prep.runtime.progress import progress
from data_prep.sample_rooms.sample_set import SampleSetOptions, make_image
from data_prep.sample_rooms.scene import CLASS_MIDS

_CONFIGS = Path(__file__).resolve().parents[2] / "configs"
_SSD = "ssd_mobilenet_v2_fpnlite_320_cpu.config"
_FASTER_RCNN = "faster_rcnn_resnet50_v1_256_cpu.config"
_RECORDS = 'label_map_path: "{folder}/label_map.pbtxt" tf_record_input_reader {{ input_path: "{folder}/train.record" }}'
# From nothing, on the records here, with any batch.
_INPUT = f"train_input_reader {{{{ {_RECORDS} }}}} eval_input_reader {{{{ {_RECORDS} }}}} "
_SSD_TRAINING = 'train_config {{ batch_size: {batch_size} fine_tune_checkpoint: "" }} '
# All anchors and all proposals count: where some are drawn, which they are changes with the last bit of a score. The
# rates are a tenth of the recipe's, with which rounding grows into another course within the steps that are compared.
_FASTER_RCNN_TRAINING = (
    "model {{ faster_rcnn {{ first_stage_minibatch_size: 4096 first_stage_positive_balance_fraction: 1.0 "
    "first_stage_max_proposals: 16 second_stage_batch_size: 16 second_stage_balance_fraction: 1.0 }} }} "
    'train_config {{ batch_size: {batch_size} fine_tune_checkpoint: "" optimizer {{ momentum_optimizer {{ '
    "learning_rate {{ cosine_decay_learning_rate {{ learning_rate_base: 0.0003 warmup_learning_rate: 0.0001 }} }} "
    "}} }} }} "
)
# Recipes, and what is merged over them.
FAMILIES = {"SSD": (_SSD, _INPUT + _SSD_TRAINING), "Faster R-CNN": (_FASTER_RCNN, _INPUT + _FASTER_RCNN_TRAINING)}


def recipe_and_override(family: str, folder: Path, batch_size: int) -> tuple[str, str]:
    """Returns the path of a family's recipe, and the text to merge over it.

    Args:
        family: One of `FAMILIES`.
        folder: With what `write_check_set` wrote.
        batch_size: Over all devices.
    """
    name, override = FAMILIES[family]
    return str(_CONFIGS / name), override.format(folder=folder, batch_size=batch_size)


def write_check_set(folder: Path, *, num_images: int = 24, width: int = 320, height: int = 240) -> None:
    """Draws rooms and writes them as records, with their label map.

    Args:
        folder: Of `label_map.pbtxt` and `train.record`; it is there.
        num_images: How many.
        width: In pixels.
        height: In pixels.
    """
    import tensorflow as tf

    items = tuple(LabelMapItem(number, name) for number, name in enumerate(CLASS_MIDS, 1))
    write_label_map(folder / "label_map.pbtxt", LabelMap(items))
    ids = {item.name: item.id for item in items}
    options = SampleSetOptions(num_train=num_images, image_width=width, image_height=height)
    with tf.io.TFRecordWriter(str(folder / "train.record")) as writer:
        for index in progress(range(num_images), description="drawing rooms", unit="image"):
            made = make_image(options, "train", index)
            with Image.open(io.BytesIO(made.jpeg)) as image:
                size = image.size
            boxes = [(box.ymin, box.xmin, box.ymax, box.xmax) for box in made.annotations]
            names = [box.class_name for box in made.annotations]
            writer.write(
                make_example(
                    encoded_image=made.jpeg,
                    image_format="jpeg",
                    source_id=made.image_id,
                    height=size[1],
                    width=size[0],
                    boxes_ymin_xmin_ymax_xmax=np.array(boxes, np.float32).reshape(-1, 4),
                    class_labels=[ids[name] for name in names],
                    class_texts=names,
                )
            )
