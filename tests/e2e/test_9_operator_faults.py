"""The operator ends at the same state whatever befalls it, at a real API server without nodes.

A handful of what `make soak` does at length.
"""

import pytest

from bench import operator_faults, operator_stage
from hack.cluster.layout import Layout

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]

MOST_STEPS = len(operator_faults.STEPS)


SEEDS = (1, 2)


@pytest.fixture(scope="module")
def lives(tmp_path_factory):
    """Lives that are lived while the tests wait for them."""
    if not (Layout.default().binaries / "kube-apiserver").exists():
        pytest.skip("no API server to start, as with kind: `python -m hack.cluster binaries`")
    folder = tmp_path_factory.mktemp("operators")
    with operator_stage.world() as world, operator_faults.lives(*world, folder, SEEDS) as found:
        yield found


@pytest.fixture(scope="module")
def expected(lives) -> operator_faults.Life:
    return lives.undisturbed.result()


def test_an_operator_killed_after_any_of_its_writes_is_followed_by_one_that_ends_alike(
    lives, expected
):
    life = lives.killed.result()
    assert operator_faults.differences(life, expected) == []
    assert life.disturbances > MOST_STEPS, "each step takes several writes"


@pytest.mark.parametrize("seed", SEEDS)
def test_an_api_server_that_goes_wrong_changes_nothing_of_the_end(lives, expected, seed):
    life = lives.faulty[seed].result()
    assert operator_faults.differences(life, expected) == []
    assert life.disturbances > 0


def test_a_leader_that_stood_still_writes_nothing_when_another_leads(lives):
    assert lives.stopped.result() == []


def test_the_secret_of_a_slices_hosts_is_told_in_no_log_status_event_or_pod(expected):
    assert expected.leaks == ()
