"""Settings of augmentations that flip, turn, scale or recombine the whole image, or move its objects."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from configs.schema.diagnosis import nearest
from configs.schema.problem import Problem
from configs.settings.augmentations.augmentation import (
    KEYPOINTS_NOT_READ,
    AugmentationSettings,
    class_id,
    scale,
    share,
)
from configs.settings.resizers import LARGEST_SIDE, side
from configs.settings.values import Number, items, number, scalar

AUTOAUGMENT_POLICIES = ("v0", "v1", "v2", "v3", "test")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomHorizontalFlip(AugmentationSettings, message="RandomHorizontalFlip"):
    """Mirrors left and right."""

    no_effect = {"keypoint_flip_permutation": KEYPOINTS_NOT_READ}

    probability: float = share()


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomVerticalFlip(AugmentationSettings, message="RandomVerticalFlip"):
    """Mirrors top and bottom."""

    no_effect = {"keypoint_flip_permutation": KEYPOINTS_NOT_READ}

    probability: float = share()


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomRotation90(AugmentationSettings, message="RandomRotation90"):
    """Turns by 90 degrees."""

    no_effect = {"keypoint_rot_permutation": KEYPOINTS_NOT_READ}

    probability: float = share()


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomImageScale(AugmentationSettings, message="RandomImageScale"):
    """Scales height and width by one factor."""

    min_scale_ratio: float = scale()
    max_scale_ratio: float = scale()

    def problems(self) -> Iterator[Problem]:
        """Yields a problem where the bounds are in the wrong order."""
        yield from self.in_order("min_scale_ratio", "max_scale_ratio")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResizeImage(AugmentationSettings, message="ResizeImage"):
    """Brings to one size."""

    new_height: int = side()
    new_width: int = side()
    method: str = scalar()


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomSquareCropByScale(AugmentationSettings, message="RandomSquareCropByScale"):
    """Cuts out a square of the longer side times a random scale."""

    max_border: int = number(at_least=0)
    scale_min: float = scale()
    scale_max: float = scale()
    num_scales: int = number(at_least=1, at_most=LARGEST_SIDE)

    def problems(self) -> Iterator[Problem]:
        """Yields a problem where the bounds are in the wrong order."""
        yield from self.in_order("scale_min", "scale_max")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomScaleCropAndPadToSquare(AugmentationSettings, message="RandomScaleCropAndPadToSquare"):
    """Scales at random, then crops or pads to a square."""

    output_size: int = side()
    scale_min: float = scale()
    scale_max: float = scale()

    def problems(self) -> Iterator[Problem]:
        """Yields a problem where the bounds are in the wrong order."""
        yield from self.in_order("scale_min", "scale_max")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomSelfConcatImage(AugmentationSettings, message="RandomSelfConcatImage"):
    """Puts the image beside or below itself."""

    concat_vertical_probability: float = share()
    concat_horizontal_probability: float = share()


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoAugmentImage(AugmentationSettings, message="AutoAugmentImage"):
    """Applies a part of a policy."""

    policy_name: str = scalar()

    def problems(self) -> Iterator[Problem]:
        """Yields a problem where the policy is not known."""
        if self.policy_name not in AUTOAUGMENT_POLICIES:
            near = nearest(self.policy_name, AUTOAUGMENT_POLICIES) or "v0"
            yield Problem("policy_name", f'"{self.policy_name}" is not known', f'use "{near}"')


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomJitterBoxes(AugmentationSettings, message="RandomJitterBoxes"):
    """Moves the edges of boxes."""

    ratio: float = number(at_least=0.0)
    jitter_mode: str = scalar()


@dataclasses.dataclass(frozen=True, kw_only=True)
class DropLabelProbabilistically(AugmentationSettings, message="DropLabelProbabilistically"):
    """Leaves out objects of a class."""

    class_field = "label"

    label: int = class_id()
    drop_probability: float = share()


@dataclasses.dataclass(frozen=True, kw_only=True)
class RemapLabels(AugmentationSettings, message="RemapLabels"):
    """Gives several classes one id."""

    class_field = "new_label"

    original_labels: tuple[int, ...] = items(Number(at_least=1, reason="is no class", instead="use ids from 1"))
    new_label: int = class_id()
