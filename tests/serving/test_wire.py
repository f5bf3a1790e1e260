"""The client's messages against the installed package's, and tensors against TensorFlow's own conversion."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from serving.wire import messages
from serving.wire.make_descriptor_set import descriptor_set
from serving.wire.make_descriptor_set import main as make_descriptor_set
from serving.wire.tensors import TensorError, array_of, fill_tensor

REPOSITORY = Path(__file__).resolve().parents[2]
MAX_BYTES = 1 << 20


def fields_by_message(files):
    """Returns {message: {(number, name, type, label, type name)}} of a FileDescriptorSet."""
    found = {}

    def visit(prefix, message):
        name = f"{prefix}.{message.name}"
        found[name] = {(f.number, f.name, f.type, f.label, f.type_name) for f in message.field}
        for nested in message.nested_type:
            visit(name, nested)

    for file in files.file:
        for message in file.message_type:
            visit(file.package, message)
    return found


def test_descriptors_agree_with_the_installed_package():
    from google.protobuf import descriptor_pb2

    checked_in = descriptor_pb2.FileDescriptorSet.FromString(messages.DESCRIPTOR_SET_PATH.read_bytes())
    ours = fields_by_message(checked_in)
    assert ours == fields_by_message(descriptor_set())
    assert ("tensorflow.serving.PredictRequest" in ours) and len(ours) > 20


def test_make_descriptor_set_writes_what_the_classes_are_built_from(tmp_path, capsys):
    path = tmp_path / "apis.pb"
    assert make_descriptor_set(["--output_path", str(path)]) == 0
    assert str(path) in capsys.readouterr().out
    from google.protobuf import descriptor_pb2

    assert fields_by_message(descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes())) == fields_by_message(
        descriptor_set()
    )


def test_a_request_reads_the_same_in_the_installed_package():
    from tensorflow_serving.apis import predict_pb2

    ours = messages.PredictRequest()
    ours.model_spec.name = "detector"
    ours.model_spec.version.value = 7
    ours.output_filter.append("detection_boxes")
    fill_tensor(ours.inputs["input_tensor"], np.array([b"\x00\xffphoto\x00", b""], object))
    theirs = predict_pb2.PredictRequest.FromString(ours.SerializeToString())
    assert (theirs.model_spec.name, theirs.model_spec.version.value) == ("detector", 7)
    assert list(theirs.inputs["input_tensor"].string_val) == [b"\x00\xffphoto\x00", b""]
    back = messages.PredictRequest.FromString(theirs.SerializeToString())
    assert back == ours


def test_the_client_starts_without_tensorflow():
    code = (
        "import sys, serving.client, serving.client_library.detection_client, serving.serve; "
        "print([name for name in sys.modules if name.split('.')[0] in ('tensorflow', 'tensorflow_serving', 'pandas')])"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("as_values", [False, True])
@pytest.mark.parametrize(
    "array",
    [
        np.array([[0.25, -1.5], [3.0, 4.0]], np.float32),
        np.array([1e300], np.float64),
        np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        np.array([-5, 2**31 - 1], np.int32),
        np.array([-(2**62)], np.int64),
        np.array([True, False]),
        np.array([1.5, 65504.0], np.float16),
        np.array([-128, 127], np.int8),
        np.array([2**64 - 1], np.uint64),
        np.zeros((0, 4), np.float32),
        np.array(3.5, np.float32),
        np.array([[b"a", b"\x00trailing\x00"]], object),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_tensors_agree_with_tensorflow(array, as_values):
    import tensorflow as tf
    from tensorflow.core.framework import tensor_pb2

    ours = messages.TensorProto()
    fill_tensor(ours, array, as_values=as_values)
    read_by_tensorflow = tf.make_ndarray(tensor_pb2.TensorProto.FromString(ours.SerializeToString()))
    np.testing.assert_array_equal(read_by_tensorflow, array)
    theirs = messages.TensorProto.FromString(tf.make_tensor_proto(array).SerializeToString())
    for tensor in (ours, theirs):
        read = array_of(tensor, max_bytes=MAX_BYTES)
        assert read.dtype == array.dtype and read.shape == array.shape
        np.testing.assert_array_equal(read, array)


def test_fewer_values_than_the_shape_repeat_the_last_one():
    tensor = messages.TensorProto(dtype=1, float_val=[1.0, 2.0])
    tensor.tensor_shape.dim.add(size=4)
    assert array_of(tensor, max_bytes=MAX_BYTES).tolist() == [1.0, 2.0, 2.0, 2.0]


def tensor_of(dtype, sizes, **fields):
    tensor = messages.TensorProto(dtype=dtype, **fields)
    for size in sizes:
        tensor.tensor_shape.dim.add(size=size)
    return tensor


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (tensor_of(1, [100_000, 100_000], float_val=[1.0]), "takes 40000000000 bytes; at most 1048576 are taken"),
        (tensor_of(7, [10**12], string_val=[b"one"]), "has 1 strings, but its shape"),
        (tensor_of(1, [3], tensor_content=b"12345678"), "content is of 8 bytes, but its shape [3] takes 12"),
        (tensor_of(1, [1], float_val=[1.0, 2.0]), "has 2 values, but its shape [1] takes 1"),
        (tensor_of(1, [-1], float_val=[1.0]), "negative dimension"),
        (tensor_of(4, [1], int_val=[256]), "values outside 0..255"),
        (tensor_of(8, [1], scomplex_val=[1.0, 2.0]), "data type 8 is not supported"),
        (tensor_of(0, []), "data type 0 is not supported"),
    ],
)
def test_a_hostile_tensor_is_refused_before_it_is_made(tensor, message):
    with pytest.raises(TensorError) as error:
        array_of(tensor, max_bytes=MAX_BYTES)
    assert message in str(error.value)


def test_a_tensor_without_rank_is_refused():
    tensor = messages.TensorProto(dtype=1, float_val=[1.0])
    tensor.tensor_shape.unknown_rank = True
    with pytest.raises(TensorError, match="no rank"):
        array_of(tensor, max_bytes=MAX_BYTES)
