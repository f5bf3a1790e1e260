"""`tf.train.Example` without TensorFlow, whose import takes five seconds in every process that works on records.

The messages are those of TensorFlow's `core/example/feature.proto` and `example.proto`, built at run time in a pool of
their own, so that they live beside TensorFlow's: the same names, fields and bytes.
"""

from __future__ import annotations

import functools
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
_LISTS = {"BytesList": _Field.TYPE_BYTES, "FloatList": _Field.TYPE_FLOAT, "Int64List": _Field.TYPE_INT64}


@functools.cache
def example_class() -> Any:
    """Returns the message class of `tf.train.Example`."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(_file().SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="road/example.proto", package="tensorflow", syntax="proto3")
    for name, value_type in _LISTS.items():
        field = file.message_type.add(name=name).field.add(name="value", number=1, type=value_type)
        field.label = _Field.LABEL_REPEATED  # numbers are packed, as proto3 does by default
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, list_type) in enumerate(
        {"bytes_list": "BytesList", "float_list": "FloatList", "int64_list": "Int64List"}.items(), start=1
    ):
        field = _add_message_field(feature, name, number, f".tensorflow.{list_type}")
        field.oneof_index = 0
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=_Field.TYPE_STRING, label=_Field.LABEL_OPTIONAL)
    _add_message_field(entry, "value", 2, ".tensorflow.Feature")
    mapped = _add_message_field(features, "feature", 1, ".tensorflow.Features.FeatureEntry")
    mapped.label = _Field.LABEL_REPEATED
    _add_message_field(file.message_type.add(name="Example"), "features", 1, ".tensorflow.Features")
    return file


def _add_message_field(message: Any, name: str, number: int, type_name: str) -> Any:
    field = message.field.add(name=name, number=number, type=_Field.TYPE_MESSAGE, type_name=type_name)
    field.label = _Field.LABEL_OPTIONAL
    return field
