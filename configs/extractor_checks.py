"""What a feature extractor's fields may be, for each of the networks that are here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from configs.schema.problem import Note, Problem
from configs.settings.networks import has_pyramid, is_here

_COARSEST_TRUNK_LEVEL = 5
# Two of the trunk's maps, and four that are added.
_MOST_MAPS = 6


def check_ssd_extractor(extractor: Any, path: str) -> Iterator[Problem | Note]:
    """Checks an `SsdFeatureExtractor` whose type is one that is here.

    Args:
        extractor: The message.
        path: Its path in the config.
    """
    kind = extractor.type
    is_mobilenet = "mobilenet" in kind
    if extractor.depth_multiplier != 1.0 and not is_mobilenet and "resnet" not in kind:
        reason, instead = f"{kind} has one width", "use 1.0, or ssd_mobilenet_v2_fpn_keras"
        yield Problem(f"{path}.depth_multiplier", reason, instead)
    if extractor.use_explicit_padding and not is_mobilenet:
        reason = "only MobileNets can pad otherwise than TensorFlow's SAME"
        yield Problem(f"{path}.use_explicit_padding", reason, "delete it")
    if extractor.use_depthwise and ("resnet" in kind or "bifpn" in kind):
        yield Problem(f"{path}.use_depthwise", f"{kind} has no such choice, in the API either", "delete it")
    if extractor.replace_preprocessor_with_placeholder:
        at = f"{path}.replace_preprocessor_with_placeholder"
        yield Problem(at, "the model normalizes its own pixels", "delete it")
    if extractor.spaghettinet_arch_name:
        yield Problem(f"{path}.spaghettinet_arch_name", f"{kind} is no SpaghettiNet", "delete it")
    own = "bifpn" if "bifpn" in kind else "fpn" if has_pyramid(kind) else None
    for field, what in (("fpn", "feature pyramid of that kind"), ("bifpn", "BiFPN")):
        if field != own and extractor.HasField(field):
            instead = f"use {own} {{ }}" if own else f"delete it, or use type: {kind.replace('_keras', '_fpn_keras')!r}"
            yield Problem(f"{path}.{field}", f"{kind} has no {what}", instead)
    if own and extractor.HasField("num_layers"):
        text = "has no effect: a pyramid's min_level and max_level say how many feature maps there are"
        yield Note(f"{path}.num_layers", text)
    if not own and not 1 <= extractor.num_layers <= _MOST_MAPS:
        reason = f"{kind} has 1 to {_MOST_MAPS} feature maps, not {extractor.num_layers}"
        yield Problem(f"{path}.num_layers", reason, f"use {_MOST_MAPS}, or fewer")


def pyramid_stride(extractor: Any) -> int:
    """What both sides of a padded input must be multiples of, or feature maps cannot be added to one another."""
    if not has_pyramid(extractor.type):
        return 1
    if "bifpn" in extractor.type:
        return 2**extractor.bifpn.max_level
    # With explicit padding, what is upsampled is cut to what it is added to.
    return 1 if extractor.use_explicit_padding else 2 ** min(_COARSEST_TRUNK_LEVEL, extractor.fpn.max_level)


def check_faster_rcnn_extractor(extractor: Any, path: str) -> Iterator[Problem]:
    """Checks a `FasterRcnnFeatureExtractor` whose type is one that is here.

    Args:
        extractor: The message.
        path: Its path in the config.
    """
    if not has_pyramid(extractor.type) and extractor.HasField("fpn"):
        pyramid = extractor.type.replace("_keras", "_fpn_keras")
        instead = f"use type: {pyramid!r}, or delete it" if is_here(pyramid) else "delete it"
        yield Problem(f"{path}.fpn", f"{extractor.type} has no pyramid", instead)
    stride = extractor.first_stage_features_stride
    if stride not in (8, 16):
        yield Problem(f"{path}.first_stage_features_stride", f"{stride} is no stride of it", "use 16 or 8")
