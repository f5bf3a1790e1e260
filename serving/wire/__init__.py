"""TensorFlow Serving's messages without TensorFlow: the messages of a client, imported in a tenth of a second."""

from __future__ import annotations

from pathlib import Path

DESCRIPTOR_SET_PATH = Path(__file__).with_name("tensorflow_serving_apis.pb")
