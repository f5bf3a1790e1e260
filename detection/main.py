"""The command `detection`: lists the project's commands, runs one by its name, and completes their names in bash."""

from __future__ import annotations

import contextlib
import difflib
import importlib.util
import io
import runpy
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from data_prep.runtime.command_line import (
    EXIT_DONE,
    EXIT_FAILED,
    ArgumentParser,
    UsageError,
    UserError,
    run_command,
)
from data_prep.runtime.missing_packages import missing_package
from data_prep.runtime.quiet_grpc import quiet_grpc
from detection import __version__
from detection.commands import ROOMS, ROOT, Command, command_called, find_commands
from detection.completion import SHELLS, completion_script, flags_in

PREFIX = "detection-"  # of the programs that run one command
EXAMPLE = """  detection client --server localhost:8500 --model_name detector photo.jpg
  detection train --help
  eval "$(detection --completion bash)"       # in ~/.bashrc: Tab completes commands and flags"""


def main() -> None:
    """Runs `detection`, or the command that a program such as `detection-client` is named after, and exits."""
    run_command(run)


def run(argv: Sequence[str] | None = None) -> int:
    """Runs the command that the words name, or lists all; returns the exit code.

    Raises:
        UsageError: There is no such command, or another package lies over one of the project's.
        UserError: The command needs a package that is not installed.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    program = Path(sys.argv[0]).stem
    if program.startswith(PREFIX):
        words.insert(0, program.removeprefix(PREFIX))
    commands = find_commands()
    if words and not words[0].startswith("-"):
        return _run(_named(words[0], commands), words[1:])
    flags = _parser().parse_args(words)
    if flags.completion is not None:
        print(completion_script([command.name for command in commands], PREFIX))
    elif flags.flags_of is not None:
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            _run(_named(flags.flags_of, commands), ["--help"])
        print("\n".join(flags_in(shown.getvalue())))
    elif flags.compat_path:
        print(compat_path())
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print(listing(commands, width))
    return EXIT_DONE


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        description="Runs a command of the project, or lists them all.\n\n    detection COMMAND ...", example=EXAMPLE
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--completion", choices=SHELLS, help="print what makes this shell complete commands and flags")
    parser.add_argument("--flags_of", metavar="COMMAND", help="print the flags of a command, one a line")
    parser.add_argument(
        "--compat_path",
        action="store_true",
        help="print the folder that PYTHONPATH needs for scripts that import object_detection",
    )
    return parser


def listing(commands: Sequence[Command], width: int | None) -> str:
    """Returns all commands with a line each, room by room.

    Args:
        commands: All of them.
        width: Of the terminal, in characters: longer lines are cut; None for no terminal.
    """
    lines = [f"object-detection-road {__version__}", ""]
    longest = max(len(command.name) for command in commands)
    for room, title in ROOMS.items():
        lines.append(f"{title} ({room})")
        for command in commands:
            if command.room == room:
                summary = command.summary
                if width is not None:
                    summary = textwrap.shorten(summary, max(20, width - longest - 4), placeholder=" ...")
                lines.append(f"  {command.name:<{longest}}  {summary}")
        lines.append("")
    return "\n".join([*lines, "detection COMMAND --help shows a command's flags and an example"])


def compat_path() -> Path:
    """Returns the folder that holds the package `object_detection`, in a checkout or where the project is installed.

    Raises:
        UserError: It is in neither place.
    """
    for folder in (ROOT / "compat", ROOT / "detection" / "compat"):
        if (folder / "object_detection").is_dir():
            return folder
    raise UserError(f"the package object_detection is neither in {ROOT / 'compat'} nor in {ROOT / 'detection'}")


def _named(name: str, commands: Sequence[Command]) -> Command:
    command = command_called(name, commands)
    if command is None:
        near = difflib.get_close_matches(name.replace("-", "_"), [command.name for command in commands], 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"there is no command {name!r}{meant} (detection lists them all)")
    return command


def _run(command: Command, words: list[str]) -> int:
    """Runs a command as `python -m` does; returns its exit code."""
    _check_rooms()
    quiet_grpc()
    # Plugins and the like are looked for in the working folder, after all that is installed.
    sys.path.append(str(Path.cwd()))
    sys.argv[1:] = words
    ArgumentParser.program = f"detection {command.name}"
    try:
        # As __main__, so that worker processes find the command's functions by its module's name.
        runpy.run_module(command.module, run_name="__main__", alter_sys=True)
    except ImportError as error:
        message = missing_package(error, command.module)
        if message is None:
            raise
        raise UserError(message) from error
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        return ended.code if isinstance(ended.code, int) else EXIT_DONE if ended.code is None else EXIT_FAILED
    return EXIT_DONE


def _check_rooms() -> None:
    """Raises UsageError where Python finds another package or module by the name of one of the project's."""
    for room in ROOMS:
        found = importlib.util.find_spec(room)
        origin = found.origin if found is not None else None
        if origin is None or not Path(origin).parent.samefile(ROOT / room):
            raise UsageError(
                f"the package {room} of object-detection-road is {ROOT / room}, and Python finds "
                f"{origin or 'a folder of this name'} first; "
                "rename that, take it out of PYTHONPATH, or install into an environment of its own"
            )
