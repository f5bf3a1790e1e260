"""TensorBoard's event files, as one of the ways to watch a training; always there."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorboard.compat.proto import summary_pb2
from tensorboard.plugins.hparams import api as hparams_api
from tensorboard.plugins.hparams import api_pb2, summary
from tensorboard.plugins.image import metadata as image_metadata
from tensorboard.plugins.pr_curve.metadata import create_summary_metadata
from tensorboard.plugins.scalar.summary_v2 import scalar_pb

from train.tracking.tracker import Outcome, RunDescription, Tracker

TRAIN = "train"


class TensorBoardTracker(Tracker):
    """Writes event files, one a folder and process, so that TensorBoard finds all of a run in one place."""

    name = "tensorboard"

    def __init__(self, root: Path) -> None:
        """Opens nothing yet.

        Args:
            root: The folders are below it; of an empty name, it itself.
        """
        self._root = root
        self._writers: dict[str, tf.summary.SummaryWriter] = {}
        self._metrics_folder = ""
        self._started = False

    def writer(self, folder: str) -> Any:
        """The `tf.summary` writer of a folder; a second one would be a second file, which TensorBoard may not read."""
        if folder not in self._writers:
            self._writers[folder] = tf.summary.create_file_writer(str(self._root / folder))
        return self._writers[folder]

    def start(self, description: RunDescription, step: int) -> str:
        """See the base class; hyperparameters go beside the evaluation's scalars, where the plugin looks for them."""
        self._metrics_folder, self._started = description.metrics_folder, True
        with self.writer(description.metrics_folder).as_default(step=step):
            metrics = [hparams_api.Metric(name) for name in description.metrics]
            hparams_api.hparams_config([hparams_api.HParam(name) for name in description.hyperparameters], metrics)
            hparams_api.hparams(dict(description.hyperparameters), trial_id=_trial(self._root.resolve()))
        with self.writer(TRAIN).as_default(step=step):
            for name, text in description.texts.items():
                tf.summary.text(name, _as_code(text))
        return ""

    def scalars(self, folder: str, values: Mapping[str, float], step: int) -> None:
        """See the base class."""
        together = summary_pb2.Summary()  # one operation, where `tf.summary.scalar` would take five for each
        for name, value in values.items():
            together.MergeFrom(scalar_pb(name, value))
        with self.writer(folder).as_default(step=step):
            tf.summary.experimental.write_raw_pb(together.SerializeToString())

    def images(self, folder: str, name: str, images: Sequence[np.ndarray], step: int) -> None:
        """See the base class; each image has a tag of its own (`inputs/0`, `inputs/1`), so that sizes may differ."""
        with self.writer(folder).as_default(step=step):
            for index, image in enumerate(images):
                content = [str(image.shape[1]), str(image.shape[0]), _as_png(image)]
                metadata = image_metadata.create_summary_metadata(display_name=None, description=None)
                tf.summary.write(f"{name}/{index}", tf.constant(content), metadata=metadata)

    def histograms(self, folder: str, values: Mapping[str, np.ndarray], step: int) -> None:
        """Takes arrays of numbers, by name, for their distribution."""
        with self.writer(folder).as_default(step=step):
            for name, value in values.items():
                tf.summary.histogram(name, value)

    def pr_curves(self, folder: str, curves: Mapping[str, np.ndarray], step: int) -> None:
        """Takes curves for the page of precision over recall, float32 [6, T], by name."""
        with self.writer(folder).as_default(step=step):
            for name, curve in curves.items():
                metadata = create_summary_metadata(name, "", curve.shape[1])
                tf.summary.write(f"precision_recall/{name}", curve, metadata=metadata)

    def graph(self, folder: str, graph: Any) -> None:
        """Takes a `tf.Graph`."""
        with self.writer(folder).as_default(step=0):
            tf.summary.graph(graph)

    def flush(self) -> None:
        """Sees to it that what was taken is there even if the process is killed."""
        for writer in self._writers.values():
            writer.flush()

    def finish(self, outcome: Outcome) -> None:
        """See the base class."""
        if self._started:
            status = api_pb2.STATUS_SUCCESS if outcome is Outcome.FINISHED else api_pb2.STATUS_FAILURE
            with self.writer(self._metrics_folder).as_default(step=0):
                tf.summary.experimental.write_raw_pb(summary.session_end_pb(status).SerializeToString())
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()


def _trial(folder: Path) -> str:
    """The name of a run's row: short, and another for each folder, since rows of one name are put together."""
    return f"{folder.name}-{zlib.crc32(str(folder).encode()):08x}"


def _as_png(image: np.ndarray) -> bytes:
    """Returns an image without loss, in a fifth of the time that `tf.summary.image` takes for one a sixth smaller."""
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "PNG", compress_level=1)
    return encoded.getvalue()


def _as_code(text: str) -> str:
    """A text for the text page, which is Markdown: lines as they are."""
    return "\n".join(f"    {line}" for line in text.splitlines())
