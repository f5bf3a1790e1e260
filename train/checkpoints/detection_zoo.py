"""The Object Detection API's TensorFlow 2 Detection Zoo: its archives, where they are published, and what fits here.

From the zoo's page, research/object_detection/g3doc/tf2_detection_zoo.md of tensorflow/models.
"""

from __future__ import annotations

import dataclasses
import difflib

from configs.migrating.checkpoints import ZOO_MODELS
from data_prep.runtime.command_line import UsageError

PUBLISHED_AT = "http://download.tensorflow.org/models/object_detection/tf2"
_USUAL_DATE = "20200711"
OWN_CONFIG = "its own pipeline.config"
_CENTERNET = "CenterNet is not supported here"

_EFFICIENTDETS = tuple(f"efficientdet_d{number}_coco17_tpu-32" for number in range(8))
# The others that train here, which configs.migrate knows by network.
_OF_NETWORKS = tuple(name for by_side in ZOO_MODELS.values() for name in by_side.values())
_UNSUPPORTED = {
    "mask_rcnn_inception_resnet_v2_1024x1024_coco17_gpu-8": "masks are not supported here",
    "extremenet": "ExtremeNet is not supported here",
    **{
        f"centernet_{name}": _CENTERNET
        for name in (
            "hg104_512x512_coco17_tpu-8",
            "hg104_512x512_kpts_coco17_tpu-32",
            "hg104_1024x1024_coco17_tpu-32",
            "hg104_1024x1024_kpts_coco17_tpu-32",
            "resnet50_v1_fpn_512x512_coco17_tpu-8",
            "resnet50_v1_fpn_512x512_kpts_coco17_tpu-8",
            "resnet101_v1_fpn_512x512_coco17_tpu-8",
            "resnet50_v2_512x512_coco17_tpu-8",
            "resnet50_v2_512x512_kpts_coco17_tpu-8",
            "mobilenetv2fpn_512x512_coco17_od",
            "mobilenetv2fpn_512x512_coco17_kpts",
        )
    },
}
_OTHER_DATES = {
    "centernet_hg104_512x512_coco17_tpu-8": "20200713",
    "centernet_hg104_1024x1024_coco17_tpu-32": "20200713",
    "centernet_mobilenetv2fpn_512x512_coco17_od": "20210210",
    "centernet_mobilenetv2fpn_512x512_coco17_kpts": "20210210",
    "extremenet": "20210507",
}
# The recipes of the same network and size; for the others the archive's own config is the one.
_RECIPES = {
    "efficientdet_d0_coco17_tpu-32": "configs/ssd_efficientdet_d0_512.config",
    "ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8": "configs/ssd_mobilenet_v2_fpnlite_320.config",
    "ssd_resnet50_v1_fpn_640x640_coco17_tpu-8": "configs/ssd_resnet50_v1_fpn_640.config",
    "faster_rcnn_resnet50_v1_640x640_coco17_tpu-8": "configs/faster_rcnn_resnet50_v1_640.config",
}


@dataclasses.dataclass(frozen=True)
class ZooModel:
    """One archive of the zoo.

    Attributes:
        name: Of the archive, without `.tar.gz`.
        date: The folder that it is published in.
        recipe: The recipe of this network and size, or `its own pipeline.config`; empty where it is not supported.
        unsupported: Why it cannot be trained or exported here; empty where it can.
    """

    name: str
    date: str
    recipe: str
    unsupported: str = ""

    def url(self, base_url: str = PUBLISHED_AT) -> str:
        """Where the archive is, below the zoo or a mirror of it."""
        return f"{base_url.rstrip('/')}/{self.date}/{self.name}.tar.gz"


ZOO = {
    name: ZooModel(
        name,
        _OTHER_DATES.get(name, _USUAL_DATE),
        "" if name in _UNSUPPORTED else _RECIPES.get(name, OWN_CONFIG),
        _UNSUPPORTED.get(name, ""),
    )
    for name in (*_EFFICIENTDETS, *_OF_NETWORKS, *_UNSUPPORTED)
}


def zoo_model(name: str) -> ZooModel:
    """Finds a model by its archive's name, with or without `.tar.gz`, or by a beginning that only one has.

    Raises:
        UsageError: The zoo has none, or several; the message names the nearest.
    """
    wanted = name.removesuffix(".tar.gz").casefold()
    fitting = [known for known in ZOO if known == wanted] or [known for known in ZOO if known.startswith(wanted)]
    if len(fitting) == 1:
        return ZOO[fitting[0]]
    near = fitting or difflib.get_close_matches(wanted, ZOO, n=4, cutoff=0.3)
    which = f"several begin so: {', '.join(near)}" if fitting else f"nearest are {', '.join(near) or 'none'}"
    raise UsageError(f"{name}: no name in the TensorFlow 2 Detection Zoo; {which}; --list prints all")
