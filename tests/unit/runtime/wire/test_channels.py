"""Both ends of the channel over a real Unix socket."""

import asyncio
import time
from contextlib import closing

import pytest

from radixloom_runtime.wire.channels import EngineChannel, ServerChannel, address_in
from radixloom_runtime.wire.codec import WireError
from radixloom_runtime.wire.messages import Abort, Drain, Failed, Output

SECONDS = 10.0


@pytest.fixture
def address(tmp_path) -> str:
    return address_in(tmp_path)


def receive(engine: EngineChannel) -> list:
    return engine.receive(timeout_seconds=SECONDS)


def test_messages_pass_in_both_directions_and_in_order(address):
    async def talk() -> None:
        server = ServerChannel(address)
        with closing(EngineChannel(address)) as engine:
            await server.send(Abort("a"), Abort("b"))
            assert receive(engine) == [Abort("a"), Abort("b")]
            engine.send([Failed("why", 1), Output(request_id="a", token_ids=[1])])
            heard = await asyncio.wait_for(server.receive(), SECONDS)
            assert heard == [Failed("why", 1), Output(request_id="a", token_ids=[1])]
        server.close()

    asyncio.run(talk())


def test_several_frames_are_taken_at_once(address):
    async def talk() -> None:
        server = ServerChannel(address)
        with closing(EngineChannel(address)) as engine:
            for index in range(50):
                await server.send(Abort(str(index)))
            heard = []
            while len(heard) < 50:
                heard += receive(engine)
            assert heard == [Abort(str(index)) for index in range(50)]
        server.close()

    asyncio.run(talk())


def test_receiving_waits_only_as_long_as_it_was_told(address):
    with closing(EngineChannel(address)) as engine:
        before = time.monotonic()
        assert engine.receive(timeout_seconds=0.1) == []
        assert 0.05 < time.monotonic() - before < 2.0


def test_what_was_sent_before_the_server_listened_arrives(address):
    async def talk() -> None:
        with closing(EngineChannel(address)) as engine:
            engine.send([Failed("early", 1)])
            server = ServerChannel(address)
            assert await asyncio.wait_for(server.receive(), SECONDS) == [Failed("early", 1)]
            server.close()

    asyncio.run(talk())


def test_the_last_words_leave_before_the_channel_closes(address):
    async def talk() -> None:
        server = ServerChannel(address)
        with closing(EngineChannel(address)) as engine:
            await server.send(Drain())
            assert receive(engine) == [Drain()]
            engine.send([Failed("last words", 1)])
        assert await asyncio.wait_for(server.receive(), SECONDS) == [Failed("last words", 1)]
        server.close()

    asyncio.run(talk())


def test_sending_nothing_sends_no_frame(address):
    async def talk() -> None:
        server = ServerChannel(address)
        with closing(EngineChannel(address)) as engine:
            engine.send([])
            engine.send([Failed("something", 1)])
            assert await asyncio.wait_for(server.receive(), SECONDS) == [Failed("something", 1)]
        server.close()

    asyncio.run(talk())


def test_a_frame_that_is_no_message_is_an_error_at_the_receiver(address):
    async def talk() -> None:
        server = ServerChannel(address)
        with closing(EngineChannel(address)) as engine:
            await server._socket.send(b"\x00nonsense")
            with pytest.raises(WireError):
                receive(engine)
        server.close()

    asyncio.run(talk())
