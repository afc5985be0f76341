import asyncio

from support.raw_server import raw_server

from radixloom_runtime.router import upstream
from radixloom_runtime.router.upstream import Upstream

EMPTY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


def scope(**more: object) -> dict[str, object]:
    common = {"method": "POST", "raw_path": b"/v1/x%20y", "query_string": b"", "headers": []}
    return {**common, **more}


def test_headers_of_one_connection_go_no_further():
    headers = [
        (b"Connection", b"keep-alive, X-Secret"),
        (b"x-secret", b"1"),
        (b"te", b"trailers"),
        (b"transfer-encoding", b"chunked"),
        (b"host", b"router"),
        (b"content-length", b"99"),
        (b"authorization", b"Bearer k"),
        (b"x-request-id", b"theirs"),
    ]
    asked = upstream.asked(scope(headers=headers), b"{}", "ours")
    assert asked.headers == [(b"authorization", b"Bearer k"), (b"x-request-id", b"ours")]


def test_a_request_is_written_as_it_came():
    asked = upstream.asked(scope(query_string=b"a=%2F"), b"{}", "id")
    assert asked.head("leader:8000") == (
        b"POST /v1/x%20y?a=%2F HTTP/1.1\r\nhost: leader:8000\r\n"
        b"x-request-id: id\r\ncontent-length: 2\r\n\r\n"
    )


def test_a_get_without_a_body_has_no_length_and_a_post_has():
    assert b"content-length" not in upstream.asked(scope(method="GET"), b"", "id").head("x")
    assert b"content-length: 0" in upstream.asked(scope(), b"", "id").head("x")


def test_a_connection_is_used_again_and_closed_when_its_leader_is_gone():
    async def run() -> tuple[int, int]:
        async with raw_server(*[EMPTY] * 3) as server:
            address, pool = f"http://127.0.0.1:{server.port}", Upstream()
            for _ in range(2):
                assert await pool.get(address, "/readyz") == (200, b"")
            pool.tidy([address])
            before = server.num_connections
            pool.tidy([])
            assert await pool.get(address, "/readyz") == (200, b"")
            pool.close()
            return before, server.num_connections

    assert asyncio.run(run()) == (1, 2)


def test_a_connection_that_the_leader_closed_meanwhile_is_not_used_again():
    async def run() -> int:
        async with raw_server(EMPTY, closes=True) as server:
            address, pool = f"http://127.0.0.1:{server.port}", Upstream()
            assert await pool.get(address, "/") == (200, b"")
            await asyncio.sleep(0.05)
            server.answers, server.closes = [EMPTY, EMPTY], False
            assert await pool.get(address, "/") == (200, b"")
            pool.close()
            return server.num_connections

    assert asyncio.run(run()) == 2


def test_two_requests_at_once_have_a_connection_each():
    async def run() -> int:
        async with raw_server(*[EMPTY] * 2) as server:
            address, pool = f"http://127.0.0.1:{server.port}", Upstream()
            await asyncio.gather(pool.get(address, "/a"), pool.get(address, "/b"))
            pool.close()
            return server.num_connections

    assert asyncio.run(run()) == 2
