from __future__ import annotations

import pytest

from data_prep.downloading.download_errors import DownloadError, TransientError
from data_prep.runtime.url_credentials import without_credentials


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("http://user:secret@example.org/a.jpg", "http://***@example.org/a.jpg"),
        ("HTTPS://secret@example.org:8000/a@b.jpg?c=d@e", "HTTPS://***@example.org:8000/a@b.jpg?c=d@e"),
        ("http://user:sec@ret@example.org/", "http://***@example.org/"),
        ("http://user:secret@", "http://***@"),
        ("'ftp://user:secret@h/': only http", "'ftp://***@h/': only http"),
        ("http://u:secret@a/b led to http://v:secret@c/d", "http://***@a/b led to http://***@c/d"),
        ("--base_url=http://u:secret@a --x", "--base_url=http://***@a --x"),
        ("http://example.org/@someone/a.jpg", "http://example.org/@someone/a.jpg"),
        ("http://example.org: no answer to bob@example.org", "http://example.org: no answer to bob@example.org"),
        ("http://example.org/?mail=bob@example.org", "http://example.org/?mail=bob@example.org"),
        ("", ""),
    ],
)
def test_a_name_and_a_password_are_masked_and_nothing_else(text: str, masked: str) -> None:
    assert without_credentials(text) == masked
    assert without_credentials(masked) == masked


@pytest.mark.parametrize("kind", [DownloadError, TransientError])
def test_an_error_never_holds_them(kind: type[DownloadError]) -> None:
    error = kind("HTTP 404", "http://user:secret@example.org/a.jpg: gone")
    assert error.detail == "http://***@example.org/a.jpg: gone"
    assert "secret" not in f"{error} {error!r} {error.args}"


def test_a_long_text_takes_no_long_time() -> None:
    text = "a" * 100_000 + "@" + "http://" * 20_000
    assert without_credentials(text) == text
    assert without_credentials(f"{text}b@") == f"{text}***@"
