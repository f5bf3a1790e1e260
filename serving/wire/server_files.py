"""TensorFlow Serving's configuration files as messages: read from and written as protobuf text, without TensorFlow.

`ModelServerConfig` is the installed package's. `BatchingParameters`, `MonitoringConfig` and `SSLConfig` are in no
Python package of TensorFlow Serving; they are described here after `session_bundle_config.proto`,
`monitoring_config.proto` and `ssl_config.proto` of its repository. Only names and types matter: these files are text.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, text_format

from data_prep.runtime.command_line import UserError
from data_prep.runtime.input_files import TooLargeError, read_bounded_text
from serving.wire.messages import POOL, ModelServerConfig, message_class

MODELS_FILE = "models.config"
BATCHING_FILE = "batching.config"
MONITORING_FILE = "monitoring.config"
MAX_FILE_BYTES = 1 << 20

_Field = descriptor_pb2.FieldDescriptorProto
_INT64_VALUE = ".google.protobuf.Int64Value"
_BOOL_VALUE = ".google.protobuf.BoolValue"
_STRING_VALUE = ".google.protobuf.StringValue"
# Message -> its fields: name, type (a message's begins with a dot), whether it is repeated. Numbers follow the order.
_MESSAGES: dict[str, tuple[tuple[str, str | int, bool], ...]] = {
    "BatchingParameters": (
        ("max_batch_size", _INT64_VALUE, False),
        ("batch_timeout_micros", _INT64_VALUE, False),
        ("max_enqueued_batches", _INT64_VALUE, False),
        ("num_batch_threads", _INT64_VALUE, False),
        ("thread_pool_name", _STRING_VALUE, False),
        ("allowed_batch_sizes", _Field.TYPE_INT64, True),
        ("pad_variable_length_inputs", _Field.TYPE_BOOL, False),
        ("enable_large_batch_splitting", _BOOL_VALUE, False),
        ("max_execution_batch_size", _INT64_VALUE, False),
    ),
    "PrometheusConfig": (("enable", _Field.TYPE_BOOL, False), ("path", _Field.TYPE_STRING, False)),
    "MonitoringConfig": (("prometheus_config", ".tensorflow.serving.PrometheusConfig", False),),
    "SSLConfig": (
        ("server_key", _Field.TYPE_STRING, False),
        ("server_cert", _Field.TYPE_STRING, False),
        ("custom_ca", _Field.TYPE_STRING, False),
        ("client_verify", _Field.TYPE_BOOL, False),
    ),
}


def _describe() -> None:
    file = descriptor_pb2.FileDescriptorProto(
        name="serving/wire/server_files.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    for message_name, fields in _MESSAGES.items():
        message = file.message_type.add(name=message_name)
        for number, (name, kind, repeated) in enumerate(fields, start=1):
            field = message.field.add(name=name, number=number)
            field.label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
            if isinstance(kind, str):
                field.type, field.type_name = _Field.TYPE_MESSAGE, kind
            else:
                field.type = kind
    POOL.AddSerializedFile(file.SerializeToString())


_describe()
BatchingParameters = message_class("tensorflow.serving.BatchingParameters")
MonitoringConfig = message_class("tensorflow.serving.MonitoringConfig")
SSLConfig = message_class("tensorflow.serving.SSLConfig")


def parse_server_file(text: str, message: type[Any], source: str) -> Any:
    """Reads protobuf text as TensorFlow Serving reads it: an unknown field is an error.

    Args:
        text: The file's content.
        message: `ModelServerConfig`, `BatchingParameters`, `MonitoringConfig` or `SSLConfig`.
        source: What to call it in an error, such as the file's path.

    Raises:
        UserError: It is not such a message; with line and column.
    """
    try:
        return text_format.Parse(text, message())
    except text_format.ParseError as error:
        raise UserError(f"{source} is no {message.DESCRIPTOR.name}: {error}") from error


def read_server_file(path: Path, message: type[Any]) -> Any:
    """Reads one of TensorFlow Serving's configuration files.

    Raises:
        UserError: It cannot be read, is larger than a megabyte, or is not such a message.
    """
    try:
        text = read_bounded_text(path, MAX_FILE_BYTES)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except TooLargeError as error:
        name = message.DESCRIPTOR.name
        raise UserError(f"{path} is larger than {MAX_FILE_BYTES} bytes, too large for a {name}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text: {error.reason} at byte {error.start}") from error
    return parse_server_file(text, message, str(path))


def read_models_file(path: Path) -> Any:
    """Reads a `models.config`, whose models are known by their names.

    Raises:
        UserError: It cannot be read, lists no model, or lists two of one name.
    """
    config = read_server_file(path, ModelServerConfig)
    names = [model.name for model in config.model_config_list.config]
    if not names:
        raise UserError(f"{path} has no model in its model_config_list")
    if len(set(names)) < len(names):
        raise UserError(f"{path} lists a model twice: {', '.join(sorted(names))}")
    return config


def server_file_text(message: Any) -> str:
    """Returns a message as protobuf text, the same for the same message."""
    return text_format.MessageToString(message)
