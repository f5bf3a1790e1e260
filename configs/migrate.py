"""Rewrites a pipeline config of the Object Detection API's TensorFlow 1 as one of TensorFlow 2 that trains here.

Names become TensorFlow 2's, a network that TensorFlow 2 has not becomes the nearest that is here, with the input,
anchors and head that it wants, and a checkpoint of TensorFlow 1 the TensorFlow 2 Detection Zoo's, for which a path is
still to be filled in. The text stays as it is written, comments included; each change is a line of the output, and a
comment in the file that says what was there. What cannot be done is told by the field's path. Ends with 2 if the new
config cannot be used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from configs.migrating.replacements import REPLACEMENTS
from configs.migrating.rewriting import Migrated, migrate_text
from configs.schema.pipeline_file import read_config_text
from configs.settings.plugins import add_plugin_argument
from data_prep.runtime.atomic_files import remove_leftovers, write_text
from data_prep.runtime.command_line import (
    EXIT_DONE,
    EXIT_USAGE,
    ArgumentParser,
    UserError,
    refuse_same_paths,
    run_command,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = ArgumentParser(
        description=__doc__ or "", example="  python -m configs.migrate pipeline.config --output migrated.config"
    )
    parser.add_argument("config", type=Path, metavar="CONFIG", help="the pipeline config, in protobuf text format")
    parser.add_argument("--output", type=Path, required=True, metavar="NEW", help="the config to write; another file")
    parser.add_argument(
        "--network",
        choices=[name for names in REPLACEMENTS.values() for name in names],
        default="",
        metavar="NAME",
        help="what takes the place of a network that is not here, in place of the nearest: "
        + ", ".join(name for names in REPLACEMENTS.values() for name in names),
    )
    parser.add_argument("--force", action="store_true", help="overwrite the output if it is there and is other")
    add_plugin_argument(parser)
    arguments = parser.parse_args(argv)
    source, output = arguments.config, arguments.output
    refuse_same_paths([("CONFIG", source), ("--output", output)])
    migrated = migrate_text(read_config_text(source), str(source), arguments.network)
    _write(output, migrated.text, is_forced=arguments.force)
    print(describe(migrated, str(source), str(output)))
    return EXIT_DONE if not migrated.left else EXIT_USAGE


def describe(migrated: Migrated, source: str, output: str) -> str:
    """A page about what was done and what was not: a line for each change, each problem left, and what is to fill."""
    count = len(migrated.changes)
    changes = f"{count} change{'s' if count > 1 else ''}" if count else "nothing to change"
    lines = [f"{source} -> {output}: {changes}", *(f"  changed  {change}" for change in migrated.changes)]
    lines += [f"  cannot   {problem}" for problem in migrated.left]
    lines += [f"  look at  {line}" for line in migrated.to_look_at]
    if migrated.loaded.unfilled:
        lines.append(f"  to fill  {', '.join(migrated.loaded.unfilled)}: replace PATH_TO_BE_CONFIGURED before a run")
    verdict = "can be used" if not migrated.left else "cannot be used as it is; python -m configs.check says more"
    return "\n".join([*lines, f"{output}: {verdict}"])


def _write(path: Path, text: str, *, is_forced: bool) -> None:
    """Writes the new config, whole or not at all, and never over a file that somebody may have edited.

    Raises:
        UserError: There is a file of other content.
    """
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        found = None
    if found is not None and found != text.encode() and not is_forced:
        raise UserError(f"{path} is there and says something else; name another --output, or give --force")
    remove_leftovers(path)
    write_text(path, text)


if __name__ == "__main__":
    run_command(main)
