"""Check that a TCP port is free, before a server is started on it, so that the error is one clear line."""

from __future__ import annotations

import contextlib
import errno
import socket

from data_prep.runtime.command_line import UsageError, UserError


def check_port_free(host: str, port: int, flag: str = "--port") -> None:
    """Checks that nothing listens at `port`.

    Args:
        host: The address to be listened at.
        port: The port; 0 is always free.
        flag: The flag that chooses it, for the message.

    Raises:
        UserError: It is in use, or not available.
        UsageError: `host` is no address of this machine.
    """
    if port == 0:
        return
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise UsageError(f"--host {host} is not an address: {error}") from error
    for family, kind, protocol, _, address in addresses:
        # An address family that this machine lacks is not one that something else could listen at.
        with contextlib.suppress(_MissingFamilyError), _socket(family, kind, protocol) as listener:
            try:
                listener.bind(address)
                listener.listen(1)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise UserError(f"port {port} is in use; choose another with {flag}") from error
                if error.errno == errno.EACCES:
                    raise UserError(f"port {port} needs privileges; choose one from 1024 with {flag}") from error
                if error.errno != errno.EADDRNOTAVAIL or host != "localhost":
                    raise UserError(f"cannot listen at {host}:{port}: {error.strerror}; see --host") from error


class _MissingFamilyError(Exception):
    """This machine has no such address family."""


def _socket(family: int, kind: int, protocol: int) -> socket.socket:
    try:
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _MissingFamilyError from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ports of closed connections count as free
    return listener
