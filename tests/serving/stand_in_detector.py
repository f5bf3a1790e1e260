"""A detector behind real gRPC without TensorFlow: finds red rectangles, and misbehaves when it is told to.

It starts in a second where a server with TensorFlow takes ten, so that what the client does about retries, hedging, TLS
and dying servers can be tested often. In a process of its own: `python -m tests.serving.stand_in_detector PORT DELAY`.
"""

from __future__ import annotations

import io
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
from PIL import Image, UnidentifiedImageError

from serving.wire.messages import (
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    PredictRequest,
    PredictResponse,
    SignatureDefMap,
)
from serving.wire.tensors import array_of, fill_tensor

MEBIBYTES_64 = 64 << 20
OUTPUTS = {
    "detection_boxes": 1,
    "detection_scores": 1,
    "detection_classes": 1,
    "num_detections": 1,
    "detection_class_names": 7,
}


class StandInDetector:
    """A server on a port of loopback; `with StandInDetector() as server:` starts and stops it.

    Attributes:
        metadata_seen: What the last request carried beside the question.
        requests: The Predict requests so far.
        most_at_once: How many were worked on at the same time at most.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        before: Callable[[int, Any], None] = lambda number, context: None,
        credentials: Any = None,
        threads: int = 32,
        least_sides: dict[str, int] | None = None,
    ) -> None:
        """Sets up a server.

        Args:
            port: 0 for any free one.
            before: Called with each Predict request's number, from 0, and its gRPC context; may wait, or abort.
            credentials: For TLS.
            threads: Requests at the same time.
            least_sides: What its signature `image_resizer` tells; None for a model without.
        """
        self.metadata_seen: dict[str, str] = {}
        self.requests: list[Any] = []
        self.most_at_once = 0
        self._at_once = 0
        self._before = before
        self._least_sides = least_sides
        self._lock = threading.Lock()
        options = [("grpc.max_receive_message_length", MEBIBYTES_64), ("grpc.so_reuseport", 0)]
        self._server = grpc.server(ThreadPoolExecutor(threads), options=options)
        methods = {
            "Predict": grpc.unary_unary_rpc_method_handler(
                self._predict, PredictRequest.FromString, PredictResponse.SerializeToString
            ),
            "GetModelMetadata": grpc.unary_unary_rpc_method_handler(
                self._metadata, GetModelMetadataRequest.FromString, GetModelMetadataResponse.SerializeToString
            ),
        }
        handler = grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", methods)
        self._server.add_generic_rpc_handlers((handler,))
        address = f"localhost:{port}"
        if credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, credentials)

    @property
    def address(self) -> str:
        return f"localhost:{self.port}"

    def __enter__(self) -> StandInDetector:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(0).wait()

    def _metadata(self, request: Any, context: Any) -> Any:
        self.metadata_seen = dict(context.invocation_metadata())
        signatures = SignatureDefMap()
        signature = signatures.signature_def["serving_default"]
        signature.inputs["input_tensor"].dtype = 7
        for name, data_type in OUTPUTS.items():
            signature.outputs[name].dtype = data_type
        for name in self._least_sides or ():
            signatures.signature_def["image_resizer"].inputs["input_tensor"].dtype = 3
            signatures.signature_def["image_resizer"].outputs[name].dtype = 3
        response = GetModelMetadataResponse()
        response.metadata["signature_def"].Pack(signatures)
        return response

    def _predict(self, request: Any, context: Any) -> Any:
        self.metadata_seen = dict(context.invocation_metadata())
        with self._lock:
            number = len(self.requests)
            self.requests.append(request)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            self._before(number, context)
            return self._answer(request, context)
        finally:
            with self._lock:
                self._at_once -= 1

    def _answer(self, request: Any, context: Any) -> Any:
        images = array_of(request.inputs["input_tensor"], max_bytes=MEBIBYTES_64)
        if request.model_spec.signature_name == "image_resizer":
            told = PredictResponse()
            for name, side in self._least_sides.items():
                fill_tensor(told.outputs[name], np.full(len(images), side, np.int32))
            return told
        try:
            boxes = np.stack([_red_box(image) for image in images])[:, np.newaxis]
        except UnidentifiedImageError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        count = len(boxes)
        names = np.empty((count, 1), object)
        names[:] = b"red"
        outputs = {
            "detection_boxes": boxes.astype(np.float32),
            "detection_scores": np.full((count, 1), 0.9, np.float32),
            "detection_classes": np.ones((count, 1), np.float32),
            "num_detections": boxes.any((1, 2)).astype(np.float32),
            "detection_class_names": names,
        }
        response = PredictResponse()
        for name in request.output_filter or outputs:
            fill_tensor(response.outputs[name], outputs[name])
        return response


def _red_box(encoded: bytes) -> np.ndarray:
    image = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"), int)
    rows, columns = np.nonzero((image[..., 0] > 150) & (image[..., 1] < 100) & (image[..., 2] < 100))
    if not len(rows):
        return np.zeros(4)
    height, width = image.shape[:2]
    box = [rows.min() / height, columns.min() / width, (rows.max() + 1) / height, (columns.max() + 1) / width]
    return np.array(box)


if __name__ == "__main__":
    delay_seconds = float(sys.argv[2])
    with StandInDetector(int(sys.argv[1]), before=lambda number, context: time.sleep(delay_seconds)) as detector:
        print(detector.port, flush=True)
        threading.Event().wait()
