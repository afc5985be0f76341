"""Hidden states and scores through the compiled step, against those of transformers."""

from dataclasses import replace
from functools import cache

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from support.goldens import TOLERANCE, golden, states
from support.serving import Service, request
from support.tiny_models import TIED, UNTIED, tiny_runner

from radixloom_runtime.models.sharding import ONE_DEVICE, MeshShape
from radixloom_runtime.wire.messages import Submit

pytestmark = pytest.mark.timeout(300)  # may have to compile

STATES = states()
PROMPTS = (0, 3, 4, 5)
FAMILIES = sorted({key.partition(".")[0] for key in STATES})
TWO_BY_TWO = MeshShape(data=2, tensor=2)


@cache
def prompt_of(name: str, prompt: int) -> list[int]:
    return golden(name)[f"ids_{prompt}"].tolist()


def asked(name: str, prompt: int, pooling: str, suffix: str = "") -> Submit:
    ids = prompt_of(name, prompt)
    return request(f"{pooling}_{prompt}{suffix}", ids, max_tokens=0, pooling=pooling)


def vector(service: Service, request_id: str) -> np.ndarray:
    answer = service.answers[request_id]
    assert answer.finish_reason == "length"
    assert answer.token_ids == []
    return np.frombuffer(answer.outputs[-1].vector, "<f4")


def assert_is_the_reference(service: Service, name: str, request_id: str) -> None:
    expected = STATES[f"{name}.{request_id.split('/', maxsplit=1)[0]}"]
    np.testing.assert_allclose(vector(service, request_id), expected, atol=TOLERANCE)


@pytest.mark.slow
@given(
    wanted=st.lists(
        st.tuples(st.sampled_from(PROMPTS), st.sampled_from(["last", "mean"])),
        min_size=1,
        max_size=7,
    ),
    num_generating=st.integers(0, 2),
    step_tokens=st.sampled_from([3, 16, 80]),
    num_pages=st.sampled_from([9, 14, 1024]),
    num_waves=st.integers(1, 2),
)
@settings(max_examples=12, deadline=None)
def test_embeddings_are_the_references_whatever_the_batch_the_chunk_or_the_cache(
    wanted, num_generating, step_tokens, num_pages, num_waves
):
    """A second wave finds the prompts of the first in the cache; few pages make some give way."""
    runner, data = tiny_runner(TIED), golden(TIED)
    limits = replace(runner.limits, step_tokens=step_tokens, num_pages=num_pages)
    service = Service(limits, runner=runner)
    for wave in range(num_waves):
        asking = [asked(TIED, *each, f"/{wave}-{i}") for i, each in enumerate(wanted)]
        answers = [data[f"greedy_{3 + i}"].tolist() for i in range(num_generating)]
        generating = [
            request(f"g{wave}-{i}", prompt_of(TIED, 3 + i), max_tokens=len(answer))
            for i, answer in enumerate(answers)
        ]
        service.serve(*asking, *generating)
        for each in asking:
            assert_is_the_reference(service, TIED, each.request_id)
        for submit, answer in zip(generating, answers, strict=True):
            assert service.answers[submit.request_id].token_ids == answer


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_embeddings_of_each_family_are_the_references(name):
    runner = tiny_runner(name)
    service = Service(replace(runner.limits, step_tokens=40), runner=runner)
    wanted = [asked(name, prompt, how) for prompt in PROMPTS for how in ("last", "mean")]
    service.serve(*wanted)
    for each in wanted:
        assert_is_the_reference(service, name, each.request_id)


@pytest.mark.slow
def test_embeddings_on_groups_of_devices_are_those_of_one():
    runner = tiny_runner("qwen3-moe-sparse", page_tokens=4, num_pages=60, mesh_shape=TWO_BY_TWO)
    service = Service(runner.limits, runner=runner)
    wanted = [asked("qwen3-moe-sparse", prompt, "mean") for prompt in PROMPTS]
    service.serve(*wanted)
    for each in wanted:
        assert_is_the_reference(service, "qwen3-moe-sparse", each.request_id)


def test_the_last_tokens_state_is_read_behind_a_cached_prefix_and_a_mean_is_not():
    service = Service(runner=tiny_runner(TIED), limits=tiny_runner(TIED).limits)
    service.serve(asked(TIED, 4, "last", "/0"))
    service.serve(asked(TIED, 4, "last", "/1"), asked(TIED, 4, "mean", "/1"))
    assert service.answers["last_4/1"].cached_tokens == 48
    assert service.answers["mean_4/1"].cached_tokens == 0
    assert_is_the_reference(service, TIED, "last_4/1")
    assert_is_the_reference(service, TIED, "mean_4/1")


@pytest.mark.parametrize(
    "shape", [ONE_DEVICE, pytest.param(TWO_BY_TWO, marks=pytest.mark.slow)], ids=["one", "four"]
)
def test_scores_are_the_logits_of_the_reference_after_the_prompt(shape):
    name = TIED if shape == ONE_DEVICE else UNTIED
    runner = tiny_runner(name, mesh_shape=shape)
    service = Service(runner.limits, runner=runner)
    asked_of = {
        prompt: request(f"s{prompt}", prompt_of(name, prompt), max_tokens=0, scored_ids=[300, 7])
        for prompt in (0, 3, 5)
    }
    service.serve(*asked_of.values(), request("g", prompt_of(name, 3), max_tokens=5))
    for prompt, submit in asked_of.items():
        expected = golden(name)[f"last_logits_{prompt}"][[300, 7]]
        np.testing.assert_allclose(vector(service, submit.request_id), expected, atol=TOLERANCE)
