"""TensorFlow Lite's metadata table: what a model's tensors mean, as the Task library's object detector reads it.

Written with the `flatbuffers` package alone, for the package that has the generated classes (tflite-support) is no
longer made and wants protobuf 3. Numbers of fields and of enumerations are those of its `metadata_schema.fbs`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import flatbuffers

IDENTIFIER = b"M001"
LABELS_NAME = "labels.txt"
# The Task library's own for a row without a class.
NO_CLASS = "???"
# Of the parser that knows groups of output tensors, which were the last to come of what is written here.
_MIN_PARSER_VERSION = "1.2.0"

_IMAGE_PROPERTIES, _FEATURE_PROPERTIES, _BOUNDING_BOX_PROPERTIES = 2, 1, 3
_NORMALIZATION_OPTIONS = 1
_RGB = 1
_BOUNDARIES = 1
_TENSOR_VALUE_LABELS = 3
# Where xmin, ymin, xmax and ymax are in a row of ymin, xmin, ymax, xmax.
_BOX_INDEX = (1, 0, 3, 2)

# Writes a value that is not a scalar, and returns its offset.
_Write = Callable[[flatbuffers.Builder], int]


@dataclasses.dataclass(frozen=True)
class InputMeaning:
    """The metadata of a model's input.

    Attributes:
        height, width: In pixels.
        mean, deviation: With which an app normalises 0..255, one number a channel or one for all.
        low, high: What values then lie between, one number a channel or one for all.
        description: For people.
    """

    height: int
    width: int
    mean: Sequence[float]
    deviation: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    description: str


def metadata_table(name: str, description: str, image: InputMeaning) -> bytes:
    """Writes the table for a detector: an image in; location, category, score and number of detections out.

    Args:
        name: Of the model.
        description: Of the model, for people.
        image: What its input holds.

    Returns:
        A flatbuffer with the identifier `M001`.
    """
    subgraph = _table(
        {
            2: _tables([_input_tensor(image)]),
            3: _tables(_output_tensors()),
            8: _tables([_table({0: _text("detection_result"), 1: _texts(["location", "category", "score"])})]),
        }
    )
    builder = flatbuffers.Builder(4096)
    root = _table({0: _text(name), 1: _text(description), 3: _tables([subgraph]), 7: _text(_MIN_PARSER_VERSION)})
    builder.Finish(root(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def label_rows(names_by_id: dict[int, str]) -> str:
    """The text of `labels.txt`: row n is the class that the model calls n, which has id n + 1; gaps are `???`."""
    rows = [names_by_id.get(class_id) or NO_CLASS for class_id in range(1, max(names_by_id, default=0) + 1)]
    return "".join(" ".join(row.splitlines()) + "\n" for row in rows)


def _input_tensor(image: InputMeaning) -> _Write:
    properties = _table({1: _table({}, {0: ("Uint32", image.width), 1: ("Uint32", image.height)})}, {0: ("Int8", _RGB)})
    options = _table({0: _floats(image.mean), 1: _floats(image.deviation)})
    return _table(
        {
            0: _text("image"),
            1: _text(image.description),
            3: _table({1: properties}, {0: ("Uint8", _IMAGE_PROPERTIES)}),
            4: _tables([_table({1: options}, {0: ("Uint8", _NORMALIZATION_OPTIONS)})]),
            5: _table({0: _floats(image.high), 1: _floats(image.low)}),
        }
    )


def _output_tensors() -> list[_Write]:
    box = _table({0: _uints(_BOX_INDEX)}, {1: ("Int8", _BOUNDARIES)})
    labels = _table(
        {0: _text(LABELS_NAME), 1: _text("Names of the classes, from 0.")}, {2: ("Int8", _TENSOR_VALUE_LABELS)}
    )
    return [
        _output("location", "Boxes: ymin, xmin, ymax, xmax in 0..1 of the input.", _BOUNDING_BOX_PROPERTIES, box),
        _output("category", "Classes of the boxes, from 0.", _FEATURE_PROPERTIES, more={6: _tables([labels])}),
        _output("score", "Scores of the boxes, falling.", _FEATURE_PROPERTIES),
        _output("number of detections", "How many rows hold a detection.", _FEATURE_PROPERTIES, by_row=False),
    ]


def _output(
    name: str,
    description: str,
    kind: int,
    properties: _Write | None = None,
    *,
    more: dict[int, _Write] | None = None,
    by_row: bool = True,
) -> _Write:
    content = {1: properties or _table({})}
    if by_row:
        content[2] = _table({}, {0: ("Int32", 2), 1: ("Int32", 2)})  # what is said is said of each row of dimension 2
    fields = {0: _text(name), 1: _text(description), 3: _table(content, {0: ("Uint8", kind)}), 5: _table({})}
    return _table({**fields, **(more or {})})


def _table(fields: dict[int, _Write], scalars: dict[int, tuple[str, int]] | None = None) -> _Write:
    """A table of values by the number of their field; `scalars` hold a type of flatbuffers' and a value."""
    scalars = scalars or {}

    def write(builder: flatbuffers.Builder) -> int:
        offsets = {slot: value(builder) for slot, value in fields.items()}
        builder.StartObject(max([*offsets, *scalars], default=-1) + 1)
        for slot, offset in offsets.items():
            builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
        for slot, (kind, value) in scalars.items():
            getattr(builder, f"Prepend{kind}Slot")(slot, value, 0)
        return int(builder.EndObject())

    return write


def _text(text: str) -> _Write:
    return lambda builder: int(builder.CreateString(text))


def _tables(values: Sequence[_Write]) -> _Write:
    def write(builder: flatbuffers.Builder) -> int:
        offsets = [value(builder) for value in values]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())

    return write


def _texts(texts: Sequence[str]) -> _Write:
    return _tables([_text(text) for text in texts])


def _floats(values: Sequence[float]) -> _Write:
    return _numbers("Float32", values)


def _uints(values: Sequence[int]) -> _Write:
    return _numbers("Uint32", values)


def _numbers(kind: str, values: Sequence[float]) -> _Write:
    def write(builder: flatbuffers.Builder) -> int:
        builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            getattr(builder, f"Prepend{kind}")(value)
        return int(builder.EndVector())

    return write
