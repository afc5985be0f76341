"""When a lease may be taken, on the clock of who looks at it."""

from datetime import UTC, datetime

import pytest

from radixloom_operator.lease import (
    Pace,
    Sighting,
    held,
    may_take,
    new_lease,
    released,
    sighting,
)

PACE = Pace(10)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC)
OURS = new_lease("system", "operator", identity="we", pace=PACE, now=NOW)


def test_the_fence_falls_before_anybody_may_take_over_and_after_a_second_try():
    for seconds in (1, 10, 300):
        pace = Pace(seconds)
        assert 2 * pace.retry_seconds < pace.fence_seconds < seconds


def test_a_record_that_did_not_change_keeps_its_age():
    first = sighting(OURS, None, now_seconds=100)
    assert sighting(OURS, first, now_seconds=107) == first
    renewed = held(OURS, identity="we", pace=PACE, now=LATER)
    assert sighting(renewed, first, now_seconds=107).since_seconds == 107


@pytest.mark.parametrize(
    ("holder", "seen_at", "now", "may"),
    [
        ("we", 0.0, 0.0, True),
        ("", 0.0, 0.0, True),
        ("other", 0.0, 9.9, False),
        ("other", 0.0, 10.0, True),
        ("other", 5.0, 14.0, False),
    ],
)
def test_it_is_taken_when_it_is_ours_or_nobodys_or_its_time_is_over(holder, seen_at, now, may):
    seen = Sighting(holder, "", seen_at)
    assert may_take(seen, OURS, identity="we", now_seconds=now) is may


def test_its_time_is_what_its_holder_said_not_what_we_would_say():
    patient = held(OURS, identity="other", pace=Pace(60), now=NOW)
    seen = sighting(patient, None, now_seconds=0)
    assert not may_take(seen, patient, identity="we", now_seconds=59)
    assert may_take(seen, patient, identity="we", now_seconds=60)


def test_renewing_counts_no_transition_and_taking_over_does():
    renewed = held(OURS, identity="we", pace=PACE, now=LATER)["spec"]
    assert (renewed["leaseTransitions"], renewed["acquireTime"]) == (0, OURS["spec"]["acquireTime"])
    assert renewed["renewTime"] != OURS["spec"]["renewTime"]
    taken = held(OURS, identity="other", pace=PACE, now=LATER)["spec"]
    assert (taken["leaseTransitions"], taken["holderIdentity"]) == (1, "other")
    assert taken["acquireTime"] == taken["renewTime"]


def test_a_lease_that_was_given_back_is_free_for_all():
    free = released(OURS, now=LATER)
    seen = sighting(free, None, now_seconds=0)
    assert may_take(seen, free, identity="other", now_seconds=0)
