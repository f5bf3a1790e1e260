"""The flags of tensorflow_model_server: what each backend does with them, and that our own deployments start here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import requests

from data_prep.runtime.command_line import UsageError, fraction
from serving.local_server.listening import channel_arguments
from serving.operating.backends import docker_command, model_server_command
from serving.operating.model_server_flags import FLAGS, Here, flags_table, truth
from serving.operating.server_flags import flags_without_effect, settings_of
from serving.serve import build_parser, local_server_of
from tests.serving.test_deploy import server_arguments

README = Path(__file__).resolve().parents[2] / "serving" / "README.md"
# Of `main.cc`; `model_server_flags` says of which.
NAMES = """
port grpc_socket_path rest_api_port rest_api_num_threads rest_api_timeout_in_ms rest_api_enable_cors_support
enable_batching allow_version_labels_for_unavailable_models batching_parameters_file
enable_per_model_batching_parameters model_config_file model_config_file_poll_wait_seconds model_name model_base_path
num_load_threads num_unload_threads max_num_load_retries load_retry_interval_micros file_system_poll_wait_seconds
flush_filesystem_caches tensorflow_session_parallelism tensorflow_session_config_file tensorflow_intra_op_parallelism
tensorflow_inter_op_parallelism use_alts_credentials ssl_config_file platform_config_file
per_process_gpu_memory_fraction saved_model_tags grpc_channel_arguments grpc_max_threads enable_model_warmup
num_request_iterations_for_warmup version monitoring_config_file remove_unused_fields_from_bundle_metagraph
prefer_tflite_model num_tflite_pools num_tflite_interpreters_per_pool enable_signature_method_name_check
xla_cpu_compilation_enabled xla_gpu_compilation_enabled enable_profiler thread_pool_factory_config_file
mixed_precision skip_initialize_tpu enable_grpc_healthcheck_service enable_serialization_as_tensor_content
""".split()  # noqa: SIM905


def sample(flag) -> str:
    """Returns a value that the flag's type takes, and that asks for something."""
    if flag.type in (str, Path):
        return (
            "grpc.optimization_target=latency"
            if flag.name == "grpc_channel_arguments"
            else "some-where"
            if flag.type is str
            else "/some/where"
        )
    return {truth: "true", fraction: "0.5"}.get(flag.type, "1")


def parsed(base_path, *words):
    model = ["--model_base_path", str(base_path)] if base_path is not None else []
    return build_parser().parse_args([*model, *words])


@pytest.fixture
def base_path(tmp_path) -> Path:
    (tmp_path / "base" / "1").mkdir(parents=True)
    (tmp_path / "base" / "1" / "saved_model.pb").touch()
    return tmp_path / "base"


def test_all_flags_of_the_real_server_are_known():
    assert len(NAMES) == 48 and [flag.name for flag in FLAGS] == NAMES
    for flag in FLAGS:
        assert flag.help and (flag.reason or flag.here is Here.HONOURED), flag.name


@pytest.mark.parametrize("flag", FLAGS, ids=NAMES)
def test_each_is_handed_on_and_done_or_said_to_change_nothing_or_refused(flag, base_path):
    if flag.name in ("model_base_path", "model_config_file"):
        return  # what is served: everything else here is
    before = ["--enable_batching=true"] if flag.name == "batching_parameters_file" else []
    value = sample(flag)
    arguments = parsed(base_path, *before, f"--{flag.name}={value}")
    settings = settings_of(arguments)
    if flag.name != "port":
        assert any(word.startswith(f"--{flag.name}=") for word in model_server_command(settings))
    if flag.name not in ("port", "rest_api_port", "model_name", "grpc_socket_path"):
        command = docker_command(settings)
        assert f"--{flag.name}={value}" in command
        assert (f"{value}:{value}:ro" in command) == flag.is_file  # a file is mounted where the flag says
    if flag.here is Here.REFUSED:
        with pytest.raises(UsageError) as error:
            flags_without_effect(arguments, "asked for")
        assert f"--{flag.name}" in str(error.value) and flag.reason in str(error.value)
        if flag.allowed is not None:
            allowed = str(flag.allowed).lower() if flag.type is truth else flag.allowed
            assert flags_without_effect(parsed(base_path, f"--{flag.name}={allowed}"), "asked for") == []
        return
    lines = flags_without_effect(arguments, "asked for")
    wanted = [] if flag.here is Here.HONOURED else [f"--{flag.name} changes nothing on the local server: {flag.reason}"]
    assert lines == wanted


def test_what_is_done_reaches_the_local_server(base_path):
    words = ["--grpc_socket_path=here.sock", "--rest_api_port=0", "--grpc_max_threads=3", "--port=0"]
    words += ["--enable_serialization_as_tensor_content", "--tensorflow_session_parallelism=5"]
    words += ["--grpc_channel_arguments=grpc.max_connection_age_ms=7,grpc.a=b"]
    arguments = parsed(base_path, *words)
    server = local_server_of(settings_of(arguments), arguments)
    options = server.options
    assert server.model_name == "default"  # as there, where no name is given
    assert options.socket_path == Path("here.sock").absolute() and options.workers == 3
    assert options.channel_arguments == [("grpc.max_connection_age_ms", 7), ("grpc.a", "b")]
    assert options.answer_in_one_piece and options.rest is None
    assert (options.loading.intra_op_threads, options.loading.inter_op_threads) == (5, 5)
    with pytest.raises(UsageError, match="'nonsense' is not name=value"):
        channel_arguments("grpc.a=1,nonsense")
    arguments = parsed(base_path, "--rest_api_enable_cors_support", "--rest_api_port=18999")
    assert local_server_of(settings_of(arguments), arguments).options.rest.allow_other_origins


def test_threads_are_those_of_the_session_or_of_ops_and_not_of_all_three(base_path):
    words = [f"--tensorflow_{name}_parallelism={value}" for name, value in (("session", 5), ("intra_op", 3))]
    arguments = parsed(base_path, *words)
    loading = local_server_of(settings_of(arguments), arguments).options.loading
    assert (loading.intra_op_threads, loading.inter_op_threads) == (3, 0)  # as there, the session's says nothing then
    arguments = parsed(base_path, *words, "--tensorflow_inter_op_parallelism=2")
    with pytest.raises(UsageError, match="not all three"):
        local_server_of(settings_of(arguments), arguments)


def test_the_version_is_told_without_a_model(capsys):
    from serving.serve import main

    assert main(["--version", "--backend", "local"]) == 0
    assert re.search(r"^tensorflow-serving-api 2\.20\.", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize("place", sorted(server_arguments()))
def test_the_arguments_of_our_deployments_start_the_local_server(place, encoded_model, tmp_path, free_port):
    """As they are, but for the paths in the container and ports that are free here."""
    deploy = README.parent / "deploy"
    for file in (deploy / "config").iterdir():
        text = file.read_text(encoding="utf-8").replace("/models/detector", str(encoded_model))
        (tmp_path / file.name).write_text(text, encoding="utf-8")
    # Compose puts the value after :- where its variable is not set.
    given = {name: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value) for name, value in server_arguments()[place].items()}
    # A GPU's file is mounted under another name.
    here = {"port": "0", "rest_api_port": str(free_port), "batching_parameters_file": f"{tmp_path}/batching.config"}
    words = [f"--{name}={here.get(name, value.replace('/config/', f'{tmp_path}/'))}" for name, value in given.items()]
    arguments = build_parser().parse_args(words)
    without_effect = " ".join(flags_without_effect(arguments, "asked for"))
    for name in ("enable_grpc_healthcheck_service", "per_process_gpu_memory_fraction"):
        assert (f"--{name} changes nothing" in without_effect) == (name in given)
    with local_server_of(settings_of(arguments), arguments) as server:
        assert server.versions() == {"detector": 1}
        page = requests.get(f"{server.rest_address}/monitoring/prometheus/metrics", timeout=60)
        assert page.status_code == 200 and "process_cpu_seconds_total" in page.text


def test_the_page_has_the_table():
    assert flags_table() in README.read_text(encoding="utf-8"), "put the output of flags_table() into serving/README.md"
