"""What an anchor generator must be by itself, and beside the feature maps that get its anchors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from configs.schema.problem import Note, Problem

_STRIDES = ("height_stride", "width_stride", "height_offset", "width_offset")


def check_anchors(
    generator: Any, path: str, levels: tuple[int, int] | int | None, feature_extractor_type: str
) -> Iterator[Problem | Note]:
    """Checks an anchor generator; yields each problem, and what is worth a note.

    Args:
        generator: The `AnchorGenerator` message.
        path: Of it.
        levels: The feature pyramid's lowest and highest level; without a pyramid, how many feature maps there are; None
            if that is not known.
        feature_extractor_type: What has these levels.
    """
    kind = generator.WhichOneof("anchor_generator_oneof")
    if kind is None:
        usual = "grid_anchor_generator" if levels == 1 else "multiscale_anchor_generator"
        yield Problem(path, "is not set", f"use {usual} {{ }}")
        return
    chosen = getattr(generator, kind)
    at = f"{path}.{kind}"
    problems = list(_CHECKS[kind](chosen, at))
    yield from problems
    if levels is None or problems:
        return
    maps = levels if isinstance(levels, int) else levels[1] - levels[0] + 1
    given = number_of_maps(generator)
    if given != maps:
        yield Problem(*_mismatch(kind, at, given, maps, levels, feature_extractor_type))
    elif kind == "multiscale_anchor_generator" and not isinstance(levels, int) and chosen.min_level != levels[0]:
        text = f"{chosen.min_level} is not the pyramid's, {levels[0]}: anchors have another level's sizes and strides"
        yield Note(f"{at}.min_level", text)


def number_of_maps(generator: Any) -> int:
    """How many feature maps an `AnchorGenerator` message has anchors for; 0 if no kind is chosen."""
    kind = generator.WhichOneof("anchor_generator_oneof")
    if kind == "ssd_anchor_generator":
        return int(generator.ssd_anchor_generator.num_layers)
    if kind == "multiscale_anchor_generator":
        multiscale = generator.multiscale_anchor_generator
        return int(multiscale.max_level - multiscale.min_level + 1)
    if kind == "flexible_grid_anchor_generator":
        return len(generator.flexible_grid_anchor_generator.anchor_grid)
    return 0 if kind is None else 1


def anchors_per_location(generator: Any) -> list[int]:
    """How many anchors an `AnchorGenerator` message puts in each place of each feature map, finest map first."""
    kind = generator.WhichOneof("anchor_generator_oneof")
    if kind == "ssd_anchor_generator":
        ssd = generator.ssd_anchor_generator
        each = len(ssd.aspect_ratios) + (ssd.interpolated_scale_aspect_ratio > 0)
        first = 3 if ssd.reduce_boxes_in_lowest_layer else each
        return [first, *[each] * (ssd.num_layers - 1)][: ssd.num_layers]
    if kind == "flexible_grid_anchor_generator":
        return [len(grid.base_sizes) for grid in generator.flexible_grid_anchor_generator.anchor_grid]
    if kind == "multiscale_anchor_generator":
        multiscale = generator.multiscale_anchor_generator
        return [len(multiscale.aspect_ratios) * multiscale.scales_per_octave] * number_of_maps(generator)
    grid = generator.grid_anchor_generator
    return [len(grid.scales) * len(grid.aspect_ratios)] * number_of_maps(generator)


def _mismatch(
    kind: str, path: str, given: int, maps: int, levels: tuple[int, int] | int, feature_extractor_type: str
) -> tuple[str, str, str]:
    """Path, reason and remedy where there are more or fewer feature maps than anchors are for."""
    has = f"{feature_extractor_type} has {maps}" + (
        "" if isinstance(levels, int) else f" (levels {levels[0]} to {levels[1]})"
    )
    reason = f"anchors are for {given} feature map{'s' if given != 1 else ''}, and {has}"
    if kind == "multiscale_anchor_generator" and not isinstance(levels, int):
        return f"{path}.max_level", reason, f"use min_level: {levels[0]} max_level: {levels[1]}"
    if kind == "ssd_anchor_generator":
        return f"{path}.num_layers", reason, f"use num_layers: {maps}"
    if kind == "flexible_grid_anchor_generator":
        return f"{path}.anchor_grid", reason, f"write {maps} of them"
    instead = "grid_anchor_generator" if maps == 1 else "multiscale_anchor_generator"
    return path, reason, f"use {instead}"


def _check_grid(grid: Any, path: str) -> Iterator[Problem]:
    for name in ("scales", "aspect_ratios"):
        if not getattr(grid, name):
            yield Problem(f"{path}.{name}", "is empty", f"set it, such as {name}: [0.5, 1.0, 2.0]")
    for name in ("height_stride", "width_stride"):
        if getattr(grid, name) < 1:
            yield Problem(f"{path}.{name}", f"{getattr(grid, name)} is no stride", "use 1 or more, such as 16")


def _check_ssd(ssd: Any, path: str) -> Iterator[Problem]:
    if ssd.num_layers < 1:
        yield Problem(f"{path}.num_layers", f"{ssd.num_layers} feature maps are none", "use 1 or more")
    elif ssd.scales and len(ssd.scales) < ssd.num_layers:
        reason = f"{len(ssd.scales)} for {ssd.num_layers} layers"
        yield Problem(f"{path}.scales", reason, "give one to each, or none but min_scale and max_scale")
    elif ssd.num_layers == 1 and not ssd.scales:
        yield Problem(f"{path}.scales", "is empty, and one layer has nothing to space min_scale to", "give its scale")
    for name in _STRIDES:
        given = getattr(ssd, name)
        if given and len(given) != ssd.num_layers:
            reason = f"{len(given)} for {ssd.num_layers} layers"
            yield Problem(f"{path}.{name}", reason, "give one to each, or none")
    for pair in (_STRIDES[:2], _STRIDES[2:]):
        for name, other in (pair, pair[::-1]):
            if getattr(ssd, other) and not getattr(ssd, name):
                yield Problem(f"{path}.{name}", f"is empty beside {other}", "give one to each layer")


def _check_multiscale(multiscale: Any, path: str) -> Iterator[Problem]:
    if multiscale.min_level > multiscale.max_level:
        yield Problem(f"{path}.min_level", f"{multiscale.min_level} lies above max_level", "use a smaller one")
    if not multiscale.aspect_ratios:
        yield Problem(f"{path}.aspect_ratios", "is empty", "set it, such as aspect_ratios: [1.0, 2.0, 0.5]")
    if multiscale.scales_per_octave < 1:
        yield Problem(f"{path}.scales_per_octave", f"{multiscale.scales_per_octave} sizes are none", "use 1 or more")


def _check_flexible(flexible: Any, path: str) -> Iterator[Problem]:
    if not flexible.anchor_grid:
        yield Problem(f"{path}.anchor_grid", "is empty", "write one for each feature map")
    for index, grid in enumerate(flexible.anchor_grid):
        for name in ("base_sizes", "aspect_ratios"):
            if not getattr(grid, name):
                yield Problem(f"{path}.anchor_grid[{index}].{name}", "is empty", "give one number or more")
        if len(grid.base_sizes) != len(grid.aspect_ratios) and grid.base_sizes and grid.aspect_ratios:
            reason = f"{len(grid.aspect_ratios)} for {len(grid.base_sizes)} base_sizes"
            yield Problem(f"{path}.anchor_grid[{index}].aspect_ratios", reason, "give one to each base size")
        for name in ("height_stride", "width_stride"):
            if getattr(grid, name) < 1:
                reason = f"{getattr(grid, name)} is no stride"
                yield Problem(f"{path}.anchor_grid[{index}].{name}", reason, "use 1 or more")


_CHECKS = {
    "grid_anchor_generator": _check_grid,
    "ssd_anchor_generator": _check_ssd,
    "multiscale_anchor_generator": _check_multiscale,
    "flexible_grid_anchor_generator": _check_flexible,
}
