"""However requests are batched, chunked, cached, evicted, preempted or aborted: the same tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import hypothesis.strategies as st
from hypothesis import given, settings
from support.serving import Service, serve_alone
from support.toy_guide import expected_answer
from support.toy_runner import VOCAB_SIZE, ToyRunner, expected_vector, next_token

from radixloom_runtime.scheduler.speculation import Drafts, Speculation
from radixloom_runtime.settings import SchedulePolicy
from radixloom_runtime.wire.messages import Sampling, Submit
from radixloom_runtime.wire.plan import Limits

# A few stems, cut anywhere and continued with a few tokens: prompts that share prefixes, some
# inside a page, some whole.
STEMS = [[(7 * stem + 3 * index) % 5 for index in range(40)] for stem in range(3)]


@st.composite
def prompts(draw) -> list[int]:
    stem = draw(st.sampled_from(STEMS))
    shared = stem[: draw(st.integers(0, len(stem)))]
    return shared + draw(st.lists(st.integers(0, 2), min_size=not shared, max_size=6))


@dataclass(frozen=True)
class Visit:
    """A request, the step at which it comes, and the one at which its client goes away."""

    submit: Submit
    arrives: int
    leaves: int | None
    leaves_in_mid_step: bool
    """Between the making of a plan and the commit of the one before."""


@st.composite
def visits(draw, index: int) -> Visit:
    arrives = draw(st.integers(0, 12))
    wants_prompt_logprobs = draw(st.integers(0, 5)) == 0
    pooling = draw(st.sampled_from([None] * 9 + ["last", "mean", "first"]))
    scored_ids = [3, 1] if pooling is None and draw(st.integers(0, 5)) == 0 else []
    wants_vector = bool(pooling or scored_ids)
    wants_prompt_logprobs &= not wants_vector
    grammar = "" if wants_vector else draw(st.sampled_from(["", "", "", "6", "20"]))
    max_tokens = st.integers(0 if wants_prompt_logprobs else 1, 24)
    submit = Submit(
        request_id=f"r{index}",
        prompt_ids=draw(prompts()),
        max_tokens=0 if wants_vector else draw(max_tokens),
        sampling=Sampling(seed=draw(st.integers(0, 3))),
        stop_token_ids=draw(st.lists(st.integers(0, VOCAB_SIZE - 1), max_size=3)),
        min_tokens=0 if grammar else draw(st.integers(0, 4)),
        logprobs=draw(st.sampled_from([None, None, 0, 2])),
        prompt_logprobs=draw(st.integers(0, 2)) if wants_prompt_logprobs else None,
        priority=draw(st.sampled_from([0, 0, 0, 1, -1])),
        user=draw(st.sampled_from(["", "", "alice", "bob"])),
        deadline=draw(st.none() | st.none() | st.integers(arrives + 1, arrives + 25).map(float)),
        grammar=grammar,
        pooling=pooling,
        scored_ids=scored_ids,
        adapter=draw(st.sampled_from(["", "", "one", "two"])),
    )
    leaves = draw(st.none() | st.none() | st.integers(arrives, arrives + 25))
    return Visit(submit, arrives, leaves, draw(st.booleans()))


def places_needed(submit: Submit, max_model_len: int) -> int:
    """The last token of an answer is never computed, that of a prompt always."""
    length = len(submit.prompt_ids)
    return max(length, min(length + submit.max_tokens, max_model_len) - 1)


@st.composite
def days(draw) -> tuple[list[Visit], Limits]:
    """Visits, and a pool that is just large enough for the largest of them, or a little larger."""
    day = [draw(visits(index)) for index in range(draw(st.integers(1, 9)))]
    max_model_len = draw(st.sampled_from([48, 72]))
    places = max(places_needed(visit.submit, max_model_len) for visit in day)
    page_tokens = draw(st.sampled_from([1, 2, 4, 8]))
    limits = Limits(
        num_pages=-(-places // page_tokens) + draw(st.integers(0, 4)),
        page_tokens=page_tokens,
        max_rows=draw(st.integers(1, 6)),
        step_tokens=draw(st.sampled_from([1, 3, 4, 16, 64])),
        max_model_len=max_model_len,
        num_host_pages=draw(st.sampled_from([0, 0, 1, 3, 40])),
        is_recurrent=draw(st.booleans()),
        num_groups=draw(st.sampled_from([1, 1, 2, 3])),
        free_tokens=draw(st.sampled_from([1, 4, 256])),
    )
    return day, limits


@dataclass(frozen=True)
class Upkeep:
    """What is done to the cache by hand, at a step."""

    step: int
    what: str
    prefix: list[int]


@st.composite
def upkeeps(draw) -> list[Upkeep]:
    one = st.builds(
        Upkeep,
        st.integers(0, 20),
        st.sampled_from(["flush", "pin", "unpin", "unpin"]),
        st.sampled_from([STEMS[0][:8], STEMS[1][:17], STEMS[2]]),
    )
    return draw(st.lists(one, max_size=6))


def keep_up(service: Service, upkeep: Upkeep) -> None:
    name = f"pin{len(upkeep.prefix)}"
    match upkeep.what:
        case "flush":
            service.flush()
        case "pin":
            service.pin(name, upkeep.prefix)
        case "unpin":
            service.unpin(name)


def live_through(service: Service, day: list[Visit], upkeep: Sequence[Upkeep] = ()) -> None:
    """Let clients come and go at their steps, and run until all is done."""
    last = max(max(visit.arrives, visit.leaves or 0) for visit in day)
    for step in range(1 + max(last, *(each.step for each in upkeep), 0)):
        for each in upkeep:
            if each.step == step:
                keep_up(service, each)
        service.submit(*(visit.submit for visit in day if visit.arrives == step))
        for visit in day:
            if visit.leaves == step and not visit.leaves_in_mid_step:
                service.abort(visit.submit.request_id)
        service.step(
            aborts=[
                visit.submit.request_id
                for visit in day
                if visit.leaves == step and visit.leaves_in_mid_step
            ]
        )
    service.run()


@given(
    day_and_limits=days(),
    overlap=st.booleans(),
    prefix_cache=st.booleans(),
    policy=st.sampled_from(SchedulePolicy),
    upkeep=upkeeps(),
    guesses=st.sampled_from([None, 1, 3, 8]),
)
@settings(max_examples=150, deadline=None)
def test_scheduling_never_changes_the_answer(
    day_and_limits, overlap, prefix_cache, policy, upkeep, guesses
):
    day, limits = day_and_limits
    is_possible = guesses is not None and not limits.is_recurrent
    service = Service(
        limits,
        overlap=overlap,
        prefix_cache=prefix_cache,
        policy=policy,
        speculation=Speculation(guesses) if is_possible else None,
    )
    live_through(service, day, upkeep)
    for visit in day:
        answer = service.answers[visit.submit.request_id]
        token_ids, reason = expected_answer(visit.submit, limits)
        if answer.finish_reason is None:
            assert visit.leaves is not None or answer.rejected is not None or answer.timed_out
            assert answer.token_ids == token_ids[: len(answer.token_ids)]
        else:
            assert (answer.token_ids, answer.finish_reason) == (token_ids, reason)
            assert answer.outputs[-1].vector == expected_vector(visit.submit)


@given(
    day_and_limits=days(),
    overlap=st.booleans(),
    upkeep=upkeeps(),
    guesses=st.sampled_from([1, 3, 8]),
    wrong=st.sampled_from([1, 2, 100]),
)
@settings(max_examples=100, deadline=None)
def test_a_draft_model_never_changes_the_answer_however_often_it_is_wrong(
    day_and_limits, overlap, upkeep, guesses, wrong
):
    day, limits = day_and_limits
    limits = replace(limits, is_recurrent=False)

    def draft(seed: int, tokens: list[int]) -> int:
        """Be wrong every so many tokens: always, every second time, or never."""
        return next_token(seed, tokens) + (len(tokens) % wrong == 0)

    service = Service(
        limits,
        overlap=overlap,
        speculation=Speculation(guesses, Drafts),
        runner=ToyRunner(limits, draft=draft),
    )
    live_through(service, day, upkeep)
    for visit in day:
        answer = service.answers[visit.submit.request_id]
        token_ids, reason = expected_answer(visit.submit, limits)
        assert answer.token_ids == token_ids[: len(answer.token_ids)]
        if answer.finish_reason is None:
            assert visit.leaves is not None or answer.rejected is not None or answer.timed_out
        else:
            assert (answer.token_ids, answer.finish_reason) == (token_ids, reason)


@given(day_and_limits=days())
@settings(max_examples=50, deadline=None)
def test_every_output_served_together_equals_the_one_served_alone(day_and_limits):
    day, limits = day_and_limits
    service = Service(limits)
    live_through(service, day)
    for visit in day:
        together = service.answers[visit.submit.request_id]
        alone = serve_alone(visit.submit, limits)
        if (
            visit.submit.grammar and visit.submit.logprobs is None
        ):  # pieces may differ, by what pays
            whole = alone.token_ids
            assert together.token_ids == whole[: len(together.token_ids)]
            continue
        for ours, theirs in zip(together.outputs, alone.outputs, strict=False):
            assert ours.token_ids == theirs.token_ids
            assert ours.logprobs == theirs.logprobs
            assert ours.prompt_logprobs == theirs.prompt_logprobs
            assert ours.finish_reason == theirs.finish_reason
