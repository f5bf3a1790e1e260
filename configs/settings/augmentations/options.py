"""The augmentations that there are, by their options' names, and the list of them that a training config holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from configs.schema.descriptors import message_descriptor, short_name
from configs.schema.problem import Problem
from configs.settings.augmentations import geometry, pixels, windows
from configs.settings.augmentations.augmentation import AugmentationSettings
from configs.settings.declaration import SETTINGS_BY_MESSAGE, Choice, Settings

_MODULES = (geometry, pixels, windows)  # each registers its classes

# The settings of each option, by its name in the schema: of all whose message has settings.
AUGMENTATIONS: dict[str, type[AugmentationSettings]] = {
    field.name: settings
    for field in message_descriptor("PreprocessingStep").fields
    if issubclass(settings := SETTINGS_BY_MESSAGE.get(short_name(field.message_type), Settings), AugmentationSettings)
}

# Why an option cannot be honoured, and what to write instead.
REFUSED = {
    "scale_boxes_to_pixel_coordinates": (
        "boxes are relative from the record to the loss",
        "delete it; the model scales them itself",
    ),
    "convert_class_logits_to_softmax": ("soft class targets are not read", "delete it: class targets are 0 and 1"),
}

# What `train_config.data_augmentation_options` may hold.
AUGMENTATION_OPTIONS = Choice(
    alternatives=AUGMENTATIONS,
    refused=REFUSED,
    repeated=True,
    missing="is empty",
    required="name an augmentation, or delete it",
)


def check_classes(options: Sequence[AugmentationSettings], num_classes: int) -> Iterator[Problem]:
    """Yields a problem for each class that is named and that the model has not.

    Args:
        options: All of a config.
        num_classes: The model's.

    Yields:
        Problems with paths from the list of options: `[2].remap_labels.new_label`.
    """
    for index, option in enumerate(options):
        for problem in option.check_class(num_classes):
            path = f"[{index}].{AUGMENTATION_OPTIONS.name_of(option)}.{problem.path}"
            yield Problem(path, problem.reason, problem.use_instead)
