"""What the console's live view asks for, from HTTP to a real engine with the toy runner."""

from collections.abc import Iterator

import pytest
from starlette.requests import Request
from support.http_server import HttpServer, echo_engine
from support.tiny import tiny_tokenizer
from support.toy_engine import toy_engine

from radixloom_runtime.server.engine_view import _is_from_here

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


def test_words_are_told_to_no_other_machine(server: HttpServer):
    _complete(server, PROMPT)
    server.poll("/get_prefix_tree", lambda answer: answer.json()["trees"][0]["nodes"])
    here = server.client.get("/get_prefix_tree").json()["trees"][0]["nodes"]
    far = {"x-forwarded-for": "10.0.0.7"}  # of which the server takes the word of this machine
    elsewhere = server.client.get("/get_prefix_tree", headers=far).json()["trees"][0]["nodes"]
    assert all(node["text"] for node in here)
    assert elsewhere == [node | {"text": None} for node in here]


@pytest.mark.parametrize(
    ("peer", "is_here"),
    [
        (("127.0.0.1", 1), True),
        (("::1", 1), True),
        (("::ffff:127.0.0.1", 1), True),
        (("::ffff:10.0.0.7", 1), False),
        (("10.0.0.7", 1), False),
        (("localhost", 1), False),
        (None, False),
    ],
)
def test_this_machine_is_known_by_its_address(peer: tuple[str, int] | None, is_here: bool):
    assert _is_from_here(Request({"type": "http", "client": peer})) is is_here


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
