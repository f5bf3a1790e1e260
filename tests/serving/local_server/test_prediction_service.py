"""The local server over real gRPC, asked with tensorflow-serving-api's own stubs, as any client would ask it."""

from __future__ import annotations

import struct
import threading
import zlib

import grpc
import numpy as np
import pytest

from data_prep.formats.example_proto import example_class
from serving.local_server import LoadingOptions, LocalServer, ServerOptions

TIMEOUT_SECONDS = 60


@pytest.fixture(scope="module")
def channel(server):
    options = [("grpc.max_send_message_length", -1), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(server.address, options=options) as channel:
        yield channel


@pytest.fixture(scope="module")
def prediction(channel):
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def model_service(channel):
    from tensorflow_serving.apis import model_service_pb2_grpc

    return model_service_pb2_grpc.ModelServiceStub(channel)


def request_for(images, *, model_name="detector", version=None, label=None, signature_name="", outputs=()):
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = model_name
    request.model_spec.signature_name = signature_name
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    if images is not None:
        request.inputs["input_tensor"].CopyFrom(tf.make_tensor_proto(images))
    request.output_filter.extend(outputs)
    return request


def refused(prediction, request):
    with pytest.raises(grpc.RpcError) as error:
        prediction.Predict(request, timeout=TIMEOUT_SECONDS)
    assert "\n" not in error.value.details()
    return error.value.code(), error.value.details()


def huge_png(width, height):
    """A PNG of a few bytes whose header declares `width` x `height`."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\x00" * 100)) + chunk(b"IEND", b"")


def test_a_batch_of_images_of_different_kinds_and_sizes_is_answered_from_their_pixels(prediction, image):
    images = [image((10, 20, 30, 40)), image((100, 50, 300, 200), (640, 480), "JPEG"), image(None, (20, 90))]
    response = prediction.Predict(request_for(images), timeout=TIMEOUT_SECONDS)
    import tensorflow as tf

    boxes = tf.make_ndarray(response.outputs["detection_boxes"])
    assert boxes.shape == (3, 2, 4) and boxes.dtype == np.float32
    np.testing.assert_allclose(boxes[0, 0] * [48, 64, 48, 64], [20, 10, 40, 30], atol=0.01)
    np.testing.assert_allclose(boxes[1, 0] * [480, 640, 480, 640], [50, 100, 200, 300], atol=2)
    assert tf.make_ndarray(response.outputs["num_detections"]).tolist() == [2, 2, 1]
    assert tf.make_ndarray(response.outputs["detection_scores"])[:, 0].tolist() == pytest.approx([0.9, 0.9, 0])
    # TensorFlow Serving writes values, not tensor_content, and clients that read float_val rely on it.
    assert len(response.outputs["detection_boxes"].float_val) == 24
    assert (response.model_spec.name, response.model_spec.version.value) == ("detector", 1)
    assert response.model_spec.signature_name == "serving_default"


def test_a_request_for_the_version_in_use_is_answered(prediction, image):
    response = prediction.Predict(request_for([image(None)], version=1), timeout=TIMEOUT_SECONDS)
    assert response.model_spec.version.value == 1


def test_output_filter_is_honoured(prediction, image):
    request = request_for([image(None)], outputs=["num_detections", "detection_scores"])
    assert set(prediction.Predict(request, timeout=TIMEOUT_SECONDS).outputs) == {"num_detections", "detection_scores"}


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"model_name": "nope"}, "NOT_FOUND", "Servable not found for request: Latest(nope)"),
        ({"version": 7}, "NOT_FOUND", "Servable not found for request: Specific(detector, 7)"),
        ({"model_name": "", "version": 1}, "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        ({"label": "stable"}, "INVALID_ARGUMENT", "Unrecognized servable version label: stable"),
        ({"signature_name": "nope"}, "FAILED_PRECONDITION", 'Serving signature key "nope" not found.'),
        ({"outputs": ["masks"]}, "INVALID_ARGUMENT", "output tensor alias not found in signature: masks"),
        ({"outputs": ["num_detections"] * 2}, "INVALID_ARGUMENT", "duplicate output tensor alias: num_detections"),
    ],
)
def test_what_is_not_served_has_tensorflow_servings_status(prediction, image, changes, code, message):
    answer = refused(prediction, request_for([image(None)], **changes))
    assert answer[0].name == code
    assert message in answer[1]


def test_wrong_inputs_are_refused_by_name(prediction, image):
    import tensorflow as tf

    code, message = refused(prediction, request_for(None))
    assert code is grpc.StatusCode.INVALID_ARGUMENT and "Missing but required: {input_tensor}" in message
    request = request_for(None)
    request.inputs["images"].CopyFrom(tf.make_tensor_proto([image(None)]))
    code, message = refused(prediction, request)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message.startswith("input tensor alias not found in signature: images.")
    request.inputs["input_tensor"].CopyFrom(tf.make_tensor_proto([image(None)]))
    assert "Sent extra: {images}" in refused(prediction, request)[1]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 2, 2, 3), np.uint8), 'input "input_tensor" is of type DT_UINT8; the signature takes DT_STRING'),
        (np.array([[b"a"]], object), 'input "input_tensor" has the shape [1, 1]; the signature takes [any]'),
        (np.array(b"a", object), 'input "input_tensor" has the shape []; the signature takes [any]'),
    ],
)
def test_wrong_type_and_shape_are_refused(prediction, images, message):
    assert refused(prediction, request_for(images)) == (grpc.StatusCode.INVALID_ARGUMENT, message)


def test_an_image_that_does_not_decode_is_named_by_its_place(prediction, image):
    good = image((10, 20, 30, 40), (640, 480), "JPEG")
    for bad, message in (
        (b"", "input_tensor[1] is not an image that can be decoded: empty file"),
        (good[:-1500], "input_tensor[1] does not decode: jpeg::Uncompress failed"),
        (b"\xff\xd8\xff no image", "input_tensor[1] is not an image"),
        (b"plain text", "input_tensor[1] does not decode: Unknown image file format"),
        (huge_png(20_000, 20_000), "input_tensor[1] is not an image that can be decoded: too many pixels"),
    ):
        code, text = refused(prediction, request_for(np.array([good, bad, good], object)))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert message in text and "input_tensor[0]" not in text and "input_tensor[2]" not in text
    assert prediction.Predict(request_for([good]), timeout=TIMEOUT_SECONDS).outputs


def test_images_that_are_too_large_only_together_are_refused(prediction):
    answer = refused(prediction, request_for(np.array([huge_png(10_000, 9_900)] * 5, object)))
    assert answer[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert "495 megapixels together" in answer[1]


def test_images_within_records_are_looked_at_as_well(prediction, image):
    def record(content, key="image/encoded"):
        example = example_class()()
        example.features.feature[key].bytes_list.value.append(content)
        example.features.feature["image/filename"].bytes_list.value.append(b"photo.png")
        return example.SerializeToString()

    for key in ("image/encoded", "other"):  # a model may read any key
        code, message = refused(prediction, request_for([record(image(None)), record(huge_png(20_000, 20_000), key)]))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert message.startswith(f"input_tensor[1], {key} of its tf.Example, is not an image") and "pixels" in message
    large = np.array([record(huge_png(10_000, 9_900))] * 5, object)
    assert "495 megapixels together" in refused(prediction, request_for(large))[1]
    broken = record(b"\x89PNG\r\n\x1a\n broken")
    assert "input_tensor[0], image/encoded of its tf.Example" in refused(prediction, request_for([broken]))[1]


def test_a_bad_request_does_not_fail_those_beside_it(prediction, image):
    good, bad = request_for([image((10, 20, 30, 40))]), request_for([b"\xff\xd8\xff\xe0 broken"])
    calls = [prediction.Predict.future(bad if index % 3 else good, timeout=TIMEOUT_SECONDS) for index in range(30)]
    codes = [call.code() for call in calls]
    assert codes == [
        grpc.StatusCode.INVALID_ARGUMENT if index % 3 else grpc.StatusCode.OK for index in range(len(calls))
    ]


def test_a_message_above_grpcs_4_mebibytes_is_taken_and_one_above_the_limit_refused(prediction, image):
    noise = np.random.default_rng(0).bytes(10_000_000)  # an appended trailer that decoders do not look at
    response = prediction.Predict(request_for([image((10, 20, 30, 40)) + noise]), timeout=TIMEOUT_SECONDS)
    assert response.outputs["num_detections"].float_val[0] == 2
    code, _ = refused(prediction, request_for([image(None) + noise * 7]))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_bytes_that_are_no_message_are_refused(channel):
    call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    with pytest.raises(grpc.RpcError) as error:
        call(b"\xff\xff\xff", timeout=TIMEOUT_SECONDS)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.value.details() == "the message is no PredictRequest"


def test_a_method_that_is_not_served_says_so(prediction):
    from tensorflow_serving.apis import classification_pb2

    with pytest.raises(grpc.RpcError) as error:
        prediction.Classify(classification_pb2.ClassificationRequest(), timeout=TIMEOUT_SECONDS)
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_metadata_is_the_models_signature(prediction):
    from tensorflow_serving.apis import get_model_metadata_pb2

    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "detector"
    response = prediction.GetModelMetadata(request, timeout=TIMEOUT_SECONDS)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert list(signatures.signature_def) == ["serving_default"]
    signature = signatures.signature_def["serving_default"]
    assert list(signature.inputs) == ["input_tensor"] and signature.inputs["input_tensor"].dtype == 7
    assert "detection_boxes" in signature.outputs
    assert response.model_spec.version.value == 1


@pytest.mark.parametrize(
    ("name", "fields", "code", "message"),
    [
        ("detector", [], "INVALID_ARGUMENT", "GetModelMetadataRequest must specify at least one metadata_field"),
        ("detector", ["weights"], "INVALID_ARGUMENT", "Metadata field weights is not supported"),
        ("nope", ["signature_def"], "NOT_FOUND", "Servable not found for request: Latest(nope)"),
        (None, ["signature_def"], "INVALID_ARGUMENT", "Missing ModelSpec"),
    ],
)
def test_wrong_metadata_requests_are_refused(prediction, name, fields, code, message):
    from tensorflow_serving.apis import get_model_metadata_pb2

    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    if name is not None:
        request.model_spec.name = name
    with pytest.raises(grpc.RpcError) as error:
        prediction.GetModelMetadata(request, timeout=TIMEOUT_SECONDS)
    assert (error.value.code().name, error.value.details()) == (code, message)


def test_status_names_the_version_and_its_state(model_service):
    from tensorflow_serving.apis import get_model_status_pb2

    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "detector"
    response = model_service.GetModelStatus(request, timeout=TIMEOUT_SECONDS)
    (status,) = response.model_version_status
    assert (status.version, status.state) == (1, get_model_status_pb2.ModelVersionStatus.AVAILABLE)
    assert status.status.error_code == 0
    for name, version, message in (
        ("nope", None, "Could not find any versions of model nope"),
        ("detector", 9, "Could not find version 9 of model detector"),
    ):
        request.model_spec.name = name
        if version:
            request.model_spec.version.value = version
        with pytest.raises(grpc.RpcError) as error:
            model_service.GetModelStatus(request, timeout=TIMEOUT_SECONDS)
        assert (error.value.code(), error.value.details()) == (grpc.StatusCode.NOT_FOUND, message)


def test_health_is_serving_for_the_server_and_the_model(channel):
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", "detector"):
        response = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT_SECONDS)
        assert response.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as error:
        stub.Check(health_pb2.HealthCheckRequest(service="nope"), timeout=TIMEOUT_SECONDS)
    assert error.value.code() is grpc.StatusCode.NOT_FOUND


def test_pixels_are_taken_where_the_model_takes_pixels(pixel_server, image, red_pixels):
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    with grpc.insecure_channel(pixel_server.address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        pixels = red_pixels(image((10, 20, 30, 40)))[np.newaxis]
        response = stub.Predict(request_for(pixels, model_name="pixels"), timeout=TIMEOUT_SECONDS)
        np.testing.assert_allclose(
            response.outputs["detection_boxes"].float_val[:4], [20 / 48, 10 / 64, 40 / 48, 30 / 64]
        )
        bomb = request_for(np.zeros((1, 1, 1, 3), np.uint8), model_name="pixels")
        for size, value in zip(bomb.inputs["input_tensor"].tensor_shape.dim, (1, 100_000, 100_000, 3), strict=True):
            size.size = value
        bomb.inputs["input_tensor"].ClearField("tensor_content")
        bomb.inputs["input_tensor"].int_val.append(1)
        code, message = refused(stub, bomb)
        assert code is grpc.StatusCode.INVALID_ARGUMENT and "takes 30000000000 bytes" in message
        two = request_for(np.zeros((2, 4, 4, 3), np.uint8), model_name="pixels")
        assert "has the shape [2, 4, 4, 3]; the signature takes [1, any, any, 3]" in refused(stub, two)[1]


def test_reflection_names_the_services_and_their_methods(channel):
    from google.protobuf.descriptor_pool import DescriptorPool
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    found = ProtoReflectionDescriptorDatabase(channel)
    assert {"tensorflow.serving.PredictionService", "grpc.health.v1.Health"} <= set(found.get_services())
    service = DescriptorPool(found).FindServiceByName("tensorflow.serving.ModelService")
    assert [method.name for method in service.methods] == ["GetModelStatus", "HandleReloadConfigRequest"]
    (status,) = DescriptorPool(found).FindMessageTypeByName("tensorflow.serving.GetModelStatusResponse").fields
    assert status.name == "model_version_status"


def test_callers_who_send_nothing_hold_memory_for_a_bounded_time(encoded_model, image):
    options = ServerOptions(
        max_request_memory_mebibytes=8,
        max_message_mebibytes=4,
        receive_seconds=1,
        loading=LoadingOptions(poll_wait_seconds=0),
    )
    silence = threading.Event()

    def nothing():
        silence.wait()
        yield from ()

    server = LocalServer.of_model("detector", encoded_model, options)
    with server, grpc.insecure_channel(server.address) as channel:  # once there is an address
        call = channel.stream_unary("/tensorflow.serving.PredictionService/Predict")
        silent = [call.future(nothing(), timeout=TIMEOUT_SECONDS) for _ in range(2)]  # which hold all there is
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        assert stub.Predict(request_for([image(None)]), timeout=TIMEOUT_SECONDS).outputs
        assert [one.code() for one in silent] == [grpc.StatusCode.CANCELLED] * 2
        silence.set()
        # What never fits is refused by what it would take, here of an image of 1200x1200.
        code, message = refused(stub, request_for([image(None, (1200, 1200))]))
        assert code is grpc.StatusCode.INVALID_ARGUMENT and "takes about 39 MiB of memory" in message
        assert stub.Predict(request_for([image(None)]), timeout=TIMEOUT_SECONDS).outputs
