"""Messages that are a choice of one thing among several."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from configs.schema.problem import Problem


def check_set(message: Any, path: str, usual: str) -> Iterator[Problem]:
    """Checks that the one oneof of a message is set.

    Args:
        message: Of a type with one oneof.
        path: Of the message.
        usual: What most people choose, for the advice.
    """
    oneof = message.DESCRIPTOR.oneofs[0]
    if message.WhichOneof(oneof.name) is None:
        yield Problem(path, "is not set", f"use {usual} {{ }}")
