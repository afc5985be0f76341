"""Guesses: where they come from, who gets them, and that no answer changes by them."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.serving import LIMITS, SHARED, Service, is_as_alone, limits, request
from support.toy_runner import LOOPING, ToyRunner, expected_tokens, next_token

from radixloom_runtime.scheduler.speculation import READ_AT_ONCE, Drafts, Ngrams, Speculation, parse
from radixloom_runtime.wire.messages import Sampling, Submit


def test_what_came_after_the_last_tokens_before_is_guessed():
    assert Ngrams().guess([1, 2, 3, 4, 5, 1, 2, 3], 2) == [4, 5]


def test_the_longest_match_wins_and_of_those_the_latest():
    assert Ngrams().guess([9, 1, 2, 5, 8, 1, 2, 6, 9, 1, 2], 1) == [5]
    assert Ngrams().guess([1, 2, 5, 7, 1, 2, 6, 0, 1, 2], 1) == [6]


def test_a_loop_shorter_than_the_guess_goes_round():
    assert Ngrams().guess([7, 1, 2, 1, 2, 1, 2], 5) == [1, 2, 1, 2, 1]
    assert Ngrams().guess([3, 3, 3], 4) == [3, 3, 3, 3]


def test_nothing_is_guessed_from_new_text():
    assert Ngrams().guess([1, 2, 3, 4], 4) == []
    assert Ngrams().guess([1], 4) == []


@given(st.lists(st.integers(0, 2), min_size=1, max_size=40), st.integers(1, 6))
def test_growing_with_the_text_finds_the_same_as_reading_it_whole(tokens, count):
    growing = Ngrams()
    for length in range(1, len(tokens) + 1):
        assert growing.guess(tokens[:length], count) == Ngrams().guess(tokens[:length], count)


def test_a_long_prompt_does_not_hold_up_the_step_that_first_guesses():
    """The whole of it was read in one step: 100,000 tokens took 80 ms."""
    counted = CountedList(range(100_000))
    Ngrams().guess(counted, 4)
    assert counted.num_read < 4 * READ_AT_ONCE


def test_what_is_far_back_in_a_long_prompt_is_found_after_some_guesses():
    ngrams, tokens = Ngrams(), [1, 2, 3, 4, *range(10, 3 * READ_AT_ONCE), 1, 2, 3]
    guesses = [ngrams.guess(tokens, 1) for _ in range(4)]
    assert guesses == [[], [], [4], [4]]


class CountedList(list[int]):
    """Counts the slices that are taken."""

    num_read = 0

    def __getitem__(self, index: Any) -> Any:
        self.num_read += 1
        return super().__getitem__(index)


def test_the_setting_names_how_many_tokens_are_guessed():
    assert parse("ngram").most == 4
    assert parse("ngram:7").most == 7
    assert parse("draft").make_guesser is Drafts
    assert parse("draft:7").most == 7


def drafting(most: int, draft: Callable[[int, list[int]], int], **changes: int) -> Service:
    runner = ToyRunner(limits(**changes), draft=draft)
    return Service(runner.limits, speculation=Speculation(most, Drafts), runner=runner)


def test_a_draft_model_that_is_always_right_saves_most_steps():
    service = drafting(4, next_token)
    submit = request("a", [1, 2, 3], max_tokens=40)
    service.serve(submit)
    assert is_as_alone(service, submit)
    assert len(service.plans) == 1 + 8  # the prompt, then 4 guesses and one more a step
    speculation = service.scheduler.speculation
    assert speculation is not None
    assert speculation.num_right == speculation.num_guessed


def test_a_draft_model_guesses_after_a_prefix_that_another_request_has_computed():
    service = drafting(4, next_token)
    service.serve(request("a", SHARED))
    again = request("b", [*SHARED, 3], max_tokens=20)
    assert service.serve(again)["b"].cached_tokens == len(SHARED)
    assert service.answers["b"].token_ids == expected_tokens(again, LIMITS)[0]
    assert max(len(output.token_ids) for output in service.answers["b"].outputs) == 5


def test_a_draft_model_goes_on_after_a_preemption():
    service = drafting(2, next_token, num_pages=8)
    first, last = request("first", [1] * 6, max_tokens=24), request("last", [2] * 6, max_tokens=24)
    service.serve(first, last)
    assert is_as_alone(service, first, last)
    assert service.scheduler.totals.preemptions > 0


def test_nobody_is_admitted_to_a_step_whose_room_guesses_have_taken():
    """A group with a guess had preempted one, and the other group took it into the same step."""
    service = drafting(2, next_token, num_pages=14, max_rows=4, num_groups=2)
    asked = [request(f"r{i}", [i] * 6, max_tokens=20) for i in range(1, 6)]
    service.serve(*asked)
    assert is_as_alone(service, *asked)
    assert service.scheduler.totals.preemptions > 0
    guessing = [plan for plan in service.plans if any(chunk.guessed_ids for chunk in plan.chunks)]
    assert guessing
    assert not any(plan.starts for plan in guessing)


def looping(request_id: str, max_tokens: int = 40, **more: Any) -> Submit:
    return request(request_id, [1, 2, 1, 2], max_tokens=max_tokens, seed=LOOPING, **more)


def test_right_guesses_save_steps_and_come_in_one_output():
    service = Service(speculation=Speculation(4))
    service.serve(looping("a"))
    assert is_as_alone(service, looping("a"))
    assert len(service.plans) < 30
    assert max(len(output.token_ids) for output in service.answers["a"].outputs) > 2
    speculation = service.scheduler.speculation
    assert speculation is not None
    saved = sum(len(output.token_ids) - 1 for output in service.answers["a"].outputs)
    assert saved <= speculation.num_right <= speculation.num_guessed


def test_the_first_guess_is_made_while_a_token_is_in_flight():
    service = Service(speculation=Speculation(2))
    service.submit(looping("a"))
    service.step()
    service.step()
    assert service.plans[1].chunks[0].guessed_ids, "planned before the first token was known"
    service.run()


def test_a_row_waits_for_its_guesses_while_others_go_on():
    service = Service(speculation=Speculation(2))
    other = request("b", [9, 8, 7], max_tokens=30)
    service.serve(looping("a"), other)
    assert is_as_alone(service, looping("a"), other)
    waited = [
        following
        for plan, following in itertools.pairwise(service.plans)
        if plan.chunks[0].guessed_ids and following.chunks[-1].row == 1
    ]
    assert waited
    assert all(len(following.chunks) == 1 for following in waited)


@pytest.mark.parametrize(
    "more",
    [
        {"logprobs": 1},
        {"sampling": Sampling(seed=LOOPING, frequency_penalty=0.1)},
        {"sampling": Sampling(seed=LOOPING, presence_penalty=0.1)},
        {"sampling": Sampling(seed=LOOPING, repetition_penalty=1.1)},
    ],
)
def test_nothing_is_guessed_where_it_could_not_be_exact(more):
    fields = {"sampling": Sampling(seed=LOOPING)} | more
    service = Service(speculation=Speculation(4))
    service.serve(Submit(request_id="a", prompt_ids=[1, 2, 1, 2], max_tokens=30, **fields))
    assert not any(chunk.guessed_ids for plan in service.plans for chunk in plan.chunks)


def test_guesses_take_only_rows_that_no_request_has():
    service = Service(limits(max_rows=4), speculation=Speculation(8))
    requests = [looping(f"r{index}") for index in range(3)]
    service.serve(*requests)
    assert is_as_alone(service, *requests)
    for plan in service.plans:
        assert len(plan.chunks) + sum(len(chunk.guessed_ids) for chunk in plan.chunks) <= 4


def test_guesses_evict_nothing_and_preempt_nobody():
    service = Service(limits(num_pages=12), speculation=Speculation(8))
    service.serve(request("known", [40] * 12, max_tokens=1))
    service.serve(looping("a", max_tokens=29))
    assert service.scheduler.totals.preemptions == 0
    assert service.serve(request("again", [40] * 12, max_tokens=1))["again"].cached_tokens > 0


def test_no_guess_goes_beyond_the_end():
    for max_tokens in range(1, 12):
        service = Service(speculation=Speculation(8))
        service.serve(looping("a", max_tokens=max_tokens))
        assert is_as_alone(service, looping("a", max_tokens=max_tokens))


class Stubborn:
    """Guesses wrong."""

    def guess(self, token_ids: list[int], count: int) -> list[int]:
        return [52] * count


def test_who_is_guessed_for_in_vain_is_left_alone_ever_longer():
    service = Service(speculation=Speculation(2, make_guesser=Stubborn))
    service.serve(request("a", [1, 2], max_tokens=100, seed=LOOPING))
    at = [index for index, plan in enumerate(service.plans) if plan.chunks[0].guessed_ids]
    gaps = [later - earlier for earlier, later in itertools.pairwise(at)]
    assert gaps == sorted(gaps)
    assert len(at) <= 7


@given(
    prompt=st.lists(st.integers(0, 52), min_size=1, max_size=12),
    seed=st.integers(0, 3),
    flips=st.lists(st.integers(0, 3), min_size=1, max_size=12),
    most=st.integers(1, 9),
    page_tokens=st.sampled_from([1, 2, 4]),
    stop=st.integers(0, 52),
)
@settings(max_examples=100, deadline=None)
def test_whatever_part_of_a_guess_is_right_the_answer_is_the_same(
    prompt, seed, flips, most, page_tokens, stop
):
    submit = request(
        "a", prompt, max_tokens=40, seed=seed, stop_token_ids=[stop], min_tokens=len(flips)
    )
    whole = [*prompt, *expected_tokens(submit, LIMITS)[0]]

    class Oracle:
        """Knows the answer, and is wrong where `flips` says so."""

        def guess(self, token_ids: list[int], count: int) -> list[int]:
            first = len(token_ids)
            known = [*whole[first : first + count], *[0] * count][:count]
            return [
                (token + (flips[(first + index) % len(flips)] == 0)) % 53
                for index, token in enumerate(known)
            ]

    service = Service(
        limits(page_tokens=page_tokens, num_pages=200), speculation=Speculation(most, Oracle)
    )
    service.serve(submit, request("b", [3, 4], max_tokens=12, seed=1))
    token_ids, reason = expected_tokens(submit, service.runner.limits)
    answer = service.answers["a"]
    assert (answer.token_ids, answer.finish_reason) == (token_ids, reason)
