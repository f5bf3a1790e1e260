"""TensorFlow Lite's metadata table: what a model's tensors mean, as the Task library's object detector reads it.

Written with the `flatbuffers` package alone, for the package that has the generated classes (tflite-support) is no
longer made and wants protobuf 3. Numbers of fields and of enumerations are those of its `metadata_schema.fbs`.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable, Sequence

import flatbuffers
from flatbuffers import number_types
from flatbuffers.table import Table

from train.evaluation.tflite_model import LABELS_NAME, NO_CLASS

IDENTIFIER = b"M001"
# How an image becomes the input.
STRETCHED = "RGB, stretched to this size."
PADDED = "RGB, resized with its aspect ratio kept; what is left at the bottom and the right is 0 once normalised."
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

    @property
    def is_padded(self) -> bool:
        """Whether an image keeps its aspect ratio, and is padded at the bottom and the right."""
        return self.description == PADDED


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


def read_input_meaning(table: bytes | None) -> InputMeaning | None:
    """Reads what a metadata table, anybody's, says of a detector's input; None where it does not say it."""
    if table is None or table[4:8] != IDENTIFIER:
        return None
    root = Table(table, struct.unpack_from("<I", table)[0])
    try:
        (image,) = _sub_tables(_sub_tables(root, 3)[0], 2)
        unit = next(unit for unit in _sub_tables(image, 4) if _scalar(unit, 0, "Uint8") == _NORMALIZATION_OPTIONS)
        options = _sub_table(unit, 1)
        size = _sub_table(_sub_table(_sub_table(image, 3), 1), 1)
        stats = _sub_table(image, 5)
        return InputMeaning(
            height=int(_scalar(size, 1, "Uint32")),
            width=int(_scalar(size, 0, "Uint32")),
            mean=_read_floats(options, 0),
            deviation=_read_floats(options, 1),
            low=_read_floats(stats, 1),
            high=_read_floats(stats, 0),
            description=_read_text(image, 1),
        )
    except (LookupError, StopIteration, ValueError, struct.error):
        return None


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


def _place(table: Table, slot: int) -> int:
    """Where a field of a table lies; LookupError where it is not there."""
    offset = table.Offset(4 + 2 * slot)
    if not offset:
        raise LookupError(slot)
    return int(table.Pos + offset)


def _sub_table(table: Table, slot: int) -> Table:
    return Table(table.Bytes, table.Indirect(_place(table, slot)))


def _sub_tables(table: Table, slot: int) -> list[Table]:
    start, count = _vector(table, slot)
    return [Table(table.Bytes, table.Indirect(start + 4 * index)) for index in range(count)]


def _vector(table: Table, slot: int) -> tuple[int, int]:
    """Where a vector's first item lies, and how many there are."""
    place = table.Indirect(_place(table, slot))
    return place + 4, struct.unpack_from("<I", table.Bytes, place)[0]


def _read_floats(table: Table, slot: int) -> tuple[float, ...]:
    start, count = _vector(table, slot)
    return struct.unpack_from(f"<{count}f", table.Bytes, start)


def _read_text(table: Table, slot: int) -> str:
    start, count = _vector(table, slot)
    return bytes(table.Bytes[start : start + count]).decode("utf-8")


def _scalar(table: Table, slot: int, kind: str) -> int:
    return int(table.Get(getattr(number_types, f"{kind}Flags"), _place(table, slot)))
