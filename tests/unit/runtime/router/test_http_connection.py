import asyncio
import socket

import pytest
from support.raw_server import raw_server

from radixloom_runtime.router import http_connection
from radixloom_runtime.router.http_connection import (
    HIGH_WATER_BYTES,
    BrokenError,
    CutOffError,
    HttpConnection,
    UnreachableError,
)

ASKED = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"


async def opened(port: int) -> HttpConnection:
    return await http_connection.connect("127.0.0.1", port, seconds=5, tls=None)


async def body_of(connection: HttpConnection) -> bytes:
    return b"".join([piece async for piece in connection.pieces()])


def told(*answers: bytes, closes: bool = False, is_head: bool = False) -> tuple[int, bytes, bool]:
    """Status and body of the last of some answers, and whether another request may follow."""

    async def run() -> tuple[int, bytes, bool]:
        async with raw_server(*answers, closes=closes) as server:
            connection = await opened(server.port)
            for _ in answers:
                await connection.ask(ASKED, b"", is_head_request=is_head)
                body = await body_of(connection)
            found = connection.status, body, connection.is_reusable
            connection.close()
            return found

    return asyncio.run(run())


def test_a_body_of_known_length_ends_there():
    assert told(OK + b"content-length: 5\r\n\r\nhello") == (200, b"hello", True)


def test_a_body_in_chunks_ends_with_the_last():
    body = b"transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
    assert told(OK + body) == (200, b"hello", True)


def test_a_body_of_no_length_ends_with_the_connection():
    assert told(OK + b"\r\nhello", closes=True) == (200, b"hello", False)


def test_an_answer_that_says_close_is_the_last():
    answer = OK + b"connection: close\r\ncontent-length: 5\r\n\r\nhello"
    assert told(answer) == (200, b"hello", False)


def test_an_answer_without_a_body_is_complete():
    assert told(b"HTTP/1.1 204 No Content\r\n\r\n")[:2] == (204, b"")
    assert told(OK + b"content-length: 5\r\n\r\n", is_head=True)[:2] == (200, b"")


def test_what_comes_before_the_answer_is_not_the_answer():
    early = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    assert told(early + OK + b"content-length: 2\r\n\r\nhi") == (200, b"hi", True)


def test_requests_follow_each_other():
    first = OK + b"content-length: 1\r\n\r\na"
    second = b"HTTP/1.1 404 Not Found\r\ncontent-length: 1\r\n\r\nb"
    assert told(first, second) == (404, b"b", True)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200", b"no HTTP at all\r\n\r\n"])
def test_without_an_answer_the_connection_is_broken(answer: bytes):
    with pytest.raises(BrokenError):
        told(answer, closes=True)


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"content-length: 9\r\n\r\nhello",
        OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\nnonsense\r\n",
    ],
)
def test_an_answer_that_stops_in_its_midst_is_cut_off(answer: bytes):
    with pytest.raises(CutOffError):
        told(answer, closes=True)


def test_what_nobody_asked_for_ends_the_connection():
    answer = OK + b"content-length: 2\r\n\r\nhi"
    assert told(answer + answer) == (200, b"hi", False)


def test_what_comes_while_nobody_asks_ends_the_connection():
    async def run() -> bool:
        async with raw_server(OK + b"content-length: 2\r\n\r\nhi") as server:
            connection = await opened(server.port)
            await connection.ask(ASKED, b"")
            assert await body_of(connection) == b"hi"
            assert connection.is_reusable
            connection.data_received(OK)
            return connection.is_reusable

    assert asyncio.run(run()) is False


def test_a_leader_waits_for_a_client_that_reads_slowly():
    size = 64 * HIGH_WATER_BYTES

    async def run() -> tuple[int, int]:
        async with raw_server(OK + b"content-length: %d\r\n\r\n" % size + bytes(size)) as server:
            connection = await opened(server.port)
            await connection.ask(ASKED, b"")
            most = received = 0
            async for piece in connection.pieces():
                most, received = max(most, len(piece)), received + len(piece)
                await asyncio.sleep(0.001)
            assert connection.is_reusable
            connection.close()
            return most, received

    most, received = asyncio.run(run())
    assert received == size
    assert most < 8 * HIGH_WATER_BYTES


def test_a_port_where_nobody_listens_refuses():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(UnreachableError) as caught:
            asyncio.run(opened(unused.getsockname()[1]))
    assert caught.value.is_refused


def test_a_name_that_is_none_is_unreachable_and_nobody_has_ended():
    with pytest.raises(UnreachableError) as caught:
        asyncio.run(http_connection.connect("no.such.invalid", 80, seconds=5, tls=None))
    assert not caught.value.is_refused
