"""Settings of training images that are made of several: mosaic, mixup and copy-paste."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from configs.schema.problem import Problem
from configs.settings.augmentations.augmentation import scale, share
from configs.settings.declaration import Settings, between, nested
from configs.settings.values import number, scalar

_MOST_OBJECTS = 100  # each pasted one copies the image
_SMALLEST_ALPHA, _LARGEST_ALPHA = 0.1, 1000.0  # beyond these, shares are 0 and 1, or a half


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mosaic(Settings, message="Mosaic"):
    """Four images side by side in one.

    Attributes:
        min_center: Where the four meet is so far from the image's edges, as a share of its sides.
        min_scale: Each is scaled by at least so much, where 1 just fits it into the whole mosaic.
        min_box_share: A box is left out if less of it is in sight.
    """

    probability: float = share()
    min_center: float = number(at_least=0.0, at_most=0.5)
    min_scale: float = scale()
    max_scale: float = scale()
    min_box_share: float = share()

    @between("min_scale", "max_scale")
    def _is_a_range(self) -> Iterator[Problem]:
        yield from self.in_order("min_scale", "max_scale")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mixup(Settings, message="Mixup"):
    """Two images laid over each other.

    Attributes:
        alpha: Of the beta distribution that an image's share is drawn from.
        weigh_boxes: Whether a box counts in the loss by its image's share.
    """

    probability: float = share()
    alpha: float = number(at_least=_SMALLEST_ALPHA, at_most=_LARGEST_ALPHA)
    weigh_boxes: bool = scalar()


@dataclasses.dataclass(frozen=True, kw_only=True)
class CopyPaste(Settings, message="CopyPaste"):
    """Objects of one image, as their boxes cut them out, on another.

    Attributes:
        object_probability: Of each of the other image's objects to be pasted.
        max_objects: No more are pasted.
        min_scale: An object is scaled by at least so much, beside the scale that fits its image into the other.
        max_covered: A box is left out if more of it is pasted over.
    """

    probability: float = share()
    object_probability: float = share()
    max_objects: int = number(at_least=1, at_most=_MOST_OBJECTS)
    min_scale: float = scale()
    max_scale: float = scale()
    max_covered: float = share()

    @between("min_scale", "max_scale")
    def _is_a_range(self) -> Iterator[Problem]:
        yield from self.in_order("min_scale", "max_scale")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mixing(Settings, message="Mixing"):
    """Which images are mixed, and up to when."""

    mosaic: Mosaic | None = nested(Mosaic, optional=True)
    mixup: Mixup | None = nested(Mixup, optional=True)
    copy_paste: CopyPaste | None = nested(CopyPaste, optional=True)
    off_for_last_n_steps: int = number()

    @between("mosaic", "mixup", "copy_paste")
    def _is_one_set(self) -> Iterator[Problem]:
        if self.mosaic is None and self.mixup is None and self.copy_paste is None:
            yield Problem("mosaic", "is not set, and neither is mixup or copy_paste", "set one, even if empty")
