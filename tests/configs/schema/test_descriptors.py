"""The schema: that it is what its source says, and what the Object Detection API's is.

The comparison with the API needs its compiled descriptors, which the package tf-models-research-object-detection
2.8.0.post1 holds. It is no dependency: nothing of it is imported, nor is what it requires installed. `make test` puts
it into a folder of its own, and names that in OBJECT_DETECTION_API_PATH; where it is missing, the comparison is
skipped. By hand:

    make build/object_detection_api/.installed
    OBJECT_DETECTION_API_PATH=build/object_detection_api .venv/bin/python -m pytest tests/configs/test_descriptors.py
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from configs.schema.descriptors import DESCRIPTOR_SET_PATH, PACKAGE, PROTO_PATH, message_class, message_descriptor

OURS = {
    "Extensions",
    "ClassAwareSampling",
    "Recovery",
    "Mixing",
    "Mosaic",
    "Mixup",
    "CopyPaste",
    "RecordCache",
    "EarlyStopping",
    "ModelGardenBackbone",
    "PluginPart",
    *("GradientAccumulation", "LearningRateMultiplier", "DecoupledOptimizer", "AdamW", "Lamb"),
    *("AnnealedLearningRate", "OneCycleLearningRate", "PolynomialDecayLearningRate"),
    "Summaries",
}
OUR_FIELDS = {("TrainEvalPipelineConfig", "extensions")}


def schema_file() -> descriptor_pb2.FileDescriptorProto:
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTOR_SET_PATH.read_bytes()).file
    return file


def api_files() -> list[descriptor_pb2.FileDescriptorProto]:
    """The descriptors inside the API's generated modules, taken out as data: the modules no longer import."""
    named = os.environ.get("OBJECT_DETECTION_API_PATH")
    if not named:
        pytest.skip("no OBJECT_DETECTION_API_PATH: the package of the Object Detection API")
    package = Path(named) / "object_detection"
    assert package.is_dir(), f"OBJECT_DETECTION_API_PATH: there is no {package}"
    modules = sorted((package / "protos").glob("*_pb2.py"))
    assert modules, f"{package} has no compiled protos"
    return [
        descriptor_pb2.FileDescriptorProto.FromString(node.value)
        for module in modules
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, bytes)
        and b"object_detection/protos" in node.value
        and node.value.startswith(b"\n")
    ]


def flatten(messages, prefix: str = "") -> dict[str, descriptor_pb2.DescriptorProto]:
    found = {}
    for message in messages:
        found[prefix + message.name] = message
        found.update(flatten(message.nested_type, f"{prefix}{message.name}."))
    return found


def enums_of(file: descriptor_pb2.FileDescriptorProto) -> dict[str, dict[str, int]]:
    found = {enum.name: enum for enum in file.enum_type}
    for name, message in flatten(file.message_type).items():
        found.update({f"{name}.{enum.name}": enum for enum in message.enum_type})
    return {name: {value.name: value.number for value in enum.value} for name, enum in found.items()}


def facts(message: descriptor_pb2.DescriptorProto) -> dict[str, tuple]:
    """All that matters of each field: name, number, label, type, default, oneof, and whether it is deprecated."""
    return {
        field.name: (
            field.number,
            field.label,
            field.type,
            field.type_name,
            field.HasField("default_value"),
            field.default_value,
            message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else None,
            field.options.deprecated,
        )
        for field in message.field
    }


def test_the_descriptor_set_is_what_the_proto_file_compiles_to() -> None:
    if importlib.util.find_spec("grpc_tools") is None:
        pytest.skip("grpcio-tools is not installed (requirements-dev.txt)")
    from configs.compile_schema import compile_schema

    (compiled,) = compile_schema(PROTO_PATH).file
    assert compiled == schema_file(), "run python -m configs.compile_schema"


def test_compile_schema_check_says_whether_the_descriptor_set_is_up_to_date(capsys: pytest.CaptureFixture) -> None:
    if importlib.util.find_spec("grpc_tools") is None:
        pytest.skip("grpcio-tools is not installed (requirements-dev.txt)")
    from configs.compile_schema import main

    assert main(["--check"]) == 0
    assert "up to date" in capsys.readouterr().out


def test_every_message_and_field_is_the_apis() -> None:
    api = {}
    for file in api_files():
        api.update(flatten(file.message_type))
    ours = flatten(schema_file().message_type)
    assert len(api) > 140
    assert {name for name in ours if name.split(".")[0] not in OURS} == set(api)
    for name, message in api.items():
        own = {field: fact for field, fact in facts(ours[name]).items() if (name, field) not in OUR_FIELDS}
        assert own == facts(message), name
        assert ours[name].options.map_entry == message.options.map_entry, name
        assert set(map(str, message.reserved_range)) == set(map(str, ours[name].reserved_range)), name


def test_every_enum_is_the_apis() -> None:
    api = {}
    for file in api_files():
        api.update(enums_of(file))
    ours = enums_of(schema_file())
    assert {name: values for name, values in ours.items() if name.split(".")[0] not in OURS} == api


def test_our_own_field_lies_outside_the_apis_numbers() -> None:
    root = flatten(schema_file().message_type)["TrainEvalPipelineConfig"]
    (own,) = [field for field in root.field if field.name == "extensions"]
    assert own.number >= 1000
    assert root.extension_range[0].start == own.number + 1


def test_defaults_of_the_api_are_there() -> None:
    """A handful by hand, so that something holds where the API's package is not there."""
    assert message_class("Ssd")().normalize_loss_by_num_matches is True
    assert message_class("Optimizer")().use_moving_average is True
    assert message_class("FasterRcnn")().first_stage_minibatch_size == 256
    assert message_class("BatchNorm")().decay == pytest.approx(0.999)
    assert message_class("AdamOptimizer")().epsilon == pytest.approx(1e-8)
    assert message_class("CosineDecayLearningRate")().warmup_steps == 10000
    assert message_class("ArgMaxMatcher")().negatives_lower_than_unmatched is True
    assert message_class("TrainConfig")().fine_tune_checkpoint_version == 1
    assert message_class("CenterNet.KeypointEstimation")().candidate_ranking_mode == "min_distance"
    assert len(message_descriptor("PreprocessingStep").fields) == 39


def test_message_class_takes_full_and_short_names() -> None:
    assert message_class("Ssd") is message_class(f"{PACKAGE}.Ssd")
    assert message_class("Ssd")(num_classes=3).num_classes == 3
    with pytest.raises(KeyError):
        message_class("Sdd")


@pytest.mark.parametrize("implementation", ["upb", "python"])
def test_reads_with_either_of_protobufs_implementations(implementation: str) -> None:
    program = (
        "import json, sys\n"
        "from google.protobuf.internal import api_implementation\n"
        "from configs.schema import pipeline_file\n"
        "from configs.settings.loading import examine\n"
        "config = pipeline_file.read_pipeline_config(sys.argv[1])\n"
        "pipeline_file.parse_pipeline_config(pipeline_file.format_pipeline_config(config))\n"
        "assert examine(config, sys.argv[1]).settings is not None\n"
        "print(json.dumps([api_implementation.Type(), config.model.ssd.num_classes]))\n"
    )
    recipe = PROTO_PATH.parents[1] / ("ssd_efficientnet-lite0_fpn_320.config")
    result = subprocess.run(
        [sys.executable, "-c", program, str(recipe)],
        env={**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation},
        cwd=PROTO_PATH.parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == [implementation, 8]
