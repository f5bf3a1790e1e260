"""What an image resizer's fields must be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from configs.schema.problem import Problem


def check_resizer(resizer: Any, path: str) -> Iterator[Problem]:
    """Checks an `ImageResizer` message; yields each problem."""
    chosen = resizer.WhichOneof("image_resizer_oneof")
    if chosen is None:
        yield Problem(path, "is not set", "use fixed_shape_resizer { height: 320 width: 320 }")
    elif chosen == "fixed_shape_resizer":
        yield from _check_sizes(resizer.fixed_shape_resizer, f"{path}.{chosen}", "height", "width")
    elif chosen == "conditional_shape_resizer":
        yield from _check_sizes(resizer.conditional_shape_resizer, f"{path}.{chosen}", "size_threshold")
    elif chosen == "pad_to_multiple_resizer":
        yield from _check_sizes(resizer.pad_to_multiple_resizer, f"{path}.{chosen}", "multiple")
    elif chosen == "keep_aspect_ratio_resizer":
        keep = resizer.keep_aspect_ratio_resizer
        if not 1 <= keep.min_dimension <= keep.max_dimension:
            reason = f"{keep.min_dimension} does not lie between 1 and max_dimension, {keep.max_dimension}"
            yield Problem(f"{path}.{chosen}.min_dimension", reason, "use a smaller one")
        values = len(keep.per_channel_pad_value)
        if values not in (0, 3):
            yield Problem(f"{path}.{chosen}.per_channel_pad_value", f"{values} for 3 channels", "give 3, or none for 0")


def _check_sizes(resizer: Any, path: str, *names: str) -> Iterator[Problem]:
    for name in names:
        if getattr(resizer, name) < 1:
            yield Problem(f"{path}.{name}", f"{getattr(resizer, name)} pixels are none", "use 1 or more")
