"""A server that answers each request on a connection with the next of the bytes it was given."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class RawServer:
    """What it says, and what it heard."""

    answers: Sequence[bytes]
    """`b""` closes the connection; the last is followed by a close where `closes` is set."""
    closes: bool = False
    port: int = 0
    heads: list[bytes] = field(default_factory=list)
    num_connections: int = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        try:
            while len(self.heads) < len(self.answers):
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                answer = self.answers[len(self.heads) - 1]
                if not answer:
                    break
                writer.write(answer)
                await writer.drain()
            if not self.closes:
                await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def raw_server(*answers: bytes, closes: bool = False) -> AsyncIterator[RawServer]:
    """Listen on a free port of 127.0.0.1."""
    raw = RawServer(answers, closes)
    server = await asyncio.start_server(raw._serve, "127.0.0.1", 0)
    raw.port = server.sockets[0].getsockname()[1]
    try:
        yield raw
    finally:
        server.close()
