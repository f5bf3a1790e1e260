"""What a package called `object_detection` computes, as JSON: run once with ours and once with the API's on the path.

PYTHONPATH=PACKAGE python tests/compat/package_values.py FOLDER_WITH_LABEL_MAPS_AND_CONFIGS
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

BOXES = [[0.1, 0.1, 0.5, 0.5], [0.0, 0.2, 1.2, 0.6], [0.6, 0.6, 0.6, 0.9], [-0.4, 0.3, -0.1, 0.7], [0.3, 0.3, 0.9, 0.8]]
OTHERS = [[0.2, 0.2, 0.6, 0.6], [0.5, 0.0, 1.0, 0.5], [0.1, 0.1, 0.5, 0.5]]
SCORES = [0.3, 0.9, 0.5, 0.1, 0.7]
CLASSES = [1, 2, 1, 3, 2]
WINDOW = [0.0, 0.25, 1.0, 0.75]
XML = (
    "<annotation><filename>a.jpg</filename><size><width>4</width><depth/></size>"
    "<object><name>cat</name><bndbox><xmin>1</xmin></bndbox></object><object><name>dog</name></object></annotation>"
)
MERGED = {
    "learning_rate": 0.5,
    "batch_size": 3.6,
    "momentum_optimizer_value": 1.5,
    "train_steps": 12.0,
    "num_classes": 7,
    "label_map_path": "new.pbtxt",
    "train_input_path": ["a", "b"],
    "eval_input_path": "c",
    "eval_shuffle": True,
    "sample_1_of_n_eval_examples": 5,
    "eval_with_moving_averages": True,
    "use_bfloat16": True,
    "focal_loss_alpha": 0.4,
    "focal_loss_gamma": 1.25,
    "classification_localization_weight_ratio": 3.0,
    "model.ssd.image_resizer.fixed_shape_resizer.height": 77,
    "no_such_key": 1,
    "train_config.batch_size": 9,
}
MODULES = (
    *("anchor_generator", "argmax_matcher", "bipartite_matcher", "box_coder", "box_predictor", "calibration"),
    *("center_net", "eval", "faster_rcnn", "faster_rcnn_box_coder", "flexible_grid_anchor_generator", "fpn"),
    *("graph_rewriter", "grid_anchor_generator", "hyperparams", "image_resizer", "input_reader", "keypoint_box_coder"),
    *("losses", "matcher", "mean_stddev_box_coder", "model", "multiscale_anchor_generator", "optimizer", "pipeline"),
    *("post_processing", "preprocessor", "region_similarity_calculator", "square_box_coder", "ssd"),
    *("ssd_anchor_generator", "string_int_label_map", "target_assigner", "train"),
)


def plain(value: Any) -> Any:
    """As JSON holds it: numbers as they are, tensors as lists, messages as text."""
    if hasattr(value, "get_extra_fields"):
        fields = {name: plain(value.get_field(name)) for name in sorted(value.get_extra_fields()) if name != "boxes"}
        return {"boxes": plain(value.get()), **fields}
    if hasattr(value, "DESCRIPTOR"):
        return str(value)
    value = value.numpy() if hasattr(value, "numpy") else value
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in sorted(value.items(), key=str)}
    if isinstance(value, (list, tuple)) or type(value).__name__.startswith("Repeated"):
        return [plain(one) for one in value]
    return value


def attempt(call: Callable[[], Any]) -> Any:
    """What a call gives, or the kind of its error."""
    try:
        return plain(call())
    except (ValueError, TypeError, RuntimeError, KeyError) as error:
        return f"raises {type(error).__name__}"


def of_boxes() -> dict[str, Any]:
    import tensorflow as tf
    from object_detection.core import box_list
    from object_detection.core import box_list_ops as ops

    def boxes(rows: list[list[float]] = BOXES) -> Any:
        made = box_list.BoxList(tf.constant(rows))
        if rows is BOXES:
            made.add_field("scores", tf.constant(SCORES))
            made.add_field("classes", tf.constant(CLASSES))
        return made

    def transposed() -> Any:
        made = boxes()
        made.transpose_coordinates()
        return made

    other = boxes(OTHERS)
    window = tf.constant(WINDOW)
    in_pixels = ops.scale(boxes(), 100.0, 50.0)
    calls: dict[str, Callable[[], Any]] = {
        "centers": lambda: boxes().get_center_coordinates_and_sizes(),
        "transposed": transposed,
        "dictionary": lambda: boxes().as_tensor_dict(["scores"]),
        "wrong field": lambda: boxes().get_field("nothing"),
        "wrong set": lambda: boxes().set_field("nothing", 1),
        "wrong shape": lambda: box_list.BoxList(tf.zeros([2, 3])),
        "wrong type": lambda: box_list.BoxList(tf.zeros([2, 4], tf.float64)),
        "area": lambda: ops.area(boxes()),
        "height_width": lambda: ops.height_width(boxes()),
        "scale": lambda: ops.scale(boxes(), 2.0, 3.0),
        "scale_height_width": lambda: ops.scale_height_width(boxes(), 2.0, 3.0),
        "clip": lambda: ops.clip_to_window(boxes(), window),
        "clip all": lambda: ops.clip_to_window(boxes(), window, filter_nonoverlapping=False),
        "prune": lambda: ops.prune_outside_window(boxes(), window),
        "prune completely": lambda: ops.prune_completely_outside_window(boxes(), window),
        "intersection": lambda: ops.intersection(boxes(), other),
        "iou": lambda: ops.iou(boxes(), other),
        "ioa": lambda: ops.ioa(boxes(), other),
        "matched_iou": lambda: ops.matched_iou(other, ops.gather(boxes(), tf.constant([0, 1, 0]))),
        "non overlapping": lambda: ops.prune_non_overlapping_boxes(boxes(), other, 0.6),
        "small": lambda: ops.prune_small_boxes(boxes(), 0.35),
        "frame": lambda: ops.change_coordinate_frame(boxes(), window),
        "mask": lambda: ops.boolean_mask(boxes(), tf.constant([True, False, True, False, False]), ["scores"]),
        "bad mask": lambda: ops.boolean_mask(boxes(), tf.constant([1, 0, 0, 0, 0])),
        "gather": lambda: ops.gather(boxes(), tf.constant([4, 0])),
        "bad gather": lambda: ops.gather(boxes(), tf.constant([[4, 0]])),
        "concatenate": lambda: ops.concatenate([boxes(), boxes()]),
        "concatenate nothing": lambda: ops.concatenate([]),
        "sort": lambda: ops.sort_by_field(boxes(), "scores"),
        "sort up": lambda: ops.sort_by_field(boxes(), "scores", ops.SortOrder.ascend),
        "sort wrong": lambda: ops.sort_by_field(boxes(), "scores", 7),
        "equal": lambda: ops.filter_field_value_equals(boxes(), "classes", 1),
        "greater": lambda: ops.filter_greater_than(boxes(), 0.4),
        "nms": lambda: ops.non_max_suppression(boxes(), 0.3, 3),
        "nms wrong": lambda: ops.non_max_suppression(boxes(), 1.3, 3),
        "normalized": lambda: ops.to_normalized_coordinates(in_pixels, 100, 50),
        "absolute": lambda: ops.to_absolute_coordinates(boxes(OTHERS), 100, 50),
        "padded": lambda: ops.pad_or_clip_box_list(boxes(), 7),
        "clipped": lambda: ops.pad_or_clip_box_list(boxes(), 2),
        "drawn": lambda: ops.visualize_boxes_in_image(tf.zeros([8, 8, 3]), boxes(OTHERS), normalized=True),
    }
    return {name: attempt(call) for name, call in calls.items()}


def of_tensors() -> dict[str, Any]:
    import tensorflow as tf
    from object_detection.utils import ops

    crowd = {
        "groundtruth_boxes": tf.constant([*BOXES[:2], [float("nan"), 0.0, 1.0, 1.0]]),
        "groundtruth_classes": tf.constant([2, -1, 0]),
        "groundtruth_is_crowd": tf.constant([False, True, False]),
        "groundtruth_area": tf.constant([1.0, 2.0, 3.0]),
        "image": tf.ones([1, 1, 3]),
    }
    masks = tf.reshape(tf.range(2 * 3 * 3, dtype=tf.float32), [2, 3, 3])
    mask_boxes = tf.constant([[0.0, 0.0, 0.5, 1.0], [0.25, 0.25, 0.75, 1.0]])
    same = tf.constant([BOXES[0], BOXES[4], BOXES[0]])
    calls: dict[str, Callable[[], Any]] = {
        "expanded_shape": lambda: ops.expanded_shape(tf.constant([2, 3, 4]), 1, 2),
        "to pixels": lambda: ops.normalized_to_image_coordinates(tf.constant([OTHERS]), tf.constant([1, 10, 20, 3])),
        "meshgrid": lambda: ops.meshgrid(tf.constant([1, 2, 3]), tf.constant([[4.0, 5.0], [6.0, 7.0]])),
        "multiple": lambda: ops.pad_to_multiple(tf.ones([1, 3, 5, 1]), 4),
        "one hot": lambda: ops.padded_one_hot_encoding(tf.constant([1, 0, 2]), 3, 1),
        "one hot of none": lambda: ops.padded_one_hot_encoding(tf.zeros([0], tf.int32), 3, 1),
        "one hot without depth": lambda: ops.padded_one_hot_encoding(tf.constant([1]), 0, 1),
        "one hot wrong": lambda: ops.padded_one_hot_encoding(tf.constant([[1]]), 3, 1),
        "one hot negative": lambda: ops.padded_one_hot_encoding(tf.constant([1]), -1, 1),
        "sparse": lambda: ops.dense_to_sparse_boxes(tf.constant(BOXES), tf.constant([1, 0, 2]), 3),
        "vector": lambda: ops.indices_to_dense_vector(tf.constant([1, 3]), 5, 2.0, -1.0),
        "sum": lambda: ops.reduce_sum_trailing_dimensions(tf.ones([2, 3, 4, 5]), 2),
        "retained": lambda: ops.retain_groundtruth(crowd, tf.constant([[0], [1]])),
        "retained of nothing": lambda: ops.retain_groundtruth({}, tf.constant([0])),
        "positive": lambda: ops.retain_groundtruth_with_positive_classes(crowd)["groundtruth_area"],
        "recognised": lambda: ops.filter_unrecognized_classes(crowd)["groundtruth_area"],
        "without crowds": lambda: ops.filter_groundtruth_with_crowd_boxes(crowd)["groundtruth_area"],
        "corners": lambda: ops.reframe_image_corners_relative_to_boxes(mask_boxes),
        "masks": lambda: ops.reframe_box_masks_to_image_masks(masks, mask_boxes, 8, 8),
        "masks of bytes": lambda: ops.reframe_box_masks_to_image_masks(tf.cast(masks, tf.uint8), mask_boxes, 8, 8),
        "no masks": lambda: ops.reframe_box_masks_to_image_masks(masks[:0], mask_boxes[:0], 8, 6),
        "merged": lambda: ops.merge_boxes_with_multiple_labels(
            same, tf.constant([0, 1, 2]), tf.constant([0.3, 0.9, 0.5]), 3
        ),
        "giou": lambda: ops.giou(tf.constant(OTHERS), tf.constant(BOXES[:3])),
    }
    return {name: attempt(call) for name, call in calls.items()}


def of_fields() -> dict[str, Any]:
    from object_detection.core import standard_fields

    names = ("InputDataFields", "DetectionResultFields", "BoxListFields", "PredictionFields", "TfExampleFields")
    return {
        name: {key: value for key, value in sorted(vars(getattr(standard_fields, name)).items()) if key[0] != "_"}
        for name in names
    }


def of_annotations() -> dict[str, Any]:
    from object_detection.utils import dataset_util

    features = {
        "int": dataset_util.int64_feature(3),
        "ints": dataset_util.int64_list_feature([1, 2]),
        "bytes": dataset_util.bytes_feature(b"a"),
        "byte strings": dataset_util.bytes_list_feature([b"a", b"b"]),
        "float": dataset_util.float_feature(0.5),
        "floats": dataset_util.float_list_feature([0.5, 1.5]),
    }
    return {
        "features": {name: feature.SerializeToString().hex() for name, feature in features.items()},
        "xml": dataset_util.recursive_parse_xml_to_dict(ElementTree.fromstring(XML)),
    }


def of_label_maps(folder: Path) -> dict[str, Any]:
    from object_detection.utils import label_map_util

    found: dict[str, Any] = {
        "numbers": label_map_util.convert_label_map_to_categories(None, 2),
        "agnostic": plain(label_map_util.create_class_agnostic_category_index()),
    }
    for path in sorted(folder.glob("*.pbtxt")):
        text = str(path)
        found[path.name] = [
            attempt(lambda text=text: label_map_util.create_category_index_from_labelmap(text)),
            attempt(lambda text=text: label_map_util.create_category_index_from_labelmap(text, False)),
            attempt(lambda text=text: label_map_util.get_label_map_dict(text)),
            attempt(lambda text=text: label_map_util.get_label_map_dict(text, use_display_name=True)),
            attempt(lambda text=text: label_map_util.get_label_map_dict(text, fill_in_gaps_and_background=True)),
            attempt(
                lambda text=text: label_map_util.convert_label_map_to_categories(label_map_util.load_labelmap(text), 2)
            ),
            attempt(lambda text=text: label_map_util.get_max_label_map_index(label_map_util.load_labelmap(text))),
        ]
    return found


def of_configs(folder: Path) -> dict[str, Any]:
    from object_detection.utils import config_util

    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.config")):

        def read(override: str | None = None, path: Path = path) -> dict[str, Any]:
            return config_util.get_configs_from_pipeline_file(str(path), config_override=override)

        def merged(keys: dict[str, Any], read: Callable[..., Any] = read) -> Any:
            return config_util.create_pipeline_proto_from_configs(
                config_util.merge_external_params_with_configs(read(), kwargs_dict=keys)
            )

        configs = read()
        model = configs["model"]
        resizer = config_util.get_image_resizer_config(model)
        config_util.save_pipeline_config(
            config_util.create_pipeline_proto_from_configs(configs), str(folder / "written" / path.name)
        )
        found[path.name] = {
            "parts": plain(dict(configs)),
            "overridden": plain(
                dict(read("train_config { batch_size: 99 data_augmentation_options { rgb_to_gray {} } }"))
            ),
            "classes": config_util.get_number_of_classes(model),
            "resizer": plain(resizer),
            "size": config_util.get_spatial_image_size(resizer),
            "optimizer": config_util.get_optimizer_type(configs["train_config"]),
            "rate": attempt(
                lambda configs=configs: config_util.get_learning_rate_type(
                    configs["train_config"].optimizer.momentum_optimizer
                )
            ),
            **{key: attempt(lambda key=key: merged({key: MERGED[key]})) for key in MERGED},
            "no such field": attempt(lambda: merged({"model.ssd.no_such_field": 1})),
            "no such input": attempt(lambda: merged({"eval_input_configs:nobody:shuffle": True})),
            "written": (folder / "written" / path.name / "pipeline.config").read_text(),
        }
    return found


def of_messages() -> dict[str, Any]:
    import importlib

    found = {}
    for name in MODULES:
        module = importlib.import_module(f"object_detection.protos.{name}_pb2")
        is_type = {key: hasattr(one, "DESCRIPTOR") and key[0] != "_" for key, one in vars(module).items()}
        found[name] = sorted(key for key in is_type if is_type[key] and not key.startswith("object__detection"))
    return found


def main() -> None:
    folder = Path(sys.argv[1])
    print(
        json.dumps(
            {
                "boxes": of_boxes(),
                "tensors": of_tensors(),
                "fields": of_fields(),
                "annotations": of_annotations(),
                "label maps": of_label_maps(folder),
                "configs": of_configs(folder),
                "messages": of_messages(),
            }
        )
    )


if __name__ == "__main__":
    main()
