"""An anchor generator in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from configs.views.leaves import shortest_float


def describe_anchors(generator: Any) -> str:
    """Says what anchors an `AnchorGenerator` message makes: how many a place, of what sizes, at what strides."""
    kind = generator.WhichOneof("anchor_generator_oneof")
    if kind is None:
        return "none"
    return _WORDS[kind](getattr(generator, kind))


def _grid(grid: Any) -> str:
    sizes = [grid.height * scale for scale in grid.scales]
    return (
        f"{len(grid.scales) * len(grid.aspect_ratios)} a place, every {grid.height_stride} pixels: "
        f"sizes {_numbers(sizes)} pixels, width to height {_numbers(grid.aspect_ratios)}"
    )


def _multiscale(multiscale: Any) -> str:
    a_place = len(multiscale.aspect_ratios) * multiscale.scales_per_octave
    last = multiscale.max_level + (multiscale.scales_per_octave - 1) / max(multiscale.scales_per_octave, 1)
    smallest, largest = (multiscale.anchor_scale * 2**level for level in (multiscale.min_level, last))
    strides = f"every {2**multiscale.min_level} to {2**multiscale.max_level} pixels"
    return (
        f"{a_place} a place, on levels {multiscale.min_level} to {multiscale.max_level} ({strides}): sizes "
        f"{smallest:.4g} to {largest:.4g} pixels, width to height {_numbers(multiscale.aspect_ratios)}"
    )


def _ssd(ssd: Any) -> str:
    more = 1 if ssd.interpolated_scale_aspect_ratio > 0 else 0
    a_place = len(ssd.aspect_ratios) + more
    first = 3 if ssd.reduce_boxes_in_lowest_layer else a_place
    if ssd.scales:
        sizes = f"sizes {_numbers(ssd.scales[: ssd.num_layers])}"
    else:
        sizes = f"sizes {shortest_float(ssd.min_scale)} to {shortest_float(ssd.max_scale)}"
    return (
        f"{first} a place on the first of {ssd.num_layers} layers and {a_place} on the others: {sizes} of the shorter "
        f"side, width to height {_numbers(ssd.aspect_ratios)}"
    )


def _flexible(flexible: Any) -> str:
    grids = [
        f"{len(grid.base_sizes)} a place, every {grid.height_stride} pixels: sizes {_numbers(grid.base_sizes)}"
        for grid in flexible.anchor_grid
    ]
    return "; ".join(grids) or "none"


_WORDS = {
    "grid_anchor_generator": _grid,
    "multiscale_anchor_generator": _multiscale,
    "ssd_anchor_generator": _ssd,
    "flexible_grid_anchor_generator": _flexible,
}


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(shortest_float(value) for value in values)
