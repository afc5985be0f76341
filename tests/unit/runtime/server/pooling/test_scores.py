"""`/v1/score` and `/v1/rerank` by both rules, with logits and states worked out by hand."""

import math
import shutil
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from support.embedding_folder import declare_pooling, with_yes_and_no
from support.http_server import HttpServer
from support.tiny import FOLDER, tiny_tokenizer
from support.toy_engine import toy_engine
from support.toy_runner import score_of, state_of

from radixloom_runtime.server.pooling.scores import yes_share
from radixloom_runtime.text import tokenizer
from radixloom_runtime.text.relevance import Judge

MODEL = FOLDER.name
ROOM = {"max_model_len": 512, "kv_cache_tokens": 4096}
DOCUMENTS = ["a cat", "a dog and a cat", "nothing", "a cat"]
BY_EMBEDDING = "by embedding"
BY_ANSWER = "by answer"


@pytest.fixture(scope="module")
def ranker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    folder = with_yes_and_no(tmp_path_factory.mktemp("ranker") / MODEL)
    with HttpServer(toy_engine, model=folder, **ROOM) as running:
        yield running


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    folder = tmp_path_factory.mktemp("embedder") / MODEL
    shutil.copytree(FOLDER, folder)
    declare_pooling(folder, {"pooling_mode_lasttoken": True})
    with HttpServer(toy_engine, model=folder, **ROOM) as running:
        yield running


def ask(server: HttpServer, path: str, **body) -> httpx.Response:
    return server.client.post(path, json={"model": MODEL} | body)


def relevance(folder_of: HttpServer, query: str, document: str, instruction=None) -> float:
    known = tokenizer.load(folder_of._settings.model or FOLDER)
    ids = Judge(known, None).prompt(instruction, query, document)
    yes, no = score_of(ids, 512), score_of(ids, 513)
    return math.exp(yes) / (math.exp(yes) + math.exp(no))


def cosine(first: str, second: str) -> float:
    states = [
        state_of(tiny_tokenizer().encode(text, add_special_tokens=True)).astype(np.float64)
        for text in (first, second)
    ]
    return float(np.dot(*states) / np.prod([np.linalg.norm(state) for state in states]))


def test_a_model_that_generates_scores_by_the_logits_of_yes_and_no(ranker: HttpServer):
    body = ask(ranker, "/v1/score", text_1="cat?", text_2=DOCUMENTS, instruction="Find cats")
    assert body.status_code == 200, body.text
    scores = [each["score"] for each in body.json()["data"]]
    expected = [relevance(ranker, "cat?", text, "Find cats") for text in DOCUMENTS]
    assert scores == pytest.approx(expected, abs=1e-6)
    assert len(set(scores)) > 1


def test_an_embedding_model_scores_by_cosine(embedder: HttpServer):
    body = ask(embedder, "/score", text_1=["cat?", "dog?"], text_2=DOCUMENTS[:2]).json()
    expected = [cosine("cat?", "a cat"), cosine("dog?", "a dog and a cat")]
    assert [each["score"] for each in body["data"]] == pytest.approx(expected, abs=1e-6)
    assert body["object"] == "list"


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank", "/v2/rerank"])
def test_documents_are_told_the_most_relevant_first(ranker: HttpServer, path: str):
    documents = [*DOCUMENTS[:3], {"text": DOCUMENTS[3]}]
    body = ask(ranker, path, query="cat?", documents=documents).json()
    expected = [relevance(ranker, "cat?", text) for text in DOCUMENTS]
    order = sorted(range(4), key=lambda index: (-expected[index], index))
    results = body["results"]
    assert [each["index"] for each in results] == order
    assert [each["relevance_score"] for each in results] == pytest.approx(
        [expected[index] for index in order], abs=1e-6
    )
    assert [each["document"]["text"] for each in results] == [DOCUMENTS[index] for index in order]
    assert body["usage"]["prompt_tokens"] == body["usage"]["total_tokens"] > 0


def test_only_the_best_are_told_and_without_their_texts_if_so_asked(embedder: HttpServer):
    body = ask(
        embedder, "/v1/rerank", query="cat?", documents=DOCUMENTS, top_n=2, return_documents=False
    ).json()
    assert len(body["results"]) == 2
    assert all(each.keys() == {"index", "relevance_score"} for each in body["results"])
    best = max(DOCUMENTS, key=lambda text: cosine("cat?", text))
    assert DOCUMENTS[body["results"][0]["index"]] == best


def test_each_text_is_read_once_for_its_embedding(embedder: HttpServer):
    once = ask(embedder, "/v1/score", text_1="cat?", text_2=["a cat"]).json()["usage"]
    thrice = ask(embedder, "/v1/score", text_1="cat?", text_2=["a cat"] * 3).json()["usage"]
    assert thrice["prompt_tokens"] == once["prompt_tokens"]


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/v1/score", {"text_1": ["a", "b"], "text_2": ["c"]}, "as many as text_2 has"),
        ("/v1/score", {"text_1": "a", "text_2": []}, "text_2"),
        ("/v1/rerank", {"query": "a", "documents": []}, "documents"),
        ("/v1/rerank", {"query": "a", "documents": ["b"], "top_n": 0}, "top_n"),
        ("/v1/rerank", {"query": "a", "documents": ["b" * 2000]}, "the model reads 512"),
        ("/v1/rerank", {"query": "a", "documents": [{"image": "b"}]}, "documents[0]"),
    ],
)
def test_what_cannot_be_scored_is_a_400_that_says_why(ranker: HttpServer, path, body, says):
    refused = ask(ranker, path, **body)
    assert refused.status_code == 400, refused.text
    assert says in refused.json()["error"]["message"]


def test_an_instruction_is_no_parameter_of_embedding_models(embedder: HttpServer):
    refused = ask(embedder, "/v1/rerank", query="a", documents=["b"], instruction="c")
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "instruction"


def test_a_model_whose_yes_is_no_token_is_refused(server: HttpServer):
    refused = ask(server, "/v1/score", text_1="a", text_2="b")
    assert refused.status_code == 400
    assert "'yes' is 2 tokens" in refused.json()["error"]["message"]


def test_another_model_is_a_404(ranker: HttpServer):
    assert ask(ranker, "/v1/rerank", model="x", query="a", documents=["b"]).status_code == 404


def test_far_logits_give_a_share_of_zero_or_one():
    assert yes_share(2000.0, -2000.0) == 1.0
    assert yes_share(-2000.0, 2000.0) == pytest.approx(0.0, abs=1e-300)
    assert yes_share(1.0, 1.0) == 0.5
