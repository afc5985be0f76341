"""For how long nobody has asked, by a clock of the test's own."""

import pytest

from radixloom_runtime.router.activity import Activity


class Scene:
    """A router whose leader is ready since 0, at first."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ready_since: float | None = 0.0
        self.activity = Activity(lambda: self.ready_since, clock=lambda: self.now)

    def idle_at(self, now: float) -> float:
        self.now = now
        return self.activity.idle_seconds


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_router_that_nobody_asked_has_been_idle_since_it_began(scene):
    assert scene.idle_at(7) == 7


def test_a_request_is_no_idleness_until_its_end(scene):
    with scene.activity.asked():
        with scene.activity.asked():
            assert scene.idle_at(10) == 0
        assert scene.idle_at(20) == 0
    assert scene.idle_at(23) == 3


def test_a_request_that_fails_is_at_its_end_too(scene):
    scene.now = 5
    with pytest.raises(ValueError, match="refused"), scene.activity.asked():
        raise ValueError("refused")
    assert scene.idle_at(9) == 4


def test_without_a_ready_leader_nobody_is_idle(scene):
    scene.ready_since = None
    assert scene.idle_at(100) == 0


def test_a_leader_that_took_long_to_be_ready_is_not_idle_since_before(scene):
    scene.ready_since = 100
    assert scene.idle_at(101) == 1
