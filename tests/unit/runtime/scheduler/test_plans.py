"""What a plan says, by example."""

import pytest
from support.serving import Service, is_as_alone, limits, request
from support.toy_runner import next_token

from radixloom_runtime.wire.plan import PageGrant, StepResult


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
