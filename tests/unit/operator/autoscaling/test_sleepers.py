"""Who sleeps is woken by a request that waits, and not asked once it is awake."""

import pytest
from support.leader import Leader

from radixloom_operator.autoscaling.sleepers import Sleepers
from radixloom_operator.leaders import Leaders
from radixloom_operator.naming import Key

CHAT, OTHER = Key("default", "chat"), Key("default", "other")


@pytest.fixture
def sleepers() -> Sleepers:
    return Sleepers(Leaders())


def test_who_is_asked_for_is_wanted_once_whatever_its_other_routers_say(sleepers, router):
    with Leader().serving() as second, Leader().serving() as silent:
        silent.metrics = (500, b"")
        second.hold(0)
        addresses = [f"127.0.0.1:{one.port}" for one in (router, second, silent)]
        sleepers.put(CHAT, addresses)
        sleepers.put(OTHER, addresses[1:])
        assert sleepers.wanted() == []
        router.hold(2)
        assert sleepers.wanted() == [CHAT]
        second.hold(1)
        assert sleepers.wanted() == [CHAT, OTHER]


def test_who_is_awake_is_not_looked_at(sleepers, router):
    sleepers.put(CHAT, [f"127.0.0.1:{router.port}"])
    sleepers.drop(CHAT)
    assert sleepers.wanted() == []
    assert router.asked == []
