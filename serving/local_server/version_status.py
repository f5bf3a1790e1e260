"""What GetModelStatus says of a version."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import grpc


class VersionState(IntEnum):
    """Where a version is in its life, by the numbers of ModelVersionStatus.State."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class VersionStatus:
    """A version's place in its life.

    Attributes:
        state: Where it is.
        code: OK, or why it could not be loaded.
        message: Empty, or why it could not be loaded.
    """

    state: VersionState
    code: grpc.StatusCode = grpc.StatusCode.OK
    message: str = ""
