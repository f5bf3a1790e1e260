"""A page in the browser, for a phone too: drop an image, see what a served detector finds, list the amenities.

    streamlit run serving/app.py -- --server localhost:8500 --model_name detector --label_map_path label_map.pbtxt

`python -m serving.app` with the same flags starts Streamlit itself. It needs requirements-app.txt.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main(argv: Sequence[str] | None = None) -> int:
    """Checks the flags and becomes `streamlit run`, which runs this file anew for every page."""
    from data_prep.runtime.command_line import UserError
    from serving.demonstration.settings import read_settings

    words = sys.argv[1:] if argv is None else list(argv)
    read_settings(words)
    if importlib.util.find_spec("streamlit") is None:
        raise UserError("streamlit is not installed; pip install -r requirements-app.txt")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", __file__, "--", *words])


def show() -> None:
    """Shows the page, or what is wrong with the words that `streamlit run` was given after its `--`."""
    from data_prep.runtime.command_line import UserError
    from serving.demonstration.page import show_mistake, show_page
    from serving.demonstration.settings import read_settings

    try:
        settings = read_settings(sys.argv[1:])
    except UserError as error:
        show_mistake(error)
    else:
        show_page(settings)


def _in_streamlit() -> bool:
    if "streamlit" not in sys.modules:
        return False
    from streamlit import runtime

    return bool(runtime.exists())


if __name__ == "__main__":
    if str(ROOT) not in sys.path:  # `streamlit run` puts this folder there, in which there is no `serving`
        sys.path.insert(0, str(ROOT))
    if _in_streamlit():
        show()
    else:
        from data_prep.runtime.command_line import run_command

        run_command(main)
