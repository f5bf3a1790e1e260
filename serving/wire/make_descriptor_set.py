"""Writes `tensorflow_serving_apis.pb`, the descriptors that `messages.py` builds its classes from.

To be run again only when a newer tensorflow-serving-api has fields that the client wants.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2

from data_prep.runtime import atomic_files
from data_prep.runtime.command_line import EXIT_DONE, ArgumentParser, run_command
from serving.wire import DESCRIPTOR_SET_PATH

LIBRARY_PREFIX = "google/protobuf/"


def descriptor_set() -> descriptor_pb2.FileDescriptorSet:
    """Collects the installed packages' descriptors of Predict, GetModelMetadata, GetModelStatus and ReloadConfig.

    Files of the protobuf library itself (`google/protobuf/any.proto`) are left out: they come from whichever version
    of the library is installed where the client runs.

    Returns:
        The files, each after those that it depends on.
    """
    from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_management_pb2, predict_pb2

    files: dict[str, Any] = {}
    for module in (predict_pb2, get_model_metadata_pb2, get_model_status_pb2, model_management_pb2):
        _collect(module.DESCRIPTOR, files)
    result = descriptor_pb2.FileDescriptorSet()
    for file in files.values():
        file.CopyToProto(result.file.add())
    return result


def _collect(file: Any, files: dict[str, Any]) -> None:
    if file.name in files or file.name.startswith(LIBRARY_PREFIX):
        return
    for dependency in file.dependencies:
        _collect(dependency, files)
    files[file.name] = file


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the descriptor set; returns the exit code."""
    parser = ArgumentParser(
        description="Writes the descriptors of TensorFlow Serving's messages from the installed packages.",
        example="  python -m serving.wire.make_descriptor_set",
    )
    parser.add_argument(
        "--output_path", type=Path, default=DESCRIPTOR_SET_PATH, help="the FileDescriptorSet to write, in binary"
    )
    arguments = parser.parse_args(argv)
    files = descriptor_set()
    atomic_files.write_bytes(arguments.output_path, files.SerializeToString(deterministic=True))
    print(f"wrote {len(files.file)} files' descriptors to {arguments.output_path}")
    return EXIT_DONE


if __name__ == "__main__":
    run_command(main)
