"""How a window may be cut out of an image: the parameters that all random crops have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

Rule = TypeVar("Rule")


@dataclass(frozen=True)
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

    min_object_covered: float = 1.0
    aspect_ratio_range: tuple[float, float] = (0.75, 1.33)
    area_range: tuple[float, float] = (0.1, 1.0)
    overlap_thresh: float = 0.3
    clip_boxes: bool = True
    random_coef: float = 0.0

    def __post_init__(self) -> None:
        """Checks the ranges, which TensorFlow would do while training, without saying which augmentation it was.

        Raises:
            ValueError: A range is empty or outside its bounds.
        """
        if not self.min_object_covered >= 0.0:
            raise ValueError(f"min_object_covered is {self.min_object_covered:g}; it must be 0 or more")
        smallest, largest = self.aspect_ratio_range
        if not 0.0 < smallest <= largest:
            raise ValueError(f"aspect ratios from {smallest:g} to {largest:g}: they must be above 0, the smaller first")
        smallest, largest = self.area_range
        if not 0.0 < smallest <= largest <= 1.0:
            raise ValueError(f"areas from {smallest:g} to {largest:g}: they must lie in (0, 1], the smaller first")
        if not 0.0 <= self.random_coef <= 1.0:
            raise ValueError(f"random_coef is {self.random_coef:g}; it must lie between 0 and 1")


DEFAULT_CROP_RULE = CropRule()

# The SSD paper's (https://arxiv.org/abs/1512.02325), as the Object Detection API reads it.
SSD_CROP_RULES = tuple(
    CropRule(
        min_object_covered=share,
        aspect_ratio_range=(0.5, 2.0),
        area_range=(0.1, 1.0),
        overlap_thresh=share,
        clip_boxes=True,
        random_coef=0.15,
    )
    for share in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
)


def read_crop_rule(message: Any, *, aspect_ratio: float | None = None) -> CropRule:
    """Reads a rule off an option's message, or off one of its operations.

    Args:
        message: With the fields of `RandomCropImage`.
        aspect_ratio: Of all windows, for a message without `min_aspect_ratio` and `max_aspect_ratio`.

    Raises:
        ValueError: As `CropRule`.
    """
    aspect_ratios = (
        (message.min_aspect_ratio, message.max_aspect_ratio) if aspect_ratio is None else (aspect_ratio, aspect_ratio)
    )
    return CropRule(
        min_object_covered=message.min_object_covered,
        aspect_ratio_range=aspect_ratios,
        area_range=(message.min_area, message.max_area),
        overlap_thresh=message.overlap_thresh,
        clip_boxes=message.clip_boxes,
        random_coef=message.random_coef,
    )


def read_operations(messages: Sequence[Any], read: Callable[[Any], Rule]) -> list[Rule]:
    """Reads an option's `operations`, one of which is picked for each image.

    Raises:
        ValueError: As `read`, with the operation's number.
    """
    rules = []
    for index, message in enumerate(messages):
        try:
            rules.append(read(message))
        except ValueError as error:
            raise ValueError(f"operations[{index}]: {error}") from error
    return rules
