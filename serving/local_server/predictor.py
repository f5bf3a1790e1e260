"""Predictor of the local server: checks a Predict request, batches it with others where wanted, runs and counts it."""

from __future__ import annotations

import time
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from serving.client_library.channels import SERVING_DEFAULT
from serving.local_server.batching import MICROSECONDS, BatchScheduler, can_be_batched
from serving.local_server.caller import Caller
from serving.local_server.metrics import RUNTIME_LATENCY, Metrics
from serving.local_server.options import RequestLimits
from serving.local_server.request_checks import check_inputs, check_output_filter, find_signature, read_inputs
from serving.saved_models.loaded_model import LoadedModel, ModelLoadError
from serving.saved_models.status_errors import StatusError
from serving.wire.tensors import TensorError, fill_tensor


class Predictor:
    """Runs requests on the versions that they ask for; any number of threads may at the same time."""

    def __init__(
        self,
        limits: RequestLimits,
        counted: Metrics,
        batching: BatchScheduler | None = None,
        *,
        in_one_piece: bool = False,
    ) -> None:
        """Keeps what all requests share.

        Args:
            limits: How much a request may ask for.
            counted: Where TensorFlow's time is counted.
            batching: What runs requests together; None runs each by itself.
            in_one_piece: Whether arrays are answered as `tensor_content` rather than value by value.
        """
        self.limits = limits
        self._metrics = counted
        self._batching = batching
        self._in_one_piece = in_one_piece

    def predict(self, model: LoadedModel, request: Any, caller: Caller) -> predict_pb2.PredictResponse:
        """Answers a PredictRequest from `model`.

        Raises:
            StatusError: The request is wrong, or the model cannot answer it (in time).
        """
        signature_name = request.model_spec.signature_name or SERVING_DEFAULT
        signature = find_signature(model.signatures, signature_name)
        arrays = read_inputs(request.inputs, signature, self.limits, caller)
        outputs = self.run(
            request.model_spec.name,
            model,
            signature,
            arrays,
            check_output_filter(request.output_filter, signature),
            caller,
        )
        response = predict_pb2.PredictResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = model.version
        response.model_spec.signature_name = signature_name
        for name, array in outputs.items():
            try:
                fill_tensor(response.outputs[name], array, as_values=not self._in_one_piece)
            except TensorError as error:
                raise StatusError(grpc.StatusCode.INTERNAL, f"output {name}: {error}") from error
        return response

    def run(
        self,
        model_name: str,
        model: LoadedModel,
        signature: Any,
        arrays: dict[str, np.ndarray],
        output_names: list[str],
        caller: Caller,
    ) -> dict[str, np.ndarray]:
        """Runs a signature on arrays of its inputs' names and types.

        Args:
            model_name: What the metrics call it.
            model: The version.
            signature: One of its signatures.
            arrays: Input name -> array.
            output_names: Which outputs to compute.
            caller: Who waits.

        Returns:
            Output name -> array.

        Raises:
            StatusError: The arrays do not fit the signature, or the model cannot answer (in time).
        """
        caller.memory.grow(check_inputs(arrays, signature, self.limits), caller.seconds_left)
        seconds_left = caller.seconds_left()
        started = time.monotonic()
        if self._batching is not None and can_be_batched(signature):
            outputs = self._batching.run(model, signature, arrays, output_names, caller)
        else:
            outputs = model.run(signature, arrays, output_names, timeout_seconds=seconds_left)
        taken = (time.monotonic() - started) * MICROSECONDS
        labels = {"model_name": model_name, "API": "Predict", "runtime": "TF1"}
        self._metrics.observe(RUNTIME_LATENCY, labels, taken)
        return outputs


def replay_warm_up(model: LoadedModel, records: list[bytes], limits: RequestLimits, *, iterations: int = 1) -> int:
    """Runs a version's warm-up requests, so that its first caller does not wait for what TensorFlow does only once.

    Args:
        model: The version.
        records: Serialised PredictionLogs.
        limits: As for requests from outside.
        iterations: How often each is run.

    Returns:
        How many requests were run.

    Raises:
        ModelLoadError: A record is no Predict request, or the model refuses it: as in TensorFlow Serving, such a
            version is not served.
    """
    predictor = Predictor(limits, Metrics())
    for position, record in enumerate(records):
        try:
            log = prediction_log_pb2.PredictionLog.FromString(record)
        except DecodeError as error:
            raise ModelLoadError(f"warm-up request {position} is no PredictionLog: {error}") from error
        if log.WhichOneof("log_type") != "predict_log":
            raise ModelLoadError(f"warm-up request {position} is no Predict request, which is all that is served here")
        for _ in range(iterations):
            try:
                predictor.predict(model, log.predict_log.request, Caller())
            except StatusError as error:
                raise ModelLoadError(f"warm-up request {position} fails: {error.message}", error.code) from error
    return len(records) * iterations
