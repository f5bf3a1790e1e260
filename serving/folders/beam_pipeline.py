"""Apache Beam pipeline that predicts the images of an archive: any runner, any number of machines.

Needs `apache_beam` (requirements-beam.txt). The model handler loads the model once a process, and its threads share it.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler, RunInference

from data_prep.formats.label_map import LabelMap
from data_prep.images.image_file import MAX_BYTES
from data_prep.runtime.command_line import UserError
from serving.client_library.detections import Failure, ImageDetections, MinScore
from serving.client_library.image_sources import NamedImage
from serving.folders.detector_choice import open_detector
from serving.folders.tables import DETECTION_COLUMNS, detection_row

METRICS = "predict"
ANSWERED, FAILED, DETECTIONS = "images_answered", "images_failed", "detections"


class _NoMistake(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], UserError))


def leave_mistakes_to_the_command() -> None:
    """Keeps Beam from logging a traceback of what the command tells in one line, such as a wrong address."""
    logging.getLogger("apache_beam.runners.common").addFilter(_NoMistake())


class DetectorHandler(ModelHandler[NamedImage, ImageDetections, Any]):
    """RunInference's handler of a detector: loads it, and runs a batch through it."""

    def __init__(self, arguments: argparse.Namespace, label_map: LabelMap | None, min_score: MinScore) -> None:
        """Keeps what is needed to open the detector on a worker.

        Args:
            arguments: The flags of `detector_choice`.
            label_map: Travels to the workers by itself.
            min_score: Weaker detections are left out.
        """
        super().__init__()
        self._arguments = arguments
        self._label_map = label_map
        self._min_score = min_score

    def load_model(self) -> Any:
        """Returns a `InProcessDetector` or a `DetectionClient`."""
        return open_detector(self._arguments, self._label_map, self._min_score)

    def run_inference(
        self, batch: Sequence[NamedImage], model: Any, inference_args: dict[str, Any] | None = None
    ) -> Iterable[ImageDetections]:
        """Yields what is in each image of a batch; a failure among them costs the others nothing."""
        del inference_args
        return list(model.detect_many(batch))

    def batch_elements_kwargs(self) -> dict[str, Any]:
        """Returns how large batches may become."""
        return {"min_batch_size": 1, "max_batch_size": self._arguments.batch_size}

    def get_num_bytes(self, batch: Sequence[NamedImage]) -> int:
        """Returns the images' bytes."""
        return sum(len(image.content) for image in batch)

    def get_metrics_namespace(self) -> str:
        """Returns the name under which Beam counts."""
        return METRICS


class ReadImage(beam.DoFn):
    """Reads files of any file system that Beam knows, never more than 64 MiB of one."""

    def process(self, path: str) -> Iterator[Any]:
        """Yields a `NamedImage`, or an `ImageDetections` with the failure tagged `failed`."""
        try:
            # An image is not unpacked for its name's sake.
            with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as stream:
                content = stream.read(MAX_BYTES + 1)
        except FileNotFoundError:
            yield _failed(path, "missing")
            return
        except (OSError, BeamIOError, ValueError) as error:
            yield _failed(path, "unreadable", str(error))
            return
        if len(content) > MAX_BYTES:
            yield _failed(path, "too many bytes", f"more than {MAX_BYTES / 2**20:g} MiB")
        elif not content:
            yield _failed(path, "empty file")
        else:
            yield NamedImage(path, content)


class SeparateFailures(beam.DoFn):
    """Tags the images that have no answer, and counts."""

    def process(self, result: ImageDetections) -> Iterator[Any]:
        """Yields the answer, or the failure tagged `failed`."""
        if result.failure is not None:
            yield beam.pvalue.TaggedOutput("failed", result)
            return
        Metrics.counter(METRICS, ANSWERED).inc()
        Metrics.counter(METRICS, DETECTIONS).inc(len(result.detections))
        yield result


def build_pipeline(paths: Any, handler: DetectorHandler, output_prefix: str) -> None:
    """Adds the steps to a pipeline: read, predict, write.

    Args:
        paths: A PCollection of texts: what to read.
        handler: Runs the detector.
        output_prefix: `PREFIX-predictions-00000-of-000NN.jsonl`, `PREFIX-detections-*.csv` and
            `PREFIX-failures-*.jsonl` are written, each when all is done.
    """
    read = (
        paths
        # A worker takes up images, not the folder that listed them.
        | "spread" >> beam.Reshuffle()
        | "read" >> beam.ParDo(ReadImage()).with_outputs("failed", main="read")
    )
    results = (
        read["read"]
        | "predict" >> RunInference(handler)
        | "separate" >> beam.ParDo(SeparateFailures()).with_outputs("failed", main="answered")
    )
    answered = results["answered"]
    _ = (
        answered
        | "as JSON" >> beam.Map(_json_line)
        | "write JSON lines" >> beam.io.WriteToText(f"{output_prefix}-predictions", ".jsonl")
    )
    _ = (
        answered
        | "as rows" >> beam.FlatMap(_csv_rows)
        | "write CSV" >> beam.io.WriteToText(f"{output_prefix}-detections", ".csv", header=",".join(DETECTION_COLUMNS))
    )
    _ = (
        (read["failed"], results["failed"])
        | "all failures" >> beam.Flatten()
        | "count failures" >> beam.Map(_counted_failure)
        | "write failures" >> beam.io.WriteToText(f"{output_prefix}-failures", ".jsonl", skip_if_empty=True)
    )


def _failed(name: str, reason: str, detail: str = "") -> Any:
    return beam.pvalue.TaggedOutput("failed", ImageDetections(name, failure=Failure(reason, detail)))


def _json_line(result: ImageDetections) -> str:
    return json.dumps(result.as_json())


def _counted_failure(result: ImageDetections) -> str:
    Metrics.counter(METRICS, FAILED).inc()
    return _json_line(result)


def _csv_rows(result: ImageDetections) -> Iterator[str]:
    for detection in result.detections:
        row = io.StringIO()
        csv.writer(row, lineterminator="").writerow(detection_row(result.image, detection))
        yield row.getvalue()
