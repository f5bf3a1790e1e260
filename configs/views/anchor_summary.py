"""An anchor generator in plain words."""

from __future__ import annotations

from collections.abc import Sequence

from configs.settings.anchors import (
    AnchorGenerator,
    FlexibleGridAnchorGenerator,
    GridAnchorGenerator,
    MultiscaleAnchorGenerator,
    SsdAnchorGenerator,
)
from configs.views.leaves import shortest_float


def describe_anchors(generator: AnchorGenerator) -> str:
    """Says what anchors a generator makes: how many a place, of what sizes, at what strides."""
    if isinstance(generator, GridAnchorGenerator):
        return _grid(generator)
    if isinstance(generator, MultiscaleAnchorGenerator):
        return _multiscale(generator)
    return _ssd(generator) if isinstance(generator, SsdAnchorGenerator) else _flexible(generator)


def _grid(grid: GridAnchorGenerator) -> str:
    sizes = [grid.height * scale for scale in grid.scales]
    return (
        f"{grid.anchors_per_location[0]} a place, every {grid.height_stride} pixels: "
        f"sizes {_numbers(sizes)} pixels, width to height {_numbers(grid.aspect_ratios)}"
    )


def _multiscale(multiscale: MultiscaleAnchorGenerator) -> str:
    last = multiscale.max_level + (multiscale.scales_per_octave - 1) / multiscale.scales_per_octave
    smallest, largest = (multiscale.anchor_scale * 2**level for level in (multiscale.min_level, last))
    strides = f"every {2**multiscale.min_level} to {2**multiscale.max_level} pixels"
    return (
        f"{multiscale.anchors_per_location[0]} a place, on levels {multiscale.min_level} to {multiscale.max_level} "
        f"({strides}): sizes {smallest:.4g} to {largest:.4g} pixels, width to height "
        f"{_numbers(multiscale.aspect_ratios)}"
    )


def _ssd(ssd: SsdAnchorGenerator) -> str:
    a_place = ssd.anchors_per_location
    span = f"{shortest_float(ssd.min_scale)} to {shortest_float(ssd.max_scale)}"
    return (
        f"{a_place[0]} a place on the first of {ssd.num_layers} layers and {a_place[-1]} on the others: sizes "
        f"{_numbers(ssd.scales[: ssd.num_layers]) or span} of the shorter side, width to height "
        f"{_numbers(ssd.aspect_ratios)}"
    )


def _flexible(flexible: FlexibleGridAnchorGenerator) -> str:
    return "; ".join(
        f"{len(grid.base_sizes)} a place, every {grid.height_stride} pixels: sizes {_numbers(grid.base_sizes)}"
        for grid in flexible.anchor_grid
    )


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(shortest_float(value) for value in values)
