"""Each rule of the scheduler, by example."""

import dataclasses

import pytest
from support.serving import LIMITS, Service, as_text, request
from support.toy_runner import expected_tokens, logprob_of, next_token, top_of

from radixloom_runtime.wire.messages import TokenLogprobs
from radixloom_runtime.wire.plan import Limits, PageGrant, StepResult

SHARED = list(range(1, 41))
"""Ten pages of four tokens."""


def limits(**changes: int) -> Limits:
    return dataclasses.replace(LIMITS, **changes)


def is_as_alone(service: Service, *requests) -> bool:
    expected = {each.request_id: expected_tokens(each, service.runner.limits) for each in requests}
    return as_text(service.answers) == expected


# --- plans


def test_a_prompt_is_started_granted_pages_and_computed_in_one_chunk():
    service = Service()
    service.serve(request("a", [5, 6, 7, 8, 9], max_tokens=1))
    (plan,) = service.plans
    (start,), (grant,), (chunk,) = plan.starts, plan.grants, plan.chunks
    assert (start.history_ids, start.prompt_length) == ((5, 6, 7, 8, 9), 5)
    assert (grant.first_index, len(grant.page_ids)) == (0, 2)
    assert (chunk.start, chunk.token_ids, chunk.samples) == (0, (5, 6, 7, 8, 9), True)


def test_a_decode_is_planned_before_its_token_is_known():
    service = Service()
    service.submit(request("a", [5, 6], max_tokens=3))
    service.step()
    service.step()
    _prefill, decode = service.plans
    assert (decode.chunks[0].start, decode.chunks[0].token_ids) == (2, ())
    assert decode.starts == decode.grants == (), "nothing has changed but one more token"
    assert len(service.answers["a"].outputs) == 1, "the first plan was committed, not the second"


def test_no_chunk_is_wasted_on_an_end_by_length():
    service = Service()
    service.serve(request("a", [5, 6], max_tokens=3))
    assert [plan.num_tokens for plan in service.plans] == [2, 1, 1]


def test_a_stop_token_wastes_one_chunk_and_its_result_is_dropped():
    stop = next_token(0, [5, 6])
    service = Service()
    answers = service.serve(request("a", [5, 6], max_tokens=9, stop_token_ids=[stop]))
    assert (answers["a"].token_ids, answers["a"].finish_reason) == ([stop], "stop")
    assert [plan.num_tokens for plan in service.plans] == [2, 1]


def test_no_stop_token_is_sampled_before_min_tokens_and_the_device_is_told_where():
    forbidden = next_token(0, [5, 6])
    submit = request("a", [5, 6], max_tokens=9, min_tokens=3, stop_token_ids=[forbidden])
    service = Service()
    service.serve(submit)
    (start,) = service.plans[0].starts
    assert (start.stop_token_ids, start.min_position) == ((forbidden,), 5)
    assert is_as_alone(service, submit)
    assert forbidden not in service.answers["a"].token_ids[:3]


def test_a_long_prompt_is_computed_in_chunks_while_others_go_on_decoding():
    service = Service(limits(step_tokens=8))
    service.submit(request("short", [5, 6], max_tokens=20))
    service.step()
    service.submit(request("long", range(40), max_tokens=2))
    for _ in range(4):
        service.step()
    for plan in service.plans[1:]:
        decode, prefill = plan.chunks
        assert (decode.token_ids, len(prefill.token_ids)) == ((), 7)
    service.run()
    assert len(service.plans[-1].chunks) == 1


def test_the_token_budget_is_never_exceeded_and_decodes_take_it_first():
    service = Service(limits(step_tokens=8))
    service.submit(*(request(f"r{index}", [index, 1, 2], max_tokens=9) for index in range(8)))
    service.run()
    assert max(plan.num_tokens for plan in service.plans) == 8
    assert service.runner.limits.step_tokens == 8


def test_pages_are_granted_as_tokens_need_them():
    service = Service()
    service.serve(request("a", [1, 2, 3], max_tokens=10))
    grants = [grant for plan in service.plans for grant in plan.grants]
    assert [(grant.first_index, len(grant.page_ids)) for grant in grants] == [
        (0, 1),
        (1, 1),
        (2, 1),
    ]


def test_a_row_is_used_again_after_its_request_has_ended():
    service = Service(limits(max_rows=1))
    requests = [request(f"r{index}", [index, 2, 3]) for index in range(3)]
    service.serve(*requests)
    assert is_as_alone(service, *requests)
    assert {start.row for plan in service.plans for start in plan.starts} == {0}


# --- prefix cache


def test_requests_that_come_together_prefill_their_shared_prefix_once():
    service = Service(limits(num_pages=200, max_rows=16, step_tokens=64))
    requests = [request(f"r{index}", [*SHARED, 40 + index], max_tokens=3) for index in range(16)]
    service.serve(*requests)
    assert is_as_alone(service, *requests)
    cached = [service.answers[each.request_id].cached_tokens for each in requests]
    assert cached == [0] + [40] * 15
    prefilled = sum(len(chunk.token_ids) for plan in service.plans for chunk in plan.chunks)
    assert prefilled == 41 + 15
    totals = service.scheduler.totals
    assert (totals.prompt_tokens, totals.cached_tokens) == (16 * 41, 15 * 40)


def test_a_page_may_be_read_in_the_step_that_fills_it():
    service = Service(limits(step_tokens=64))
    service.serve(request("a", [*SHARED, 1]), request("b", [*SHARED, 2]))
    first = service.plans[0]
    assert [chunk.start for chunk in first.chunks] == [0, 40]


def test_a_prompt_known_whole_computes_only_its_last_page():
    service = Service()
    service.serve(request("a", SHARED))
    answers = service.serve(request("b", SHARED))
    assert answers["b"].cached_tokens == 36
    assert answers["b"].token_ids == answers["a"].token_ids


def test_the_next_turn_of_a_chat_finds_the_answer_of_the_last_one():
    service = Service()
    first = service.serve(request("a", SHARED[:6], max_tokens=10))["a"]
    chat = [*SHARED[:6], *first.token_ids, 7, 8]
    assert service.serve(request("b", chat))["b"].cached_tokens == 12


def test_cached_tokens_are_whole_pages_and_fewer_than_the_prompt():
    service = Service()
    service.serve(request("a", SHARED))
    assert service.serve(request("b", SHARED[:7]))["b"].cached_tokens == 4
    assert service.serve(request("c", SHARED[:8]))["c"].cached_tokens == 4
    assert service.serve(request("d", SHARED[:9]))["d"].cached_tokens == 8


def test_without_prefix_cache_every_prompt_is_computed_whole():
    service = Service(prefix_cache=False)
    service.serve(request("a", SHARED))
    assert service.serve(request("b", SHARED))["b"].cached_tokens == 0


def test_an_aborted_request_leaves_the_pages_that_others_read():
    service = Service(limits(step_tokens=64))
    service.submit(request("a", [*SHARED, 1]), request("b", [*SHARED, 2]))
    service.step(aborts=["a"])
    service.run()
    assert service.answers["a"].outputs == []
    assert service.answers["b"].token_ids == expected_tokens(request("b", [*SHARED, 2]), LIMITS)[0]


def test_old_prompts_are_evicted_before_young_ones():
    service = Service(limits(num_pages=12))
    for name, first in (("old", 1), ("young", 2)):
        service.serve(request(name, [first] * 17, max_tokens=1))
    service.serve(request("old again", [1] * 17, max_tokens=1))
    service.serve(request("large", [3] * 28, max_tokens=1))
    assert service.serve(request("o", [1] * 17, max_tokens=1))["o"].cached_tokens > 0
    assert service.serve(request("y", [2] * 17, max_tokens=1))["y"].cached_tokens == 0


# --- too little memory


def test_a_request_that_just_fits_the_pool_completes():
    service = Service(limits(num_pages=5))
    just_fits = request("a", [1, 2, 3], max_tokens=18)
    service.serve(just_fits)
    assert is_as_alone(service, just_fits)


def test_a_request_that_can_never_fit_is_rejected_with_the_numbers():
    service = Service(limits(num_pages=5))
    service.submit(request("a", [1, 2, 3], max_tokens=19))
    rejected = service.answers["a"].rejected
    assert rejected is not None
    assert "needs 21 places in the KV cache, which has 20" in rejected.message
    assert rejected.retry_after_seconds is None


def test_the_last_to_arrive_is_preempted_and_goes_on_with_the_same_tokens():
    service = Service(limits(num_pages=8))
    first, last = request("first", [1] * 6, max_tokens=24), request("last", [2] * 6, max_tokens=24)
    service.serve(first, last)
    assert is_as_alone(service, first, last)
    assert service.scheduler.totals.preemptions > 0
    again = [start for plan in service.plans for start in plan.starts[:2]][2:]
    assert {start.history_ids[:6] for start in again} == {(2,) * 6}
    assert all(len(start.history_ids) > 6 for start in again), "output so far is history"


def test_the_lower_priority_is_preempted_though_it_came_first():
    service = Service(limits(num_pages=8))
    service.submit(request("low", [1] * 6, max_tokens=24, priority=1))
    service.step()
    service.submit(request("high", [2] * 6, max_tokens=24))
    service.run()
    assert service.scheduler.totals.preemptions > 0
    restarted = [start.history_ids[0] for plan in service.plans for start in plan.starts][2:]
    assert set(restarted) == {1}


def preempted_while_decoding(**more) -> tuple[Service, list[int]]:
    """Serve two, of which the second is preempted once; also where its prefills began."""
    service = Service(limits(num_pages=12, step_tokens=64))
    service.serve(
        request("first", [1] * 4, max_tokens=17), request("b", [2] * 20, max_tokens=24, **more)
    )
    assert service.scheduler.totals.preemptions == 1
    prefills = [chunk for plan in service.plans for chunk in plan.chunks if chunk.token_ids]
    return service, [chunk.start for chunk in prefills[1:]]


def test_a_preempted_request_finds_its_pages_again():
    _, prefill_starts = preempted_while_decoding()
    assert prefill_starts == [0, 28]


def test_cached_tokens_are_those_of_the_first_admission_also_after_preemption():
    service, _ = preempted_while_decoding()
    assert service.answers["b"].cached_tokens == 0
    assert service.scheduler.totals.cached_tokens == 0
    assert service.scheduler.totals.prompt_tokens == 24


def test_prompt_logprobs_are_sent_once_and_after_that_the_cache_is_read_again():
    service, prefill_starts = preempted_while_decoding(prompt_logprobs=1)
    told = [output.prompt_logprobs is not None for output in service.answers["b"].outputs]
    assert told == [True] + [False] * 23
    assert prefill_starts == [0, 28]


def test_a_prompt_is_admitted_only_when_all_of_it_fits_beside_the_running():
    service = Service(limits(num_pages=10))
    service.submit(request("a", [1] * 4, max_tokens=17))
    service.step()
    service.submit(request("b", [2] * 32, max_tokens=8))
    service.run()
    assert service.scheduler.totals.preemptions == 0


# --- who is next


def starts_in_order(service: Service) -> list[int]:
    """First tokens of the prompts, in the order of their admission."""
    return [start.history_ids[0] for plan in service.plans for start in plan.starts]


def test_equal_requests_are_served_in_order_of_arrival():
    service = Service(limits(max_rows=1))
    service.serve(*(request(f"r{index}", [index, 9]) for index in (3, 1, 2)))
    assert starts_in_order(service) == [3, 1, 2]


def test_lower_priority_numbers_are_served_first():
    service = Service(limits(max_rows=1))
    service.serve(
        request("normal", [1, 9]),
        request("late", [2, 9], priority=5),
        request("urgent", [3, 9], priority=-1),
    )
    assert starts_in_order(service) == [3, 1, 2]


def test_who_has_more_of_its_prompt_cached_is_served_first():
    service = Service(limits(max_rows=1))
    service.serve(request("warm", SHARED))
    service.plans.clear()
    service.serve(request("cold", [50] * 20), request("hit", [*SHARED, 2]))
    assert starts_in_order(service) == [1, 50]


def test_a_request_without_cached_prefix_is_not_starved_by_those_with():
    service = Service(limits(max_rows=1, num_pages=100))
    service.serve(request("warm", SHARED))
    service.plans.clear()
    hits = [request(f"hit{index}", [*SHARED, index], max_tokens=1) for index in range(60)]
    service.serve(request("cold", [50] * 20), *hits)
    assert starts_in_order(service).index(50) == 16


def test_a_request_too_large_for_now_is_not_starved_by_small_ones():
    service = Service(limits(num_pages=12, max_rows=4))
    service.submit(request("running", [1] * 8, max_tokens=8))
    service.step()
    large = request("large", [2] * 40, max_tokens=4)
    service.submit(large)
    for index in range(60):
        service.submit(request(f"small{index}", [3 + index % 40] * 4, max_tokens=6))
        service.step()
    service.run()
    order = starts_in_order(service)
    assert order.index(2) <= 18, "16 may pass it, and those that run already"


# --- queue


def test_one_more_than_may_wait_is_rejected_and_told_when_to_retry():
    service = Service(limits(max_rows=1), max_queued_requests=2)
    service.submit(*(request(f"r{index}", [index, 1]) for index in range(4)))
    rejected = service.answers["r3"].rejected
    assert rejected is not None
    assert rejected.retry_after_seconds is not None
    assert [service.answers[f"r{index}"].rejected for index in range(3)] == [None] * 3


def test_a_request_id_in_use_is_rejected():
    service = Service()
    service.submit(request("a", [1]))
    rejected = service.scheduler.submit(request("a", [2]))
    assert rejected is not None
    assert "'a' is in use" in rejected.message


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_an_aborted_request_is_gone_whatever_its_stage(steps):
    service = Service(limits(step_tokens=8))
    service.submit(request("a", SHARED, max_tokens=9), request("b", [1, 2]))
    for _ in range(steps):
        service.step()
    told = len(service.answers["a"].outputs)
    service.abort("a")
    service.run()
    assert len(service.answers["a"].outputs) == told
    assert service.answers["b"].finish_reason == "length"


def test_aborting_what_is_not_there_does_nothing():
    service = Service()
    service.abort("nobody")
    service.serve(request("a", [1]))
    service.abort("a")


# --- logprobs


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


# --- the contract with the engine


def test_a_third_plan_needs_a_commit_first():
    service = Service()
    service.scheduler.submit(request("a", [1, 2], max_tokens=9))
    assert service.scheduler.plan() is not None
    assert service.scheduler.plan() is not None
    with pytest.raises(AssertionError, match="commit the oldest"):
        service.scheduler.plan()


def test_plans_are_committed_in_order():
    service = Service()
    service.scheduler.submit(request("a", [1, 2], max_tokens=9))
    first, second = service.scheduler.plan(), service.scheduler.plan()
    assert first is not None
    assert second is not None
    with pytest.raises(AssertionError, match="plan 0 is to be committed before 1"):
        service.scheduler.commit(second, StepResult(second.number, ()))


def test_a_grant_names_where_its_pages_go():
    service = Service()
    service.serve(request("a", [1, 2, 3, 4], max_tokens=2))
    (first,), (second,) = service.plans[0].grants, service.plans[1].grants
    assert first == PageGrant(0, 0, first.page_ids)
    assert second == PageGrant(0, 1, second.page_ids)
    assert set(first.page_ids).isdisjoint(second.page_ids)
