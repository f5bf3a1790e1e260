"""Why no connection to a server comes about, in words: from what gRPC says of it."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable

from serving.client_library.channels import is_loopback

# gRPC puts the cause last: "failed to connect to all addresses; last error: ...: Connection refused (111)"
_LAST_ERROR = "last error: "
_START_ONE = "start one with python -m serving.serve --model_name {model} --model_base_path ..."
_NO_AUTHORITY = "unable to get local issuer certificate"
_VERIFY_FAILED = re.compile(r"CERTIFICATE_VERIFY_FAILED: (?P<why>[^:]+)")
_RESOLVING = re.compile(
    r"(Domain name not found|Name or service not known|Misformatted domain name|DNS server returned)"
)


def connection_fault(details: str, server: str, model_name: str, *, encrypted: bool) -> str:
    """Says why a connection to a server did not come about, and what to do.

    Args:
        details: gRPC's words, in one line.
        server: Where was asked.
        model_name: Which model, for the command that would serve it.
        encrypted: Whether the client speaks TLS.

    Returns:
        A sentence without a full stop. What is not known is told in gRPC's words.
    """
    cause = details.rsplit(_LAST_ERROR, 1)[-1].removeprefix("UNKNOWN: ").removeprefix("UNAVAILABLE: ")
    is_refused = "onnection refused" in cause
    start_one = _START_ONE.format(model=model_name)
    sentences: tuple[tuple[bool, Callable[[], str]], ...] = (
        (
            is_refused and not _listens(server),
            lambda: (
                f"no server answers at {server}: Connection refused, nothing listens at this port; give "
                f"another, or {start_one}"
            ),
        ),
        # Of a name with two addresses gRPC tells the last: it is refused there, where the first was not understood.
        (is_refused, lambda: _no_grpc(server)),
        ("Failed parsing HTTP/2" in cause or "SETTINGS frame" in cause, lambda: _no_grpc(server)),
        ("WRONG_VERSION_NUMBER" in cause, lambda: _no_tls(server)),
        ("CERTIFICATE_VERIFY_FAILED" in cause, lambda: _not_trusted(cause, server)),
        ("Hostname Verification Check failed" in cause, lambda: _other_name(server)),
        (
            bool(_RESOLVING.search(cause)),
            lambda: f"no machine is known by the name in {server}; check its spelling",
        ),
        # After a connection stood, the same words mean that a server went away.
        (_LAST_ERROR in details and "Socket closed" in cause, lambda: _closed_at_once(server, encrypted)),
    )
    for is_it, sentence in sentences:
        if is_it:
            return sentence()
    return f"no server answers at {server}: {cause}; {start_one}"


def _listens(server: str) -> bool:
    """Whether something of this machine takes connections there; other machines, which may be slow, are not asked."""
    host, _, port = server.rpartition(":")
    if not is_loopback(server) or not port.isdigit():
        return False
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=1).close()
    except TimeoutError:  # its queue is full: it listens, and does nothing else
        return True
    except OSError:
        return False
    return True


def _no_grpc(server: str) -> str:
    return (
        f"what listens at {server} does not speak gRPC; a model server has two ports, of which this may be REST's "
        "(8501 by default): give gRPC's (8500)"
    )


def _no_tls(server: str) -> str:
    return f"what listens at {server} does not speak TLS; leave --tls, --ca_file and --client_certificate_file out"


def _not_trusted(cause: str, server: str) -> str:
    found = _VERIFY_FAILED.search(cause)
    why = found["why"].strip() if found else ""
    if not why or why == _NO_AUTHORITY or why.startswith("self"):
        return (
            f"the certificate of {server} is of no authority that is trusted; give the PEM of the one that signed it "
            "as --ca_file"
        )
    return f"the certificate of {server} is not valid: {why}"


def _other_name(server: str) -> str:
    return (
        f"the certificate of {server} is for another name: it has to carry {server.rpartition(':')[0]!r}, or what "
        "--tls_server_name says; give there the name that it carries"
    )


def _closed_at_once(server: str, encrypted: bool) -> str:
    if encrypted:
        return (
            f"the server at {server} closes the connection; it may want a client's certificate: give "
            "--client_certificate_file and --client_key_file of an authority that it trusts"
        )
    return (
        f"the server at {server} closes the connection before the first answer; it may speak TLS: give --tls, or "
        "--ca_file with the PEM of its authority"
    )
