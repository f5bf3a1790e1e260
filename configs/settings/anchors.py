"""Settings of anchor generators: how large the anchors of each feature map are, and where they lie."""

from __future__ import annotations

import abc
import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import TypeAlias

from configs.schema.problem import Note, Problem
from configs.settings.declaration import Choice, Settings, nested
from configs.settings.values import Number, declared, items, number, scalar

# Anchors of one place: of each its scale and its aspect ratio (width over height).
Sizes: TypeAlias = tuple[tuple[float, float], ...]

# Scales and sides: larger ones have areas that 32 bits cannot hold.
_SIDE = Number(above=0.0, at_most=1e6)
_RATIO = Number(at_least=0.001, at_most=1000.0)
_STRIDE = Number(at_least=1, reason="is no stride", instead="use 1 or more, such as 16")
# Of two stride lists, or two offset lists, of an `SsdAnchorGenerator`, one is not without the other.
_STRIDES = ("height_stride", "width_stride", "height_offset", "width_offset")
_NO_UNITS = "the units of anchors inside the model change nothing outside it"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnchorSettings(Settings, abc.ABC):
    """The settings of an anchor generator of any kind."""

    @property
    @abc.abstractmethod
    def sizes(self) -> tuple[Sizes, ...]:
        """For each feature map that anchors are described for, finest first, those of one place."""

    @property
    def anchors_per_location(self) -> list[int]:
        """Number of anchors in each place, for each feature map, finest first."""
        return [len(anchors) for anchors in self.sizes]

    @property
    def number_of_maps(self) -> int:
        """Number of feature maps that anchors are described for."""
        return len(self.sizes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GridAnchorGenerator(AnchorSettings, message="GridAnchorGenerator"):
    """Every scale with every aspect ratio, on one feature map.

    Attributes:
        height, width: Of an anchor of scale and aspect ratio 1, in pixels.
        height_stride, width_stride: Pixels between neighbouring places.
        height_offset, width_offset: Pixels to the first place's centre.
        scales: The inner loop.
        aspect_ratios: Width over height; the outer loop.
    """

    height: int = number(at_least=1)
    width: int = number(at_least=1)
    height_stride: int = declared(_STRIDE)
    width_stride: int = declared(_STRIDE)
    height_offset: int = number()
    width_offset: int = number()
    scales: tuple[float, ...] = items(_SIDE, at_least_one=True, instead="set it, such as scales: [0.5, 1.0, 2.0]")
    aspect_ratios: tuple[float, ...] = items(
        _RATIO, at_least_one=True, instead="set it, such as aspect_ratios: [0.5, 1.0, 2.0]"
    )

    @property
    def sizes(self) -> tuple[Sizes, ...]:
        """See `AnchorSettings.sizes`."""
        return (tuple((scale, ratio) for ratio in self.aspect_ratios for scale in self.scales),)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MultiscaleAnchorGenerator(AnchorSettings, message="MultiscaleAnchorGenerator"):
    """One size a level of a feature pyramid, in octaves.

    Attributes:
        min_level, max_level: The stride of level n is 2**n pixels.
        anchor_scale: Side of the base anchor, in strides.
        aspect_ratios: Width over height; the outer loop.
        scales_per_octave: Sizes between a level's and the next one's; the inner loop.
    """

    min_level: int = number(at_least=0, at_most=20)
    max_level: int = number(at_least=0, at_most=20)
    anchor_scale: float = declared(_SIDE)
    aspect_ratios: tuple[float, ...] = items(
        _RATIO, at_least_one=True, instead="set it, such as aspect_ratios: [1.0, 2.0, 0.5]"
    )
    scales_per_octave: int = number(at_least=1, at_most=100)
    no_effect = {"normalize_coordinates": _NO_UNITS}

    def problems(self) -> Iterator[Problem]:
        """See `Settings.problems`."""
        if self.min_level > self.max_level:
            yield Problem("min_level", f"{self.min_level} lies above max_level", "use a smaller one")

    @property
    def sizes(self) -> tuple[Sizes, ...]:
        """See `AnchorSettings.sizes`; scales are relative to a level's base anchor."""
        scales = [2 ** (octave / self.scales_per_octave) for octave in range(self.scales_per_octave)]
        level = tuple((scale, ratio) for ratio in self.aspect_ratios for scale in scales)
        return (level,) * (self.max_level - self.min_level + 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SsdAnchorGenerator(AnchorSettings, message="SsdAnchorGenerator"):
    """Scales that grow linearly from map to map (Liu et al., "SSD", section 2.2).

    Attributes:
        num_layers: Feature maps.
        min_scale, max_scale: Of the first map and the last, in shorter sides of the input.
        scales: One a map, instead of these two.
        aspect_ratios: Width over height.
        interpolated_scale_aspect_ratio: Of one more anchor a place, between this map's scale and the next; 0 or less:
            none.
        reduce_boxes_in_lowest_layer: Whether the first map has three anchors only.
        base_anchor_height, base_anchor_width: Multiply all sizes.
        height_stride, width_stride: Pixels between neighbouring places, one a map; empty divides the input evenly.
        height_offset, width_offset: Pixels to the first place's centre, one a map; empty is half a stride.
    """

    num_layers: int = number(at_least=1, at_most=100)
    min_scale: float = declared(_SIDE)
    max_scale: float = declared(_SIDE)
    scales: tuple[float, ...] = items(_SIDE)
    aspect_ratios: tuple[float, ...] = items(_RATIO)
    interpolated_scale_aspect_ratio: float = number(at_most=1000.0)
    reduce_boxes_in_lowest_layer: bool = scalar()
    base_anchor_height: float = declared(_SIDE)
    base_anchor_width: float = declared(_SIDE)
    height_stride: tuple[int, ...] = items(_STRIDE)
    width_stride: tuple[int, ...] = items(_STRIDE)
    height_offset: tuple[int, ...] = items()
    width_offset: tuple[int, ...] = items()

    def problems(self) -> Iterator[Problem]:
        """See `Settings.problems`."""
        if self.scales and len(self.scales) < self.num_layers:
            reason = f"{len(self.scales)} for num_layers: {self.num_layers}"
            yield Problem("scales", reason, "give one to each, or none but min_scale and max_scale")
        elif self.num_layers == 1 and not self.scales:
            reason = "is empty, and one layer has nothing to space min_scale to"
            yield Problem("scales", reason, "give its scale")
        elif not all(self.sizes):
            reason = "is empty, and interpolated_scale_aspect_ratio is none: layers have no anchors"
            yield Problem("aspect_ratios", reason, "set it, such as aspect_ratios: [1.0, 2.0, 0.5]")
        for name in _STRIDES:
            given = getattr(self, name)
            if given and len(given) != self.num_layers:
                yield Problem(name, f"{len(given)} for num_layers: {self.num_layers}", "give one to each, or none")
        for pair in (_STRIDES[:2], _STRIDES[2:]):
            for name, other in (pair, pair[::-1]):
                if getattr(self, other) and not getattr(self, name):
                    yield Problem(name, f"is empty beside {other}", "give one to each layer")

    @property
    def sizes(self) -> tuple[Sizes, ...]:
        """See `AnchorSettings.sizes`; scales are in shorter sides of the input."""
        scales = [*(self.scales or self._linear_scales()), 1.0]
        maps: list[Sizes] = []
        for index, (scale, next_scale) in enumerate(itertools.pairwise(scales[: self.num_layers + 1])):
            if index == 0 and self.reduce_boxes_in_lowest_layer:
                maps.append(((0.1, 1.0), (scale, 2.0), (scale, 0.5)))
                continue
            anchors = [(scale, ratio) for ratio in self.aspect_ratios]
            if self.interpolated_scale_aspect_ratio > 0.0:
                anchors.append((math.sqrt(scale * next_scale), self.interpolated_scale_aspect_ratio))
            maps.append(tuple(anchors))
        return tuple(maps)

    def _linear_scales(self) -> list[float]:
        """One scale a feature map, from `min_scale` to `max_scale`."""
        steps = max(self.num_layers - 1, 1)
        span = self.max_scale - self.min_scale
        return [self.min_scale + span * index / steps for index in range(self.num_layers)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnchorGrid(Settings, message="AnchorGrid"):
    """The anchors of one feature map.

    Attributes:
        base_sizes: Sides in pixels, the square root of the area.
        aspect_ratios: Width over height of the size at the same place.
        height_stride, width_stride: Pixels between neighbouring places.
        height_offset, width_offset: Pixels to the first place's centre.
    """

    base_sizes: tuple[float, ...] = items(_SIDE, at_least_one=True, instead="give one number or more")
    aspect_ratios: tuple[float, ...] = items(_RATIO, at_least_one=True, instead="give one number or more")
    height_stride: int = declared(_STRIDE)
    width_stride: int = declared(_STRIDE)
    height_offset: int = number()
    width_offset: int = number()

    def problems(self) -> Iterator[Problem]:
        """See `Settings.problems`."""
        if len(self.base_sizes) != len(self.aspect_ratios):
            reason = f"{len(self.aspect_ratios)} for {len(self.base_sizes)} base_sizes"
            yield Problem("aspect_ratios", reason, "give one to each base size")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlexibleGridAnchorGenerator(AnchorSettings, message="FlexibleGridAnchorGenerator"):
    """Every feature map's anchors spelled out."""

    anchor_grid: tuple[AnchorGrid, ...] = nested(AnchorGrid, repeated=True, required="write one for each feature map")
    no_effect = {"normalize_coordinates": _NO_UNITS}

    @property
    def sizes(self) -> tuple[Sizes, ...]:
        """See `AnchorSettings.sizes`; scales are in pixels."""
        return tuple(tuple(zip(grid.base_sizes, grid.aspect_ratios, strict=True)) for grid in self.anchor_grid)


AnchorGenerator: TypeAlias = (
    GridAnchorGenerator | SsdAnchorGenerator | MultiscaleAnchorGenerator | FlexibleGridAnchorGenerator
)

# What an `AnchorGenerator` message may be.
ANCHOR_GENERATORS = Choice(
    alternatives={
        "grid_anchor_generator": GridAnchorGenerator,
        "ssd_anchor_generator": SsdAnchorGenerator,
        "multiscale_anchor_generator": MultiscaleAnchorGenerator,
        "flexible_grid_anchor_generator": FlexibleGridAnchorGenerator,
    },
    required="use multiscale_anchor_generator { }",
)

# A feature pyramid's lowest and highest level; without a pyramid, how many feature maps there are.
Levels: TypeAlias = tuple[int, int] | int


def maps_problem(generator: AnchorGenerator, levels: Levels, feature_extractor_type: str) -> Problem | None:
    """Says that anchors are for more or fewer feature maps than there are, if they are.

    Args:
        generator: The anchors'.
        levels: The feature maps.
        feature_extractor_type: What has these.

    Returns:
        The problem, with a path from the generator's message.
    """
    maps = levels if isinstance(levels, int) else levels[1] - levels[0] + 1
    given = generator.number_of_maps
    if given == maps:
        return None
    has = f"{feature_extractor_type} has {maps}" + (
        "" if isinstance(levels, int) else f" (levels {levels[0]} to {levels[1]})"
    )
    reason = f"anchors are for {given} feature map{'s' if given != 1 else ''}, and {has}"
    if isinstance(generator, MultiscaleAnchorGenerator) and not isinstance(levels, int):
        return Problem("max_level", reason, f"use min_level: {levels[0]} max_level: {levels[1]}")
    if isinstance(generator, SsdAnchorGenerator):
        return Problem("num_layers", reason, f"use num_layers: {maps}")
    if isinstance(generator, FlexibleGridAnchorGenerator):
        return Problem("anchor_grid", reason, f"write {maps} of them")
    return Problem("", reason, f"use {'grid_anchor_generator' if maps == 1 else 'multiscale_anchor_generator'}")


def levels_note(generator: AnchorGenerator, levels: Levels) -> Note | None:
    """Says that anchors are for as many feature maps as there are, and of other levels, if they are.

    Args:
        generator: The anchors'.
        levels: The feature maps.

    Returns:
        The note, with a path from the generator's message.
    """
    if isinstance(levels, int) or not isinstance(generator, MultiscaleAnchorGenerator):
        return None
    if generator.min_level == levels[0] or generator.number_of_maps != levels[1] - levels[0] + 1:
        return None
    text = f"{generator.min_level} is not the pyramid's, {levels[0]}: anchors have another level's sizes and strides"
    return Note("min_level", text)
