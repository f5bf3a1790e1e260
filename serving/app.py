"""A page in the browser, for a phone too: photos of a home in, the list of its amenities out, for a host to correct.

    python -m serving.app --server localhost:8500 --model_name detector --label_map_path label_map.pbtxt

It listens on this machine only; --host opens it up. It needs requirements-app.txt.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.demonstration.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
HERE = "localhost"
ALL_ADDRESSES = ("0.0.0.0", "::")


def main(argv: Sequence[str] | None = None) -> int:
    """Checks the flags and becomes `streamlit run`, which runs this file anew for every page."""
    from data_prep.runtime.command_line import UserError
    from data_prep.runtime.missing_packages import how_to_install
    from serving.client_library.channels import is_loopback
    from serving.demonstration.settings import read_settings

    words = sys.argv[1:] if argv is None else list(argv)
    settings = read_settings(words)
    if importlib.util.find_spec("streamlit") is None:
        raise UserError(f"streamlit is not installed; {how_to_install('app')}")
    if settings.host is not None and not is_loopback(f"{settings.host}:0"):
        print(f"listens at {settings.host}: whoever reaches it can use the page, which has no login", file=sys.stderr)
    sys.stdout.flush()
    own = words[: words.index("--")] if "--" in words else words
    command = [sys.executable, "-m", "streamlit", "run", __file__, *streamlit_flags(settings), "--", *own]
    os.execv(sys.executable, command)


def streamlit_flags(settings: Settings) -> list[str]:
    """Returns where Streamlit listens and what it says of it, and the flags that are its own."""
    host = settings.host or HERE
    told = socket.gethostname() if host in ALL_ADDRESSES else host
    port = [] if settings.port is None else [f"--server.port={settings.port}"]
    return [f"--server.address={host}", f"--browser.serverAddress={told}", *port, *settings.streamlit_flags]


def show() -> None:
    """Shows the page, or what is wrong with the words that `streamlit run` was given after its `--`."""
    from data_prep.runtime.command_line import UserError
    from serving.demonstration.page import show_mistake, show_page
    from serving.demonstration.settings import read_settings

    try:
        settings = read_settings(sys.argv[1:])
        _check_address(settings)
    except UserError as error:
        show_mistake(error)
    else:
        show_page(settings)


def _check_address(settings: Settings) -> None:
    """Raises UsageError where Streamlit was started otherwise than the flags say."""
    import streamlit as st

    from data_prep.runtime.command_line import UsageError

    for flag, given, option in (("--host", settings.host, "server.address"), ("--port", settings.port, "server.port")):
        if given is not None and given != st.get_option(option):
            raise UsageError(f"{flag} is for python -m serving.app; streamlit run takes --{option}, before its --")


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
