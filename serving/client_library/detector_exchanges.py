"""Exchanges of requests and responses between a client and a detector, as generators that any channel can drive.

An exchange is a generator. It yields a `Request`, is sent the response (or is thrown the `grpc.RpcError`), and returns
what came of it. So the client in threads and the client in asyncio share all but the sending.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import grpc
import numpy as np

from data_prep.formats.label_map import LabelMap
from data_prep.images.image_file import ImageError
from serving.client_library.channels import PREDICTION_SERVICE, SERVING_DEFAULT
from serving.client_library.client_errors import (
    FATAL_CODES,
    ImageRequestError,
    ServerError,
    image_failure,
    server_error,
)
from serving.client_library.detections import (
    CLASS_NAMES,
    OUTPUT_NAMES,
    THRESHOLDS,
    Failure,
    ImageDetections,
    MinScore,
    least_score,
    read_detections,
)
from serving.client_library.image_batches import BatchMember, ImageBatch
from serving.client_library.image_requests import (
    BYTES_AROUND_IMAGES,
    INPUT_NAME,
    ImageInput,
    encoded_array,
    not_a_detector,
    pixels_of,
    predict_request,
    read_image,
)
from serving.client_library.image_sources import ImageSource
from serving.client_library.shrinking import IMAGE_RESIZER, SIDES_TOLD, LeastSides, Shrink, shrink_image
from serving.wire.messages import (
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    PredictRequest,
    PredictResponse,
    SignatureDefMap,
)
from serving.wire.tensors import DT_STRING, DT_UINT8, TensorError, array_of, type_name

Returned = TypeVar("Returned")


class Method(NamedTuple):
    """A method of TensorFlow Serving's.

    Attributes:
        path: How gRPC calls it.
        serialize: Makes bytes of a request.
        deserialize: Makes a response of bytes.
    """

    path: str
    serialize: Callable[[Any], bytes]
    deserialize: Callable[[bytes], Any]


PREDICT = Method(f"/{PREDICTION_SERVICE}/Predict", PredictRequest.SerializeToString, PredictResponse.FromString)
GET_METADATA = Method(
    f"/{PREDICTION_SERVICE}/GetModelMetadata",
    GetModelMetadataRequest.SerializeToString,
    GetModelMetadataResponse.FromString,
)


class Request(NamedTuple):
    """A message on its way to a method."""

    method: Method
    message: Any


class DetectorSignature(NamedTuple):
    """The inputs and outputs of a detector's signature, as far as a client has to know.

    Attributes:
        encoded: Any number of encoded images; otherwise one image's pixels.
        class_names: It answers the classes' names itself.
        thresholds: It leaves out itself what is below its class's threshold.
        least_sides: What images are shrunk to before they are sent; None where they are not.
    """

    encoded: bool
    class_names: bool
    thresholds: bool
    least_sides: LeastSides | None = None


Exchange = Generator[Request, Any, Returned]


@dataclass(frozen=True)
class DetectorExchanges:
    """The exchanges of a client with one model: its signature read, images asked about.

    Attributes:
        server: Where the model is, for messages.
        model_name: What the server calls the model.
        model_version: Which version; None for the newest, or that of the label.
        version_label: Which version, by a label such as `stable`; None for none.
        signature_name: Which of the model's signatures.
        label_map: Names the classes; None leaves it to the model, and to numbers where that does not.
        extra_outputs: Further outputs of the signature that the answers shall hold.
        min_score: Weaker detections are left out; `ThresholdsOr` leaves it to a model that has thresholds.
        max_message_bytes: The largest request and answer.
        encrypted: Whether TLS is spoken, for messages.
        shrink: How images are shrunk before they are sent; None sends them as they are.
    """

    server: str
    model_name: str
    model_version: int | None = None
    version_label: str | None = None
    signature_name: str = SERVING_DEFAULT
    label_map: LabelMap | None = None
    extra_outputs: tuple[str, ...] = ()
    min_score: MinScore = 0.0
    max_message_bytes: int = 0
    encrypted: bool = False
    shrink: Shrink | None = None

    @property
    def output_names(self) -> tuple[str, ...]:
        """The outputs that are asked for: the output filter of each request."""
        return (*OUTPUT_NAMES, *(name for name in self.extra_outputs if name not in OUTPUT_NAMES))

    @property
    def _max_image_bytes(self) -> int:
        return self.max_message_bytes - BYTES_AROUND_IMAGES

    def read_signature(self) -> Exchange[DetectorSignature]:
        """Asks for the model's signature, and checks that it is a detector's.

        Raises:
            ServerError: No server answers, or it serves no such model, version or signature, or no detector.
        """
        request = GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = self.model_name
        if self.model_version is not None:
            request.model_spec.version.value = self.model_version
        elif self.version_label is not None:
            request.model_spec.version_label = self.version_label
        try:
            response = yield Request(GET_METADATA, request)
        except grpc.RpcError as error:
            raise self._server_error(error) from error
        signatures = SignatureDefMap.FromString(response.metadata["signature_def"].value).signature_def
        model = f"model {self.model_name!r} at {self.server}"
        if self.signature_name not in signatures:
            names = ", ".join(sorted(signatures)) or "none"
            raise ServerError(f"{model} has no signature {self.signature_name!r}; it has: {names}")
        signature = signatures[self.signature_name]
        if reason := not_a_detector(self.signature_name, signature):
            raise ServerError(f"{model} {reason}")
        lacking = [name for name in self.output_names if name not in signature.outputs]
        if lacking:
            raise ServerError(f"{model} has no output {lacking[0]!r}; it has: {', '.join(sorted(signature.outputs))}")
        data_type = signature.inputs[INPUT_NAME].dtype
        if data_type not in (DT_STRING, DT_UINT8):
            raise ServerError(
                f"{model} takes {type_name(data_type)}; the client sends encoded images (DT_STRING) or pixels "
                "(DT_UINT8): export with --input_type encoded_image_string_tensor or image_tensor"
            )
        outputs = signature.outputs
        sides = self.shrink.own_sides if self.shrink is not None else None
        if self.shrink is not None and sides is None:
            sides = yield from self._read_least_sides(signatures, model)
        return DetectorSignature(data_type == DT_STRING, CLASS_NAMES in outputs, THRESHOLDS in outputs, sides)

    def _read_least_sides(self, signatures: Mapping[str, Any], model: str) -> Exchange[LeastSides]:
        """Asks the model what its resizer shrinks images to.

        Raises:
            ServerError: It does not tell.
        """
        outputs = signatures[IMAGE_RESIZER].outputs if IMAGE_RESIZER in signatures else {}
        names = next((names for names in SIDES_TOLD if all(name in outputs for name in names)), None)
        if names is None:
            raise ServerError(
                f"{model} does not tell what it shrinks images to: its resizer shrinks none, or it was exported "
                "before that was written; give the shorter side that it needs (--shrink_to), or export it anew"
            )
        request = predict_request(
            self.model_name,
            IMAGE_RESIZER,
            self.model_version,
            np.zeros(1, np.int32),
            version_label=self.version_label,
            output_names=names,
        )
        try:
            response = yield Request(PREDICT, request)
        except grpc.RpcError as error:
            raise self._server_error(error) from error
        try:
            sides = {name: int(array_of(response.outputs[name], max_bytes=64).reshape(-1)[0]) for name in names}
        except (TensorError, IndexError) as error:
            raise ServerError(f"{model} answers no sides of images: {error}") from error
        if min(sides.values()) < 1:
            raise ServerError(f"{model} shrinks images to {sides}, which are no sides; give --shrink_to")
        return sides

    def detect(self, sources: Sequence[ImageSource], signature: DetectorSignature) -> Exchange[list[ImageDetections]]:
        """Asks about images in one request; where the server refuses several at once, about each alone.

        Args:
            sources: The images; one where the model takes pixels.
            signature: What `read_signature` returned.

        Returns:
            As many answers, in the order of `sources`, failures among them.

        Raises:
            ServerError: The server cannot be asked.
        """
        batch = ImageBatch(
            sources,
            self._max_image_bytes,
            max_group_bytes=self._max_image_bytes,
            prepare=functools.partial(self._shrunk, signature),
        )
        for group in batch.groups():
            try:
                answers = yield from self._one_request(group, signature)
            except ImageRequestError as error:
                batch.refuse(group, error.failure)
            else:
                batch.answer(group, answers)
        return batch.results

    def _one_request(
        self, group: Sequence[BatchMember], signature: DetectorSignature
    ) -> Exchange[list[ImageDetections]]:
        """Asks one request; raises ImageError where it is the images that the server does not like."""
        request = self._predict_request([member.image for member in group], signature)
        try:
            response = yield Request(PREDICT, request)
        except grpc.RpcError as error:
            if error.code() in FATAL_CODES:
                raise self._server_error(error) from error
            raise ImageRequestError(image_failure(error)) from error
        try:
            outputs = {
                name: array_of(response.outputs[name], max_bytes=self.max_message_bytes)
                for name in self._outputs_wanted(signature)
            }
            extra = [name for name in self.output_names if name not in OUTPUT_NAMES]
            for name in extra:
                if not outputs[name].ndim or len(outputs[name]) < len(group):
                    raise ValueError(f"{name} {list(outputs[name].shape)} for {len(group)} images")
            return [
                ImageDetections(
                    member.name,
                    member.image.width,
                    member.image.height,
                    read_detections(
                        outputs,
                        position,
                        (member.image.width, member.image.height),
                        label_map=self.label_map,
                        min_score=least_score(self.min_score, has_thresholds=signature.thresholds),
                    ),
                    extra_outputs={name: outputs[name][position] for name in extra},
                )
                for position, member in enumerate(group)
            ]
        except (TensorError, ValueError) as error:
            raise ServerError(f"model {self.model_name!r} at {self.server} answers no detections: {error}") from error

    def predict_request_for(self, sources: Sequence[ImageSource], signature: DetectorSignature) -> Any:
        """Returns the PredictRequest that asks about `sources`, all in one.

        Raises:
            ImageError: One cannot be read, or all together do not fit into a request.
        """
        try:
            images = [self._shrunk(signature, read_image(source, self._max_image_bytes)) for source in sources]
        except ImageError as error:
            raise ImageRequestError(Failure(error.reason, error.detail)) from error
        size = sum(len(image.encoded) for image in images)
        if size > self._max_image_bytes or (len(images) > 1 and not signature.encoded):
            raise ImageRequestError(Failure("too many images", f"{len(images)} of {size} bytes in one request"))
        return self._predict_request(images, signature)

    def _shrunk(self, signature: DetectorSignature, image: ImageInput) -> ImageInput:
        """What is sent of an image; raises ImageError where it does not decode."""
        if self.shrink is None or signature.least_sides is None:
            return image
        return shrink_image(image, signature.least_sides, self.shrink.quality)

    def _predict_request(self, images: list[ImageInput], signature: DetectorSignature) -> Any:
        try:
            if signature.encoded:
                inputs = encoded_array(images)
            else:
                inputs = pixels_of(images[0], self._max_image_bytes)
        except ImageError as error:
            raise ImageRequestError(Failure(error.reason, error.detail)) from error
        return predict_request(
            self.model_name,
            self.signature_name,
            self.model_version,
            inputs,
            version_label=self.version_label,
            output_names=self._outputs_wanted(signature),
        )

    def _outputs_wanted(self, signature: DetectorSignature) -> tuple[str, ...]:
        """Returns the output filter: what was asked for, and the model's own names where nothing else names classes."""
        if signature.class_names and self.label_map is None and CLASS_NAMES not in self.output_names:
            return (*self.output_names, CLASS_NAMES)
        return self.output_names

    def _server_error(self, error: Any) -> ServerError:
        if self.model_version is not None:
            which = f"version {self.model_version}"
        else:
            which = f"version label {self.version_label!r}" if self.version_label is not None else ""
        return server_error(error, self.server, self.model_name, which, encrypted=self.encrypted)
