"""Which evicted pages have a copy in host memory."""

from hypothesis import given
from hypothesis import strategies as st

from radixloom_runtime.cache.host_tier import NO_KEY, HostTier, keys_after
from radixloom_runtime.cache.ledger import Ledger

PROMPT = list(range(20))


def test_a_key_stands_for_the_whole_prefix():
    first = list(keys_after(NO_KEY, [1, 2, 3, 4, 5, 6, 7], 2))
    other = list(keys_after(NO_KEY, [9, 2, 3, 4, 5, 6, 7], 2))
    assert len(first) == 3, "the last page is not whole"
    assert not set(first) & set(other)
    assert list(keys_after(first[0], [3, 4, 5, 6], 2)) == first[1:]


def test_what_was_kept_is_found_up_to_the_first_gap():
    tier = HostTier(4)
    a, b, c = keys_after(NO_KEY, [1, 2, 3], 1)
    slots = {key: tier.keep(key, except_slots=()) for key in (a, c)}
    assert tier.find([a, b, c]) == [slots[a]]
    assert tier.find([b]) == []


def test_a_page_with_a_copy_is_not_copied_again():
    tier = HostTier(4)
    assert tier.keep(b"a", except_slots=()) is not None
    assert tier.keep(b"a", except_slots=()) is None


def test_the_least_recently_used_copy_gives_way_but_none_that_is_about_to_be_read():
    tier = HostTier(2)
    slots = {key: tier.keep(key, except_slots=()) for key in (b"a", b"b")}
    tier.find([b"a"])
    assert tier.keep(b"c", except_slots=()) == slots[b"b"]
    (slot,) = tier.find([b"a"])
    assert tier.keep(b"d", except_slots=[slot]) == slots[b"b"]
    assert tier.keep(b"e", except_slots=list(slots.values())) is None
    tier.check()


def learn(ledger: Ledger, token_ids: list[int]) -> int:
    """Compute a prompt and forget who asked; return how much of it was known."""
    lease = ledger.open(token_ids)
    known = lease.num_filed
    ledger.extend(lease, ledger.pages_for(len(token_ids)) - len(lease.page_ids))
    ledger.close(lease, token_ids, len(token_ids))
    ledger.check([])
    return known


def test_an_evicted_prefix_comes_back_from_host_memory():
    ledger = Ledger(6, 4, num_host_pages=10)
    learn(ledger, PROMPT)
    assert ledger.take_moves() == ()
    learn(ledger, [50] * 20)
    saved = ledger.take_moves()
    assert [move.to_host for move in saved] == [True] * 4
    assert learn(ledger, PROMPT) == 4
    moves = ledger.take_moves()
    loads = [move for move in moves if not move.to_host]
    slot_of = {move.page_id: move.slot for move in saved}
    assert {move.slot for move in loads} <= set(slot_of.values())
    assert ledger.num_restored == len(loads) > 0


def test_a_flush_forgets_the_copies_too():
    ledger = Ledger(6, 4, num_host_pages=10)
    learn(ledger, PROMPT)
    learn(ledger, [50] * 20)
    ledger.flush()
    assert learn(ledger, PROMPT) == 0


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(1, 20), st.integers(0, 2)), min_size=1, max_size=30
    ),
    st.integers(0, 8),
)
def test_what_is_loaded_is_what_was_saved_there_last(prompts, num_host_pages):
    """Pages and slots hold the whole prefix that they belong to."""
    size = 2
    ledger = Ledger(12, size, num_host_pages=num_host_pages)
    pages: dict[int, tuple[int, ...]] = {}
    slots: dict[int, tuple[int, ...]] = {}
    for stem, length, tail in prompts:
        token_ids = [(index * (stem + 2)) % 5 for index in range(length)] + [tail]
        lease = ledger.open(token_ids)
        known = lease.num_filed
        ledger.extend(lease, ledger.pages_for(len(token_ids)) - len(lease.page_ids))
        for move in ledger.take_moves():
            if move.to_host:
                slots[move.slot] = pages[move.page_id]
            else:
                pages[move.page_id] = slots[move.slot]
        for index, page_id in enumerate(lease.page_ids):
            prefix = tuple(token_ids[: (index + 1) * size])
            if index < known:
                assert pages[page_id] == prefix
            pages[page_id] = prefix
        ledger.close(lease, token_ids, len(token_ids))
        ledger.check([])
