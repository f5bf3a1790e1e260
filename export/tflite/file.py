"""A TensorFlow Lite file as apps want it: outputs in the usual order, metadata inside, labels in a zip behind."""

from __future__ import annotations

import io
import zipfile

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from train.evaluation.tflite_model import detection_operator

METADATA_NAME = "TFLITE_METADATA"
_MODEL_IDENTIFIER = b"TFL3"
# The schema's `force_align` of a buffer, which the generated Python classes forget.
_BUFFER_ALIGNMENT = 16
# The same bytes each time: zip has no date before this one.
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def finish(model: bytes, metadata: bytes, files: dict[str, str]) -> bytes:
    """Puts outputs in order and adds metadata and files.

    The converter orders outputs as it likes, and apps take boxes, classes, scores and their number by position.

    Args:
        model: As the converter wrote it.
        metadata: A metadata table.
        files: Texts by name, packed in a zip behind the model: unpacked by any zip program, not compressed, for the
            Task library reads them where they lie.
    """
    content = schema.ModelT.InitFromPackedBuf(model)
    content.subgraphs[0].outputs = detection_operator(content).outputs
    content.buffers = [_AlignedBuffer(buffer) for buffer in content.buffers]
    content.buffers.append(_AlignedBuffer(schema.BufferT(data=np.frombuffer(metadata, np.uint8))))
    content.metadata = [
        *(content.metadata or []),
        schema.MetadataT(name=METADATA_NAME, buffer=len(content.buffers) - 1),
    ]
    builder = flatbuffers.Builder(len(model) + len(metadata) + 4096)
    builder.Finish(content.Pack(builder), file_identifier=_MODEL_IDENTIFIER)
    packed = io.BytesIO(bytes(builder.Output()))
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_STORED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, _ZIP_DATE), text)
    return packed.getvalue()


class _AlignedBuffer:
    """A buffer that `ModelT.Pack` writes where its numbers may be read in place."""

    def __init__(self, buffer: schema.BufferT) -> None:
        self._data, self._offset, self._size = buffer.data, buffer.offset, buffer.size

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 - the name that the generated classes call
        """As `BufferT.Pack`, aligned."""
        data = None
        if self._data is not None:
            values = np.asarray(self._data, np.uint8)
            builder.StartVector(1, len(values), _BUFFER_ALIGNMENT)
            builder.head -= len(values)
            builder.Bytes[builder.head : builder.head + len(values)] = values.tobytes()
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        schema.BufferAddOffset(builder, self._offset)
        schema.BufferAddSize(builder, self._size)
        return int(schema.BufferEnd(builder))
