"""An image server on loopback that answers every request after a while, with next to no CPU time of its own.

    python -m tests.benchmarks.slow_server IMAGE.jpg 0.1

Prints its port; every path is that image.
"""

import asyncio
import sys
from pathlib import Path


class Answers(asyncio.Protocol):
    """Answers one request after another on one connection, `delay_seconds` after each."""

    def __init__(self, answer: bytes, delay_seconds: float) -> None:
        self.answer = answer
        self.delay_seconds = delay_seconds
        self.received = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        while b"\r\n\r\n" in self.received:
            self.received = self.received.partition(b"\r\n\r\n")[2]
            asyncio.get_running_loop().call_later(self.delay_seconds, self.send)

    def send(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(self.answer)


async def serve(image: bytes, delay_seconds: float) -> None:
    """Serves until the process is ended."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
    answer = head.encode("ascii") + image
    server = await asyncio.get_running_loop().create_server(
        lambda: Answers(answer, delay_seconds), "127.0.0.1", 0, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]).read_bytes(), float(sys.argv[2])))
