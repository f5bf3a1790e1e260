"""Settings of augmentations that cut a window out of an image, or put it on a larger canvas, or both."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from configs.schema.problem import Problem
from configs.settings.augmentations.augmentation import (
    LARGEST_SCALE,
    AugmentationSettings,
    colour,
    share,
    three_channels,
)
from configs.settings.declaration import Settings, nested
from configs.settings.resizers import LARGEST_SIDE
from configs.settings.values import Items, Number, declared, number, scalar


@dataclasses.dataclass(frozen=True)
class CropRule:
    """How a window may be cut out.

    Attributes:
        min_object_covered: Which share of at least one box the window must cover, 0..1.
        aspect_ratio_range: The window's width over its height, smallest and largest.
        area_range: The window's area over the image's, smallest and largest, in (0, 1].
        overlap_thresh: Boxes of which less than this share lies in the window are left out.
        clip_boxes: Whether boxes are cut off at the window's edge.
        random_coef: The chance, 0..1, that the image stays as it is.
    """

    min_object_covered: float
    aspect_ratio_range: tuple[float, float]
    area_range: tuple[float, float]
    overlap_thresh: float
    clip_boxes: bool
    random_coef: float


@dataclasses.dataclass(frozen=True)
class PadRule:
    """What a window is put on once it is cut out.

    Attributes:
        min_padded_size_ratio: Smallest height and width of the canvas over those of the image before the cut.
        max_padded_size_ratio: What they stay below. A canvas is never smaller than what was cut out.
        pad_color: Red, green and blue of the canvas, 0..255; None is the mean of what was cut out.
    """

    min_padded_size_ratio: tuple[float, ...]
    max_padded_size_ratio: tuple[float, ...]
    pad_color: tuple[float, ...] | None


# What unset size ratios mean; the API raises an error in some cases.
_SIZE_RATIOS: dict[str, Any] = {"min_padded_size_ratio": (1.0, 1.0), "max_padded_size_ratio": (2.0, 2.0)}

# What unset operations mean: the SSD paper's (https://arxiv.org/abs/1512.02325), as the Object Detection API reads it.
SSD_CROP_RULES = tuple(
    CropRule(
        min_object_covered=share_covered,
        aspect_ratio_range=(0.5, 2.0),
        area_range=(0.1, 1.0),
        overlap_thresh=share_covered,
        clip_boxes=True,
        random_coef=0.15,
    )
    for share_covered in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
)
SSD_CROP_PAD_RULES = tuple((rule, PadRule(**_SIZE_RATIOS, pad_color=None)) for rule in SSD_CROP_RULES[1:])


def _aspect_ratio() -> Any:
    """Width over height."""
    return number(above=0.0, at_most=LARGEST_SIDE)


def _overlap() -> Any:
    """A share of a box. Below 0 is as 0, as in the API; above 1 no box has."""
    return number(at_most=1.0)


def _size_ratio() -> Any:
    """Height and width of a canvas over an image's; empty is a default."""
    return declared(Items(each=Number(above=0.0, at_most=LARGEST_SCALE), lengths=(0, 2)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Crop(Settings):
    """The fields of all random crops."""

    min_object_covered: float = number(at_least=0.0)
    min_area: float = number(above=0.0, at_most=1.0)
    max_area: float = number(above=0.0, at_most=1.0)
    overlap_thresh: float = _overlap()
    clip_boxes: bool = scalar()
    random_coef: float = share()

    @property
    def aspect_ratio_range(self) -> tuple[float, float]:
        """Of the window, where it is not the whole option's to say."""
        return 1.0, 1.0

    def rule(self) -> CropRule:
        """The window's part."""
        return CropRule(
            min_object_covered=self.min_object_covered,
            aspect_ratio_range=self.aspect_ratio_range,
            area_range=(self.min_area, self.max_area),
            overlap_thresh=self.overlap_thresh,
            clip_boxes=self.clip_boxes,
            random_coef=self.random_coef,
        )

    def problems(self) -> Iterator[Problem]:
        """Yields a problem where the bounds are in the wrong order."""
        yield from self.in_order("min_area", "max_area")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _CropOfAspectRatios(_Crop):
    """A random crop with a range of aspect ratios."""

    min_aspect_ratio: float = _aspect_ratio()
    max_aspect_ratio: float = _aspect_ratio()

    @property
    def aspect_ratio_range(self) -> tuple[float, float]:
        """Of the window."""
        return self.min_aspect_ratio, self.max_aspect_ratio

    def problems(self) -> Iterator[Problem]:
        """Yields problems where bounds are in the wrong order."""
        yield from super().problems()
        yield from self.in_order("min_aspect_ratio", "max_aspect_ratio")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomCropImage(_CropOfAspectRatios, AugmentationSettings, message="RandomCropImage"):
    """Cuts out a random window."""

    def arguments(self) -> Mapping[str, Any]:
        """See the base class."""
        return {"rule": self.rule()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomCropToAspectRatio(AugmentationSettings, message="RandomCropToAspectRatio"):
    """Cuts out the largest window of an aspect ratio."""

    aspect_ratio: float = _aspect_ratio()
    overlap_thresh: float = _overlap()
    clip_boxes: bool = scalar()


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomPadImage(AugmentationSettings, message="RandomPadImage"):
    """Puts the image on a larger canvas. A smallest size above the largest one is allowed: the largest counts."""

    min_image_height: int = number(at_least=0, at_most=LARGEST_SIDE)
    min_image_width: int = number(at_least=0, at_most=LARGEST_SIDE)
    max_image_height: int = number(at_least=0, at_most=LARGEST_SIDE)
    max_image_width: int = number(at_least=0, at_most=LARGEST_SIDE)
    pad_color: tuple[float, ...] = colour()

    def arguments(self) -> Mapping[str, Any]:
        """See the base class."""
        return {
            "min_image_size": self._size("min_image_height", "min_image_width"),
            "max_image_size": self._size("max_image_height", "max_image_width"),
            "pad_color": three_channels(self.pad_color),
        }

    def problems(self) -> Iterator[Problem]:
        """Yields a problem where only one of a height and a width is set."""
        for bound in ("min", "max"):
            both = {f"{bound}_image_height", f"{bound}_image_width"}
            if len(both & self.written) == 1:
                (name,), (other,) = both & self.written, both - self.written
                yield Problem(name, f"is set without {other}", "set both, or neither")

    def _size(self, height: str, width: str) -> tuple[int, int] | None:
        return (getattr(self, height), getattr(self, width)) if height in self.written else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomAbsolutePadImage(AugmentationSettings, message="RandomAbsolutePadImage"):
    """Adds up to some pixels to height and width."""

    max_height_padding: int = number(at_least=0, at_most=LARGEST_SIDE)
    max_width_padding: int = number(at_least=0, at_most=LARGEST_SIDE)
    pad_color: tuple[float, ...] = colour()

    def arguments(self) -> Mapping[str, Any]:
        """See the base class. 0 and unset are 1, as in the API: less than 1 pixel is none."""
        return {
            "max_height_padding": max(self.max_height_padding, 1),
            "max_width_padding": max(self.max_width_padding, 1),
            "pad_color": three_channels(self.pad_color),
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Canvas(Settings):
    """The size of a canvas that a window is put on."""

    min_padded_size_ratio: tuple[float, ...] = _size_ratio()
    max_padded_size_ratio: tuple[float, ...] = _size_ratio()

    def size_ratios(self) -> dict[str, Any]:
        """Both, by name."""
        return {name: getattr(self, name) or unset for name, unset in _SIZE_RATIOS.items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomCropPadImage(_CropOfAspectRatios, _Canvas, AugmentationSettings, message="RandomCropPadImage"):
    """Cuts out a random window and puts it on a canvas."""

    pad_color: tuple[float, ...] = colour()

    def arguments(self) -> Mapping[str, Any]:
        """See the base class."""
        padding = PadRule(**self.size_ratios(), pad_color=three_channels(self.pad_color))
        return {"rule": self.rule(), "padding": padding}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SSDRandomCropOperation(_CropOfAspectRatios, message="SSDRandomCropOperation"):
    """One of several crops."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SSDRandomCrop(AugmentationSettings, message="SSDRandomCrop"):
    """Cuts out a random window by one of the operations; without any, by those of the SSD paper."""

    operations: tuple[SSDRandomCropOperation, ...] = nested(SSDRandomCropOperation, repeated=True)

    def arguments(self) -> Mapping[str, Any]:
        """See the base class."""
        return {"operations": _rules(self.operations)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SSDRandomCropPadOperation(_CropOfAspectRatios, _Canvas, message="SSDRandomCropPadOperation"):
    """One of several crops, with its canvas."""

    pad_color_r: float = number(at_least=0.0, at_most=255.0)
    pad_color_g: float = number(at_least=0.0, at_most=255.0)
    pad_color_b: float = number(at_least=0.0, at_most=255.0)

    def padding(self) -> PadRule:
        """The canvas' part."""
        return PadRule(**self.size_ratios(), pad_color=(self.pad_color_r, self.pad_color_g, self.pad_color_b))


@dataclasses.dataclass(frozen=True, kw_only=True)
class SSDRandomCropPad(AugmentationSettings, message="SSDRandomCropPad"):
    """Crops and pads by one of the operations; without any, by those of the SSD paper."""

    operations: tuple[SSDRandomCropPadOperation, ...] = nested(SSDRandomCropPadOperation, repeated=True)

    def arguments(self) -> Mapping[str, Any]:
        """See the base class."""
        pairs = tuple((operation.rule(), operation.padding()) for operation in self.operations)
        return {"operations": pairs or SSD_CROP_PAD_RULES}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SSDRandomCropFixedAspectRatioOperation(_Crop, message="SSDRandomCropFixedAspectRatioOperation"):
    """One of several crops, whose aspect ratio is the option's."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SSDRandomCropFixedAspectRatio(AugmentationSettings, message="SSDRandomCropFixedAspectRatio"):
    """As SSDRandomCrop, with windows of one aspect ratio."""

    operations: tuple[SSDRandomCropFixedAspectRatioOperation, ...] = nested(
        SSDRandomCropFixedAspectRatioOperation, repeated=True
    )
    aspect_ratio: float = _aspect_ratio()

    def arguments(self) -> Mapping[str, Any]:
        """See the base class."""
        return {"aspect_ratio": self.aspect_ratio, "operations": _rules(self.operations)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SSDRandomCropPadFixedAspectRatioOperation(
    _CropOfAspectRatios, message="SSDRandomCropPadFixedAspectRatioOperation"
):
    """One of several crops."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SSDRandomCropPadFixedAspectRatio(_Canvas, AugmentationSettings, message="SSDRandomCropPadFixedAspectRatio"):
    """As SSDRandomCrop, then padded up to an aspect ratio."""

    operations: tuple[SSDRandomCropPadFixedAspectRatioOperation, ...] = nested(
        SSDRandomCropPadFixedAspectRatioOperation, repeated=True
    )
    aspect_ratio: float = _aspect_ratio()

    def arguments(self) -> Mapping[str, Any]:
        """See the base class."""
        return {"aspect_ratio": self.aspect_ratio, **self.size_ratios(), "operations": _rules(self.operations)}


def _rules(operations: tuple[_Crop, ...]) -> tuple[CropRule, ...]:
    """The rules to pick from."""
    return tuple(operation.rule() for operation in operations) or SSD_CROP_RULES
