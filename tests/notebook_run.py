"""Runs a notebook from its first cell to its last; as a command, keeps what it printed in the notebook.

    python -m tests.notebook_run docs/notebooks/own_data.ipynb

What is kept is what was printed, but for the folder of Python's packages, which is another on every machine.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

_PACKAGES = re.compile(r"/\S*/site-packages/")
_TIMEOUT_SECONDS = 3600.0  # of a cell: two busy cores take that long to train


def run_notebook(path: Path) -> Any:
    """Returns a notebook with the outputs of a run.

    Args:
        path: The notebook's; its cells are run in its folder, with the environment of this process.

    Raises:
        CellExecutionError: A cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=_TIMEOUT_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        coalesce_streams=True,
        record_timing=False,
    ).execute()
    return notebook


def texts_of(notebook: Any) -> Iterator[str]:
    """Yields all text that a notebook's cells have printed or shown."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if "text" in output:
                yield output["text"]
            yield from (text for kind, text in output.get("data", {}).items() if kind.startswith("text/"))


def main(words: list[str]) -> int:
    """Runs the command."""
    for path in map(Path, words):
        notebook = run_notebook(path)
        for cell in notebook.cells:
            for output in cell.get("outputs", ()):
                if "text" in output:
                    output["text"] = _PACKAGES.sub(".../", output["text"])
        notebook.metadata.language_info = {"name": "python"}  # without the version that it was run with
        nbformat.write(notebook, path)
        print(f"ran {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
