"""Settings of the image resizers: how an image is brought to the size that the network takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from configs.schema.problem import Problem
from configs.settings.declaration import Choice, Settings
from configs.settings.values import Items, Number, declared, number, scalar

LARGEST_SIDE = 65_535  # of an image in pixels: what a JPEG can have


def side() -> Any:
    """An image's height or width in pixels."""
    return number(at_least=1, at_most=LARGEST_SIDE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageResizer(Settings):
    """A way of bringing images to the network's size."""

    @property
    def static_size(self) -> tuple[int | None, int | None]:
        """Height and width, in pixels, of all images once resized; None where they depend on the image."""
        return None, None

    @property
    def is_grey(self) -> bool:
        """Whether the colour is taken out."""
        return False


@dataclasses.dataclass(frozen=True, kw_only=True)
class _ColourResizer(ImageResizer):
    """A resizer that may take the colour out."""

    convert_to_grayscale: bool = scalar()

    @property
    def is_grey(self) -> bool:
        """See the base class."""
        return self.convert_to_grayscale


@dataclasses.dataclass(frozen=True, kw_only=True)
class FixedShapeResizer(_ColourResizer, message="FixedShapeResizer"):
    """Stretches to one size."""

    height: int = side()
    width: int = side()
    resize_method: str = scalar()

    @property
    def static_size(self) -> tuple[int, int]:
        """See the base class."""
        return self.height, self.width


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeepAspectRatioResizer(_ColourResizer, message="KeepAspectRatioResizer"):
    """Scales until the shorter side is `min_dimension`, or the longer one `max_dimension`, whichever comes first."""

    min_dimension: int = side()
    max_dimension: int = side()
    resize_method: str = scalar()
    pad_to_max_dimension: bool = scalar()
    per_channel_pad_value: tuple[float, ...] = declared(
        Items(each=Number(), lengths=(0, 3), instead="give 3, or none for 0")
    )

    @property
    def static_size(self) -> tuple[int | None, int | None]:
        """See the base class."""
        return (self.max_dimension, self.max_dimension) if self.pad_to_max_dimension else (None, None)

    def problems(self) -> Iterator[Problem]:
        """Yields a problem where the bounds are in the wrong order."""
        yield from self.in_order("min_dimension", "max_dimension")


@dataclasses.dataclass(frozen=True, kw_only=True)
class IdentityResizer(ImageResizer, message="IdentityResizer"):
    """Leaves images at their size."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConditionalShapeResizer(_ColourResizer, message="ConditionalShapeResizer"):
    """Scales only images that are larger, or smaller, than a threshold."""

    condition: str = scalar(only=("GREATER", "SMALLER"))
    size_threshold: int = side()
    resize_method: str = scalar()


@dataclasses.dataclass(frozen=True, kw_only=True)
class PadToMultipleResizer(_ColourResizer, message="PadToMultipleResizer"):
    """Pads to a multiple of so many pixels."""

    multiple: int = side()


# What a model's `image_resizer` may be.
IMAGE_RESIZERS = Choice(
    alternatives={
        "fixed_shape_resizer": FixedShapeResizer,
        "keep_aspect_ratio_resizer": KeepAspectRatioResizer,
        "identity_resizer": IdentityResizer,
        "conditional_shape_resizer": ConditionalShapeResizer,
        "pad_to_multiple_resizer": PadToMultipleResizer,
    },
    required="use fixed_shape_resizer { height: 320 width: 320 }",
)
