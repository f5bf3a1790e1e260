"""Reads, merges, formats and writes a pipeline config.

The text format, the field names and the defaults are those of the Object Detection API's `TrainEvalPipelineConfig`;
pipeline.proto says what each field means. Reading is strict; `configs.settings` says what training here honours.
"""

from __future__ import annotations

import os
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import Message

from configs.schema.descriptors import ROOT_MESSAGE, is_map, is_repeated, message_class, schema_pool
from configs.schema.diagnosis import diagnose
from configs.schema.fields import is_unfilled
from configs.schema.problem import ConfigError
from data_prep.runtime.atomic_files import write_bytes
from data_prep.runtime.input_files import TooLargeError, line_and_column, read_bounded_text

CONFIG_NAME = "pipeline.config"  # beside an export, a checkpoint and a run
# The largest config that the API published has 14 kB. What is larger is some other file.
MAX_CONFIG_BYTES = 4 * 1024 * 1024


def read_pipeline_config(path: str | os.PathLike[str]) -> Any:
    """Reads a `pipeline.config`.

    Args:
        path: A UTF-8 text file of at most 4 MiB.

    Returns:
        A `TrainEvalPipelineConfig` message.

    Raises:
        ConfigError: The file is missing, too large, not UTF-8, or has problems: a line for each, with file, line,
            column and the full path of the field.
    """
    return parse_pipeline_config(read_config_text(path), str(path))


def read_config_text(path: str | os.PathLike[str]) -> str:
    """Reads the text of a `pipeline.config`.

    Args:
        path: A UTF-8 text file of at most 4 MiB.

    Raises:
        ConfigError: The file is missing, too large, or not UTF-8.
    """
    try:
        return read_bounded_text(path, MAX_CONFIG_BYTES)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; a pipeline config is needed") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except TooLargeError:
        raise ConfigError(f"{path}: larger than {MAX_CONFIG_BYTES} bytes; this is no pipeline config") from None
    except UnicodeDecodeError as error:
        line, column = line_and_column(error)
        raise ConfigError(f"{path}:{line}:{column}: not UTF-8 text; a pipeline config is a text file") from None


def parse_pipeline_config(text: str, where: str = "") -> Any:
    """Parses a pipeline config.

    Args:
        text: In protobuf text format.
        where: What to call it in errors, such as its file name.

    Returns:
        A `TrainEvalPipelineConfig` message.

    Raises:
        ConfigError: A line for each problem.
    """
    return parse_text(text, where or "pipeline config")


def parse_text(text: str, where: str, message_name: str = ROOT_MESSAGE, *, later_wins: bool = False) -> Message:
    """Parses text format strictly: unknown fields, wrong types and fields given twice are errors.

    Args:
        text: The config.
        where: What to call it in errors, such as its file name.
        message_name: The type to read.
        later_wins: Whether a field may be given again: messages are merged, and of values the last is taken.

    Raises:
        ConfigError: A line for each problem found: `where:line:column: full.path: what is wrong`.
    """
    message = message_class(message_name)()
    parse = text_format.Merge if later_wins else text_format.Parse
    try:
        parse(text, message, descriptor_pool=schema_pool())
    except text_format.ParseError as error:
        raise ConfigError(diagnose(error, text, where, message.DESCRIPTOR)) from None
    return message


def merge(config: Message, text: str, where: str = "config override") -> Any:
    """Merges a text config over a message, as `--config_override` does.

    A value replaces the one that was there, a member of a oneof the member that was there, and lists grow, as in every
    protobuf merge and as in the API; within the text too, where overrides are written one behind another. With one
    addition: elements of a list that still hold PATH_TO_BE_CONFIGURED give way to the override's elements of that list,
    so that a recipe can be run without an edit:
    `train_input_reader { tf_record_input_reader { input_path: "x" } }` replaces the recipe's input path, and
    `eval_input_reader { ... }` the recipe's whole reader, if anything in it was still to be filled in.

    Args:
        config: A `TrainEvalPipelineConfig`; left as it is.
        text: In protobuf text format: only what changes.
        where: What to call the text in errors.

    Returns:
        A new message.

    Raises:
        ConfigError: A line for each problem of the text.
    """
    override = parse_text(text, where, later_wins=True)
    merged = message_class(ROOT_MESSAGE)()
    merged.CopyFrom(config)
    _make_way(merged, override)
    merged.MergeFrom(override)
    return merged


def _make_way(message: Message, override: Message) -> None:
    """Drops the unfilled elements of each list that the override adds to."""
    for field, added in override.ListFields():
        if is_map(field):
            continue
        if is_repeated(field):
            elements = getattr(message, field.name)
            for index in reversed(range(len(elements))):
                if is_unfilled(elements[index]):
                    del elements[index]
        elif isinstance(added, Message) and message.HasField(field.name):
            _make_way(getattr(message, field.name), added)


def format_pipeline_config(config: Message) -> str:
    """Writes any message of the schema in text format: what is set, in the order of field numbers, unicode readable."""
    return text_format.MessageToString(config, as_utf8=True, descriptor_pool=schema_pool())


def write_pipeline_config(path: str | os.PathLike[str], config: Message) -> None:
    """Writes a config to a file, whole or not at all; the folder is made if missing."""
    write_bytes(path, format_pipeline_config(config).encode("utf-8"))
