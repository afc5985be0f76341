"""Candidates for one lease, against an API server that may be gone."""

import asyncio

import pytest

from radixloom_operator.connection import Connection
from radixloom_operator.election import Election, Unopposed
from radixloom_operator.errors import NotLeadingError
from radixloom_operator.lease import Pace

LEASE = "/apis/coordination.k8s.io/v1/namespaces/system/leases/operator"


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def candidate(server, clock):
    connection: Connection = server[1]._connection

    def make(identity: str) -> Election:
        return Election(
            connection,
            namespace="system",
            name="operator",
            identity=identity,
            pace=Pace(10),
            clock=clock,
        )

    return make


def test_the_first_leads_and_the_second_waits(candidate):
    first, second = candidate("first"), candidate("second")
    assert first.try_once()
    assert not second.try_once()
    first.fence()
    with pytest.raises(NotLeadingError, match="second does not hold the lease system/operator"):
        second.fence()


def test_a_leader_that_renews_is_never_followed(candidate, clock):
    first, second = candidate("first"), candidate("second")
    first.try_once()
    for _ in range(20):
        clock.seconds += 2
        assert first.try_once()
        assert not second.try_once()


def test_who_stood_still_may_not_write_before_another_takes_over(candidate, clock):
    first, second = candidate("first"), candidate("second")
    first.try_once()
    second.try_once()
    clock.seconds += 7
    assert not first.is_leading
    assert not second.try_once()
    clock.seconds += 3
    assert second.try_once()
    assert not first.is_leading
    assert not first.try_once(), "the lease is another's by now"


def test_the_fence_counts_from_when_a_renewal_was_sent(candidate, clock, server):
    first = candidate("first")
    first.try_once()

    def slow(method: str, path: str, number: int) -> None:
        clock.seconds += 3

    server[0].fault = slow
    assert first.try_once()
    sent_seconds_ago = 2 * 3
    clock.seconds += 7 - sent_seconds_ago
    assert not first.is_leading


def test_an_api_server_that_fails_costs_no_leader_its_lease_before_the_fence(
    candidate, clock, server
):
    first = candidate("first")
    first.try_once()
    server[0].fault = lambda method, path, number: 500
    clock.seconds += 6
    assert first.try_once()
    clock.seconds += 1
    assert not first.try_once()


def test_of_two_that_take_at_once_one_is_refused(candidate, clock, server):
    first, second, third = candidate("first"), candidate("second"), candidate("third")
    first.try_once()
    second.try_once()
    third.try_once()
    clock.seconds += 10
    is_read = False

    def between(method: str, path: str, number: int) -> None:
        nonlocal is_read
        if method == "PUT" and not is_read:
            is_read = True
            live = server[0].objects[path]
            live["metadata"]["resourceVersion"] = "another's"
            live["spec"]["holderIdentity"] = "third"

    server[0].fault = between
    assert not second.try_once()
    assert server[0].objects[LEASE]["spec"]["holderIdentity"] == "third"


def test_who_resigns_writes_no_more_and_is_followed_at_once(candidate):
    first, second = candidate("first"), candidate("second")
    first.try_once()
    first.resign()
    with pytest.raises(NotLeadingError):
        first.fence()
    assert not second.try_once()
    asyncio.run(first.release())
    assert second.try_once()


def test_what_another_holds_is_not_given_back(candidate, clock, server):
    first, second = candidate("first"), candidate("second")
    first.try_once()
    second.try_once()
    clock.seconds += 10
    second.try_once()
    first.resign()
    asyncio.run(first.release())
    assert server[0].objects[LEASE]["spec"]["holderIdentity"] == "second"


def test_coming_to_lead_is_told_once(candidate):
    told: list[str] = []

    async def stand() -> None:
        first = candidate("first")
        first._pace = Pace(1)
        task = asyncio.create_task(first.run(on_lead=lambda: told.append("leads")))
        await asyncio.sleep(0.7)
        task.cancel()

    asyncio.run(stand())
    assert told == ["leads"]


def test_a_write_passes_the_fence_or_does_not_happen(server, candidate):
    from radixloom_operator.cluster import Cluster

    store, cluster = server
    follower = candidate("follower")
    fenced = Cluster(cluster._connection, fence=follower.fence)
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "chat", "namespace": "default"},
    }
    with pytest.raises(NotLeadingError):
        fenced.apply(account)
    assert store.writes == []
    follower.try_once()
    fenced.apply(account)
    assert store.names("serviceaccounts") == ["chat"]


def test_the_only_operator_leads_by_the_word_of_who_started_it():
    told: list[str] = []

    async def stand() -> None:
        task = asyncio.create_task(Unopposed().run(on_lead=lambda: told.append("leads")))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(stand())
    assert told == ["leads"]
    assert Unopposed().is_leading
