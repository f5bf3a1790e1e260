"""Flags of the Object Detection API's scripts: every one is taken, and what becomes of it is said.

The lists were read from tf-models-research-object-detection 2.8.0.post1, which is compared where it is there; see
tests/configs/schema/test_descriptors.py.
"""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from configs.settings.api_flags import (
    ABSL,
    MODEL_MAIN_TF2,
    SCRIPTS,
    HonouredFlag,
    IdleFlag,
    RefusedFlag,
    add_api_arguments,
    settle_api_flags,
)
from configs.settings.documentation import migration_page
from data_prep.runtime.absl_flags import AbslArgumentParser
from data_prep.runtime.command_line import UsageError, UserError
from export.export_saved_model import main as export_saved_model
from export.export_tflite import main as export_tflite
from train.train import main as train

SIDE_INPUTS = {"use_side_inputs": bool, "side_input_shapes": str, "side_input_types": str, "side_input_names": str}
EVALUATION = {"sample_1_of_n_eval_examples": int, "sample_1_of_n_eval_on_train_examples": int, "checkpoint_dir": str}
API_FLAGS: dict[str, dict[str, type]] = {
    "model_main_tf2.py": {
        "pipeline_config_path": str,
        "num_train_steps": int,
        "eval_on_train_data": bool,
        "model_dir": str,
        "eval_timeout": int,
        "use_tpu": bool,
        "tpu_name": str,
        "num_workers": int,
        "checkpoint_every_n": int,
        "record_summaries": bool,
        **EVALUATION,
    },
    "model_main.py": {
        "model_dir": str,
        "pipeline_config_path": str,
        "num_train_steps": int,
        "eval_training_data": bool,
        "run_once": bool,
        "max_eval_retries": int,
        **EVALUATION,
    },
    "exporter_main_v2.py": {
        "input_type": str,
        "pipeline_config_path": str,
        "trained_checkpoint_dir": str,
        "output_directory": str,
        "config_override": str,
        **SIDE_INPUTS,
    },
    "export_inference_graph.py": {
        "input_type": str,
        "input_shape": str,
        "pipeline_config_path": str,
        "trained_checkpoint_prefix": str,
        "output_directory": str,
        "config_override": str,
        "write_inference_graph": bool,
        "additional_output_tensor_names": str,
        **SIDE_INPUTS,
    },
    "export_tflite_graph_tf2.py": {
        "pipeline_config_path": str,
        "trained_checkpoint_dir": str,
        "output_directory": str,
        "config_override": str,
        "max_detections": int,
        "ssd_use_regular_nms": bool,
        "centernet_include_keypoints": bool,
        "keypoint_label_map_path": str,
    },
}
ABSL_FLAGS: dict[str, type] = {
    **dict.fromkeys(("logtostderr", "alsologtostderr", "showprefixforinfo"), bool),
    **dict.fromkeys(("log_dir", "verbosity", "logger_levels", "stderrthreshold"), str),
    **dict.fromkeys(("run_with_pdb", "pdb_post_mortem", "pdb", "run_with_profiling", "only_check_args"), bool),
    **{"use_cprofile_for_profiling": bool, "profile_file": str, "flagfile": str, "undefok": str, "helpxml": bool},
}
# For each script what takes its place, and what that cannot do without.
COMMANDS = {
    **dict.fromkeys(("model_main_tf2.py", "model_main.py"), (train, ["--model_dir", "m"])),
    **dict.fromkeys(
        ("exporter_main_v2.py", "export_inference_graph.py"),
        (export_saved_model, ["--trained_checkpoint_dir", "m", "--output_directory", "o"]),
    ),
    "export_tflite_graph_tf2.py": (export_tflite, ["--trained_checkpoint_dir", "m", "--output_directory", "o"]),
}
EVERY_FLAG = [
    (script, name, kind)
    for script, own in API_FLAGS.items()
    for name, kind in (own | ABSL_FLAGS).items()
    if name != "pipeline_config_path"
]


def api_package() -> Path:
    named = os.environ.get("OBJECT_DETECTION_API_PATH")
    if not named:
        pytest.skip("no OBJECT_DETECTION_API_PATH: the package of the Object Detection API")
    return Path(named) / "object_detection"


def defined_flags(path: Path) -> dict[str, type]:
    """The flags that a script defines, as its source has them."""
    kinds = {"string": str, "integer": int, "bool": bool, "boolean": bool}
    return {
        node.args[0].value: kinds[node.func.attr.removeprefix("DEFINE_")]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr.startswith("DEFINE_")
        and isinstance(node.args[0], ast.Constant)
    }


@pytest.mark.parametrize("script", API_FLAGS)
def test_the_list_is_what_the_apis_script_defines(script: str) -> None:
    assert defined_flags(api_package() / script) == API_FLAGS[script]


def test_the_list_of_absls_flags_is_what_absl_defines() -> None:
    from absl import app, flags, logging  # absl comes with TensorFlow

    modules = flags.FLAGS.flags_by_module_dict()
    found = {flag.name for module in (app, logging) for flag in modules[module.__name__]}
    # These are part of how absl reads flags, and belong to no module.
    assert found | {"flagfile", "undefok", "helpxml"} == set(ABSL_FLAGS)


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.name for script in SCRIPTS])
def test_a_table_has_each_flag_of_its_script_once(script) -> None:
    names = [flag.name for flag in script.flags]
    assert len(names) == len(set(names))
    assert set(names) == set(ABSL_FLAGS if script is ABSL else API_FLAGS[script.name])


@pytest.mark.parametrize(("script", "name", "kind"), EVERY_FLAG)
def test_every_flag_is_honoured_or_said_or_refused_by_name(
    script: str, name: str, kind: type, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    main, needed = COMMANDS[script]
    value = {"input_type": "image_tensor", "verbosity": "1"}.get(name, {bool: "true", int: "3", str: "x"}[kind])
    if name in ("showprefixforinfo", "use_cprofile_for_profiling"):  # true unless told otherwise
        value = "false"
    missing = tmp_path / "missing.config"
    with pytest.raises(UserError) as error:  # and no SystemExit: the parser knows the flag
        main([*needed, "--pipeline_config_path", str(missing), f"--{name}={value}"])
    out = capsys.readouterr().out
    (flag,) = {flag for one in SCRIPTS if one.name in (script, "absl") for flag in one.flags if flag.name == name}
    if isinstance(flag, RefusedFlag):
        assert str(error.value) == f"--{name}: {flag.reason}"
        return
    assert str(missing) in str(error.value) or name == "config_override"
    if isinstance(flag, IdleFlag):
        assert out == f"note: --{name} has no effect: {flag.reason}\n"


def test_flags_at_the_scripts_defaults_are_not_spoken_of(capsys: pytest.CaptureFixture) -> None:
    words = ["--nouse_tpu", "--tpu_name=", "--alsologtostderr=false", "-v", "-1", "--stderrthreshold=fatal"]
    parser = AbslArgumentParser(description="", example="")
    add_api_arguments(parser, MODEL_MAIN_TF2)
    settle_api_flags(parser.parse_args(words), MODEL_MAIN_TF2)
    assert capsys.readouterr().out == ""


def test_flags_with_the_same_reason_share_one_note(capsys: pytest.CaptureFixture) -> None:
    parser = AbslArgumentParser(description="", example="")
    add_api_arguments(parser, MODEL_MAIN_TF2)
    settle_api_flags(parser.parse_args(["-alsologtostderr", "--v=2", "--tpu-name", "local"]), MODEL_MAIN_TF2)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("note: --tpu_name has no effect: ")
    assert second.startswith("note: --alsologtostderr, --verbosity have no effect: ")
    with pytest.raises(UsageError, match=r"^--use_tpu: training on TPUs is not supported"):
        settle_api_flags(parser.parse_args(["--use_tpu"]), MODEL_MAIN_TF2)


def test_the_page_about_coming_from_the_api_has_every_flag() -> None:
    page = migration_page()
    for script in SCRIPTS:
        rows = [line for line in page.splitlines() if line.startswith(f"| `{script.name}` | `--")]
        for flag in script.flags:
            (row,) = [row for row in rows if f"`--{flag.name}`" in row]
            assert (flag.here if isinstance(flag, HonouredFlag) else flag.reason) in row
