"""Places in time: users alternate, priorities have a head start, time goes on for everyone."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from radixloom_runtime.scheduler import turns
from radixloom_runtime.scheduler.turns import AGING, TURN, Turns


def test_one_users_requests_are_in_order_of_arrival():
    times = Turns()
    taken = [times.take("", 0) for _ in range(5)]
    assert taken == sorted(set(taken))


def test_a_newcomer_begins_at_the_time_it_is_and_not_behind_a_flood():
    times = Turns()
    flood = [times.take("alice", 0) for _ in range(100)]
    for turn in flood[:3]:
        times.serve(turn)
    assert flood[2] <= times.take("bob", 0) <= flood[3]


def test_an_urgent_request_does_not_queue_behind_its_own_users_flood():
    times = Turns()
    flood = [times.take("alice", 1) + AGING for _ in range(1000)]
    assert times.take("alice", 0) < flood[0]


def test_who_was_idle_gets_no_turns_for_that():
    times = Turns()
    times.take("idle", 0)
    for _ in range(50):
        times.serve(times.take("busy", 0))
    assert times.take("idle", 0) >= 49 * TURN


def test_time_goes_on_though_each_request_has_a_new_user():
    times = Turns()
    times.take("alice", 0)
    second = times.take("alice", 0)
    for index in itertools.count():
        turn = times.take(f"user{index}", 0)
        if turn > second:
            break
        times.serve(turn)
    assert index <= TURN + 1


def test_users_without_a_turn_ahead_are_forgotten(monkeypatch):
    monkeypatch.setattr(turns, "_PRUNE_ABOVE", 8)
    times = Turns()
    for index in range(10_000):
        times.serve(times.take(f"user{index}", 0))
    assert len(times._next) <= 2 * TURN + 8


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 1)), max_size=60))
def test_among_users_with_requests_waiting_none_is_two_turns_ahead(arrivals):
    times = Turns()
    waiting = [(times.take(user, 0), index, user) for index, (user, _) in enumerate(arrivals)]
    served = dict.fromkeys("abc", 0)
    for turn, _, user in sorted(waiting):
        times.serve(turn)
        served[user] += 1
        still = {user for t, _, user in waiting if t > turn}
        counts = [served[user] for user in still]
        assert not counts or max(counts) - min(counts) <= 1
