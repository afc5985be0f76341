"""How often the engine is asked what its cache holds."""

import asyncio

import pytest

from radixloom_runtime.server import tree_view
from radixloom_runtime.server.engine_client import Reply
from radixloom_runtime.server.inbox import EngineLost
from radixloom_runtime.server.problems import EngineLostError
from radixloom_runtime.server.tree_view import TreeView
from radixloom_runtime.wire.messages import CacheLook, Question


class Engine:
    """Answers every question alike, and remembers them."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.questions: list[Question] = []

    async def ask(self, message: Question) -> Reply:
        self.questions.append(message)
        await asyncio.sleep(0)
        return self.reply


TOLD = CacheLook(request_id="look", page_tokens=4, trees=[])


def test_however_many_look_at_once_the_engine_is_asked_once():
    engine = Engine(TOLD)

    async def many():
        view = TreeView()
        return await asyncio.gather(*(view.look(engine.ask) for _ in range(20)))

    assert asyncio.run(many()) == [TOLD] * 20
    assert len(engine.questions) == 1


def test_what_is_stale_is_asked_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tree_view, "FRESH_SECONDS", -1.0)
    engine = Engine(TOLD)

    async def twice():
        view = TreeView()
        await view.look(engine.ask)
        await view.look(engine.ask)

    asyncio.run(twice())
    assert len(engine.questions) == 2


def test_a_lost_engine_is_an_error_and_is_not_remembered_as_an_answer():
    view, engine = TreeView(), Engine(EngineLost("it ended"))
    for _ in range(2):
        with pytest.raises(EngineLostError, match="it ended"):
            asyncio.run(view.look(engine.ask))
