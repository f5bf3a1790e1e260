"""Says whether training here can do all that pipeline configs ask for: every problem at once, and what to know.

A field is honoured, refused (with what to write instead), or noted as having no effect. Paths that are still to be
filled in are no problem here, so that a recipe can be checked as it is. Ends with 2 if any config cannot be used.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from configs.schema.problem import ConfigError
from configs.settings.loading import ConfigArgumentParser, LoadedConfig, load_config
from data_prep.runtime.command_line import EXIT_DONE, EXIT_USAGE, run_command


def describe_verdict(loaded: LoadedConfig) -> str:
    """A page about one config: the verdict, then a line for each problem, each dropped field and each note."""
    problems = [*loaded.problems, *loaded.training_problems]
    verdict = "can be used"
    if problems:
        verb = "used" if loaded.problems else "trained, only evaluated and exported"
        verdict = f"cannot be {verb}: {len(problems)} problem{'s' if len(problems) > 1 else ''}"
    lines = [f"{loaded.where}: {verdict}"]
    lines += [f"  problem  {problem}" for problem in problems]
    lines += [f"  warning  {warning}" for warning in loaded.warnings]
    lines += [f"  note     {note}" for note in loaded.notes]
    if loaded.unfilled:
        lines.append(f"  to fill  {', '.join(loaded.unfilled)}: replace PATH_TO_BE_CONFIGURED before a run")
    return "\n".join(lines)


def _without_path(problem: str, path: str) -> str:
    """A problem of a file's text in words that go below the file's path: its line and column, and what is wrong."""
    place = re.match(r":(\d+):(\d+): ", problem.removeprefix(path))
    if place is None:
        return problem.removeprefix(f"{path}: ")
    return f"line {place[1]}, column {place[2]}: {problem[len(path) + place.end() :]}"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = ConfigArgumentParser(
        description=__doc__ or "",
        example="  python -m configs.check pipeline.config\n  python -m configs.check configs/*.config",
        takes_several=True,
    )
    arguments = parser.parse_args(argv)
    usable = 0
    for path in arguments.paths:
        try:
            loaded = load_config(path, arguments.config_override, arguments.ignore_unsupported)
        except ConfigError as error:
            print(f"{path}: cannot be loaded")
            print("\n".join(f"  problem  {_without_path(problem, path)}" for problem in error.problems))
            continue
        print(describe_verdict(loaded))
        usable += not loaded.problems and not loaded.training_problems
    if len(arguments.paths) > 1:
        print(f"{len(arguments.paths)} configs: {usable} can be used, {len(arguments.paths) - usable} cannot")
    return EXIT_DONE if usable == len(arguments.paths) else EXIT_USAGE


if __name__ == "__main__":
    run_command(main)
