"""The messages that a client exchanges with TensorFlow Serving, built without importing TensorFlow.

`tensorflow_serving.apis` imports TensorFlow, which takes some five seconds. These classes are made by the protobuf
library from checked-in descriptors of the same messages (`make_descriptor_set.py` writes them, a test compares them
with the installed package), in a descriptor pool of their own, so that they live beside TensorFlow's in one process.
What goes over the wire is the same, byte for byte.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

from serving.wire import DESCRIPTOR_SET_PATH


def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    # The library's own messages come from the library: how it describes them differs between its versions.
    for module in (any_pb2, wrappers_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    for file in descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTOR_SET_PATH.read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


POOL = _pool()


def message_class(full_name: str) -> Any:
    """Returns the class of the message called `full_name`, such as `tensorflow.serving.PredictRequest`.

    Raises:
        KeyError: There is no such message.
    """
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(full_name))


TensorProto = message_class("tensorflow.TensorProto")
PredictRequest = message_class("tensorflow.serving.PredictRequest")
PredictResponse = message_class("tensorflow.serving.PredictResponse")
GetModelMetadataRequest = message_class("tensorflow.serving.GetModelMetadataRequest")
GetModelMetadataResponse = message_class("tensorflow.serving.GetModelMetadataResponse")
SignatureDefMap = message_class("tensorflow.serving.SignatureDefMap")
GetModelStatusRequest = message_class("tensorflow.serving.GetModelStatusRequest")
GetModelStatusResponse = message_class("tensorflow.serving.GetModelStatusResponse")
ModelServerConfig = message_class("tensorflow.serving.ModelServerConfig")
ReloadConfigRequest = message_class("tensorflow.serving.ReloadConfigRequest")
ReloadConfigResponse = message_class("tensorflow.serving.ReloadConfigResponse")
