"""Errors of fetching a URL: permanent ones, and those after which a retry may succeed."""

from __future__ import annotations

from data_prep.runtime.url_credentials import without_credentials


class DownloadError(Exception):
    """A URL that could not be fetched.

    Attributes:
        reason: A few words from a small fixed set, for counting.
        detail: What was seen.
        permanent: Whether another run would meet the same: the image is gone, or is not what it should be. What other
            flags would let pass is not.
    """

    def __init__(self, reason: str, detail: str = "", *, permanent: bool = True) -> None:
        detail = without_credentials(detail)  # here, since a detail nearly always names a URL
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.permanent = permanent


class TransientError(DownloadError):
    """A failure after which a retry may succeed.

    Attributes:
        retry_after_seconds: What the server asked to wait, if it did.
        status: The HTTP status; None where no answer came.
    """

    def __init__(
        self, reason: str, detail: str, *, retry_after_seconds: float | None = None, status: int | None = None
    ) -> None:
        super().__init__(reason, detail, permanent=False)
        self.retry_after_seconds = retry_after_seconds
        self.status = status
