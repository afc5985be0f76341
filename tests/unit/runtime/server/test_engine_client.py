import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from radixloom_runtime.server.engine_client import EngineClient
from radixloom_runtime.server.inbox import EngineLost, Inbox
from radixloom_runtime.wire import channels
from radixloom_runtime.wire.channels import EngineChannel, ServerChannel
from radixloom_runtime.wire.messages import (
    Abort,
    Drain,
    Failed,
    Output,
    Rejected,
    ServerMessage,
    Starting,
    StateMessage,
    Submit,
)

STARTING = Starting(phase="weights", done=1, total=2, unit="bytes", seconds=3)


def _submit(request_id: str) -> Submit:
    return Submit(request_id=request_id, prompt_ids=[1], max_tokens=2)


def _output(request_id: str, finish_reason: str | None = None) -> Output:
    return Output(request_id=request_id, token_ids=[5], finish_reason=finish_reason)


class Talk:
    """Both ends of a real socket."""

    def __init__(
        self, client: EngineClient, engine: EngineChannel, told: asyncio.Queue[StateMessage]
    ):
        self.client = client
        self.engine = engine
        self.told = told

    async def heard(self, count: int) -> list[ServerMessage]:
        """What the engine's end gets."""
        messages: list[ServerMessage] = []
        while len(messages) < count:
            messages += await asyncio.to_thread(self.engine.receive, timeout_seconds=1)
        return messages


@asynccontextmanager
async def _talk(folder: Path) -> AsyncIterator[Talk]:
    server = ServerChannel(channels.address_in(folder))
    told = asyncio.Queue[StateMessage]()
    client = EngineClient(server, on_state=told.put_nowait)
    running = asyncio.create_task(client.run())
    with closing(EngineChannel(channels.address_in(folder))) as engine:
        yield Talk(client, engine, told)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    server.close()


def _run(folder: Path, scene: Callable[[Talk], Awaitable[None]]) -> None:
    async def play() -> None:
        async with _talk(folder) as talk:
            await asyncio.wait_for(scene(talk), 10)

    asyncio.run(play())


def test_answers_go_to_the_inbox_of_their_request(tmp_path: Path):
    async def scene(talk: Talk) -> None:
        first, second = Inbox(), Inbox()
        talk.client.submit([_submit("a"), _submit("b")], first)
        talk.client.submit([_submit("c")], second)
        assert await talk.heard(3) == [_submit("a"), _submit("b"), _submit("c")]
        talk.engine.send([_output("c"), _output("a"), _output("b", "stop")])
        assert await second.take() == [_output("c")]
        assert await first.take() == [_output("a"), _output("b", "stop")]
        assert talk.client.num_open == 2

    _run(tmp_path, scene)


def test_only_open_requests_are_aborted_and_nothing_follows(tmp_path: Path):
    async def scene(talk: Talk) -> None:
        inbox = Inbox()
        talk.client.submit([_submit("a"), _submit("b")], inbox)
        await talk.heard(2)
        talk.engine.send([_output("a", "length")])
        await inbox.take()
        talk.client.abort(["a", "b"])
        talk.client.abort(["a", "b"])
        talk.client.drain()
        assert await talk.heard(2) == [Abort("b"), Drain()]
        talk.engine.send([_output("b"), STARTING])
        assert await talk.told.get() == STARTING  # so the Output before it was dispatched
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(inbox.wait(), 0.01)

    _run(tmp_path, scene)


def test_a_rejected_request_is_over(tmp_path: Path):
    async def scene(talk: Talk) -> None:
        inbox = Inbox()
        talk.client.submit([_submit("a")], inbox)
        rejected = Rejected(request_id="a", message="no")
        talk.engine.send([rejected])
        assert await inbox.take() == [rejected]
        assert talk.client.num_open == 0

    _run(tmp_path, scene)


def test_what_the_engine_says_of_itself_is_told(tmp_path: Path):
    async def scene(talk: Talk) -> None:
        talk.engine.send([STARTING, Failed("broken", 1)])
        assert await talk.told.get() == STARTING
        assert await talk.told.get() == Failed("broken", 1)

    _run(tmp_path, scene)


def test_a_lost_engine_is_told_to_open_and_later_requests_once(tmp_path: Path):
    async def scene(talk: Talk) -> None:
        opened, later = Inbox(), Inbox()
        talk.client.submit([_submit("a"), _submit("b")], opened)
        talk.client.lose("gone")
        talk.client.submit([_submit("c")], later)
        assert await opened.take() == [EngineLost("gone")]
        assert await later.take() == [EngineLost("gone")]
        assert talk.client.num_open == 0

    _run(tmp_path, scene)
