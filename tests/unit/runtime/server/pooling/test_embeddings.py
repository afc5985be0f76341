"""`POST /v1/embeddings`: the real client, and the toy's states, which can be worked out by hand."""

import base64
import shutil
from collections.abc import Iterator

import httpx
import numpy as np
import openai
import pytest
from support.embedding_folder import bare_checkpoint, declare_pooling
from support.goldens import TOLERANCE, golden, states
from support.http_server import HttpServer
from support.tiny import FOLDER
from support.toy_engine import toy_engine
from support.toy_runner import EMBED_DIM, expected_vector

from radixloom_runtime.engine.launch import engine_command
from radixloom_runtime.wire.messages import Pooling, Submit

MODEL = FOLDER.name
PROMPTS = [[5, 7, 11], [1], list(range(50)) * 2, [5, 7, 11, 13]]


@pytest.fixture(scope="module")
def toy() -> Iterator[HttpServer]:
    with HttpServer(toy_engine, max_running_requests=4, max_queued_requests=4) as running:
        yield running


def raw(prompt: list[int], pooling: Pooling = "last") -> np.ndarray:
    submit = Submit(request_id="", prompt_ids=prompt, max_tokens=0, pooling=pooling)
    return np.frombuffer(expected_vector(submit), "<f4")


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def ask(server: HttpServer, **body) -> httpx.Response:
    return server.client.post("/v1/embeddings", json={"model": MODEL} | body)


def test_the_real_client_gets_a_unit_vector_for_each_input(toy: HttpServer):
    with openai.OpenAI(base_url=f"{toy.url}/v1", api_key="none", max_retries=0) as client:
        found = client.embeddings.create(model=MODEL, input=PROMPTS)
    assert [each.index for each in found.data] == [0, 1, 2, 3]
    for prompt, each in zip(PROMPTS, found.data, strict=True):
        np.testing.assert_allclose(each.embedding, unit(raw(prompt)), atol=1e-6)
    assert found.usage.prompt_tokens == found.usage.total_tokens == sum(map(len, PROMPTS))


def test_base64_holds_the_same_numbers_as_the_list(toy: HttpServer):
    listed = ask(toy, input=PROMPTS[0]).json()["data"][0]["embedding"]
    coded = ask(toy, input=PROMPTS[0], encoding_format="base64").json()["data"][0]["embedding"]
    assert np.frombuffer(base64.b64decode(coded), "<f4").tolist() == listed


def test_fewer_dimensions_are_the_first_ones_at_length_one_again(toy: HttpServer):
    found = ask(toy, input=PROMPTS[0], dimensions=2).json()["data"][0]["embedding"]
    np.testing.assert_allclose(found, unit(raw(PROMPTS[0])[:2]), atol=1e-6)
    refused = ask(toy, input=PROMPTS[0], dimensions=EMBED_DIM + 1)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "dimensions"


def test_more_inputs_than_the_queue_holds_are_all_embedded_and_cached(toy: HttpServer):
    inputs = [[*range(40), index] for index in range(30)]
    found = ask(toy, input=inputs)
    assert found.status_code == 200, found.text
    assert found.json()["usage"]["prompt_tokens_details"]["cached_tokens"] > 26 * 36
    for prompt, each in zip(inputs, found.json()["data"], strict=True):
        np.testing.assert_allclose(each["embedding"], unit(raw(prompt)), atol=1e-6)


def test_a_text_has_the_tokens_that_tokenize_tells(toy: HttpServer):
    ids = toy.client.post("/tokenize", json={"prompt": "#$%&'("}).json()["tokens"]
    both = ask(toy, input=["#$%&'(", "#$"]).json()
    assert both["usage"]["prompt_tokens"] > len(ids)
    np.testing.assert_allclose(both["data"][0]["embedding"], unit(raw(ids)), atol=1e-6)


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        ({"input": ""}, "input[0]", "empty"),
        ({"input": [[1], []]}, "input[1]", "empty"),
        ({"input": []}, "input", "not empty"),
        ({"input": [1] * 129}, "input[0]", "129 tokens, the model reads 128"),
        ({"input": [1000]}, "input", "vocabulary"),
        ({"input": [1], "encoding_format": "int8"}, "encoding_format", "base64"),
        ({"input": [1], "truncate_prompt_tokens": 0}, None, "at least 1"),
        ({"input": [[1]] * 2049}, None, "2048"),
        ({"input": [1], "task": "query"}, "task", "unknown parameter"),
    ],
)
def test_what_cannot_be_embedded_is_a_400_that_says_why(toy: HttpServer, body, param, says):
    refused = ask(toy, **body)
    assert refused.status_code == 400, refused.text
    assert refused.json()["error"]["param"] == param
    assert says in refused.json()["error"]["message"]


def test_a_text_that_is_too_long_can_be_cut(toy: HttpServer):
    for wanted, length in ((-1, 128), (7, 7), (500, 128)):
        body = ask(toy, input=[2] * 300, truncate_prompt_tokens=wanted).json()
        assert body["usage"]["prompt_tokens"] == length


def test_another_model_is_a_404(toy: HttpServer):
    assert ask(toy, model="other", input="a").status_code == 404


def test_time_that_has_run_out_is_a_408(toy: HttpServer):
    slow = ask(toy, input=[[1, index % 50] for index in range(500)], timeout=0.001)
    assert slow.status_code == 408
    toy.poll("/metrics", lambda _: toy.metric("radixloom:num_running_reqs") == 0)


def test_a_checkpoint_that_pools_unlike_us_is_refused_by_name(tmp_path):
    folder = tmp_path / MODEL
    shutil.copytree(FOLDER, folder)
    declare_pooling(folder, {"pooling_mode_max_tokens": True})
    with HttpServer(toy_engine, model=folder) as server:
        refused = ask(server, input=[1])
    assert refused.status_code == 400
    assert "1_Pooling/config.json" in refused.json()["error"]["message"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_embedding_model_without_head_gives_what_transformers_gives_and_does_not_speak(tmp_path):
    """Qwen3Model, bare names, mean pooling without Normalize: through the real engine."""
    folder = bare_checkpoint(tmp_path / MODEL)
    declare_pooling(folder, {"pooling_mode": "mean"}, ("Transformer", "Pooling"))
    data = golden("qwen3")
    with HttpServer(
        engine_command,
        wait=False,
        model=folder,
        max_running_requests=2,
        step_tokens=64,
        kv_cache_tokens=1024,
    ) as server:
        server.wait_until_ready(240)
        prompts = [data[f"ids_{prompt}"].tolist() for prompt in (0, 3, 4, 5)]
        found = ask(server, input=prompts).json()["data"]
        spoken = server.client.post("/v1/completions", json={"model": MODEL, "prompt": [1]})
        assert server.metric("radixloom_compiles_after_warmup_total") == 0
    for prompt, each in zip((0, 3, 4, 5), found, strict=True):
        expected = states()[f"qwen3.mean_{prompt}"]
        np.testing.assert_allclose(each["embedding"], expected, atol=TOLERANCE)
    assert spoken.status_code == 400
    assert "no output layer" in spoken.json()["error"]["message"]
