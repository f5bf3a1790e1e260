"""Polling of `models.config`: the file is read again and again, and followed when it changes."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from data_prep.runtime.command_line import UserError
from serving.local_server.models import Models
from serving.operating.model_server_config import served_models
from serving.saved_models.status_errors import StatusError
from serving.wire.server_files import read_models_file

LOG = logging.getLogger(__name__)
SECONDS_TO_END = 10


class ConfigFilePolling:
    """Reads the file every so many seconds until `stop`; what cannot be followed is logged, and tried again."""

    def __init__(self, path: Path, models: Models, seconds: float) -> None:
        """Starts the thread.

        Args:
            path: The file, protobuf text of a ModelServerConfig.
            models: What follows it.
            seconds: How often it is read.
        """
        self._path = path
        self._models = models
        self._seconds = seconds
        self._followed = ""
        self._complaint = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._poll_for_ever, name="config-poll", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopping.set()
        self._thread.join(SECONDS_TO_END)

    def _poll_for_ever(self) -> None:
        while not self._stopping.wait(self._seconds):
            try:
                config = read_models_file(self._path)
                if str(config) != self._followed:
                    self._models.configure(served_models(config))
                    self._followed, self._complaint = str(config), ""
                    LOG.info("%s is followed", self._path)
            except (UserError, StatusError) as error:
                if str(error) != self._complaint:
                    LOG.error("%s is not followed: %s; what was served before stays", self._path, error)
                self._complaint = str(error)
