"""Leases of pages."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from radixloom_runtime.cache.ledger import Lease, Ledger

PROMPT = list(range(10, 20))
"""Ten tokens: two pages of four, and two tokens of a third."""


def ledger_of(num_pages: int = 8, **more) -> Ledger:
    return Ledger(num_pages, page_tokens=4, **more)


def learn(ledger: Ledger, token_ids: list[int]) -> None:
    """Compute a prompt and forget who asked."""
    lease = ledger.open(token_ids)
    ledger.extend(lease, ledger.pages_for(len(token_ids)) - len(lease.page_ids))
    ledger.close(lease, token_ids, len(token_ids))
    ledger.check([])


def test_a_new_ledger_has_every_page_free():
    ledger = ledger_of(8)
    assert (ledger.num_free, ledger.num_evictable, ledger.num_used) == (8, 0, 0)


def test_closing_keeps_full_pages_for_others_and_frees_the_rest():
    ledger = ledger_of(8)
    learn(ledger, PROMPT)
    assert (ledger.num_free, ledger.num_evictable) == (6, 2)
    assert ledger.match(PROMPT).num_pages == 2


def test_a_prompt_known_whole_still_leaves_its_last_page_to_compute():
    ledger = ledger_of(8)
    learn(ledger, PROMPT[:8])
    assert len(ledger.open(PROMPT[:8]).page_ids) == 1
    assert ledger.match(PROMPT[:9]).num_pages == 2


def test_a_page_filed_is_shared_at_once_and_counted_once():
    ledger = ledger_of(8)
    first = ledger.open(PROMPT)
    ledger.extend(first, 3)
    ledger.file(first, PROMPT, 8)
    second = ledger.open(PROMPT)
    ledger.check([first, second])
    assert second.page_ids == first.page_ids[:2]
    assert ledger.num_used == 3


def test_only_full_pages_are_filed():
    ledger = ledger_of(8)
    lease = ledger.open(PROMPT)
    ledger.extend(lease, 2)
    ledger.file(lease, PROMPT, 7)
    ledger.check([lease])
    assert ledger.match(PROMPT).num_pages == 1


def test_a_twin_of_a_known_page_stays_its_own_and_is_freed_in_the_end():
    ledger = ledger_of(8)
    first, second = ledger.open(PROMPT), ledger.open(PROMPT)
    for lease in (first, second):
        ledger.extend(lease, 3)
        ledger.file(lease, PROMPT, 8)
        ledger.check([first, second])
    assert second.num_filed == 0
    ledger.close(first, PROMPT, 10)
    assert ledger.num_available == 8 - 3, "a twin keeps its own pages and no other"
    ledger.close(second, PROMPT, 10)
    ledger.check([])
    assert (ledger.num_free, ledger.num_evictable) == (6, 2)


def test_a_lease_that_does_not_read_the_cache_may_still_fill_it():
    ledger = ledger_of(8)
    lease = ledger.open(PROMPT, read_cache=False)
    ledger.extend(lease, 3)
    ledger.file(lease, PROMPT, 10)
    assert ledger.match(PROMPT).num_pages == 2


def test_extending_evicts_what_nobody_holds():
    ledger = ledger_of(4)
    learn(ledger, PROMPT)
    lease = ledger.open([1])
    assert len(ledger.extend(lease, 4)) == 4
    ledger.check([lease])
    assert ledger.match(PROMPT).num_pages == 0


def test_what_is_matched_and_evictable_is_told():
    ledger = ledger_of(8)
    learn(ledger, PROMPT)
    assert ledger.match(PROMPT).num_evictable == 2
    ledger.open(PROMPT)
    assert ledger.match(PROMPT).num_evictable == 0


def test_without_prefix_cache_nothing_is_kept():
    ledger = ledger_of(8, prefix_cache=False)
    lease = ledger.open(PROMPT)
    ledger.extend(lease, 3)
    ledger.file(lease, PROMPT, 10)
    ledger.close(lease, PROMPT, 10)
    assert (ledger.num_free, ledger.match(PROMPT).num_pages) == (8, 0)


def test_check_notices_a_lease_that_was_forgotten():
    ledger = ledger_of(8)
    lease = ledger.open(PROMPT)
    ledger.extend(lease, 1)
    with pytest.raises(AssertionError, match="lost"):
        ledger.check([])


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(1, 20), st.booleans()), min_size=1, max_size=5
    ),
    st.integers(0, 20),
)
def test_what_closing_would_gain_is_what_it_gains(requests, num_kept):
    ledger = Ledger(200, 4)
    leases: list[tuple[Lease, list[int]]] = []
    for stem, length, _ in requests:
        tokens = [stem * (index > 6) for index in range(length)]
        lease = ledger.open(tokens)
        ledger.extend(lease, ledger.pages_for(length) - len(lease.page_ids))
        ledger.file(lease, tokens, length)
        leases.append((lease, tokens))
    kept = [0] * num_kept
    closing = [each for each, (_, _, closes) in zip(leases, requests, strict=True) if closes]
    gained = ledger.gained_by_closing([lease for lease, _ in closing], kept)
    before = ledger.num_available - ledger.match(kept or [0]).num_evictable
    for lease, tokens in closing:
        ledger.close(lease, tokens, len(tokens))
    assert ledger.num_available - ledger.match(kept or [0]).num_evictable == before + gained
