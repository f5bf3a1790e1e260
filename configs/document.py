"""Writes docs/config.md and docs/migration.md, which are made of the settings, the schema and its comments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from configs.settings.documentation import config_page, migration_page
from data_prep.runtime.atomic_files import write_text
from data_prep.runtime.command_line import EXIT_DONE, EXIT_FAILED, ArgumentParser, run_command

_PAGES = {"config.md": config_page, "migration.md": migration_page}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = ArgumentParser(description=__doc__ or "", example="  python -m configs.document")
    parser.add_argument("--output_directory", type=Path, default=Path("docs"), help="where the pages are")
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 if a page is out of date")
    arguments = parser.parse_args(argv)
    is_current = True
    for name, page in _PAGES.items():
        path = arguments.output_directory / name
        text = page()
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            print(f"{path} is up to date")
            continue
        if not arguments.check:
            write_text(path, text)
        is_current = is_current and not arguments.check
        print(f"{path} is out of date" if arguments.check else f"wrote {path}")
    return EXIT_DONE if is_current else EXIT_FAILED


if __name__ == "__main__":
    run_command(main)
