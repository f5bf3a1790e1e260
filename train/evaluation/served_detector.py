"""Detections of a served model, asked over gRPC as any client asks it."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

import numpy as np
import tensorflow as tf

from data_prep.runtime.command_line import UserError, printable
from serving.client_library.client_errors import ImageRequestError
from serving.client_library.connection import Connection
from serving.client_library.detection_client import DetectionClient
from train.inputs.decode import DecodedRecord
from train.pipeline import Pipeline


class ServedDetector:
    """A model on a server; see `ImageDetector`. `with ServedDetector(...)` ends the connection."""

    def __init__(
        self,
        server: str | Connection,
        model_name: str,
        pipeline: Pipeline,
        *,
        model_version: int | None = None,
        version_label: str | None = None,
        timeout_seconds: float = 60.0,
    ) -> None:
        """Asks the server what the model takes.

        Args:
            server: `host:port`, or a connection with TLS, keys and the like.
            model_name: What the server calls the model.
            pipeline: Whose classes it detects.
            model_version: Which version; None is the newest, or that of the label.
            version_label: Which version, by a label of the server's config.
            timeout_seconds: For each answer; a server that is back within it costs nothing.

        Raises:
            ServerError: No server answers, or it serves no such model, or no detector.
        """
        self._names = {item.id: {item.name, item.display_name} for item in pipeline.label_map}
        self._asked = 0
        # Without a label map, so that names are the model's own, where it answers with names.
        self._client = DetectionClient(
            server,
            model_name,
            model_version=model_version,
            version_label=version_label,
            min_score=0.0,
            timeout_seconds=timeout_seconds,
        )
        self._where = f"{model_name} at {self._client.server}"
        try:
            self._client.connect()
        except BaseException:
            self._client.close()
            raise

    def __enter__(self) -> ServedDetector:
        """See `__exit__`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends the connection."""
        self._client.close()

    def detect(self, encoded: tf.Tensor, decoded: DecodedRecord) -> Mapping[str, np.ndarray]:
        """See `ImageDetector.detect`.

        Raises:
            UserError: The server cannot be asked any more, refuses the image, or detects classes of another label map.
        """
        name = printable(decoded.source_id.numpy().decode("utf-8", "replace"), 80)
        try:
            found = self._client.detect(encoded.numpy()).detections
        except (UserError, ImageRequestError) as error:
            raise UserError(f"{self._where}, image {name!r} (after {self._asked} answers): {error}") from error
        self._asked += 1
        for detection in found:
            known = self._names.get(detection.class_id, set())
            if not known or (detection.name not in known and detection.name != f"class {detection.class_id}"):
                raise UserError(
                    f"{self._where}: class {detection.class_id} ({printable(detection.name, 80)}) in image {name!r} is "
                    f"not in the config's label map; it was trained with another one"
                )
        return {
            "boxes": np.array([one.box_normalized for one in found], np.float32).reshape(-1, 4),
            "scores": np.array([one.score for one in found], np.float32),
            "classes": np.array([one.class_id for one in found], np.int32),
        }
