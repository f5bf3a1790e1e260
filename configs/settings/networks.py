"""The table of networks that `feature_extractor.type` can name.

A row says what a network's settings can be; what builds it is registered under the same name in
`train.models.feature_extractors`.
"""

from __future__ import annotations

import dataclasses

from configs.schema.diagnosis import nearest
from configs.schema.problem import Problem


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """A network that `feature_extractor.type` can name.

    Attributes:
        name: The API's, of TensorFlow 2.
        model: What it is for: `ssd` or `faster_rcnn`.
        pyramid: The field that describes its feature pyramid, `fpn` or `bifpn`; empty where it has none.
        finest_level: Of the maps that its trunk can give to a pyramid; the stride of level n is 2**n pixels.
        honours: Of the fields that not all networks have a use for, those that it reads.
        strides: What `first_stage_features_stride` can be.
        tensorflow_1_name: In the API's TensorFlow 1, if it is there.
    """

    name: str
    model: str
    pyramid: str = ""
    finest_level: int = 2
    honours: frozenset[str] = frozenset()
    strides: tuple[int, ...] = (16, 8)
    tensorflow_1_name: str = ""


# What rewrites a config of TensorFlow 1.
MIGRATE = "python -m configs.migrate CONFIG --output NEW"
# The network that a plugin builds, which `extensions.feature_extractor` names.
PLUGIN_NETWORK = "ssd_plugin_fpn"
# EfficientNet-Lites by name, with their size.
EFFICIENTNET_LITES = {f"ssd_efficientnet-lite{size}_fpn_keras": size for size in range(3)}
_WIDTHS = frozenset({"depth_multiplier", "min_depth"})
_MOBILENET = _WIDTHS | {"use_depthwise", "use_explicit_padding"}
_LAYERS = frozenset({"conv_hyperparams", "override_base_feature_extractor_hyperparams"})
_ROWS = (
    *(
        Network(name=name, model="ssd", pyramid="fpn", honours=frozenset({"use_depthwise"}))
        for name in EFFICIENTNET_LITES
    ),
    *(
        Network(
            name=f"ssd_mobilenet_{version}{suffix}_keras",
            model="ssd",
            pyramid=suffix.removeprefix("_"),
            honours=_MOBILENET if suffix else _MOBILENET | {"num_layers"},
            tensorflow_1_name=f"ssd_mobilenet_{version}{suffix}",
        )
        for version in ("v1", "v2")
        for suffix in ("", "_fpn")
    ),
    *(
        Network(
            name=f"ssd_resnet{depth}_v1_fpn_keras",
            model="ssd",
            pyramid="fpn",
            honours=_WIDTHS,
            tensorflow_1_name=f"ssd_resnet{depth}_v1_fpn",
        )
        for depth in (50, 101, 152)
    ),
    *(
        Network(
            name=f"ssd_efficientnet-b{size}_bifpn_keras",
            model="ssd",
            pyramid="bifpn",
            finest_level=1,
            honours=frozenset({"min_depth"}),
        )
        for size in range(8)
    ),
    Network(
        name="ssd_model_garden_fpn",
        model="ssd",
        pyramid="fpn",
        finest_level=1,
        honours=frozenset({"use_depthwise"}),
    ),
    Network(name=PLUGIN_NETWORK, model="ssd", pyramid="fpn", finest_level=1),
    *(
        Network(
            name=f"faster_rcnn_resnet{depth}_keras",
            model="faster_rcnn",
            honours=frozenset({"first_stage_features_stride"}),
            tensorflow_1_name=f"faster_rcnn_resnet{depth}",
        )
        for depth in (50, 101, 152)
    ),
    *(
        Network(name=f"faster_rcnn_resnet{depth}_fpn_keras", model="faster_rcnn", pyramid="fpn", honours=_LAYERS)
        for depth in (50, 101, 152)
    ),
    Network(
        name="faster_rcnn_inception_resnet_v2_keras",
        model="faster_rcnn",
        honours=frozenset({"first_stage_features_stride"}),
        tensorflow_1_name="faster_rcnn_inception_resnet_v2",
    ),
)
NETWORKS = {network.name: network for network in _ROWS}
TF1_EQUALS = {network.tensorflow_1_name: network.name for network in _ROWS if network.tensorflow_1_name}

# Networks that the API has in TensorFlow 1 only, and the nearest of TensorFlow 2 that is here.
_SSD_MOBILE, _SSD_50, _SSD_101 = "ssd_mobilenet_v2_fpn_keras", "ssd_resnet50_v1_fpn_keras", "ssd_resnet101_v1_fpn_keras"
TF1_WITHOUT_EQUAL = {
    "ssd_inception_v2": _SSD_50,
    "ssd_inception_v3": _SSD_50,
    "ssd_mobilenet_v1_ppn": _SSD_MOBILE,
    "ssd_mobilenet_v2_mnasfpn": _SSD_MOBILE,
    "ssd_mobilenet_v3_large": _SSD_MOBILE,
    "ssd_mobilenet_v3_small": _SSD_MOBILE,
    "ssd_mobilenet_edgetpu": _SSD_MOBILE,
    "ssd_mobiledet_cpu": _SSD_MOBILE,
    "ssd_mobiledet_dsp": _SSD_MOBILE,
    "ssd_mobiledet_edgetpu": _SSD_MOBILE,
    "ssd_mobiledet_gpu": _SSD_MOBILE,
    "ssd_resnet50_v1_ppn": _SSD_50,
    "ssd_resnet101_v1_ppn": _SSD_101,
    "ssd_resnet152_v1_ppn": "ssd_resnet152_v1_fpn_keras",
    "ssd_pnasnet": _SSD_101,
    "ssd_spaghettinet": _SSD_MOBILE,
    "embedded_ssd_mobilenet_v1": _SSD_MOBILE,
    "faster_rcnn_nas": "faster_rcnn_resnet152_keras",
    "faster_rcnn_pnas": "faster_rcnn_resnet152_keras",
    "faster_rcnn_inception_v2": "faster_rcnn_resnet50_keras",
}


def type_problem(given: str, model: str) -> Problem | None:
    """Says what is wrong with `feature_extractor.type`, if anything is.

    Args:
        given: Its value.
        model: Where it stands: `ssd` or `faster_rcnn`.
    """
    supported = [network.name for network in _ROWS if network.model == model]
    if given in supported:
        return None
    one_of = f"use one of {', '.join(supported)}"
    if not given:
        return Problem("type", "is not set", one_of)
    if TF1_WITHOUT_EQUAL.get(given) in supported:
        reason = f"'{given}' is a network that the API has in TensorFlow 1 only"
        instead = f"the nearest that is here: '{TF1_WITHOUT_EQUAL[given]}', with which {MIGRATE} writes the config anew"
        return Problem("type", reason, instead)
    if TF1_EQUALS.get(given) in supported:
        return Problem("type", f"{given!r} is the network's name in TensorFlow 1", f"use '{TF1_EQUALS[given]}'")
    if given in NETWORKS:
        return Problem("type", f"'{given}' is a network of model.{NETWORKS[given].model}", one_of)
    near = nearest(given, supported)
    other = f"{one_of}; {MIGRATE} --network NAME writes the config anew with another"
    return Problem("type", f"{given!r} is not a network here", f"use {near!r}" if near else other)
