"""The registry of feature extractors: a builder for each network of `configs.settings.networks.NETWORKS`.

Each module of this folder registers what it builds. A new network is a row of that table and a module here.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

from configs.settings import extractors
from configs.settings.model import NO_EXTENSIONS, ModelExtensions
from train.models.detector import InputShape

_BUILDERS: dict[str, Callable[..., Any]] = {}


def register(name: str, build: Callable[..., Any]) -> None:
    """Says what builds a network.

    Args:
        name: As `feature_extractor.type` has it.
        build: Takes the arguments of `build_ssd_extractor` or `build_faster_rcnn_extractor`, and returns as it does.

    Raises:
        ValueError: Something else builds it already.
    """
    if name in _BUILDERS:
        raise ValueError(f"two feature extractors are registered as {name!r}")
    _BUILDERS[name] = build


def registered_names() -> frozenset[str]:
    """The names of all networks that can be built."""
    _import_modules()
    return frozenset(_BUILDERS)


def build_ssd_extractor(
    settings: extractors.SsdFeatureExtractor,
    *,
    input_shape: InputShape = (None, None),
    freeze_batch_norm: bool = False,
    extensions: ModelExtensions = NO_EXTENSIONS,
) -> Any:
    """Builds an SSD's feature extractor and its variables.

    Images that have sizes of their own are padded to what the feature pyramid needs, whatever `pad_to_multiple` is: the
    API would fail.

    Args:
        settings: Of the extractor.
        input_shape: Height and width of the padded input in pixels; None where images have sizes of their own.
        freeze_batch_norm: Whether batch norm keeps its moving statistics.
        extensions: What the config adds to the model.

    Returns:
        An `ssd_extractors.SsdFeatureExtractor`, or a `model_garden.ModelGardenExtractor`.

    Raises:
        ValueError: What it stands on cannot be built, or has other feature maps than the pyramid needs.
    """
    _import_modules()
    return _BUILDERS[settings.type](
        settings,
        input_shape=input_shape,
        freeze_batch_norm=freeze_batch_norm,
        extensions=extensions,
    )


def build_faster_rcnn_extractor(settings: extractors.FasterRcnnFeatureExtractor) -> Any:
    """Builds a Faster R-CNN's feature extractor and its variables: a `faster_rcnn_extractors.FasterRcnnExtractor`."""
    _import_modules()
    return _BUILDERS[settings.type](settings)


@functools.cache
def _import_modules() -> None:
    package = __name__.rpartition(".")[0]
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{module.name}")
