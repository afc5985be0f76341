import math

from hypothesis import given
from hypothesis import strategies as st

from radixloom_runtime.router.rate_limit import RateLimit

moments = st.lists(st.floats(0, 30), min_size=1, max_size=60)


def test_a_minutes_requests_may_come_at_once_and_no_more():
    limit = RateLimit(3)
    assert [limit.wait_seconds("key", 0) for _ in range(4)] == [0, 0, 0, 20]


def test_after_the_wait_that_was_told_a_request_passes():
    limit = RateLimit(2)
    for _ in range(2):
        limit.wait_seconds("key", 0)
    wait = limit.wait_seconds("key", 10)
    assert limit.wait_seconds("key", 10 + wait - 1) > 0
    assert limit.wait_seconds("key", 10 + wait) == 0


def test_keys_are_counted_apart():
    limit = RateLimit(1)
    assert limit.wait_seconds("one", 0) == 0
    assert limit.wait_seconds("other", 0) == 0
    assert limit.wait_seconds("one", 0) > 0


@given(moments, st.integers(1, 20))
def test_no_minute_sees_more_than_two_of_its_share(gaps: list[float], rate: int):
    """A full bucket, and what flows in meanwhile."""
    limit, now, passed = RateLimit(rate), 0.0, list[float]()
    for gap in gaps:
        now += gap
        if limit.wait_seconds("key", now) == 0:
            passed.append(now)
    for start in passed:
        within = sum(start <= moment < start + 60 for moment in passed)
        assert within <= math.ceil(2 * rate)
