"""How many tokens a second the HTTP process can stream, whatever the model.

The echo engine of the tests stands behind it, which costs next to nothing; clients read raw
sockets in a process of their own. Three rounds; the best is what the code can do on a busy machine.

    python bench/http_layer.py [--streams 64] [--tokens 200]
"""

import argparse
import asyncio
import json
import multiprocessing
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

ROUNDS = 3


async def _read_stream(port: int, body: bytes) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /v1/completions HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n"
    writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
    events = 0
    while piece := await reader.read(2**16):
        events += piece.count(b"data: {")
    writer.close()
    return events


async def tokens_per_second(port: int, streams: int, tokens: int) -> float:
    """Stream so many answers at once and count."""
    request = {
        "model": "tiny_tokenizer",
        "prompt": "to be or not to be",
        "stream": True,
        "ignore_eos": True,
        "max_tokens": tokens,
    }
    body = json.dumps(request).encode()
    begin = time.perf_counter()
    await asyncio.gather(*(_read_stream(port, body) for _ in range(streams)))
    return streams * tokens / (time.perf_counter() - begin)


def _clients(port: int, streams: int, tokens: int) -> None:
    rates = [asyncio.run(tokens_per_second(port, streams, tokens)) for _ in range(ROUNDS)]
    told = ", ".join(f"{rate:,.0f}" for rate in rates)
    print(f"{streams} streams of {tokens} tokens: {told} tokens/s")


def main() -> None:
    """Start the server in this process and the clients in another."""
    from support.http_server import (  # pyright: ignore[reportMissingImports] - a tests' module
        HttpServer,
        echo_engine,
    )

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=64, help="at most 64, the echo's limit")
    parser.add_argument("--tokens", type=int, default=200, help="at most 240, the echo's context")
    arguments = parser.parse_args()
    with HttpServer(echo_engine()) as server:
        port = int(server.url.rsplit(":", 1)[1])
        clients = multiprocessing.get_context("spawn").Process(
            target=_clients, args=(port, arguments.streams, arguments.tokens)
        )
        clients.start()
        clients.join()


if __name__ == "__main__":
    main()
