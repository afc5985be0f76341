"""Logprobs, and requests without output."""

import pytest
from support.serving import SHARED, Service, limits, request
from support.toy_runner import logprob_of, top_of

from radixloom_runtime.wire.messages import TokenLogprobs


def test_logprobs_come_with_each_token_as_many_as_asked_for():
    service = Service()
    answer = service.serve(request("a", [5, 6], max_tokens=3, logprobs=2))["a"]
    tokens = [5, 6]
    for output in answer.outputs:
        (token_id,) = output.token_ids
        top = top_of(tokens, 2)
        assert output.logprobs == [
            TokenLogprobs(
                token_id, logprob_of(tokens, token_id), top.ids.tolist(), top.logprobs.tolist()
            )
        ]
        tokens.append(token_id)


def test_logprobs_0_gives_the_token_alone_and_none_gives_nothing():
    service = Service()
    answers = service.serve(request("zero", [5, 6], logprobs=0), request("none", [5, 6]))
    assert answers["zero"].outputs[0].logprobs[0].top_ids == []
    assert answers["none"].outputs[0].logprobs is None


def expected_prompt_logprobs(prompt: list[int], count: int) -> list[TokenLogprobs | None]:
    judged: list[TokenLogprobs | None] = [None]
    for index in range(1, len(prompt)):
        top = top_of(prompt[:index], count)
        ids, logprobs = top.ids.tolist()[:count], top.logprobs.tolist()[:count]
        judged.append(
            TokenLogprobs(prompt[index], logprob_of(prompt[:index], prompt[index]), ids, logprobs)
        )
    return judged


@pytest.mark.parametrize("step_tokens", [1, 3, 4, 16, 64])
def test_prompt_logprobs_are_collected_over_chunks_and_sent_first(step_tokens):
    service = Service(limits(step_tokens=step_tokens))
    prompt = SHARED[:13]
    answer = service.serve(request("a", prompt, max_tokens=2, prompt_logprobs=3))["a"]
    first, second = answer.outputs
    assert first.prompt_logprobs == expected_prompt_logprobs(prompt, 3)
    assert second.prompt_logprobs is None


def test_max_tokens_0_ends_after_the_prompt_without_a_token():
    service = Service(limits(step_tokens=4))
    answer = service.serve(request("a", SHARED[:9], max_tokens=0, prompt_logprobs=1))["a"]
    (output,) = answer.outputs
    assert (output.token_ids, output.finish_reason) == ([], "length")
    assert output.prompt_logprobs == expected_prompt_logprobs(SHARED[:9], 1)
    assert not any(chunk.samples for plan in service.plans for chunk in plan.chunks)


def test_prompt_logprobs_of_a_single_token_are_none_for_it():
    service = Service()
    answer = service.serve(request("a", [7], max_tokens=1, prompt_logprobs=1))["a"]
    assert answer.outputs[0].prompt_logprobs == [None]


def test_prompt_logprobs_do_not_read_the_cache_but_fill_it():
    service = Service()
    service.serve(request("a", SHARED, prompt_logprobs=0))
    answers = service.serve(request("b", SHARED, prompt_logprobs=0))
    assert answers["b"].cached_tokens == 0
    assert answers["b"].outputs[0].prompt_logprobs == expected_prompt_logprobs(SHARED, 0)
    assert service.serve(request("c", SHARED))["c"].cached_tokens == 36


def test_prompt_logprobs_are_whole_though_the_prompt_was_preempted_half_way():
    service = Service(limits(num_pages=12, step_tokens=4))
    service.submit(*(request(name, [1] * 4, max_tokens=24, seed=len(name)) for name in ("a", "bb")))
    service.step()
    service.submit(request("judged", [2] * 20, max_tokens=12, prompt_logprobs=1))
    service.run()
    starts = [s.history_ids for plan in service.plans for s in plan.starts if s.history_ids[0] == 2]
    assert starts[:2] == [(2,) * 20] * 2, "preempted before its first token"
    first, *rest = service.answers["judged"].outputs
    assert first.prompt_logprobs == expected_prompt_logprobs([2] * 20, 1)
    assert all(output.prompt_logprobs is None for output in rest)
