"""Every flag of `tensorflow_model_server`, and what the local server does with it.

The names are those of `main.cc` in TensorFlow Serving: 43 are in an older one of its own, all 48 in a copy of April
2025; release 2.20's was not at hand. The real server and its container get each that is given, and words after `--` as
they are, for a release that has others.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from data_prep.runtime.command_line import fraction, int_from_zero, positive_int

DEFAULT_REST_PORT = 8501


class Here(Enum):
    """What the local server does with a flag; the value is the word for it in the documentation."""

    HONOURED = "does it"
    WITHOUT_EFFECT = "takes it, without effect"
    REFUSED = "refuses it"


@dataclass(frozen=True)
class ModelServerFlag:
    """A flag.

    Attributes:
        name: Without dashes.
        help: What it does, for `--help`.
        type: Reads its value.
        here: What the local server does with it.
        reason: Why it has no effect on the local server, or is refused; or where the local server's way differs.
        default: What it is when it is not given, where the parser has to know.
        allowed: A value that is not refused, since it asks for nothing.
        is_file: Whether the real server reads the file that it names.
    """

    name: str
    help: str
    type: Callable[[str], Any] = str
    here: Here = Here.HONOURED
    reason: str = ""
    default: Any = None
    allowed: Any = None
    is_file: bool = False


def port_number(text: str) -> int:
    """Reads a TCP port, 0..65535."""
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port, 0 to 65535")
    return value


def truth(text: str) -> bool:
    """Reads `true` or `false`, as `--enable_batching=true` has it."""
    if text.lower() not in ("true", "false", "1", "0"):
        raise argparse.ArgumentTypeError(f"{text} is neither true nor false")
    return text.lower() in ("true", "1")


def _without_effect(name: str, type: Callable[[str], Any], help: str, reason: str) -> ModelServerFlag:
    return ModelServerFlag(name, help, type, Here.WITHOUT_EFFECT, reason)


def _refused(name: str, type: Callable[[str], Any], help: str, reason: str, *, allowed: Any = None) -> ModelServerFlag:
    return ModelServerFlag(name, help, type, Here.REFUSED, reason, allowed=allowed, is_file=type is Path)


FLAGS: tuple[ModelServerFlag, ...] = (
    ModelServerFlag(
        "port", "for gRPC; 0: any free one (local only)", port_number, default=8500,
        reason="0 there listens at no port",
    ),
    ModelServerFlag("grpc_socket_path", "a UNIX socket for gRPC, beside the port", Path),
    ModelServerFlag(
        "rest_api_port",
        f"for REST; 0: none; by default {DEFAULT_REST_PORT} (the local server does without where that is in use, or "
        "--port is 0)",
        port_number,
        reason="by default none there",
    ),
    ModelServerFlag("rest_api_num_threads", "REST requests that run at the same time", positive_int),
    ModelServerFlag("rest_api_timeout_in_ms", "how long a REST request may take; by default 30000", positive_int),
    ModelServerFlag(
        "rest_api_enable_cors_support", "let pages of any web site ask, by CORS headers; by default not", truth
    ),
    ModelServerFlag("enable_batching", "run concurrent requests together; by default not", truth),
    ModelServerFlag(
        "allow_version_labels_for_unavailable_models",
        "let a new label name a version that is still to be loaded, as all are at the start; by default not",
        truth,
    ),
    ModelServerFlag(
        "batching_parameters_file", "how, as BatchingParameters in protobuf text", Path, is_file=True
    ),
    _refused(
        "enable_per_model_batching_parameters", truth, "read them from each model's batching_params.pbtxt",
        "all models are batched as --batching_parameters_file says", allowed=False,
    ),
    ModelServerFlag(
        "model_config_file",
        "models with version policies and labels as a ModelServerConfig in protobuf text, in place of --model_name and "
        "--model_base_path",
        Path,
        reason="refused together with --model_name or --model_base_path, which are ignored there",
    ),
    ModelServerFlag(
        "model_config_file_poll_wait_seconds", "how often to read it again; by default never", int_from_zero
    ),
    ModelServerFlag("model_name", "what requests call the model; by default `default`"),
    ModelServerFlag("model_base_path", "the folder of version folders", Path),
    _without_effect(
        "num_load_threads", int_from_zero, "threads that load versions",
        "one thread of its own loads versions, and no request waits for it",
    ),
    _without_effect(
        "num_unload_threads", int_from_zero, "threads that unload versions",
        "a version is unloaded when its last request ends",
    ),
    _without_effect(
        "max_num_load_retries", int_from_zero, "how often a version that fails is loaded again",
        "a version that fails is loaded again when its files change",
    ),
    _without_effect(
        "load_retry_interval_micros", int, "how long to wait before that",
        "a version that fails is loaded again when its files change",
    ),
    ModelServerFlag(
        "file_system_poll_wait_seconds",
        "how often to look for a newer version; 0 looks only at the start; by default every second",
        int_from_zero,
        reason="negative numbers are for tests there, and refused",
    ),
    _without_effect(
        "flush_filesystem_caches", truth, "drop the system's copy of files that are loaded",
        "the system drops its copies itself when memory is wanted",
    ),
    ModelServerFlag(
        "tensorflow_session_parallelism",
        "threads of one op and ops at a time, where the two flags for these say nothing; not with both of them",
        int_from_zero,
    ),
    _refused(
        "tensorflow_session_config_file", Path, "a session's ConfigProto in protobuf text",
        "sessions are set up by the flags for threads alone",
    ),
    ModelServerFlag(
        "tensorflow_intra_op_parallelism", "threads of one op; by default TensorFlow's choice", int_from_zero
    ),
    ModelServerFlag(
        "tensorflow_inter_op_parallelism", "ops at a time; by default TensorFlow's choice", int_from_zero
    ),
    _refused(
        "use_alts_credentials", truth, "encrypt gRPC with Google's ALTS",
        "ALTS works between machines of Google's cloud; --ssl_config_file encrypts everywhere", allowed=False,
    ),
    ModelServerFlag(
        "ssl_config_file",
        "key and certificates for gRPC as an SSLConfig in protobuf text; by default plain text is spoken",
        Path,
        is_file=True,
    ),
    _refused(
        "platform_config_file", Path, "loaders other than TensorFlow's, as a PlatformConfigMap in protobuf text",
        "SavedModels are loaded, and nothing else",
    ),
    _without_effect(
        "per_process_gpu_memory_fraction", fraction, "how much of a GPU's memory to take at the start",
        "TensorFlow takes a GPU's memory as it needs it",
    ),
    _refused(
        "saved_model_tags", str, "tags of the graph in the SavedModel", "the graph with the tag `serve` is loaded",
        allowed="serve",
    ),
    ModelServerFlag(
        "grpc_channel_arguments", "gRPC's own options, as grpc.max_connection_age_ms=300000,..."
    ),
    ModelServerFlag(
        "grpc_max_threads", "requests that run at the same time; by default the server's own", positive_int
    ),
    ModelServerFlag(
        "enable_model_warmup", "replay a version's warm-up requests before it is served; by default on", truth
    ),
    ModelServerFlag(
        "num_request_iterations_for_warmup", "how often each of them is run; by default once", positive_int
    ),
    ModelServerFlag("version", "print the versions and end", truth),
    ModelServerFlag(
        "monitoring_config_file",
        "where the REST port shows Prometheus's metrics, as a MonitoringConfig in protobuf text; by default nowhere",
        Path,
        is_file=True,
    ),
    _without_effect(
        "remove_unused_fields_from_bundle_metagraph", truth, "keep less of the graph in memory",
        "of the graph the signatures are kept, beside TensorFlow's own",
    ),
    _refused(
        "prefer_tflite_model", truth, "run a version's model.tflite", "SavedModels are run, and nothing else",
        allowed=False,
    ),
    _without_effect(
        "num_tflite_pools", int_from_zero, "pools of TensorFlow Lite interpreters", "there is no TensorFlow Lite in it"
    ),
    _without_effect(
        "num_tflite_interpreters_per_pool", int_from_zero, "interpreters in each", "there is no TensorFlow Lite in it"
    ),
    _without_effect(
        "enable_signature_method_name_check", truth, "check the method that a signature is for",
        "Predict takes a signature of any method, and Classify and Regress are not served",
    ),
    _without_effect(
        "xla_cpu_compilation_enabled", truth, "let models be compiled for the CPU",
        "a model that asks to be compiled always is",
    ),
    _without_effect(
        "xla_gpu_compilation_enabled", truth, "let models be compiled for the GPU",
        "a model that asks to be compiled always is",
    ),
    _refused(
        "enable_profiler", truth, "serve profiles over gRPC",
        "it has no profiler; ask TensorFlow Serving, on which requests spend their time otherwise", allowed=False,
    ),
    _refused(
        "thread_pool_factory_config_file", Path, "thread pools for sessions, in protobuf text",
        "sessions are set up by the flags for threads alone",
    ),
    _refused(
        "mixed_precision", str, "compute in another precision", "a model computes as it was exported", allowed=""
    ),
    _without_effect("skip_initialize_tpu", truth, "leave TPUs as they are", "it uses no TPU"),
    _without_effect(
        "enable_grpc_healthcheck_service", truth, "serve gRPC's health service; by default not",
        "the health service is always there",
    ),
    ModelServerFlag(
        "enable_serialization_as_tensor_content", "answer arrays in one piece rather than value by value", truth
    ),
)  # fmt: skip


def flags_table() -> str:
    """Returns all flags as a table in Markdown."""
    rows = ["| flag | the local server | |", "|---|---|---|"]
    for flag in FLAGS:
        says = flag.reason
        if flag.here is Here.REFUSED and flag.allowed not in (None, ""):
            says += f" (`{str(flag.allowed).lower()}` is taken)"
        rows.append(f"| `--{flag.name}` | {flag.here.value} | {says} |")
    return "\n".join(rows) + "\n"
