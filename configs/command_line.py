"""What the commands of this room share: flags, the config's path, errors in one line, and exit codes.

Exit codes: 0 done; 2 bad usage, or a config that cannot be read or used. This room imports no other, so these few lines
do for it what `data_prep.runtime.command_line` does for the rest.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from configs.schema.errors import ConfigError
from configs.settings.loading import add_config_arguments

EXIT_DONE = 0
EXIT_UNUSABLE = 2


class ConfigArgumentParser(argparse.ArgumentParser):
    """A parser for a command on configs: `command CONFIG` or `command --pipeline_config_path CONFIG`.

    It takes `--like_this` and `--like-this`, and shows an example.
    """

    def __init__(self, *, description: str, example: str, takes_several: bool = False) -> None:
        super().__init__(
            description=description,
            epilog=f"example:\n{example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self._takes_several = takes_several
        what = "pipeline configs" if takes_several else "the pipeline config"
        self.add_argument("configs", nargs="*", metavar="CONFIG", help=f"{what}, in protobuf text format")
        add_config_arguments(self, is_path_required=False)

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parses `args` (default: the command line's); `paths` of the result has the configs' paths."""
        words = [_with_underscores(word) for word in (sys.argv[1:] if args is None else args)]
        parsed, rest = super().parse_known_args(words, namespace)
        parsed.paths = list(parsed.configs)
        if parsed.pipeline_config_path:
            parsed.paths.append(parsed.pipeline_config_path)
        if not parsed.paths:
            self.error("name a pipeline config")
        if len(parsed.paths) > 1 and not self._takes_several:
            self.error(f"one pipeline config, not {len(parsed.paths)}: {', '.join(parsed.paths)}")
        return parsed, rest

    def error(self, message: str) -> NoReturn:
        """Prints `message` in one line and exits with code 2."""
        self.exit(EXIT_UNUSABLE, f"{self.prog}: error: {message} (--help shows an example)\n")


def run_command(main: Callable[[Sequence[str] | None], int]) -> NoReturn:
    """Runs `main` and exits with its code, turning a `ConfigError` into its lines on standard error."""
    try:
        code = main(None)
        sys.stdout.flush()
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        code = EXIT_UNUSABLE
    except BrokenPipeError:  # `... | head` closed our output: not a failure, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_DONE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}", file=sys.stderr)
        code = 1
    sys.exit(code)


def _with_underscores(word: str) -> str:
    if not word.startswith("--"):
        return word
    flag, equals, value = word.partition("=")
    return "--" + flag[2:].replace("-", "_") + equals + value
