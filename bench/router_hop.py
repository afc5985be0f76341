"""What a router costs where it wins nothing: one server, with and without a router before it.

The server is the HTTP process with the echo engine of the tests; the router and the clients are
processes of their own. Rounds take turns, and the best of each counts.

    python bench/router_hop.py [--streams 64] [--tokens 200]
"""

import argparse
import asyncio
import multiprocessing
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx
from http_layer import tokens_per_second
from running_server import running

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

ROUNDS, REQUESTS = 3, 200
ASKED = {"model": "tiny_tokenizer", "prompt": "to be or not to be", "max_tokens": 1}


def milliseconds(port: int) -> float:
    """Ask one short question after the other; return the median."""
    times: list[float] = []
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        for _ in range(REQUESTS):
            began = time.perf_counter()
            client.post("/v1/completions", json=ASKED).raise_for_status()
            times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)


def _clients(ports: dict[str, int], streams: int, tokens: int) -> None:
    waits: dict[str, list[float]] = {name: [] for name in ports}
    rates: dict[str, list[float]] = {name: [] for name in ports}
    for _ in range(ROUNDS):
        for name, port in ports.items():
            waits[name].append(milliseconds(port))
            rates[name].append(asyncio.run(tokens_per_second(port, streams, tokens)))
    for name in ports:
        print(
            f"{name:>7}: {min(waits[name]):.2f} ms a request, one after the other;"
            f" {max(rates[name]):,.0f} tokens/s in {streams} streams"
        )


def main() -> None:
    """Start the server in this process, the router and the clients in others."""
    from support.http_server import (  # pyright: ignore[reportMissingImports] - a tests' module
        HttpServer,
        echo_engine,
    )

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--streams", type=int, default=64, help="at most 64, the echo's limit")
    parser.add_argument("--tokens", type=int, default=200, help="at most 240, the echo's context")
    arguments = parser.parse_args()
    program = str(Path(sys.executable).with_name("radixloom"))
    with HttpServer(echo_engine()) as server, tempfile.NamedTemporaryFile() as log:
        command = [program, "route", "--backend", server.url]
        with running(command, Path(log.name), {}) as router:
            urls = {"direct": server.url, "routed": router.url}
            ports = {name: int(url.rsplit(":", 1)[1]) for name, url in urls.items()}
            clients = multiprocessing.get_context("spawn").Process(
                target=_clients, args=(ports, arguments.streams, arguments.tokens)
            )
            clients.start()
            clients.join()


if __name__ == "__main__":
    main()
