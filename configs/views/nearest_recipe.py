"""The recipe that a config is nearest to, and where the two differ in what matters.

What matters is read from the config's messages as `Traits`, so that a config that is refused has a nearest recipe too.
The distance counts what a recipe's figures depend on, the network and its optimizer, as `COSTS` says. What filling a
recipe in changes, its batch, steps and checkpoint, is told but not counted: it only decides between recipes that are
equally near.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from configs.migrating.checkpoints import is_of_tensorflow_1
from configs.schema.pipeline_file import read_pipeline_config
from configs.settings.migration import migrate
from configs.settings.networks import PLUGIN_NETWORK, TF1_WITHOUT_EQUAL
from configs.settings.training import checkpoint_type_of

RECIPES = Path(__file__).resolve().parents[1]
# What a difference adds to the distance, so that no sum of lesser ones outweighs a greater: another architecture, then
# another trunk, then the rest. Of the trunks, one that the API has in TensorFlow 1 only is nearest to its stand-in
# here, and one of the same family (ResNet-50 and ResNet-101) nearer than that of another.
COSTS = {"architecture": 1000.0, "trunk": 100.0, "stand-in": 60.0, "family": 30.0, "pyramid": 8.0, "head": 2.0}
COST_OF_OPTIMIZER = 1.0
COST_OF_TWICE_THE_SIDE = 4.0  # and of half; twice that of four times, and so on

_ARCHITECTURES = {"ssd": "SSD", "faster_rcnn": "Faster R-CNN", "center_net": "CenterNet"}
_PYRAMIDS = {"fpn": "FPN", "bifpn": "BiFPN", "ppn": "PPN", "mnasfpn": "MnasFPN"}
_TYPE = re.compile(
    r"(?:embedded_)?(?:ssd_|faster_rcnn_|center_?net_)?(?P<trunk>.*?)(?:_(?P<pyramid>fpn|bifpn|ppn|mnasfpn))?(?:_keras)?"
)
# Traits in the order in which differences are told; the second three are not counted.
_NETWORK: tuple[str, ...] = ("architecture", "trunk", "pyramid", "input", "head", "optimizer")
_TRAINING: tuple[str, ...] = ("batch", "steps", "start")


@dataclasses.dataclass(frozen=True)
class Traits:
    """What matters of a config.

    Attributes:
        architecture: `SSD`, `Faster R-CNN`, or what else the model is.
        network: `feature_extractor.type`, by its name of TensorFlow 2 where it has one.
        trunk: Of that name what says which convolutional network it is, such as `resnet50`.
        pyramid: The kind of feature pyramid; empty where there is none.
        input: The size of what the network sees, in pixels, for people.
        side: The same as one number: the geometric mean of two sides; 0 where images keep their own.
        head: The box predictor, for people.
        optimizer: By name.
        batch: Images a step; 0 where the config trains nothing.
        steps: 0 where training has no end.
        start: What training starts from, for people; what a path names does not matter.
    """

    architecture: str
    network: str
    trunk: str
    pyramid: str
    input: str
    side: float
    head: str
    optimizer: str
    batch: int
    steps: int
    start: str


@dataclasses.dataclass(frozen=True)
class NearestRecipe:
    """A recipe and how far a config is from it.

    Attributes:
        name: The recipe's.
        distance: From 0, which says that network and optimizer are alike.
        network: In what the networks differ, and the optimizers: `trunk inception_v2 (there resnet50)`.
        training: In what filling a recipe in makes a difference: batch, steps and what training starts from.
    """

    name: str
    distance: float
    network: tuple[str, ...]
    training: tuple[str, ...]


def read_recipes() -> dict[str, Any]:
    """Reads the recipes of `configs/`: a `TrainEvalPipelineConfig` by file name, without the suffix."""
    return {path.stem: migrate(read_pipeline_config(path))[0] for path in sorted(RECIPES.glob("*.config"))}


def nearest_recipe(config: Any, recipes: Mapping[str, Any]) -> NearestRecipe | None:
    """Finds the recipe at the least distance; of several, that whose batch and steps are the most similar.

    Args:
        config: A `TrainEvalPipelineConfig` with TensorFlow 2's names, as `configs.settings.migration.migrate` gives it.
        recipes: The same by name.

    Returns:
        None where the config has no model, or there are no recipes.
    """
    if config.model.WhichOneof("model") is None:
        return None
    traits = traits_of(config)
    others = {name: traits_of(recipe) for name, recipe in recipes.items()}
    ranked = sorted(
        others,
        key=lambda name: (
            distance(traits, others[name]),
            _doublings(traits.batch, others[name].batch) + _doublings(traits.steps, others[name].steps),
            name,
        ),
    )
    if not ranked:
        return None
    other = others[ranked[0]]
    network_names, training_names = _NETWORK, _TRAINING
    if not traits.batch:
        network_names, training_names = tuple(name for name in _NETWORK if name != "optimizer"), ()
    return NearestRecipe(
        name=ranked[0],
        distance=distance(traits, other),
        network=tuple(_differences(traits, other, network_names)),
        training=tuple(_differences(traits, other, training_names)),
    )


def distance(traits: Traits, recipe: Traits) -> float:
    """Returns how far a config is from a recipe: the sum of `COSTS` over what differs in network and optimizer."""
    found = COSTS["architecture"] * (traits.architecture != recipe.architecture)
    if traits.trunk != recipe.trunk:
        is_stand_in = TF1_WITHOUT_EQUAL.get(traits.network) == recipe.network
        is_family = _family(traits.trunk) == _family(recipe.trunk)
        found += COSTS["family" if is_family else "stand-in" if is_stand_in else "trunk"]
    found += COSTS["pyramid"] * (traits.pyramid != recipe.pyramid)
    found += COST_OF_TWICE_THE_SIDE * _doublings(traits.side, recipe.side)
    found += COSTS["head"] * (traits.head != recipe.head)
    return found + COST_OF_OPTIMIZER * (bool(traits.batch) and traits.optimizer != recipe.optimizer)


def traits_of(config: Any) -> Traits:
    """Reads what matters from a `TrainEvalPipelineConfig` that has a model."""
    kind = config.model.WhichOneof("model")
    model = getattr(config.model, kind)
    extractor = getattr(model, "feature_extractor", None)
    network = extractor.type if extractor is not None else ""
    trunk, pyramid = _trunk_and_pyramid(config, network)
    size, side = _input(model.image_resizer) if hasattr(model, "image_resizer") else ("unknown", 0.0)
    train = config.train_config
    return Traits(
        architecture=_ARCHITECTURES.get(kind, kind),
        network=network,
        trunk=trunk,
        pyramid=pyramid,
        input=size,
        side=side,
        head=_head(kind, model),
        optimizer=_optimizer(config),
        batch=int(train.batch_size) if config.HasField("train_config") else 0,
        steps=int(train.num_steps),
        start=_start(config),
    )


def _differences(traits: Traits, recipe: Traits, names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        ours, theirs = getattr(traits, name), getattr(recipe, name)
        if ours != theirs:
            label = {"start": "starts from"}.get(name, name)
            nothing = "without end" if name == "steps" else "none"
            yield f"{label} {ours or nothing} (there {theirs or nothing})"


def _doublings(one: float, other: float) -> float:
    """How often the smaller of two is doubled to make the larger; 1 where only one of them is known, which is not 0."""
    if not one or not other:
        return float(one != other)
    return abs(math.log2(one / other))


def _family(trunk: str) -> str:
    """What trunks that differ in depth, width or version have in common: `resnet` of `resnet50`."""
    found = re.match(r"[a-z]+(-lite)?", trunk)
    return found.group() if found else trunk


def _trunk_and_pyramid(config: Any, network: str) -> tuple[str, str]:
    found = _TYPE.fullmatch(network)
    trunk, pyramid = (found["trunk"], found["pyramid"] or "") if found else (network, "")
    if network == PLUGIN_NETWORK:
        trunk = f"plugin {config.extensions.feature_extractor.name}"
    elif config.extensions.HasField("model_garden_backbone"):
        backbone = config.extensions.model_garden_backbone
        trunk = " ".join([backbone.type, *backbone.parameter])
    # SSD says the version of its ResNets, Faster R-CNN does not: there is no other.
    return re.sub(r"^(resnet\d+)_v1$", r"\1", trunk), _PYRAMIDS.get(pyramid, pyramid)


def _input(resizer: Any) -> tuple[str, float]:
    """The size of a resizer's images, in words and as one number."""
    kind = resizer.WhichOneof("image_resizer_oneof")
    if kind == "fixed_shape_resizer":
        fixed = resizer.fixed_shape_resizer
        return f"{fixed.width} x {fixed.height}", math.sqrt(max(fixed.width * fixed.height, 0))
    if kind == "keep_aspect_ratio_resizer":
        kept = resizer.keep_aspect_ratio_resizer
        if kept.pad_to_max_dimension:
            return f"{kept.max_dimension} x {kept.max_dimension}, padded", float(max(kept.max_dimension, 0))
        return f"{kept.min_dimension} to {kept.max_dimension}", math.sqrt(
            max(kept.min_dimension * kept.max_dimension, 0)
        )
    return "of the image's size", 0.0


def _head(kind: str, model: Any) -> str:
    if kind == "faster_rcnn":
        stages = "none" if model.number_of_stages == 1 else "of boxes"
        return f"{stages}, {model.first_stage_max_proposals} proposals"
    if kind != "ssd":
        return ""
    chosen = model.box_predictor.WhichOneof("box_predictor_oneof")
    if chosen is None:
        return ""
    predictor = getattr(model.box_predictor, chosen)
    if chosen == "weight_shared_convolutional_box_predictor":
        layers, width = predictor.num_layers_before_predictor, predictor.depth
        words = f"shared, {layers} layers of {width}"
    elif chosen == "convolutional_box_predictor":
        words = f"per feature map, kernel {predictor.kernel_size}"
    else:
        return str(chosen)
    return words + (", separable" if predictor.use_depthwise else "")


def _optimizer(config: Any) -> str:
    decoupled = config.extensions.optimizer.WhichOneof("optimizer")
    chosen = decoupled or config.train_config.optimizer.WhichOneof("optimizer") or ""
    return str(chosen).removesuffix("_optimizer")


def _start(config: Any) -> str:
    train = config.train_config
    if not train.fine_tune_checkpoint:
        return "nothing"
    kind = checkpoint_type_of(
        train.fine_tune_checkpoint_type, from_detection_checkpoint=train.from_detection_checkpoint
    )
    return f"{kind} weights" + (" of TensorFlow 1" if is_of_tensorflow_1(config) else "")
