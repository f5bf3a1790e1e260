"""What a config means where the API has two ways of saying it, or where what is unset has a meaning of its own."""

from __future__ import annotations

from typing import Any

_PRECISIONS = {0: "float32", 1: "mixed_bfloat16", 2: "mixed_float16"}


def fine_tune_checkpoint_type(train_config: Any) -> str:
    """What to take from `fine_tune_checkpoint`: `classification`, `detection` or `full`.

    Unset, it is `detection` with the older `from_detection_checkpoint: true`, and otherwise `classification`.

    Args:
        train_config: A `TrainConfig` message.
    """
    if train_config.fine_tune_checkpoint_type:
        return train_config.fine_tune_checkpoint_type
    return "detection" if train_config.from_detection_checkpoint else "classification"


def precision_policy(config: Any) -> str:
    """The name of Keras' precision policy: `float32`, `mixed_bfloat16` or `mixed_float16`.

    Args:
        config: A `TrainEvalPipelineConfig` message.
    """
    if config.extensions.HasField("mixed_precision"):
        return _PRECISIONS[config.extensions.mixed_precision]
    return "mixed_bfloat16" if config.train_config.use_bfloat16 else "float32"


def max_number_of_training_boxes(config: Any) -> int:
    """Ground truth a training image, once padded; more is cut.

    `train_input_reader` has the word, as in the API's TensorFlow 2 loop; its older namesake in `train_config` counts
    where only that is set.

    Args:
        config: A `TrainEvalPipelineConfig` message.
    """
    reader, train = config.train_input_reader, config.train_config
    is_older = train.HasField("max_number_of_boxes") and not reader.HasField("max_number_of_boxes")
    return train.max_number_of_boxes if is_older else reader.max_number_of_boxes


def input_sizes_vary(image_resizer: Any) -> bool:
    """Whether an `ImageResizer` message gives images of different shapes inputs of different sizes.

    In a batch, each of them is then padded to the largest.
    """
    kind = image_resizer.WhichOneof("image_resizer_oneof")
    if kind == "keep_aspect_ratio_resizer":
        return not image_resizer.keep_aspect_ratio_resizer.pad_to_max_dimension
    return kind not in (None, "fixed_shape_resizer")
