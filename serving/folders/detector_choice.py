"""Flags that choose a detector, in this process or at a server, and the detector that they open."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from data_prep.formats.label_map import LabelMap, read_label_map
from data_prep.runtime.command_line import ArgumentParser, UsageError, number_above_zero, positive_int
from serving.client_library.channels import SERVING_DEFAULT
from serving.client_library.client_flags import (
    add_connection_flags,
    add_shrink_flags,
    connection_of,
    shrink_of,
)
from serving.client_library.detection_client import DetectionClient
from serving.client_library.detections import MinScore
from serving.folders.predictions_file import fingerprint
from serving.in_process.detector import InProcessDetector
from serving.in_process.saved_model import DEVICES, SavedModel, label_map_of

WRITTEN_MIN_SCORE = 0.05  # weaker detections of a model without thresholds are not worth their room
MODEL_THRESHOLDS = "model_thresholds"  # in run.json, where the model has left out what is below its class's threshold


def add_detector_flags(parser: ArgumentParser) -> None:
    """Adds the flags that say which detector to ask."""
    model = parser.add_argument_group("the model: a SavedModel in this process, or a server")
    model.add_argument("--saved_model_dir", type=Path, help="the folder of saved_model.pb; needs TensorFlow")
    model.add_argument("--device", choices=DEVICES, default="auto", help="what a SavedModel runs on")
    model.add_argument("--model_name", help="what the server calls the model")
    model.add_argument("--model_version", type=positive_int, help="which version to ask; by default the newest")
    model.add_argument("--version_label", help="which version to ask, by a label such as stable")
    model.add_argument("--timeout_seconds", type=number_above_zero, default=60.0, help="the deadline of a request")
    model.add_argument("--signature_name", default=SERVING_DEFAULT, help="which of the model's signatures")
    model.add_argument(
        "--label_map_path",
        type=Path,
        help="names the classes; by default the one in or beside the SavedModel; without any they are numbers",
    )
    model.add_argument("--batch_size", type=positive_int, default=8, help="images that go through the model together")
    model.add_argument("--max_in_flight", type=positive_int, default=2, help="batches on their way at the same time")
    add_connection_flags(parser, default_server=None)
    add_shrink_flags(parser)


def check_detector_flags(arguments: argparse.Namespace) -> None:
    """Checks that one detector is named, and wholly.

    Raises:
        UsageError: Both kinds, or a part of one.
    """
    if arguments.saved_model_dir is not None and arguments.server is not None:
        raise UsageError("--saved_model_dir and --server are both given; give one")
    if arguments.saved_model_dir is None and arguments.server is None:
        raise UsageError("no model to ask; give --saved_model_dir, or --server and --model_name")
    if arguments.saved_model_dir is not None and shrink_of(arguments) is not None:
        raise UsageError("--shrink and --shrink_to are of images that are sent to a --server; leave them out")
    if arguments.server is not None and arguments.model_name is None:
        raise UsageError("--server needs --model_name, what it calls the model")
    if arguments.saved_model_dir is not None and not (arguments.saved_model_dir / "saved_model.pb").is_file():
        raise UsageError(f"{arguments.saved_model_dir} holds no SavedModel (saved_model.pb is missing)")


def find_label_map(arguments: argparse.Namespace) -> LabelMap | None:
    """Returns the label map that was given, or that of the SavedModel: in its assets, beside it, or in it.

    Raises:
        UserError: It cannot be read.
    """
    if arguments.label_map_path is not None:
        return read_label_map(arguments.label_map_path)
    if arguments.saved_model_dir is None:
        return None
    return label_map_of(arguments.saved_model_dir)


def open_detector(
    arguments: argparse.Namespace, label_map: LabelMap | None, min_score: MinScore
) -> InProcessDetector | DetectionClient:
    """Returns the detector that the flags name; both kinds close at the end of a `with`.

    Raises:
        UserError: The SavedModel cannot be loaded, or the server not be asked.
    """
    if arguments.saved_model_dir is not None:
        return InProcessDetector(
            SavedModel(arguments.saved_model_dir, signature_name=arguments.signature_name, device=arguments.device),
            label_map=label_map,
            min_score=min_score,
            batch_size=arguments.batch_size,
            max_in_flight=arguments.max_in_flight,
        )
    client = DetectionClient(
        connection_of(arguments),
        arguments.model_name,
        label_map=label_map,
        model_version=arguments.model_version,
        version_label=arguments.version_label,
        signature_name=arguments.signature_name,
        min_score=min_score,
        timeout_seconds=arguments.timeout_seconds,
        max_in_flight=arguments.max_in_flight,
        batch_size=arguments.batch_size,
        shrink=shrink_of(arguments),
    )
    client.connect()
    return client


def describe_detector(
    arguments: argparse.Namespace, label_map: LabelMap | None, min_score: float, *, has_thresholds: bool
) -> dict[str, Any]:
    """Returns what the predictions depend on, for `run.json`; where a server stands is no part of that.

    Args:
        arguments: The flags of `add_detector_flags`.
        label_map: Names the classes.
        min_score: From which score detections are written.
        has_thresholds: Whether the model has left out more by itself.

    Raises:
        UsageError: There is no SavedModel.
    """
    if arguments.saved_model_dir is not None:
        model: dict[str, Any] = {"saved_model": fingerprint(arguments.saved_model_dir)}
    else:
        model = {"served": arguments.model_name, "version": arguments.model_version or arguments.version_label}
    names = {str(class_id): name for class_id, name in label_map.names_by_id().items()} if label_map is not None else {}
    if (shrink := shrink_of(arguments)) is not None:
        model["shrink"] = dataclasses.asdict(shrink)
    if has_thresholds:
        model[MODEL_THRESHOLDS] = True
    return {**model, "signature_name": arguments.signature_name, "min_score": min_score, "classes": names}
