"""Connection of a client to a server: its address, TLS, and the metadata of every request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from data_prep.runtime.command_line import UsageError, UserError
from serving.client_library.channels import DEFAULT_MAX_MESSAGE_MEBIBYTES, MEBIBYTE, client_options, is_loopback
from serving.client_library.key_pairs import pair_problem

MAX_PEM_BYTES = MEBIBYTE
MAX_API_KEY_BYTES = 8192  # as much as servers take of all headers together

_METADATA_KEY = re.compile(r"[0-9a-z_.-]+")
_METADATA_VALUE = re.compile(r"[\x20-\x7e]*")
_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_GRPC_SCHEMES = ("dns", "ipv4", "ipv6", "unix", "unix-abstract", "xds", "vsock")
_HOST_AND_PORT = re.compile(r"(\[[^\[\]]+\]|[^\s:/\[\]]+):(?P<port>[0-9]{1,6})")
_LARGEST_PORT = 65535
# Every server that a name stands for gets its share: a Kubernetes headless service is one name for all its pods.
_ROUND_ROBIN = ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}')


@dataclass(frozen=True)
class Connection:
    """Address, TLS and metadata of a server's connection; checked when it is made.

    Attributes:
        server: `host:port`; or `ipv4:HOST:PORT,HOST:PORT` for several servers of the same model, asked in turn.
        tls: Speak TLS, trusting the system's authorities where no `ca_file` is given.
        ca_file: PEM of the authorities that the server's certificate is checked against; turns TLS on.
        client_certificate_file: PEM by which the client proves who it is (mutual TLS), with `client_key_file`.
        client_key_file: The certificate's private key, PEM.
        tls_server_name: The name that the server's certificate must carry, where it is not that of `server`.
        metadata: Pairs of key and value that each request carries, such as `("x-api-key", "...")`.
        max_message_mebibytes: The largest request and answer.
    """

    server: str
    tls: bool = False
    ca_file: Path | None = None
    client_certificate_file: Path | None = None
    client_key_file: Path | None = None
    tls_server_name: str | None = None
    metadata: Sequence[tuple[str, str]] = ()
    max_message_mebibytes: int = DEFAULT_MAX_MESSAGE_MEBIBYTES

    def __post_init__(self) -> None:
        """Checks what was given.

        Raises:
            UserError: The server is no `host:port`.
            UsageError: Flags that do not go together, or a metadata pair that HTTP/2 cannot carry.
        """
        check_address(self.server)
        if (self.client_certificate_file is None) != (self.client_key_file is None):
            raise UsageError("a client certificate and its key are given together, or neither")
        if self.tls_server_name is not None and not self.encrypted:
            raise UsageError("a TLS server name without TLS; add --tls or --ca_file")
        for key, value in self.metadata:
            check_metadata(key, value)

    @property
    def encrypted(self) -> bool:
        """Whether TLS is spoken."""
        return self.tls or self.ca_file is not None or self.client_certificate_file is not None

    @property
    def max_message_bytes(self) -> int:
        """The largest request and answer."""
        return self.max_message_mebibytes * MEBIBYTE

    @property
    def sends_metadata_unencrypted(self) -> bool:
        """Whether metadata, which may hold a key, goes unencrypted to another machine."""
        return bool(self.metadata) and not self.encrypted and not is_loopback(self.server)

    def open_channel(self) -> Any:
        """Returns a `grpc.Channel`; nothing is sent before the first call.

        Raises:
            UsageError: A PEM file is missing or holds nothing of the kind, or a key is not its certificate's.
        """
        if self.encrypted:
            return grpc.secure_channel(self.server, self._credentials(), options=self._options())
        return grpc.insecure_channel(self.server, options=self._options())

    def open_async_channel(self) -> Any:
        """Returns a `grpc.aio.Channel` of the running event loop.

        Raises:
            UsageError: As `open_channel`.
        """
        if self.encrypted:
            return grpc.aio.secure_channel(self.server, self._credentials(), options=self._options())
        return grpc.aio.insecure_channel(self.server, options=self._options())

    def _options(self) -> list[tuple[str, Any]]:
        options = [*client_options(self.server, self.max_message_bytes), _ROUND_ROBIN]
        if self.tls_server_name is not None:
            options.append(("grpc.ssl_target_name_override", self.tls_server_name))
        return options

    def _credentials(self) -> Any:
        if self.client_certificate_file is not None and self.client_key_file is not None:
            _require_pair(self.client_certificate_file, self.client_key_file)
        return grpc.ssl_channel_credentials(
            _read_pem(self.ca_file, "CERTIFICATE"),
            _read_pem(self.client_key_file, "PRIVATE KEY"),
            _read_pem(self.client_certificate_file, "CERTIFICATE"),
        )


def check_address(server: str) -> None:
    """Checks that gRPC can take an address: `host:port`, `[IPv6]:port`, or a target of one of its own schemes.

    Raises:
        UserError: It cannot.
    """
    url = _URL.match(server)
    if url and url["scheme"] not in _GRPC_SCHEMES:
        tls = ", with --tls" if url["scheme"] == "https" else ""
        host = url["rest"].partition("/")[0]
        if not host.rpartition("]")[2].rpartition(":")[2].isdigit():  # the browser's port is not the model server's
            host = f"{host or 'localhost'}:8500"
        raise UserError(f"server {server!r} is a URL; give host:port, here {host}{tls}")
    if server.partition(":")[0] in _GRPC_SCHEMES:
        return
    found = _HOST_AND_PORT.fullmatch(server)
    if found is None and ":" not in server:
        raise UserError(f"server {server!r} has no port; give host:port, such as localhost:8500")
    if found is None or not 1 <= int(found["port"]) <= _LARGEST_PORT:
        raise UserError(f"server {server!r} is not host:port with a port from 1 to {_LARGEST_PORT}")


def check_metadata(key: str, value: str) -> None:
    """Checks that gRPC can carry the pair.

    Raises:
        UsageError: It cannot. The message does not tell the value, which may be a secret.
    """
    if not _METADATA_KEY.fullmatch(key) or key.startswith("grpc-") or key.endswith("-bin"):
        raise UsageError(
            f"metadata key {key!r}: small letters, digits, '-', '_' and '.' only; names with grpc- or -bin are gRPC's"
        )
    if not _METADATA_VALUE.fullmatch(value):
        raise UsageError(f"the value of metadata key {key!r} has characters other than printable ASCII")


def read_api_key(path: Path) -> str:
    """Returns the key that a file holds, without the line break at its end.

    Raises:
        UsageError: The file cannot be read, is empty, or is too large for a key.
    """
    try:
        content = path.read_bytes()[: MAX_API_KEY_BYTES + 1]
    except OSError as error:
        raise UsageError(f"API key file {path}: {error.strerror}") from error
    key = content.decode("ascii", "replace").strip()
    if not key or len(content) > MAX_API_KEY_BYTES:
        raise UsageError(f"API key file {path}: {'empty' if not key else 'too large for a key'}")
    return key


def _require_pair(certificate: Path, key: Path) -> None:
    """Checks that a private key is its certificate's; gRPC itself would only say that no server answers.

    Raises:
        UsageError: It is not, or one of them cannot be read.
    """
    for path, kind in ((certificate, "CERTIFICATE"), (key, "PRIVATE KEY")):
        _read_pem(path, kind)
    problem = pair_problem(certificate, key)
    if problem == "":
        raise UsageError(f"{key} is not the private key of the certificate {certificate}")
    if problem is not None:
        raise UsageError(f"{certificate} with {key}: {problem}; give PEM files, the key without a password")


def _read_pem(path: Path | None, kind: str) -> bytes | None:
    """Returns a PEM file's content; gRPC itself would only say, much later, that no server answers."""
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            content = file.read(MAX_PEM_BYTES)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    if f"{kind}-----".encode() not in content:
        raise UsageError(f"{path} holds no PEM block of a {kind.lower()}")
    return content
