"""A gRPC status as an exception, raised where something is found wrong and sent where the call ends."""

from __future__ import annotations

import grpc

MAX_MESSAGE_LENGTH = 1000  # gRPC sends it in a header, which has to stay small

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class StatusError(Exception):
    """The status that a call ends with.

    Attributes:
        code: The gRPC status code.
        message: One line.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        line = " ".join(message.split())
        super().__init__(line[:MAX_MESSAGE_LENGTH])
        self.code = code
        self.message = line[:MAX_MESSAGE_LENGTH]

    def without_frames(self) -> StatusError:
        """Returns the same status, for keeping.

        One that was raised holds the frames that it passed through, and with them the request; kept where these frames
        see it, the two would hold each other, until the garbage collector comes by: many messages of 60 MB later.
        """
        return StatusError(self.code, self.message)


def invalid_argument(message: str) -> StatusError:
    """Returns the status of a request that would be as wrong a second time."""
    return StatusError(grpc.StatusCode.INVALID_ARGUMENT, message)


def code_of_number(number: int) -> grpc.StatusCode:
    """Returns the status code with `number`, which TensorFlow's errors share with gRPC; UNKNOWN where there is none."""
    return _CODES.get(number, grpc.StatusCode.UNKNOWN)
