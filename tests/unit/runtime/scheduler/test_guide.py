"""Answers that a grammar guides: what they may sample, what is appended, and who waits for whom."""

import itertools

import pytest
from support.serving import Service, is_as_alone, limits, request
from support.toy_guide import ToyGuide, expected_answer

from radixloom_runtime.scheduler.guide import pays_to_jump
from radixloom_runtime.scheduler.scheduler import Scheduler
from radixloom_runtime.wire.messages import Output, Rejected, Sampling, Submit
from radixloom_runtime.wire.plan import ChunkResult, StepResult


def guided(request_id: str, prompt_ids: list[int], max_tokens: int = 40, **more) -> Submit:
    return request(request_id, prompt_ids, max_tokens=max_tokens, grammar="30", **more)


def test_a_guided_answer_is_what_its_grammar_allows_and_ends_with_it():
    service, submit = Service(), guided("a", [1, 2, 3])
    answer = service.serve(submit)["a"]
    assert (answer.token_ids, answer.finish_reason) == expected_answer(
        submit, service.runner.limits
    )
    assert answer.finish_reason == "stop"
    assert answer.outputs[-1].ends_in_text, "the last token is no stop token"
    assert len(answer.token_ids) >= 30


def test_forced_tokens_come_in_the_output_of_the_one_before_and_save_steps():
    service, submit = Service(), guided("a", [1, 2, 3])
    answer = service.serve(submit)["a"]
    sizes = [len(output.token_ids) for output in answer.outputs]
    assert max(sizes) > 1
    assert len(service.plans) == len(sizes)
    assert len(service.plans) < len(answer.token_ids)


def test_forced_tokens_are_sampled_where_a_longer_step_would_cost_more_than_it_saves():
    submit = guided("a", [1, 2, 3])
    small = Service(limits(free_tokens=1))
    answer = small.serve(submit)["a"]
    assert {len(output.token_ids) for output in answer.outputs} == {1}
    assert answer.token_ids == Service().serve(submit)["a"].token_ids


@pytest.mark.parametrize(
    ("length", "num_running", "free_tokens", "pays"),
    [
        (1, 1, 256, True),  # reading the weights takes longer than computing all of these
        (8, 200, 256, True),
        (8, 256, 256, False),  # a step of 512 tokens for all, to save one of 256 eight requests
        (2, 1, 4, False),  # 16 tokens are computed in place of three times 4
        (3, 1, 4, True),
        (6, 16, 4, False),
        (60, 4, 4, True),
        (48, 16, 4, True),
        (2000, 100, 256, False),  # more than a step holds
    ],
)
def test_jumping_pays_by_what_a_longer_step_costs_all(length, num_running, free_tokens, pays):
    at_most = limits(step_tokens=2048, free_tokens=free_tokens)
    assert pays_to_jump(length, num_running, at_most) is pays


@pytest.mark.parametrize(
    "more", [{"logprobs": 1}, {"sampling": Sampling(seed=1, presence_penalty=0.5)}]
)
def test_forced_tokens_are_sampled_where_their_logprobs_or_counts_matter(more):
    fields = {"sampling": Sampling(seed=1)} | more
    submit = Submit(request_id="a", prompt_ids=[1, 2], max_tokens=30, grammar="30", **fields)
    service = Service()
    answer = service.serve(submit)["a"]
    assert answer.token_ids == expected_answer(submit, service.runner.limits)[0]
    assert all(len(output.token_ids) == 1 for output in answer.outputs)
    if "logprobs" in more:
        assert all(output.logprobs for output in answer.outputs)


def test_a_prefix_that_a_guided_answer_shares_is_cached_like_any_other():
    service = Service()
    service.serve(guided("a", list(range(20))))
    again = service.serve(guided("b", list(range(20))))["b"]
    assert again.cached_tokens == 16
    assert is_as_alone(service, guided("a", list(range(20))), guided("b", list(range(20))))


def test_a_preempted_guided_answer_goes_on_where_it_was():
    service = Service(limits(num_pages=9))
    first, last = guided("first", [1] * 6, 24), guided("last", [2] * 6, 24)
    service.serve(first, last)
    assert service.scheduler.totals.preemptions > 0
    assert is_as_alone(service, first, last)


def test_no_step_is_planned_ahead_while_a_good_part_waits_for_its_token():
    service = Service()
    service.serve(guided("a", [1, 2]), request("b", [3, 4], max_tokens=20))
    assert is_as_alone(service, guided("a", [1, 2]), request("b", [3, 4], max_tokens=20))
    steps_of_both = service.plans[: len(service.answers["a"].outputs)]
    assert {len(plan.chunks) for plan in steps_of_both} == {2}


def test_a_small_guided_part_has_no_say_in_when_the_others_step():
    service = Service()
    others = [request(f"r{index}", [index, 5], max_tokens=30) for index in range(6)]
    service.serve(guided("a", [1, 2], 12), *others)
    assert is_as_alone(service, guided("a", [1, 2], 12), *others)
    without = [plan for plan in service.plans[:12] if len(plan.chunks) == 6]
    assert without, "some steps go on without the guided one"


def test_a_mask_is_sent_only_when_it_changes():
    service = Service()
    service.serve(guided("a", [1, 2]))
    masks = [mask.allowed for plan in service.plans for mask in plan.masks]
    assert 1 < len(masks) < len(service.plans)
    assert all(before != after for before, after in itertools.pairwise(masks))


def test_a_grammar_that_cannot_be_followed_any_further_ends_the_request_with_the_reason():
    scheduler = Scheduler(limits(), max_queued_requests=4)
    scheduler.submit(guided("a", [1, 2]), ToyGuide("30", breaks_at=1))
    plan = scheduler.plan()
    assert plan is not None
    result = StepResult(plan.number, (ChunkResult(1),))
    assert scheduler.commit(plan, result) == [
        Rejected(request_id="a", message="too hard", is_grammars_fault=True)
    ]
    assert scheduler.is_idle


def test_an_answer_is_cut_at_its_length_in_the_midst_of_what_is_forced():
    for max_tokens in range(1, 30):
        service, submit = Service(), guided("a", [1, 2, 3], max_tokens)
        outputs: list[Output] = service.serve(submit)["a"].outputs
        assert sum(len(output.token_ids) for output in outputs) == max_tokens
        assert is_as_alone(service, submit)
