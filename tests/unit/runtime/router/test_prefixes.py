from hypothesis import given
from hypothesis import strategies as st

from radixloom_runtime.router.prefixes import PrefixIndex

MAX_BLOCKS, MAX_AGE = 12, 10.0


def chain(path: str) -> list[int]:
    """Name each block by all that leads to it, as chained hashes do."""
    return [hash(path[: length + 1]) for length in range(len(path))]


paths = st.text("ab", max_size=8)
uses = st.lists(st.tuples(paths, st.floats(0, 6)), max_size=30)


def index() -> PrefixIndex:
    return PrefixIndex(max_blocks=MAX_BLOCKS, max_age_seconds=MAX_AGE)


def test_what_was_sent_is_matched_as_far_as_it_is_the_same():
    known = index()
    known.touch(chain("abba"), 0)
    assert known.matched(chain("abba"), 1) == 4
    assert known.matched(chain("abbb"), 1) == 3
    assert known.matched(chain("ab"), 1) == 2
    assert known.matched(chain("ba"), 1) == 0
    assert known.matched([], 1) == 0


def test_what_is_not_used_is_forgotten_in_time():
    known = index()
    known.touch(chain("aaaa"), 0)
    known.touch(chain("aa"), 8)
    assert known.matched(chain("aaaa"), 9) == 4
    assert known.matched(chain("aaaa"), 11) == 2
    assert len(known) == 2


def test_the_least_recently_used_gives_way_from_its_end():
    known = index()
    known.touch(chain("a" * 8), 0)
    known.touch(chain("b" * 8), 1)
    assert known.matched(chain("b" * 8), 1) == 8
    assert known.matched(chain("a" * 8), 1) == 4


def test_of_a_prompt_larger_than_all_its_beginning_is_kept():
    known = index()
    known.touch(chain("a" * 30), 0)
    assert known.matched(chain("a" * 30), 0) == MAX_BLOCKS


def test_a_leader_that_ended_holds_nothing():
    known = index()
    known.touch(chain("abab"), 0)
    known.clear()
    assert known.matched(chain("abab"), 0) == 0


@given(uses)
def test_bounds_hold_and_only_beginnings_are_known(used: list[tuple[str, float]]):
    known, now = index(), 0.0
    last_used: dict[int, float] = {}
    for path, seconds in used:
        now += seconds
        known.touch(chain(path), now)
        last_used |= dict.fromkeys(chain(path), now)
    assert len(known) <= MAX_BLOCKS
    for path, _ in used:
        blocks = chain(path)
        length = known.matched(blocks, now)
        assert all(known.matched(blocks[index : index + 1], now) == 0 for index in
                   range(length, len(blocks)))  # fmt: skip
        assert all(now - last_used[block] <= MAX_AGE for block in blocks[:length])


@given(uses.filter(bool))
def test_the_last_prompt_is_always_known(used: list[tuple[str, float]]):
    known, now = index(), 0.0
    for path, seconds in used:
        now += seconds
        known.touch(chain(path), now)
    last = chain(used[-1][0])
    assert known.matched(last, now) == len(last)
