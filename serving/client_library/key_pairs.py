"""Whether a private key is its certificate's; gRPC itself would only say, much later, that there is no connection."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path


def pair_problem(certificate: Path, key: Path) -> str | None:
    """Says what is wrong with a certificate and its private key.

    Args:
        certificate: A PEM file.
        key: Another, or the same.

    Returns:
        None where nothing is; an empty text where both are well and do not go together; else why they cannot be read.
    """
    try:
        # A password is never asked for: gRPC takes keys without one alone.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        return "" if error.reason == "KEY_VALUES_MISMATCH" else (error.reason or "unreadable").replace("_", " ").lower()
    return None


def pem_pair_problem(certificate: str, key: str) -> str | None:
    """Does the same with what would be in the files."""
    with tempfile.TemporaryDirectory() as folder:  # which nobody else can look into
        paths = Path(folder) / "certificate.pem", Path(folder) / "key.pem"
        for path, text in zip(paths, (certificate, key), strict=True):
            path.write_text(text, encoding="utf-8")
        return pair_problem(*paths)
