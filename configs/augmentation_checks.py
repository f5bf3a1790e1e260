"""What the fields of single augmentations must be, where the schema's types allow more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from configs.schema.diagnosis import nearest
from configs.schema.problem import Note, Problem

AUTOAUGMENT_POLICIES = ("v0", "v1", "v2", "v3", "test")
# Of the API's function; its builder hands on only what is set, so that the schema's default never counts.
_MAX_TARGET_PIXELS = 800_000


def check_augmentations(options: Any, path: str, num_classes: int) -> Iterator[Problem | Note]:
    """Checks `train_config.data_augmentation_options`; yields each problem, and what is worth a note.

    Args:
        options: `PreprocessingStep` messages.
        path: Their path in the config.
        num_classes: The model's; 0 where there is no model.
    """
    for index, option in enumerate(options):
        kind = option.WhichOneof("preprocessing_step")
        at = f"{path}[{index}]"
        if kind is None:
            yield Problem(at, "is empty", "name an augmentation, or delete it")
        elif kind in _CHECKS:
            yield from _CHECKS[kind](getattr(option, kind), f"{at}.{kind}", num_classes)


def _check_autoaugment(message: Any, path: str, num_classes: int) -> Iterator[Problem | Note]:
    del num_classes
    if message.policy_name not in AUTOAUGMENT_POLICIES:
        near = nearest(message.policy_name, AUTOAUGMENT_POLICIES) or "v0"
        yield Problem(f"{path}.policy_name", f'"{message.policy_name}" is not known', f'use "{near}"')


def _check_channel_means(message: Any, path: str, num_classes: int) -> Iterator[Problem | Note]:
    del num_classes
    if len(message.means) != 3:
        yield Problem(f"{path}.means", f"{len(message.means)} values for 3 channels", "give one to each, red first")


def _check_normalize(message: Any, path: str, num_classes: int) -> Iterator[Problem | Note]:
    del num_classes
    if message.original_minval == message.original_maxval:
        reason = f"{message.original_maxval:g} is original_minval too, which leaves no range"
        yield Problem(f"{path}.original_maxval", reason, "use original_minval: 0.0 original_maxval: 255.0")


def _check_drop(message: Any, path: str, num_classes: int) -> Iterator[Problem | Note]:
    yield from _check_class(message, "label", path, num_classes)


def _check_remap(message: Any, path: str, num_classes: int) -> Iterator[Problem | Note]:
    yield from _check_class(message, "new_label", path, num_classes)


def _check_class(message: Any, name: str, path: str, num_classes: int) -> Iterator[Problem]:
    given = getattr(message, name)
    if given < 1:
        unset = "" if message.HasField(name) else "unset, which means "
        yield Problem(f"{path}.{name}", f"{unset}{given} is no class", "use an id of the label map, from 1")
    elif num_classes and given > num_classes:
        yield Problem(f"{path}.{name}", f"{given} is above the model's num_classes, {num_classes}", "use one of those")


def _explain_target_pixels(message: Any, path: str, num_classes: int) -> Iterator[Problem | Note]:
    del num_classes
    if not message.HasField("max_target_pixels"):
        schema_default = message.DESCRIPTOR.fields_by_name["max_target_pixels"].default_value
        text = f"unset, which means {_MAX_TARGET_PIXELS} here as in the API, and not the schema's {schema_default}"
        yield Note(f"{path}.max_target_pixels", text)


_CHECKS: dict[str, Callable[[Any, str, int], Iterator[Problem | Note]]] = {
    "autoaugment_image": _check_autoaugment,
    "subtract_channel_mean": _check_channel_means,
    "normalize_image": _check_normalize,
    "drop_label_probabilistically": _check_drop,
    "remap_labels": _check_remap,
    "random_downscale_to_target_pixels": _explain_target_pixels,
}
