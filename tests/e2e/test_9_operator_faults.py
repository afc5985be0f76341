"""The operator ends at the same state whatever befalls it, at a real API server without nodes.

A handful of what `make soak` does at length.
"""

import pytest

from bench import operator_faults, operator_stage

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]

MOST_STEPS = len(operator_faults.STEPS)


@pytest.fixture(scope="module")
def world():
    with operator_stage.world() as found:
        yield found


@pytest.fixture(scope="module")
def expected(world, tmp_path_factory) -> operator_faults.Life:
    return operator_faults.undisturbed(*world, tmp_path_factory.mktemp("operator"))


def test_an_operator_killed_after_any_of_its_writes_is_followed_by_one_that_ends_alike(
    world, expected, tmp_path
):
    life = operator_faults.killed_after_every_write(*world, tmp_path)
    assert operator_faults.differences(life, expected) == []
    assert life.disturbances > MOST_STEPS, "each step takes several writes"


@pytest.mark.parametrize("seed", [1, 2])
def test_an_api_server_that_goes_wrong_changes_nothing_of_the_end(world, expected, tmp_path, seed):
    life = operator_faults.with_faults(*world, tmp_path, seed)
    assert operator_faults.differences(life, expected) == []
    assert life.disturbances > 0


def test_a_leader_that_stood_still_writes_nothing_when_another_leads(world, tmp_path):
    assert operator_faults.stopped_and_woken(*world, tmp_path) == []


def test_the_secret_of_a_slices_hosts_is_told_in_no_log_status_event_or_pod(expected):
    assert expected.leaks == ()
