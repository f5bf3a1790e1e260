"""What takes the place of a network of TensorFlow 1: its equal, or the nearest that is here with all that it wants.

A replaced SSD gets the parts of its model that belong together from the recipe of the network that is named: feature
extractor, anchors and head, and an input whose sides suit the pyramid. Classes, box coder, matcher, losses,
post-processing and the rest stay the config's own. A replaced Faster R-CNN keeps all but its type and its crops.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from configs.migrating.changes import Change, on_one_line, written
from configs.schema import pipeline_file
from configs.settings.faster_rcnn import USUAL_SIZES
from configs.settings.networks import NETWORKS, TF1_EQUALS, TF1_WITHOUT_EQUAL
from configs.settings.reading import read_settings
from configs.settings.ssd import Ssd

_FOLDER = Path(__file__).resolve().parent.parent
_RECIPES = {
    "ssd_mobilenet_v2_fpn_keras": "ssd_mobilenet_v2_fpnlite_320.config",
    **{f"ssd_resnet{depth}_v1_fpn_keras": "ssd_resnet50_v1_fpn_640.config" for depth in (50, 101, 152)},
    **{f"ssd_efficientnet-lite{size}_fpn_keras": f"ssd_efficientnet-lite{size}_fpn_320.config" for size in range(3)},
    "ssd_efficientnet-b0_bifpn_keras": "ssd_efficientdet_d0_512.config",
}
# What may take the place of a network that is not here, by model.
REPLACEMENTS = {
    "ssd": tuple(_RECIPES),
    "faster_rcnn": tuple(
        network.name for network in NETWORKS.values() if network.model == "faster_rcnn" and not network.pyramid
    ),
}
# Those of the API's own SSDs: a config that has them did not choose them.
_USUAL_RATIOS = (1.0, 2.0, 0.5, 3.0, 0.3333)
_SAME_RATIO = 0.01


def network_changes(config: Any, preferred: str = "") -> Iterator[Change]:
    """Yields what becomes of a config's model so that its network is one of TensorFlow 2.

    Args:
        config: A `TrainEvalPipelineConfig`; left as it is.
        preferred: What to take in place of a network that is not here: one of `REPLACEMENTS`; empty: the nearest.
    """
    kind = config.model.WhichOneof("model")
    if kind not in REPLACEMENTS:
        return
    model = getattr(config.model, kind)
    given = model.feature_extractor.type
    network = network_after(config, preferred)
    path = f"model.{kind}"
    if TF1_EQUALS.get(given) == network:
        reason = "the first is a name of TensorFlow 2, the second TensorFlow 1's of the same network"
        yield Change(f"{path}.feature_extractor.type", written(network), written(given), reason)
    elif network != given:
        whose = "the API has in TensorFlow 1 only" if given in TF1_WITHOUT_EQUAL else "neither the API has nor this"
        which = "the one that was asked for" if preferred else "the nearest that is here"
        reason = f"{given} is a network that {whose}, and {network} is {which}"
        if kind == "ssd":
            yield from _replaced_ssd(model, network, reason)
        else:
            yield Change(f"{path}.feature_extractor.type", written(network), written(given), reason)
            yield from _usual_crops(model, f"a {network} takes these crops")
    if kind == "faster_rcnn":
        yield from _without_r_fcn(model)


def network_after(config: Any, preferred: str = "") -> str:
    """The network of TensorFlow 2 that a config's becomes; its own where it is one already, or where none is near."""
    kind = config.model.WhichOneof("model")
    given: str = getattr(config.model, kind).feature_extractor.type if kind in REPLACEMENTS else ""
    if given in NETWORKS or not given:
        return given
    network = TF1_EQUALS.get(given) or preferred or TF1_WITHOUT_EQUAL.get(given) or given
    return network if network in NETWORKS and NETWORKS[network].model == kind else given


def longer_side(config: Any) -> int:
    """The longer side of a config's input in pixels; 0 where images keep sizes of their own."""
    kind = config.model.WhichOneof("model")
    resizer = getattr(config.model, kind).image_resizer
    chosen = resizer.WhichOneof("image_resizer_oneof")
    if chosen == "fixed_shape_resizer":
        return max(resizer.fixed_shape_resizer.height, resizer.fixed_shape_resizer.width)
    return int(resizer.keep_aspect_ratio_resizer.max_dimension) if chosen == "keep_aspect_ratio_resizer" else 0


def _replaced_ssd(model: Any, network: str, reason: str) -> Iterator[Change]:
    recipe = _recipe_model(network)
    extractor = type(model.feature_extractor)()
    extractor.CopyFrom(recipe.feature_extractor)
    extractor.type = network
    stride = read_settings(Ssd, recipe, "model.ssd").feature_extractor.stride
    resizer = model.image_resizer
    if resizer.WhichOneof("image_resizer_oneof") == "fixed_shape_resizer":
        for name in ("height", "width"):
            side = getattr(resizer.fixed_shape_resizer, name)
            if side % stride:
                wanted = f"the pyramid of {network} wants multiples of {stride} pixels"
                where = f"model.ssd.image_resizer.fixed_shape_resizer.{name}"
                yield Change(where, str(side + -side % stride), str(side), wanted)
    else:
        extractor.pad_to_multiple = stride
    yield Change("model.ssd.feature_extractor", written(extractor), on_one_line(model.feature_extractor), reason)
    anchors = type(model.anchor_generator)()
    anchors.CopyFrom(recipe.anchor_generator)
    given = model.anchor_generator
    ratios = list(given.ssd_anchor_generator.aspect_ratios or given.multiscale_anchor_generator.aspect_ratios)
    usual = (_USUAL_RATIOS, tuple(anchors.multiscale_anchor_generator.aspect_ratios))
    wanted = f"one set of anchors for each level of the pyramid of {network}"
    if ratios and not any(_are_same(ratios, others) for others in usual):
        anchors.multiscale_anchor_generator.aspect_ratios[:] = ratios
        wanted += ", of the aspect ratios that were there"
    yield Change("model.ssd.anchor_generator", written(anchors), on_one_line(model.anchor_generator), wanted)
    head = recipe.box_predictor
    wanted = f"the head that {network} has in its recipe, one for all levels"
    yield Change("model.ssd.box_predictor", written(head), on_one_line(model.box_predictor), wanted)


def _are_same(ratios: Sequence[float], others: Sequence[float]) -> bool:
    pairs = zip(sorted(ratios), sorted(others), strict=False)
    return len(ratios) == len(others) and all(abs(one - other) < _SAME_RATIO for one, other in pairs)


def _usual_crops(model: Any, reason: str) -> Iterator[Change]:
    """Yields what makes the second stage's crops the usual ones, for a model that has a second stage."""
    if model.number_of_stages < 2:
        return
    for name, size in USUAL_SIZES.items():
        given = getattr(model, name)
        if given != size:
            was = str(given) if model.HasField(name) else ""
            yield Change(f"model.faster_rcnn.{name}", str(size), was, reason)


def _without_r_fcn(model: Any) -> Iterator[Change]:
    predictor = model.second_stage_box_predictor
    if predictor.WhichOneof("box_predictor_oneof") != "rfcn_box_predictor":
        return
    recipe = pipeline_file.read_pipeline_config(_FOLDER / "faster_rcnn_resnet50_v1_640.config").model.faster_rcnn
    head, reason = recipe.second_stage_box_predictor, "R-FCN is not supported; Faster R-CNN's head is the nearest"
    yield Change("model.faster_rcnn.second_stage_box_predictor", written(head), on_one_line(predictor), reason)
    yield from _usual_crops(model, "Faster R-CNN's head takes these crops")


@functools.cache
def _recipe_model(network: str) -> Any:
    """The SSD of a network's recipe."""
    return pipeline_file.read_pipeline_config(_FOLDER / _RECIPES[network]).model.ssd
