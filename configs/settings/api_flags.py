"""Flags of the Object Detection API's scripts, and what becomes of each in the command that takes the script's place.

Every flag is taken, so that a command line moves over as it is. Most mean what they meant, and the command has them
among its own. Of the others there are two kinds. One that steered what is not here has no effect, and a note says so,
once for all that have the same reason. One that asks for what cannot be done is refused by its name. Left at its
default, a flag asks for nothing, and nothing is said.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from data_prep.runtime.absl_flags import BooleanFlag
from data_prep.runtime.command_line import UsageError


@dataclasses.dataclass(frozen=True)
class HonouredFlag:
    """A flag that the command has among its own.

    Attributes:
        name: Without dashes.
        here: What differs from the script, or a word on what it means.
    """

    name: str
    here: str = "the same"


@dataclasses.dataclass(frozen=True)
class _OtherFlag:
    """A flag that is taken for the script's sake.

    Attributes:
        name: Without dashes.
        default: The script's; its type is the flag's.
        reason: Why it has no effect, or is refused.
        also: Other ways to write it, with dashes.
    """

    name: str
    default: bool | int | str
    reason: str
    also: tuple[str, ...] = ()


class IdleFlag(_OtherFlag):
    """A flag that has no effect."""


class RefusedFlag(_OtherFlag):
    """A flag that is refused; its reason ends with what to do instead."""


ApiFlag = HonouredFlag | IdleFlag | RefusedFlag


@dataclasses.dataclass(frozen=True)
class Script:
    """A script of the API.

    Attributes:
        name: Its file.
        command: What takes its place.
        flags: All that it defines itself.
    """

    name: str
    command: str
    flags: tuple[ApiFlag, ...]


_MESSAGES = "what a command says goes to standard output and standard error, never through absl's log"
_DEBUGGER = "run python -m pdb -m and the command"
_PROFILER = "run python -m cProfile -m and the command"

# What every script on absl takes besides its own flags.
ABSL = Script(
    "absl",
    "all of these",
    (
        IdleFlag("logtostderr", False, _MESSAGES),
        IdleFlag("alsologtostderr", False, _MESSAGES),
        IdleFlag("log_dir", "", _MESSAGES),
        IdleFlag("verbosity", "-1", _MESSAGES, ("--v", "-v")),
        IdleFlag("logger_levels", "{}", _MESSAGES),
        IdleFlag("stderrthreshold", "fatal", _MESSAGES),
        IdleFlag("showprefixforinfo", True, _MESSAGES),
        IdleFlag("run_with_pdb", False, _DEBUGGER),
        IdleFlag("pdb_post_mortem", False, _DEBUGGER),
        IdleFlag("pdb", False, _DEBUGGER),
        IdleFlag("run_with_profiling", False, _PROFILER),
        IdleFlag("profile_file", "", _PROFILER),
        IdleFlag("use_cprofile_for_profiling", True, _PROFILER),
        RefusedFlag("only_check_args", False, "leave it out; python -m configs.check checks a config"),
        RefusedFlag("flagfile", "", "flags are read from the command line alone; give $(cat FILE) in its place"),
        RefusedFlag("undefok", "", "flags that are unknown are errors; leave out those that it names"),
        RefusedFlag("helpxml", False, "help is text; --help prints it"),
    ),
)

_TPU = "training on TPUs is not supported; leave it out to train on the GPUs of this machine, or on its CPU"
_EVALUATION_ALONE = "with --checkpoint_dir, and in train.evaluate"
_TRAIN = "train.train"

MODEL_MAIN_TF2 = Script(
    "model_main_tf2.py",
    _TRAIN,
    (
        HonouredFlag("pipeline_config_path"),
        HonouredFlag("model_dir"),
        HonouredFlag("num_train_steps"),
        HonouredFlag("checkpoint_every_n"),
        HonouredFlag("checkpoint_dir", "evaluates each new checkpoint there and does not train, as it did"),
        HonouredFlag("eval_timeout", f"the same, {_EVALUATION_ALONE}"),
        HonouredFlag("sample_1_of_n_eval_examples", "the same, also where a training evaluates"),
        HonouredFlag("eval_on_train_data", f"measures on the training's input, {_EVALUATION_ALONE}"),
        HonouredFlag("sample_1_of_n_eval_on_train_examples", "the same, with --eval_on_train_data"),
        HonouredFlag("record_summaries", "the same: losses and learning rate are always written"),
        HonouredFlag("num_workers", "TF_CONFIG says how many workers there are; a number that is another is told"),
        RefusedFlag("use_tpu", False, _TPU),
        IdleFlag("tpu_name", "", "it names the TPU of --use_tpu, which is not given"),
    ),
)

MODEL_MAIN = Script(
    "model_main.py",
    _TRAIN,
    (
        *(HonouredFlag(name) for name in ("pipeline_config_path", "model_dir", "num_train_steps")),
        HonouredFlag("checkpoint_dir", "evaluates each new checkpoint there and does not train, as it did"),
        HonouredFlag("run_once", "the same, with --checkpoint_dir; --once in train.evaluate"),
        HonouredFlag("eval_training_data", "another name of --eval_on_train_data"),
        HonouredFlag("sample_1_of_n_eval_examples"),
        HonouredFlag("sample_1_of_n_eval_on_train_examples"),
        IdleFlag("max_eval_retries", 0, "an evaluation that fails is not repeated"),
    ),
)

_SIDE_INPUTS = "side inputs are for Context R-CNN, which is not supported; leave it out"
_NO_SIDE_INPUTS = "it describes the inputs of --use_side_inputs, which is not given"
_EXPORT = "export.export_saved_model"
_SIDE_INPUT_FLAGS: tuple[ApiFlag, ...] = (
    RefusedFlag("use_side_inputs", False, _SIDE_INPUTS),
    *(IdleFlag(f"side_input_{part}", "", _NO_SIDE_INPUTS) for part in ("shapes", "types", "names")),
)

EXPORTER_MAIN_V2 = Script(
    "exporter_main_v2.py",
    _EXPORT,
    (
        HonouredFlag(
            "input_type",
            "takes several; by default `encoded_image_string_tensor`, there `image_tensor`; `image_and_boxes_tensor`, "
            "for models with masks, is refused",
        ),
        HonouredFlag("pipeline_config_path"),
        HonouredFlag("trained_checkpoint_dir", "the same; one checkpoint's prefix too"),
        HonouredFlag("output_directory", "the same; it must be new"),
        HonouredFlag("config_override"),
        *_SIDE_INPUT_FLAGS,
    ),
)

EXPORT_INFERENCE_GRAPH = Script(
    "export_inference_graph.py",
    _EXPORT,
    (
        HonouredFlag("input_type", "as for `exporter_main_v2.py`"),
        HonouredFlag("pipeline_config_path"),
        HonouredFlag("trained_checkpoint_prefix", "another name of --trained_checkpoint_dir"),
        HonouredFlag("output_directory", "the same; it must be new"),
        HonouredFlag("config_override"),
        RefusedFlag("input_shape", "", "a signature takes images of every size, and any number; leave it out"),
        RefusedFlag("write_inference_graph", False, "use --also_frozen_graph, which writes frozen_inference_graph.pb"),
        RefusedFlag("additional_output_tensor_names", "", "use --output, such as --output raw_detection_boxes"),
        *_SIDE_INPUT_FLAGS,
    ),
)

_CENTERNET = "it is for CenterNet, which is not supported; leave it out"

EXPORT_TFLITE_GRAPH_TF2 = Script(
    "export_tflite_graph_tf2.py",
    "export.export_tflite",
    (
        HonouredFlag("pipeline_config_path"),
        HonouredFlag("trained_checkpoint_dir", "the same; one checkpoint's prefix too"),
        HonouredFlag("output_directory", "the same; it must be new, and the `.tflite` files are written there"),
        HonouredFlag("config_override"),
        HonouredFlag("max_detections"),
        HonouredFlag("ssd_use_regular_nms"),
        RefusedFlag("centernet_include_keypoints", False, _CENTERNET),
        IdleFlag("keypoint_label_map_path", "", "it is for CenterNet's keypoints"),
    ),
)

SCRIPTS = (MODEL_MAIN_TF2, MODEL_MAIN, EXPORTER_MAIN_V2, EXPORT_INFERENCE_GRAPH, EXPORT_TFLITE_GRAPH_TF2, ABSL)


def add_api_arguments(parser: argparse.ArgumentParser, *scripts: Script) -> None:
    """Adds the flags of scripts, and absl's, that have no effect or are refused; the command adds the others itself."""
    names = " and ".join(script.name for script in (*scripts, ABSL))
    group = parser.add_argument_group(
        f"flags of {names} that have no effect or are refused",
        f"absl's are {', '.join(f'--{flag.name}' for flag in ABSL.flags)}",
    )
    for flag in _others(scripts):
        verb = "no effect" if isinstance(flag, IdleFlag) else "refused"
        words = argparse.SUPPRESS if flag in ABSL.flags else f"{verb}: {flag.reason}"
        options: dict[str, Any] = {"default": argparse.SUPPRESS, "help": words}
        if isinstance(flag.default, bool):
            options["action"] = BooleanFlag
        else:
            options |= {"type": type(flag.default), "metavar": "N" if isinstance(flag.default, int) else "TEXT"}
        group.add_argument(f"--{flag.name}", *flag.also, **options)


def settle_api_flags(arguments: argparse.Namespace, *scripts: Script) -> None:
    """Prints a note for the flags that have no effect, and refuses those that cannot be honoured.

    Args:
        arguments: Of a parser with `add_api_arguments`.
        scripts: The same.

    Raises:
        UsageError: With the flag's name, why, and what to do instead.
    """
    given = vars(arguments)
    idle: dict[str, list[str]] = {}
    for flag in _others(scripts):
        if given.get(flag.name, flag.default) == flag.default:
            continue
        if isinstance(flag, RefusedFlag):
            raise UsageError(f"--{flag.name}: {flag.reason}")
        idle.setdefault(flag.reason, []).append(f"--{flag.name}")
    for reason, names in idle.items():
        print(f"note: {', '.join(names)} {'has' if len(names) == 1 else 'have'} no effect: {reason}")


def _others(scripts: Sequence[Script]) -> Iterator[IdleFlag | RefusedFlag]:
    """The flags that no command has among its own, each once."""
    flags = {flag.name: flag for script in (*scripts, ABSL) for flag in script.flags}
    return (flag for flag in flags.values() if not isinstance(flag, HonouredFlag))
