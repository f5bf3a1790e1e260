"""Modules and names of the API that are not here, and what to use in place of each."""

from __future__ import annotations

import importlib.abc
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, NoReturn

_PACKAGE = "object_detection."
_EVALUATE = "python -m train.evaluate measures, with --detections_path for what was detected"
_OWN_DATA = "python -m data_prep.import_annotations, or object_detection.utils.dataset_util in a script of your own"
_TF1 = "TensorFlow 1's models and graphs are not here; python -m configs.migrate writes a config that trains here"
_INSIDE = "it is inside the models here; object_detection.builders.model_builder.build gives the whole model"

# By the start of the module's name below the package; the longest that fits counts.
_INSTEAD = {
    "inputs": "train.inputs.reader reads the config's records; python -m train.browse_inputs shows them",
    "model_lib_v2": "python -m train.train trains, and python -m train.evaluate evaluates",
    "model_lib": _TF1,
    "model_main": "object_detection/model_main_tf2.py trains",
    "model_hparams": "python -m train.train --config_override 'train_config { ... }' changes what a config says",
    "exporter_lib_v2": "object_detection/exporter_main_v2.py exports; export.saved_model.export is what it calls",
    "exporter": "object_detection/exporter_main_v2.py --also_frozen_graph writes a frozen graph too",
    "export_inference_graph": "object_detection/exporter_main_v2.py --also_frozen_graph writes a frozen graph too",
    "export_tflite_ssd_graph": "object_detection/export_tflite_graph_tf2.py writes .tflite files",
    "export_tflite_graph_lib_tf2": "object_detection/export_tflite_graph_tf2.py writes .tflite files",
    "eval_util": _EVALUATE,
    "metrics": _EVALUATE,
    "utils.object_detection_evaluation": _EVALUATE,
    "utils.per_image_evaluation": _EVALUATE,
    "utils.np_box": "object_detection.core.box_list and box_list_ops do the same with tensors",
    "utils.colab_utils": "annotate boxes with a tool, and bring them here with python -m data_prep.import_annotations",
    "utils.test_utils": "write tests with your own arrays",
    "utils.variables_helper": "tf.train.Checkpoint(model=...) restores; python -m train.inspect_checkpoint lists",
    "utils.learning_schedules": "train_config.optimizer describes a schedule; configs.plot_schedule draws it",
    "dataset_tools": _OWN_DATA,
    "data_decoders": "train.inputs.decode reads records; python -m train.browse_inputs shows them",
    "builders": _INSIDE,
    "meta_architectures": "SSD and Faster R-CNN are the families that are here (docs/migration.md)",
    "models": "networks are named by feature_extractor.type in a config (docs/migration.md lists them)",
    "core.preprocessor": "train_config.data_augmentation_options are applied by train.inputs.augmentations",
    "core": _INSIDE,
    "predictors": _INSIDE,
    "anchor_generators": _INSIDE,
    "box_coders": _INSIDE,
    "matchers": _INSIDE,
    "legacy": "object_detection/model_main_tf2.py trains and evaluates",
    "nets": _TF1,
    "slim": _TF1,
    "tpu_exporters": "python -m export.export_saved_model exports for CPUs and GPUs",
    "inference": "python -m serving.predict_folder detects on whole folders",
}


class AbsentModules(importlib.abc.MetaPathFinder):
    """The last finder: turns a missing module of the package into an error that says what to use."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        """Lets other packages pass.

        Raises:
            ImportError: A module of `object_detection` that is not here.
        """
        if fullname.startswith(_PACKAGE):
            raise ImportError(f"{fullname} is not here: {instead_of(fullname)}", name=fullname)


def instead_of(module: str) -> str:
    """What to use in place of a module of the API, such as `object_detection.eval_util`."""
    name = module.removeprefix(_PACKAGE)
    fitting = [start for start in _INSTEAD if name.startswith(start)]
    return _INSTEAD[max(fitting, key=len)] if fitting else "docs/migration.md lists what is, and what to use"


def absent_names(module: str, instead: Mapping[str, str]) -> Callable[[str], Any]:
    """Makes a module's `__getattr__`, which says what to use in place of functions that are not here.

    Args:
        module: The module's `__name__`.
        instead: What to use, by the function's name.
    """

    def missing(name: str) -> NoReturn:
        # As Python says it, so that hasattr and copy go on as ever.
        hint = f": {instead[name]}" if name in instead else ""
        raise AttributeError(f"{module}.{name} is not here{hint}")

    return missing
