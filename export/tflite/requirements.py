"""Quantizations of TensorFlow Lite models, and requirements on their pipeline config: NMS is one fixed operator."""

from __future__ import annotations

from configs.settings.box_coders import BOX_CODERS, FasterRcnnBoxCoder
from configs.settings.model import MODELS, Model
from configs.settings.resizers import IMAGE_RESIZERS, ImageResizer, KeepAspectRatioResizer
from configs.settings.ssd import Ssd
from data_prep.runtime.command_line import UsageError

# The ways in which a model is made smaller.
FLOAT, DYNAMIC_RANGE, FULL_INTEGER = "float", "dynamic_range", "full_integer"
QUANTIZATIONS = (FLOAT, DYNAMIC_RANGE, FULL_INTEGER)


def require_convertible(model: Model, *, use_regular_nms: bool) -> Ssd:
    """Refuses what `TFLite_Detection_PostProcess` cannot do, which the API's exporter in part left out unsaid.

    Args:
        model: Of the detector.
        use_regular_nms: Whether the operator is to suppress class by class.

    Returns:
        The model.

    Raises:
        UsageError: One line with the field's path, why, and what to use instead.
    """
    if not isinstance(model, Ssd):
        raise UsageError(
            f"model.{MODELS.name_of(model)} does not fit into TensorFlow Lite's detection operator, and "
            "export_tflite_graph_tf2 refuses it too: train a model.ssd, such as "
            "configs/ssd_mobilenet_v2_fpnlite_320.config, or serve this one with export.export_saved_model"
        )
    _require_fixed_input(model.image_resizer)
    if not isinstance(model.box_coder, FasterRcnnBoxCoder):
        raise UsageError(
            f"model.ssd.box_coder.{BOX_CODERS.name_of(model.box_coder)}: TensorFlow Lite's detection operator decodes "
            "faster_rcnn_box_coder alone; train with that, or use export.export_saved_model"
        )
    nms, where = (
        model.post_processing.batch_non_max_suppression,
        "model.ssd.post_processing.batch_non_max_suppression",
    )
    if nms.soft_nms_sigma > 0.0 and not nms.use_hard_nms:
        raise UsageError(
            f"{where}.soft_nms_sigma: TensorFlow Lite's detection operator has no soft NMS (export_tflite_graph_tf2 "
            f"passes over it in silence); give --config_override '{_nested(where, 'use_hard_nms: true')}'"
        )
    if nms.use_class_agnostic_nms and use_regular_nms:
        raise UsageError(
            f"{where}.use_class_agnostic_nms: true lets boxes of all classes compete, and --ssd_use_regular_nms those "
            "of a class; leave the flag out"
        )
    return model


def _require_fixed_input(resizer: ImageResizer) -> None:
    where, kind = "model.ssd.image_resizer", IMAGE_RESIZERS.name_of(resizer)
    if None in resizer.static_size:
        instead = "fixed_shape_resizer"
        if isinstance(resizer, KeepAspectRatioResizer):
            instead = "pad_to_max_dimension: true there, or fixed_shape_resizer"
        raise UsageError(
            f"{where}.{kind} gives every image a size of its own, and a TensorFlow Lite model has one; write "
            f"{instead} (export_tflite_graph_tf2 takes fixed_shape_resizer alone), and train with it"
        )
    if resizer.is_grey:
        raise UsageError(
            f"{where}.{kind}.convert_to_grayscale: a phone gives a TensorFlow Lite model images in colour; train "
            "without it, or use export.export_saved_model"
        )


def _nested(path: str, inner: str) -> str:
    for name in reversed(path.split(".")):
        inner = f"{name} {{ {inner} }}"
    return inner
