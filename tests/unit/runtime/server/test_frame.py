import asyncio
import contextlib
import json
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse
from starlette.types import Message, Scope

from radixloom_runtime.metrics import Metrics
from radixloom_runtime.server import app
from radixloom_runtime.server.engine_client import EngineClient
from radixloom_runtime.server.lifecycle import Lifecycle
from radixloom_runtime.server.problems import ClientDisconnectedError
from radixloom_runtime.server.service import Service
from radixloom_runtime.wire import channels
from radixloom_runtime.wire.channels import ServerChannel


class House:
    """The real application, with routes that break, and its state."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.application = _application(service)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    channel = ServerChannel(channels.address_in(tmp_path_factory.mktemp("wire")))
    yield House(Service(EngineClient(channel, on_state=print), Lifecycle(), Metrics()))
    channel.close()


def _application(service: Service) -> FastAPI:
    """The real application, with routes that break."""
    application = app.build(service)

    @application.post("/defect")
    async def defect() -> None:
        raise ZeroDivisionError("the secret of the house")

    @application.post("/gone")
    async def gone() -> None:
        raise ClientDisconnectedError

    @application.post("/half")
    async def half() -> StreamingResponse:
        async def pieces():
            yield "half "
            raise ZeroDivisionError("the secret of the house")

        return StreamingResponse(pieces())

    return application


class Answer:
    """What the application sent, message by message: half an answer is one too."""

    def __init__(self, messages: list[Message]) -> None:
        bodies = [each["body"] for each in messages if each["type"] == "http.response.body"]
        self.text = b"".join(bodies).decode()
        start = messages[0] if messages else {"status": 0, "headers": []}
        self.status = start["status"]
        self.headers = dict(start["headers"])


def _post(house: House, path: str) -> Answer:
    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(b"x-request-id", b"r-1")],
    }
    messages: list[Message] = []

    incoming: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if not incoming:
            await asyncio.Event().wait()  # the client stays, and says no more
        return incoming.pop()

    async def send(message: Message) -> None:
        messages.append(message)

    with contextlib.suppress(ZeroDivisionError):  # raised on where half an answer is out
        asyncio.run(house.application(scope, receive, send))
    return Answer(messages)


def test_a_defect_of_ours_is_a_500_with_the_requests_id_and_no_cause(
    house: House, capfd: pytest.CaptureFixture[str]
):
    answer = _post(house, "/defect")
    assert answer.status == 500
    assert answer.headers[b"x-request-id"] == b"r-1"
    error = json.loads(answer.text)["error"]
    assert (error["type"], error["code"]) == ("server_error", "internal_error")
    assert "r-1" in error["message"]
    assert "secret" not in answer.text
    assert "secret" in "".join(capfd.readouterr()), "the log has the cause"


@pytest.mark.parametrize(("path", "status"), [("/defect", 500), ("/gone", 499)])
def test_every_end_is_counted(house: House, path: str, status: int):
    counter = house.service.metrics.http_requests.labels("other", str(status))
    before = counter._value.get()
    _post(house, path)
    assert counter._value.get() == before + 1


@pytest.mark.parametrize("path", ["/defect", "/gone", "/half"])
def test_no_request_stays_in_flight(house: House, path: str):
    _post(house, path)
    assert house.service.lifecycle.in_flight == 0
    assert house.service.lifecycle.idle.is_set()


def test_half_an_answer_is_not_completed_by_an_error(house: House):
    assert _post(house, "/half").text == "half "
