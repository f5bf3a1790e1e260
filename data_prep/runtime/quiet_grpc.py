"""gRPC without the lines of its own source files on the terminal, for commands."""

from __future__ import annotations

import os


def quiet_grpc() -> None:
    """Keeps what gRPC writes of a connection that fails off the terminal; the errors here say it in words.

    To be called before gRPC is imported, which is when it looks, and by commands alone: a program that imports the
    client finds its environment as it was. A `GRPC_VERBOSITY` that is set already is left alone.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
