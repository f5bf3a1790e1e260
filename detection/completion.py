"""Completion in bash: a function that completes the names of commands, and asks `--help` for a command's flags."""

from __future__ import annotations

import re
from collections.abc import Sequence

SHELLS = ("bash",)
_FLAG = re.compile(r"^  (?:-\w(?: \w+)?, )?(--[a-z]\w*)", re.MULTILINE)
_BASH = """\
_detection() {
    local word="${COMP_WORDS[COMP_CWORD]}" program="${COMP_WORDS[0]##*/}" command
    COMPREPLY=()
    if [[ $program == PREFIX* ]]; then
        command="${program#PREFIX}"
    elif (( COMP_CWORD == 1 )); then
        COMPREPLY=($(compgen -W "COMMANDS --completion --compat_path --help --version" -- "$word"))
        return
    else
        command="${COMP_WORDS[1]}"
    fi
    if [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$(detection --flags_of "$command" 2> /dev/null)" -- "$word"))
    fi
}
complete -o default -F _detection detection PROGRAMS
"""


def completion_script(names: Sequence[str], prefix: str) -> str:
    """Returns what bash reads by `eval "$(detection --completion bash)"`.

    Args:
        names: Of the commands.
        prefix: Which begins the names of programs that run one command.
    """
    programs = " ".join(prefix + name.replace("_", "-") for name in names)
    script = _BASH.replace("PREFIX", prefix).replace("COMMANDS", " ".join(names))
    return script.replace("PROGRAMS", programs)


def flags_in(help_text: str) -> list[str]:
    """Returns the flags that a command's `--help` lists."""
    return _FLAG.findall(help_text)
