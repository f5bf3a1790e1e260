"""Shows what a pipeline config means here: its text with every default, and what it does in plain words.

Lines that begin with # are defaults of what the config leaves unset, or what to know; the page as a whole is a config
that reads back to the same. The recipe that it is nearest to is named, with what differs. Parameters, anchors by level
and memory need the network, and come last, after some seconds; --no_model leaves them out. --diff lists the fields in
which another config differs, defaults included.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from configs.schema import pipeline_file
from configs.settings.loading import ConfigArgumentParser, LoadedConfig, examine, load_config
from configs.settings.plugins import FLAG as PLUGIN
from configs.views.annotated import annotated_text
from configs.views.leaves import Leaf, differences
from configs.views.nearest_recipe import nearest_recipe, read_recipes
from configs.views.summary import summarize
from data_prep.runtime.child_environment import command_environment
from data_prep.runtime.command_line import EXIT_DONE, run_command

_MODEL_SUMMARY_TIMEOUT_SECONDS = 600
_CHOOSING = "docs/choosing_a_recipe.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = ConfigArgumentParser(
        description=__doc__ or "",
        example="  python -m configs.show pipeline.config\n"
        "  python -m configs.show pipeline.config --diff configs/ssd_resnet50_v1_fpn_640.config",
    )
    parser.add_argument("--diff", metavar="OTHER", help="list the fields in which this other config differs, and end")
    parser.add_argument("--no_model", action="store_true", help="do not build the network")
    arguments = parser.parse_args(argv)
    (path,) = arguments.paths
    loaded = load_config(path, arguments.config_override, arguments.ignore_unsupported)
    if arguments.diff:
        print(describe_differences(loaded, load_config(arguments.diff)))
        return EXIT_DONE
    file = pipeline_file.read_pipeline_config(path)
    merged = pipeline_file.merge(file, arguments.config_override)
    print(f"# {path}, as training here reads it. Lines that begin with # are defaults, and what to know.\n")
    print(annotated_text(loaded.config, file, merged))
    described = loaded if loaded.settings is not None else _without_what_is_refused(loaded)
    if described.settings is not None:
        print(_as_comments("In words", summarize(described.config, described.settings)))
    near = _nearest_recipe(loaded.config)
    if near:
        print(_as_comments("Nearest recipe", near))
    to_know = [*loaded.warnings, *map(str, loaded.notes), *(f"{one} (to train)" for one in loaded.training_problems)]
    if to_know:
        print(_as_comments("To know", [("", line) for line in to_know]))
    if loaded.problems:
        refused = [("", str(problem)) for problem in loaded.problems]
        print(_as_comments("Refused, so that nothing runs", refused))
    elif not arguments.no_model:
        print("#\n# The network, which takes some seconds:", flush=True)
        print(_model_summary(path, arguments))
    return EXIT_DONE


def _without_what_is_refused(loaded: LoadedConfig) -> LoadedConfig:
    """The same config as `--ignore_unsupported` with all that is refused would have it."""
    paths = [problem.path for problem in loaded.problems]
    return examine(loaded.config, loaded.where, paths)


def _nearest_recipe(config: Any) -> list[tuple[str, str]]:
    """The recipe that a config is nearest to, and what differs; nothing where there is none."""
    found = nearest_recipe(config, read_recipes())
    if found is None:
        return []
    lines = [("recipe", f"configs/{found.name}.config, at distance {found.distance:.3g}; {_CHOOSING} compares recipes")]
    lines += [("differs in", "; ".join(found.network))] if found.network else []
    return lines + ([("training", "; ".join(found.training))] if found.training else [])


def describe_differences(left: LoadedConfig, right: LoadedConfig) -> str:
    """A line for each field in which two configs differ: path, value in the one, value in the other."""
    found = differences(left.config, right.config)
    if not found:
        return f"{left.where} and {right.where} mean the same"
    lines = [f"{left.where}  ->  {right.where}"]
    lines += [f"{found.path}: {_shown(found.left)}  ->  {_shown(found.right)}" for found in found]
    return "\n".join(lines)


def _shown(leaf: Leaf | None) -> str:
    if leaf is None:
        return "(not there)"
    return f"{leaf.value} (default)" if leaf.is_default else leaf.value


def _as_comments(title: str, lines: Sequence[tuple[str, str]]) -> str:
    width = max((len(name) + 2 for name, _ in lines if name), default=0)
    return "\n".join(["#", f"# {title}:", *(f"#   {name:<{width}}{text}" for name, text in lines)])


def _model_summary(path: str, arguments: Any) -> str:
    """The network's part of the page, from a process of its own: this room neither imports nor waits for TensorFlow."""
    command = [sys.executable, "-m", "train.model_summary", "--pipeline_config_path", path, "--json"]
    if arguments.config_override:
        command += ["--config_override", arguments.config_override]
    if arguments.ignore_unsupported:
        command += ["--ignore_unsupported", *arguments.ignore_unsupported]
    for module in arguments.plugin:
        command += [PLUGIN, module]
    try:
        done = subprocess.run(
            command,
            env=command_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=_MODEL_SUMMARY_TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"#   not known: building it took more than {_MODEL_SUMMARY_TIMEOUT_SECONDS} seconds"
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        return f"#   not known: {said[-1].removeprefix('error: ') if said else 'train.model_summary failed'}"
    lines = json.loads(done.stdout.splitlines()[-1])["lines"]
    return "\n".join(f"#   {line}".rstrip() for line in lines)


if __name__ == "__main__":
    run_command(main)
