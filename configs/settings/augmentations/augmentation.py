"""The base class of augmentations' settings, and the kinds of fields that many of them have."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from configs.schema.problem import Problem
from configs.settings.declaration import Settings, fields_of
from configs.settings.values import Items, Number, declared, number

# By which an image may be made larger; of more, no machine holds the result.
LARGEST_SCALE = 100.0

KEYPOINTS_NOT_READ = "keypoints are not read"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AugmentationSettings(Settings):
    """The settings of one augmentation.

    Attributes:
        class_field: The field that names a class of the model by its label map id, where there is one.
    """

    class_field: ClassVar[str] = ""

    def arguments(self) -> Mapping[str, Any]:
        """Keyword arguments of the function that carries the augmentation out: all fields, unless a class says else."""
        return {name: getattr(self, name) for name in fields_of(type(self))}

    def check_class(self, num_classes: int) -> Iterator[Problem]:
        """Yields a problem where the settings name a class that the model has not.

        Args:
            num_classes: The model's; ids run from 1.
        """
        if self.class_field and getattr(self, self.class_field) > num_classes:
            reason = f"{getattr(self, self.class_field)} is above the model's num_classes, {num_classes}"
            yield Problem(self.class_field, reason, "use one of those")


def share() -> Any:
    """A probability, or a part of a whole."""
    return number(at_least=0.0, at_most=1.0)


def scale() -> Any:
    """A factor by which an image is made larger or smaller."""
    return number(above=0.0, at_most=LARGEST_SCALE)


def class_id() -> Any:
    """A class of the model."""
    return number(at_least=1, reason="is no class", instead="use an id of the label map, from 1")


def colour() -> Any:
    """Red, green and blue, 0..255, or one value for all three; none is the image's mean."""
    return declared(Items(each=Number(at_least=0.0, at_most=255.0), lengths=(0, 1, 3)))


def three_channels(values: tuple[float, ...]) -> tuple[float, ...] | None:
    """The value of a field made by `colour`: red, green and blue, or None for the image's mean."""
    return values * (3 // len(values)) if values else None
