"""What the console's live view asks for, from HTTP to a real engine with the toy runner."""

import asyncio
from collections.abc import Iterator
from typing import cast

import pytest
from support.http_server import HttpServer, echo_engine
from support.tiny import tiny_tokenizer
from support.toy_engine import toy_engine

from radixloom_runtime.server import engine_view
from radixloom_runtime.server.engine_client import EngineClient, Question, Reply
from radixloom_runtime.server.engine_view import TreeView
from radixloom_runtime.server.inbox import EngineLost
from radixloom_runtime.server.problems import EngineLostError
from radixloom_runtime.wire.messages import CacheLook

KEY = "sk-let-me-in"
PROMPT = [*range(1, 18)]
"""Four pages of the toy's, and a token."""


@pytest.fixture(scope="module")
def server() -> Iterator[HttpServer]:
    with HttpServer(toy_engine, kv_cache_tokens=256) as running:
        yield running


def _complete(server: HttpServer, prompt: list[int]) -> None:
    body = {"model": "tiny_tokenizer", "prompt": prompt, "max_tokens": 1}
    assert server.client.post("/v1/completions", json=body).status_code == 200


def test_the_tree_tells_the_text_of_what_is_cached(server: HttpServer):
    _complete(server, PROMPT)
    server.poll("/get_prefix_tree", lambda answer: answer.json()["trees"][0]["nodes"])
    told = server.client.get("/get_prefix_tree").json()
    (tree,) = told["trees"]
    (node,) = tree["nodes"]
    assert node["text"] == tiny_tokenizer().decode(PROMPT[:16], skip_special_tokens=False)
    assert told["page_tokens"] == node["num_pages"] == 4
    assert node["num_tokens"] == tree["num_tokens"] == 16
    assert (node["parent"], node["is_whole_text"], node["is_pinned"]) == (None, True, False)


def test_the_stats_are_levels_and_totals(server: HttpServer):
    before = server.poll("/get_engine_stats", lambda answer: answer.json()["stats"]).json()
    _complete(server, [1, 2, 3])
    total = before["stats"]["output_tokens"] + 1
    after = server.poll(
        "/get_engine_stats", lambda answer: answer.json()["stats"]["output_tokens"] == total
    ).json()
    assert after["at_seconds"] > before["at_seconds"]
    assert after["stats"]["kv_tokens_total"] == 256
    assert after["stats"]["num_running"] == 0


@pytest.mark.parametrize("path", ["/get_prefix_tree", "/get_engine_stats"])
def test_where_keys_are_wanted_they_guard_the_view(path: str):
    with HttpServer(echo_engine(), wait=False, api_key=KEY) as locked:
        assert locked.client.get(path).status_code == 401


class _Asked:
    """The engine's client, as far as a view uses it."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.questions: list[Question] = []

    async def ask(self, message: Question) -> Reply:
        self.questions.append(message)
        await asyncio.sleep(0)
        return self.reply


TOLD = CacheLook(request_id="look", page_tokens=4, trees=[])


def test_however_many_look_at_once_the_engine_is_asked_once():
    asked = _Asked(TOLD)

    async def many():
        view = TreeView(cast("EngineClient", asked))
        return await asyncio.gather(*(view.look() for _ in range(20)))

    assert asyncio.run(many()) == [TOLD] * 20
    assert len(asked.questions) == 1


def test_what_is_stale_is_asked_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engine_view, "FRESH_SECONDS", -1.0)
    asked = _Asked(TOLD)

    async def twice():
        view = TreeView(cast("EngineClient", asked))
        await view.look()
        await view.look()

    asyncio.run(twice())
    assert len(asked.questions) == 2


def test_a_lost_engine_is_an_error_and_is_not_remembered_as_an_answer():
    view = TreeView(cast("EngineClient", _Asked(EngineLost("it ended"))))
    for _ in range(2):
        with pytest.raises(EngineLostError, match="it ended"):
            asyncio.run(view.look())
