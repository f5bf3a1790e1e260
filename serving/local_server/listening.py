"""Address, port and TLS of a gRPC server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import grpc

from data_prep.runtime.command_line import UsageError, UserError
from serving.client_library.key_pairs import pem_pair_problem


def address_of(host: str, port: int) -> str:
    """Returns `host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def channel_arguments(text: str) -> list[tuple[str, Any]]:
    """Reads gRPC's options as `--grpc_channel_arguments` has them: `name=value,...`, values that are numbers as such.

    Raises:
        UsageError: A part has no `=`.
    """
    options: list[tuple[str, Any]] = []
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if not equals or not name:
            raise UsageError(f"--grpc_channel_arguments: {part!r} is not name=value")
        options.append((name, int(value) if re.fullmatch(r"-?\d{1,9}", value) else value))
    return options


def bind_socket(server: grpc.Server, path: Path, ssl_config: Any = None) -> None:
    """Lets `server` listen at a UNIX socket as well, once it is started.

    Raises:
        UserError: The socket cannot be made, or the keys are no PEM.
    """
    try:
        taken = (
            server.add_insecure_port(f"unix:{path}")
            if ssl_config is None
            else server.add_secure_port(f"unix:{path}", credentials_of(ssl_config))
        )
    except RuntimeError:
        taken = 0
    if not taken:
        raise UserError(f"cannot listen at --grpc_socket_path {path}: see that its folder is there and can be written")


def bind_port(server: grpc.Server, host: str, port: int, ssl_config: Any = None) -> int:
    """Lets `server` listen, once it is started.

    Args:
        server: One that has not been started.
        host: The address.
        port: The TCP port; 0 for any free one.
        ssl_config: An SSLConfig message, for TLS; None for plain text.

    Returns:
        The port.

    Raises:
        UserError: The port is not available, or the keys are no PEM.
    """
    try:
        if ssl_config is None:
            taken = server.add_insecure_port(address_of(host, port))
        else:
            taken = server.add_secure_port(address_of(host, port), credentials_of(ssl_config))
    except RuntimeError as error:
        taken, reason = 0, str(error)
    else:
        reason = "gRPC does not say why"
    if not taken:
        keys = "" if ssl_config is None else "; see whether the keys in --ssl_config_file are PEM"
        raise UserError(f"cannot listen at {host}:{port} ({reason}); choose another with --port{keys}")
    return taken


def credentials_of(ssl_config: Any) -> grpc.ServerCredentials:
    """Returns what an SSLConfig message says.

    Raises:
        UserError: It lacks a key, or the authorities that clients are to be checked by, or the key is another's.
    """
    if not ssl_config.server_key or not ssl_config.server_cert:
        raise UserError("--ssl_config_file needs server_key and server_cert, both as PEM text")
    if ssl_config.client_verify and not ssl_config.custom_ca:
        raise UserError("--ssl_config_file: client_verify needs custom_ca, whose certificates clients are checked by")
    problem = pem_pair_problem(ssl_config.server_cert, ssl_config.server_key)
    if problem is not None:
        reason = problem or "the key is not the certificate's"
        raise UserError(
            f"--ssl_config_file: server_key and server_cert: {reason}; both are PEM, the key without password"
        )
    return grpc.ssl_server_credentials(
        [(ssl_config.server_key.encode(), ssl_config.server_cert.encode())],
        root_certificates=ssl_config.custom_ca.encode() or None,
        require_client_auth=ssl_config.client_verify,
    )
