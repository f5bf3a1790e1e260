"""Settings of augmentations that change an image's pixels and leave its objects alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from configs.schema.problem import Note, Problem
from configs.settings.augmentations.augmentation import AugmentationSettings, share
from configs.settings.resizers import side
from configs.settings.values import Number, items, number, scalar

# Of the API's function; its builder hands on only what is set, so that the schema's default never counts.
MAX_TARGET_PIXELS = 800_000
_MOST_PIXELS = 1_000_000_000  # a target beyond it leaves every image as it is
_MOST_PATCHES = 10_000
_LARGEST_GAIN = 1e6  # more makes all that is not black white, and overflows


@dataclasses.dataclass(frozen=True, kw_only=True)
class NormalizeImage(AugmentationSettings, message="NormalizeImage"):
    """Maps one range of values to another."""

    original_minval: float = number()
    original_maxval: float = number()
    target_minval: float = number()
    target_maxval: float = number()

    def problems(self) -> Iterator[Problem]:
        """Yields a problem where the original range is empty."""
        if self.original_minval == self.original_maxval:
            is_lone = "original_minval" in self.written and "original_maxval" not in self.written
            name, other = ("original_minval", "original_maxval")[:: 1 if is_lone else -1]
            reason = f"{self.original_maxval:g} is {other} too, which leaves no range"
            yield Problem(name, reason, "use original_minval: 0.0 original_maxval: 255.0")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SubtractChannelMean(AugmentationSettings, message="SubtractChannelMean"):
    """Subtracts a number from each channel."""

    means: tuple[float, ...] = items(Number())

    def problems(self) -> Iterator[Problem]:
        """Yields a problem where there is not one to each channel."""
        if len(self.means) != 3:
            yield Problem("means", f"{len(self.means)} values for 3 channels", "give one to each, red first")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomPixelValueScale(AugmentationSettings, message="RandomPixelValueScale"):
    """Multiplies each value by a factor of its own."""

    minval: float = number(at_least=0.0)
    maxval: float = number(at_least=0.0)

    def problems(self) -> Iterator[Problem]:
        """Yields a problem where the bounds are in the wrong order."""
        yield from self.in_order("minval", "maxval")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomRGBtoGray(AugmentationSettings, message="RandomRGBtoGray"):
    """Takes the colour out, sometimes."""

    probability: float = share()


@dataclasses.dataclass(frozen=True, kw_only=True)
class RGBtoGray(AugmentationSettings, message="RGBtoGray"):
    """Takes the colour out, always."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomAdjustBrightness(AugmentationSettings, message="RandomAdjustBrightness"):
    """Makes lighter or darker."""

    max_delta: float = share()


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Factors(AugmentationSettings):
    """A factor is drawn between two bounds."""

    min_delta: float = number(at_least=0.0)
    max_delta: float = number(at_least=0.0)

    def problems(self) -> Iterator[Problem]:
        """Yields a problem where the bounds are in the wrong order."""
        yield from self.in_order("min_delta", "max_delta")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomAdjustContrast(_Factors, message="RandomAdjustContrast"):
    """Multiplies the distance from the mean."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomAdjustHue(AugmentationSettings, message="RandomAdjustHue"):
    """Turns hues."""

    max_delta: float = share()


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomAdjustSaturation(_Factors, message="RandomAdjustSaturation"):
    """Multiplies the saturation."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomDistortColor(AugmentationSettings, message="RandomDistortColor"):
    """Changes brightness, contrast, saturation and hue."""

    color_ordering: int = scalar(only=(0, 1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdjustGamma(AugmentationSettings, message="AdjustGamma"):
    """Replaces each value by gain * value ^ gamma."""

    gamma: float = number(at_least=0.0)
    gain: float = number(at_least=0.0, at_most=_LARGEST_GAIN)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomJpegQuality(AugmentationSettings, message="RandomJpegQuality"):
    """Encodes as a JPEG of a random quality."""

    random_coef: float = share()
    min_jpeg_quality: int = number(at_least=0, at_most=100)
    max_jpeg_quality: int = number(at_least=0, at_most=100)

    def problems(self) -> Iterator[Problem]:
        """Yields a problem where the bounds are in the wrong order."""
        yield from self.in_order("min_jpeg_quality", "max_jpeg_quality")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomDownscaleToTargetPixels(AugmentationSettings, message="RandomDownscaleToTargetPixels"):
    """Makes smaller, to a random number of pixels."""

    random_coef: float = share()
    min_target_pixels: int = number(at_least=1, at_most=_MOST_PIXELS)
    max_target_pixels: int = number(at_least=1)

    @property
    def largest(self) -> int:
        """`max_target_pixels`, or what it means unset."""
        return self.max_target_pixels if "max_target_pixels" in self.written else MAX_TARGET_PIXELS

    def arguments(self) -> Mapping[str, Any]:
        """See the base class."""
        return {**super().arguments(), "max_target_pixels": self.largest}

    def problems(self) -> Iterator[Problem]:
        """Yields a problem where the bounds are in the wrong order."""
        if "max_target_pixels" in self.written:
            yield from self.in_order("min_target_pixels", "max_target_pixels")
        elif self.min_target_pixels > self.largest:
            reason = f"{self.min_target_pixels} is above max_target_pixels, which is unset and means {self.largest}"
            yield Problem("min_target_pixels", reason, "use a smaller one, or write both")

    def notes(self) -> Iterator[Note]:
        """Yields what an unset `max_target_pixels` means."""
        if "max_target_pixels" not in self.written:
            text = f"unset, which means {self.largest} here as in the API"
            yield Note("max_target_pixels", f"{text}, and not the schema's {self.max_target_pixels}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomBlackPatches(AugmentationSettings, message="RandomBlackPatches"):
    """Blackens squares."""

    max_black_patches: int = number(at_least=0, at_most=_MOST_PATCHES)
    probability: float = share()
    size_to_image_ratio: float = number(above=0.0, at_most=1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomPatchGaussian(AugmentationSettings, message="RandomPatchGaussian"):
    """Adds noise to a square."""

    random_coef: float = share()
    min_patch_size: int = side()
    max_patch_size: int = number(at_least=1)
    min_gaussian_stddev: float = number(at_least=0.0)
    max_gaussian_stddev: float = number(at_least=0.0)

    def problems(self) -> Iterator[Problem]:
        """Yields problems where bounds are in the wrong order."""
        yield from self.in_order("min_patch_size", "max_patch_size")
        yield from self.in_order("min_gaussian_stddev", "max_gaussian_stddev")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomResizeMethod(AugmentationSettings, message="RandomResizeMethod"):
    """Brings to a size, by a method picked at random."""

    target_height: int = side()
    target_width: int = side()
