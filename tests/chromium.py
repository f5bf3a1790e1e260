"""Headless Chromium for the tests that open a page; where there is none they are skipped, with one reason."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# It asks nobody but the tests' own servers: no other name is looked up, and what it does by itself is off.
QUIET = (
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    "--disable-background-networking", "--disable-component-update", "--disable-domain-reliability",
    "--disable-quic", "--disable-sync", "--no-first-run", "--no-pings",
)  # fmt: skip


@contextlib.contextmanager
def chromium(*flags: str) -> Iterator[Any]:
    """Starts Chromium, from $CHROMIUM or the path, with `flags` beside its own; yields Playwright's browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (requirements-dev.txt)")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no Chromium, named by $CHROMIUM or on the path as {', '.join(NAMES)}: no page is opened")
    with playwright.sync_playwright() as started:
        # Root, as in containers, has no sandbox; the pages are the tests' own.
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox", *QUIET, *flags])
        yield browser
        browser.close()
