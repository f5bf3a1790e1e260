"""Rules for what training takes of a record: one description, for the reader in `train/inputs` and the checks here.

What the reader reads of a record and what it makes of it is said here and nowhere else, so that `verify_tfrecords`
calls an error just what stops training. What trains all the same is sound, or a warning that is counted. They are the
rules of the Object Detection API's `data_decoders/tf_example_decoder.py`, but for boxes without area and the like:
the API trained on some of them and stopped at others, and here each is left out.

TensorFlow-free: rules about boxes are written for arrays and tensors alike.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, Final

from data_prep.formats import tf_example
from data_prep.formats.label_map import LabelMap


class Severity(enum.Enum):
    """Consequence of a problem in training."""

    ERROR = "stops training"
    UNUSABLE = "the box is left out of training, and refused with extensions.strict_records"
    WARNING = "trains"


NOT_AN_EXAMPLE: Final = "not a tf.train.Example"
WRONG_TYPE: Final = "wrong type"
NUMBER_OF_VALUES: Final = "not one value"
MISSING_KEY: Final = "missing key"
BROKEN_IMAGE: Final = "image does not decode"
UNEQUAL_LENGTHS: Final = "unequal lengths"
WITHOUT_CLASSES: Final = "boxes without classes"
UNKNOWN_ID: Final = "class id outside the label map"
ID_BELOW_ONE: Final = "class id below 1"

NOT_FINITE: Final = "box is not finite"
FAR_OUTSIDE: Final = "box far outside the image"
REVERSED: Final = "reversed box"
WITHOUT_AREA: Final = "box without area"
BAD_WEIGHT: Final = "weight is not finite"

OVERHANG: Final = "box reaches beyond the image"
UNKNOWN_TEXT: Final = "class text outside the label map"
TEXT_DISAGREES: Final = "class text disagrees with id"
UNKNOWN_VERIFIED: Final = "verified class outside the label map"
UNREAD_KEY: Final = "malformed key that training does not read"
OPTIONAL_KEY: Final = "optional key missing"
OTHER_SIZE: Final = "size differs from the image"
OTHER_CHECKSUM: Final = "checksum differs from the image"
OTHER_FORMAT: Final = "format differs from the image"
BAD_AREA: Final = "not a finite number"

SEVERITIES: Final[Mapping[str, Severity]] = {
    **dict.fromkeys(
        (NOT_AN_EXAMPLE, WRONG_TYPE, NUMBER_OF_VALUES, MISSING_KEY, BROKEN_IMAGE, UNEQUAL_LENGTHS, WITHOUT_CLASSES,
         UNKNOWN_ID, ID_BELOW_ONE),
        Severity.ERROR,
    ),
    **dict.fromkeys((NOT_FINITE, FAR_OUTSIDE, REVERSED, WITHOUT_AREA, BAD_WEIGHT), Severity.UNUSABLE),
    **dict.fromkeys(
        (OVERHANG, UNKNOWN_TEXT, TEXT_DISAGREES, UNKNOWN_VERIFIED, UNREAD_KEY, OPTIONAL_KEY, OTHER_SIZE,
         OTHER_CHECKSUM, OTHER_FORMAT, BAD_AREA),
        Severity.WARNING,
    ),
}  # fmt: skip

# What the kinds of unusable boxes are called in a sentence that begins with the box.
UNUSABLE_IN_WORDS: Final[Mapping[str, str]] = {
    NOT_FINITE: "is not finite",
    FAR_OUTSIDE: "lies outside the image: coordinates are relative to it, from 0 to 1",
    REVERSED: "is reversed",
    WITHOUT_AREA: "has no area in the image",
    BAD_WEIGHT: "has a weight that is not finite",
}

# Keys that training and evaluation read, each of one value or none at all. Only the image is required.
NAME_KEYS: Final = (tf_example.IMAGE_SOURCE_ID, tf_example.IMAGE_FILENAME, tf_example.IMAGE_SHA256)
SINGLE_KEYS: Final = (tf_example.IMAGE_ENCODED, *NAME_KEYS)
BOX_KEYS: Final = (tf_example.BOX_YMIN, tf_example.BOX_XMIN, tf_example.BOX_YMAX, tf_example.BOX_XMAX)
# Lists of theirs, each of one value a box; all but the coordinates may be empty or missing, if either says the class.
LIST_KEYS: Final = (
    *BOX_KEYS,
    tf_example.CLASS_TEXT,
    tf_example.CLASS_LABEL,
    tf_example.OBJECT_WEIGHT,
    tf_example.OBJECT_AREA,
    tf_example.OBJECT_IS_CROWD,
    tf_example.OBJECT_DIFFICULT,
    tf_example.OBJECT_GROUP_OF,
)
VERIFIED_KEYS: Final = (tf_example.IMAGE_CLASS_TEXT, tf_example.IMAGE_CLASS_LABEL)
READ_KEYS: Final = frozenset((*SINGLE_KEYS, *LIST_KEYS, *VERIFIED_KEYS))

# How far a box may reach beyond the image, as a part of the image, before it is unusable and not rounding; the API
# drew the line at the same place. What reaches out is cut off.
MAX_OVERHANG: Final = 0.1
# From here on it is worth a word: six printed digits, then float32.
OVERHANG_TOLERANCE: Final = 1e-6

# Records of whose boxes most cannot be used have another fault, such as coordinates in pixels: training on the rest
# would be training on next to nothing. Judged from so many boxes on.
_MIN_BOXES_TO_JUDGE: Final = 100


def most_are_unusable(num_unusable: int, num_boxes: int) -> bool:
    """Tells whether so many of the boxes are unusable that training on the others is refused."""
    return num_boxes >= _MIN_BOXES_TO_JUDGE and 2 * num_unusable > num_boxes


def are_usable(boxes: Any, weights: Any, every: Callable[[Any], Any]) -> Any:
    """Tells which boxes can be trained on.

    Args:
        boxes: float32 [N, 4], ymin xmin ymax xmax relative to the image; an array or a tensor.
        weights: float32 [N], of the same kind.
        every: Tells of bool [N, K] whether all in a row hold, as bool [N]; of the same library.

    Returns:
        bool [N].
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    within = every((boxes >= -MAX_OVERHANG) & (boxes <= 1.0 + MAX_OVERHANG))  # false for what is not a number
    has_area = every((low < high) & (low < 1.0) & (high > 0.0))  # still, when what reaches out is cut off
    return within & has_area & (weights - weights == 0.0)


def reasons_unusable(boxes: Any, weights: Any, every: Callable[[Any], Any]) -> dict[str, Any]:
    """Returns why boxes cannot be trained on: bool [N] for each kind, of which the first that holds is the reason.

    Args:
        boxes: As `are_usable` takes them.
        weights: Likewise.
        every: Likewise.
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    return {
        NOT_FINITE: ~every(boxes - boxes == 0.0),
        FAR_OUTSIDE: ~every((boxes >= -MAX_OVERHANG) & (boxes <= 1.0 + MAX_OVERHANG)),
        REVERSED: ~every(low <= high),
        WITHOUT_AREA: ~every((low < high) & (low < 1.0) & (high > 0.0)),
        BAD_WEIGHT: ~(weights - weights == 0.0),
    }


def ids_by_text(label_map: LabelMap) -> dict[str, int]:
    """Returns the ids that class texts stand for: names and display names, of which a name goes first."""
    ids = {item.display_name: item.id for item in label_map if item.display_name}
    ids.update({item.name: item.id for item in label_map})
    return ids
