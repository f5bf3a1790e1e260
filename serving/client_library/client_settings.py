"""Settings that the clients in threads and in asyncio share."""

from __future__ import annotations

from collections.abc import Sequence

from data_prep.formats.label_map import LabelMap
from data_prep.runtime.command_line import UsageError
from serving.client_library.call_policy import CallCounts, CallPolicy
from serving.client_library.channels import DEFAULT_MAX_MESSAGE_MEBIBYTES, SERVING_DEFAULT
from serving.client_library.connection import Connection
from serving.client_library.detections import BY_THE_MODEL, MinScore
from serving.client_library.detector_exchanges import DetectorExchanges, DetectorSignature
from serving.client_library.shrinking import Shrink


class ClientSettings:
    """The settings of a client, in threads or in asyncio.

    Attributes:
        connection: How the server is reached.
        server: Its address.
        model_name: What the server calls the model.
        max_in_flight: Requests of `detect_many` on their way at the same time.
        batch_size: Images in one request of `detect_many`.
        counts: What was sent so far, retries and hedges among it.
    """

    def __init__(
        self,
        server: str | Connection,
        model_name: str,
        *,
        label_map: LabelMap | None = None,
        model_version: int | None = None,
        version_label: str | None = None,
        signature_name: str = SERVING_DEFAULT,
        extra_outputs: Sequence[str] = (),
        min_score: MinScore = BY_THE_MODEL,
        timeout_seconds: float = 60.0,
        max_retries: int | None = None,
        hedge_after_seconds: float | None = None,
        max_in_flight: int = 4,
        batch_size: int = 1,
        max_message_mebibytes: int = DEFAULT_MAX_MESSAGE_MEBIBYTES,
        shrink: Shrink | None = None,
    ) -> None:
        """Sets up a client; nothing is sent before the first request.

        Args:
            server: `host:port`, or a `Connection` with TLS, metadata and the like.
            model_name: What the server calls the model.
            label_map: Names the classes.
            model_version: Which version to ask; None for the newest, or that of the label.
            version_label: Which version, by a label that the server's config gives it, such as `stable`.
            signature_name: Which of the model's signatures.
            extra_outputs: Further outputs to ask for; an answer has them in `extra_outputs`.
            min_score: Weaker detections are left out. `ThresholdsOr(0.5)` leaves it to the thresholds that the model
                was exported with, and is 0.5 for a model without.
            timeout_seconds: The deadline of each request, its retries and the waits between them included.
            max_retries: How often a request is sent again at most after UNAVAILABLE or RESOURCE_EXHAUSTED; None for
                as often as the deadline has room for, once the server has answered, and four times before.
            hedge_after_seconds: Send a request a second time where the first has no answer after so long, and take
                whichever answers first, for at most one request in ten; None never does.
            max_in_flight: Requests of `detect_many` on their way at the same time.
            batch_size: Images in one request of `detect_many`, where the model takes several.
            max_message_mebibytes: The largest request, and so the largest image; a `Connection` says it itself.
            shrink: Send images no larger than the model's resizer makes of them: `Shrink()`, or `Shrink(640)` for
                models that do not tell what they need. None sends them as they are.

        Raises:
            UserError: The server has no port.
            UsageError: Both a version and a label were given, or a PEM file of the connection cannot be read.
        """
        if model_version is not None and version_label is not None:
            raise UsageError(f"both model version {model_version} and version label {version_label!r}; give one")
        if not isinstance(server, Connection):
            server = Connection(server, max_message_mebibytes=max_message_mebibytes)
        self.connection = server
        self.server = server.server
        self.model_name = model_name
        self.max_in_flight = max_in_flight
        self.batch_size = batch_size
        self.counts = CallCounts()
        self._policy = CallPolicy(timeout_seconds, max_retries, hedge_after_seconds)
        self._exchanges = DetectorExchanges(
            server.server,
            model_name,
            model_version=model_version,
            version_label=version_label,
            signature_name=signature_name,
            label_map=label_map,
            extra_outputs=tuple(extra_outputs),
            min_score=min_score,
            max_message_bytes=server.max_message_bytes,
            encrypted=server.encrypted,
            shrink=shrink,
        )
        self._metadata = tuple(server.metadata)
        self._signature: DetectorSignature | None = None
        self._open()

    def _open(self) -> None:
        """Opens the channel."""
        raise TypeError(f"{type(self).__name__} has no channel of its own")

    @property
    def has_thresholds(self) -> bool:
        """Whether the model leaves out itself what is below its class's threshold; known once `connect` was called."""
        return self._known_signature.thresholds

    @property
    def _known_signature(self) -> DetectorSignature:
        """What the model takes, once it was asked."""
        assert self._signature is not None, "every request connects first"
        return self._signature
