"""Asks a detector over gRPC: the library under `serving.client`. It imports no TensorFlow and no model code."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from types import TracebackType
from typing import Any

import grpc

from data_prep.command_line import UserError
from data_prep.images import ImageError
from data_prep.label_map import LabelMap
from serving.channels import (
    DEFAULT_MAX_MESSAGE_MEBIBYTES,
    MEBIBYTE,
    PREDICTION_SERVICE,
    SERVING_DEFAULT,
    client_options,
)
from serving.detections import OUTPUT_NAMES, Failure, PictureDetections, read_detections
from serving.image_requests import (
    BYTES_AROUND_PICTURES,
    INPUT_NAME,
    Picture,
    PictureSource,
    encoded_array,
    pixels_of,
    predict_request,
    read_picture,
)
from serving.wire.messages import (
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    PredictRequest,
    PredictResponse,
    SignatureDefMap,
)
from serving.wire.tensors import DT_STRING, DT_UINT8, TensorError, array_of, type_name

FIRST_BACK_OFF_SECONDS = 0.25
MAX_BACK_OFF_SECONDS = 5.0
# Statuses that say nothing of the picture: the next one would end the same way.
_FATAL_CODES = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
)
_REASONS = {
    grpc.StatusCode.INVALID_ARGUMENT: "refused by the server",
    grpc.StatusCode.DEADLINE_EXCEEDED: "timed out",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "too much for the server",
}


class ServerError(UserError):
    """The server cannot be asked: it is down, or does not serve such a model."""


class PictureError(Exception):
    """One picture has no answer.

    Attributes:
        failure: Why.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


class DetectionClient:
    """Asks one model on one server. Its methods may be called from any number of threads."""

    def __init__(
        self,
        server: str,
        model_name: str,
        *,
        label_map: LabelMap | None = None,
        model_version: int | None = None,
        signature_name: str = SERVING_DEFAULT,
        min_score: float = 0.0,
        timeout_seconds: float = 60.0,
        max_retries: int = 4,
        max_in_flight: int = 4,
        batch_size: int = 1,
        max_message_mebibytes: int = DEFAULT_MAX_MESSAGE_MEBIBYTES,
    ) -> None:
        """Sets up a channel; nothing is sent before the first question.

        Args:
            server: `host:port`.
            model_name: What the server calls the model.
            label_map: Names the classes.
            model_version: Which version to ask; None for the newest.
            signature_name: Which of the model's signatures.
            min_score: Weaker detections are left out.
            timeout_seconds: The deadline of each request; a retry has its own.
            max_retries: How often a request is sent again after UNAVAILABLE, and only then, waiting 0.25 s, 0.5 s,
                1 s, ... up to 5 s, each shortened by up to half at random.
            max_in_flight: Requests of `detect_many` on their way at the same time.
            batch_size: Pictures in one request of `detect_many`, where the model takes several.
            max_message_mebibytes: The largest request, and so the largest picture.
        """
        if ":" not in server:
            raise ServerError(f"server {server!r} has no port; give host:port, such as localhost:8500")
        self.server = server
        self.model_name = model_name
        self.label_map = label_map
        self.model_version = model_version
        self.signature_name = signature_name
        self.min_score = min_score
        self.timeout_seconds = timeout_seconds
        self.max_retries = max_retries
        self.max_in_flight = max_in_flight
        self.batch_size = batch_size
        self._max_message_bytes = max_message_mebibytes * MEBIBYTE
        self._max_picture_bytes = self._max_message_bytes - BYTES_AROUND_PICTURES
        self._channel = grpc.insecure_channel(server, options=client_options(server, self._max_message_bytes))
        self._predict = self._channel.unary_unary(
            f"/{PREDICTION_SERVICE}/Predict",
            request_serializer=PredictRequest.SerializeToString,
            response_deserializer=PredictResponse.FromString,
        )
        self._get_metadata = self._channel.unary_unary(
            f"/{PREDICTION_SERVICE}/GetModelMetadata",
            request_serializer=GetModelMetadataRequest.SerializeToString,
            response_deserializer=GetModelMetadataResponse.FromString,
        )
        self._takes_encoded: bool | None = None
        self._connect_lock = threading.Lock()

    def connect(self) -> None:
        """Asks the server, once, what the model takes: encoded pictures or pixels. Called by the first question.

        Raises:
            ServerError: No server answers, or it serves no such model, version or signature, or no detector.
        """
        with self._connect_lock:
            if self._takes_encoded is None:
                self._takes_encoded = self._ask_what_it_takes()

    def detect(self, picture: PictureSource) -> PictureDetections:
        """Asks about one picture.

        Args:
            picture: An encoded picture's bytes, or a path.

        Raises:
            PictureError: The picture cannot be read, or the server refuses it.
            ServerError: The server cannot be asked.
        """
        self.connect()
        result = self._detect_batch([picture])[0]
        if result.failure is not None:
            raise PictureError(result.failure)
        return result

    def detect_many(self, pictures: Iterable[PictureSource]) -> Iterator[PictureDetections]:
        """Asks about many pictures, `max_in_flight` requests at a time, and yields the answers in the order given.

        Only a few requests' pictures are in memory at a time, however many there are. A picture that fails is yielded
        with its `failure` and costs the others nothing.

        Args:
            pictures: Encoded pictures' bytes, or paths; taken as they are needed.

        Raises:
            ServerError: The server cannot be asked (any more); what was answered before has been yielded.
        """
        self.connect()
        source = iter(pictures)
        size = self.batch_size if self._takes_encoded else 1
        waiting: deque[Future[list[PictureDetections]]] = deque()
        pool = ThreadPoolExecutor(self.max_in_flight, thread_name_prefix="detect")
        try:
            while True:
                # Twice as many, so that one slow answer at the head does not leave the others idle.
                while len(waiting) < 2 * self.max_in_flight and (batch := list(islice(source, size))):
                    waiting.append(pool.submit(self._detect_batch, batch))
                if not waiting:
                    return
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Closes the channel; requests on their way are cancelled."""
        self._channel.close()

    def __enter__(self) -> DetectionClient:
        """Returns the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Closes the channel."""
        self.close()

    def _ask_what_it_takes(self) -> bool:
        request = GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = self.model_name
        if self.model_version is not None:
            request.model_spec.version.value = self.model_version
        try:
            response = self._call(self._get_metadata, request)
        except grpc.RpcError as error:
            raise self._server_error(error) from error
        signatures = SignatureDefMap.FromString(response.metadata["signature_def"].value).signature_def
        model = f"model {self.model_name!r} at {self.server}"
        if self.signature_name not in signatures:
            names = ", ".join(sorted(signatures)) or "none"
            raise ServerError(f"{model} has no signature {self.signature_name!r}; it has: {names}")
        signature = signatures[self.signature_name]
        lacking = [name for name in OUTPUT_NAMES if name not in signature.outputs]
        if set(signature.inputs) != {INPUT_NAME} or lacking:
            raise ServerError(
                f"{model} is no detector: signature {self.signature_name!r} takes "
                f"{', '.join(sorted(signature.inputs))} and answers {', '.join(sorted(signature.outputs))}; "
                f"a detector takes {INPUT_NAME} and answers {', '.join(OUTPUT_NAMES)}"
            )
        data_type = signature.inputs[INPUT_NAME].dtype
        if data_type not in (DT_STRING, DT_UINT8):
            raise ServerError(
                f"{model} takes {type_name(data_type)}; the client sends encoded pictures (DT_STRING) or pixels "
                "(DT_UINT8): export with --input_type encoded_image_string_tensor or image_tensor"
            )
        return data_type == DT_STRING

    def _detect_batch(self, sources: list[PictureSource]) -> list[PictureDetections]:
        """Answers for each of `sources`; where the server refuses several at once, each is asked about alone."""
        results: list[PictureDetections] = []
        readable: list[tuple[int, Picture]] = []
        for position, source in enumerate(sources):
            name = "" if isinstance(source, bytes) else str(source)
            results.append(PictureDetections(name))
            try:
                readable.append((position, read_picture(source, self._max_picture_bytes)))
            except ImageError as error:
                detail = error.detail if error.detail != name else ""
                results[position] = PictureDetections(name, failure=Failure(error.reason, detail))
        groups = [readable]
        if len(readable) > 1 and sum(len(picture.encoded) for _, picture in readable) > self._max_picture_bytes:
            groups = [[one] for one in readable]
        while groups:
            group = groups.pop()
            if not group:
                continue
            try:
                answers = self._ask([picture for _, picture in group], [results[position] for position, _ in group])
            except PictureError as error:
                if len(group) > 1:
                    groups += [[one] for one in group]
                    continue
                answers = [PictureDetections(results[group[0][0]].picture, failure=error.failure)]
            for (position, _), answer in zip(group, answers, strict=True):
                results[position] = answer
        return results

    def _ask(self, pictures: list[Picture], named: list[PictureDetections]) -> list[PictureDetections]:
        """Sends one request; raises PictureError where it is the pictures that the server does not like."""
        try:
            if self._takes_encoded:
                inputs = encoded_array(pictures)
            else:
                inputs = pixels_of(pictures[0], self._max_picture_bytes)
        except ImageError as error:
            raise PictureError(Failure(error.reason, error.detail)) from error
        request = predict_request(self.model_name, self.signature_name, self.model_version, inputs)
        try:
            response = self._call(self._predict, request)
        except grpc.RpcError as error:
            if error.code() in _FATAL_CODES:
                raise self._server_error(error) from error
            reason = _REASONS.get(error.code(), "failed at the server")
            raise PictureError(Failure(reason, f"{error.code().name}: {_one_line(error)}")) from error
        try:
            outputs = {
                name: array_of(response.outputs[name], max_bytes=self._max_message_bytes) for name in OUTPUT_NAMES
            }
            return [
                PictureDetections(
                    blank.picture,
                    picture.width,
                    picture.height,
                    read_detections(
                        outputs,
                        position,
                        (picture.width, picture.height),
                        label_map=self.label_map,
                        min_score=self.min_score,
                    ),
                )
                for position, (picture, blank) in enumerate(zip(pictures, named, strict=True))
            ]
        except (TensorError, ValueError) as error:
            raise ServerError(f"model {self.model_name!r} at {self.server} answers no detections: {error}") from error

    def _call(self, method: Any, request: Any) -> Any:
        """Calls `method`, again after UNAVAILABLE: then the request has not been worked on, or its answer is lost."""
        for attempt in range(self.max_retries + 1):
            try:
                return method(request, timeout=self.timeout_seconds)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE or attempt == self.max_retries:
                    raise
            back_off = min(MAX_BACK_OFF_SECONDS, FIRST_BACK_OFF_SECONDS * 2**attempt)
            time.sleep(back_off * random.uniform(0.5, 1.0))
        raise AssertionError("the last attempt returns or raises")

    def _server_error(self, error: Any) -> ServerError:
        code, detail = error.code(), _one_line(error)
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            # gRPC puts the cause last: "failed to connect to all addresses; last error: ...: Connection refused (111)"
            cause = detail.rsplit("last error: ", 1)[-1].removeprefix("UNKNOWN: ")
            return ServerError(
                f"no server answers at {self.server}: {cause}; start one with "
                f"python -m serving.serve --model_name {self.model_name} --model_base_path ..."
            )
        if code is grpc.StatusCode.NOT_FOUND:
            version = "" if self.model_version is None else f", version {self.model_version}"
            return ServerError(f"the server at {self.server} has no model {self.model_name!r}{version}: {detail}")
        return ServerError(f"the server at {self.server} answers {code.name}: {detail}")


def _one_line(error: Any) -> str:
    return " ".join(str(error.details() or "no details").split())
