"""The operator as one process would run it: kopf's registry, the queue, the reconciler."""

import asyncio

import kopf
import pytest
from support.fake_api_server import Store
from support.kubernetes_objects import pod
from support.llmservice_cases import manifest

from radixloom_operator.cluster import Cluster
from radixloom_operator.election import Unopposed
from radixloom_operator.handlers import Operator, _kopf_settings
from radixloom_operator.naming import Key
from radixloom_operator.settings import OperatorSettings

SETTINGS = OperatorSettings(workers=2, resync_seconds=0.05)


@pytest.fixture
def operator(server: tuple[Store, Cluster]) -> Operator:
    return Operator(SETTINGS, server[1], Unopposed())


async def run_until(operator: Operator, scene, is_done) -> None:
    """Run until `is_done`, or until one may say that it never will be."""
    async with operator._background():
        await scene()
        for _ in range(2000):
            if is_done():
                return
            await asyncio.sleep(0.005)


def test_nothing_that_kopf_does_writes_onto_an_object(operator):
    # Handlers of changes, timers and daemons would annotate objects and add finalizers.
    registry = operator._registry()
    for kind in (registry._changing, registry._spawning, registry._webhooks):
        assert kind.get_all_handlers() == []
    assert len(registry._watching.get_all_handlers()) == 8
    assert _kopf_settings().posting.enabled is False


def test_watches_never_hang_for_ever():
    settings = _kopf_settings()
    assert settings.watching.server_timeout
    assert settings.watching.client_timeout > settings.watching.server_timeout
    assert settings.queueing.idle_timeout < 1


def test_an_event_of_a_service_reconciles_it(operator, server):
    store, _ = server
    store.put_service(manifest())

    async def scene():
        await operator._service_changed(name="chat", namespace="default")

    asyncio.run(run_until(operator, scene, lambda: store.names("statefulsets")))
    assert store.names("statefulsets") == ["chat-s0"]


def test_an_event_of_an_owned_object_reconciles_its_service(operator, server):
    store, _ = server
    store.put_service(manifest())
    body = kopf.Body({**pod(0), "metadata": {**pod(0)["metadata"], "namespace": "default"}})

    async def scene():
        await operator._owned_changed(body=body)

    asyncio.run(run_until(operator, scene, lambda: store.names("statefulsets")))
    assert store.names("statefulsets") == ["chat-s0"]


def test_resync_finds_a_service_that_no_event_told_of(operator, server):
    store, _ = server
    store.put_service(manifest())

    async def scene():
        pass

    asyncio.run(run_until(operator, scene, lambda: store.names("statefulsets")))
    assert store.names("statefulsets") == ["chat-s0"]


def test_a_request_that_waits_wakes_a_service_that_no_event_told_of(
    operator, server, router, monkeypatch
):
    store, _ = server
    store.put_service(manifest())
    monkeypatch.setattr("radixloom_operator.autoscaling.sleepers.LOOK_SECONDS", 0.01)
    monkeypatch.setattr(operator, "_resync", asyncio.Event().wait)
    router.hold(1)

    async def scene():
        operator._meter.sleepers.put(Key("default", "chat"), [f"127.0.0.1:{router.port}"])

    asyncio.run(run_until(operator, scene, lambda: store.names("statefulsets")))
    assert store.names("statefulsets") == ["chat-s0"]


def test_resync_looks_at_a_sleeper_that_was_deleted_while_another_led(operator, server):
    sleepers = operator._meter.sleepers

    async def scene():
        sleepers.put(Key("default", "gone"), ["127.0.0.1:1"])

    asyncio.run(run_until(operator, scene, lambda: not sleepers.keys()))
    assert sleepers.keys() == []


def test_a_defect_in_one_service_leaves_the_others_alone(operator, server):
    store, _ = server
    store.put_service(manifest())
    store.put_service(manifest({"metadata.name": "broken"}))
    broken = next(path for path in store.objects if path.endswith("/broken"))
    del store.objects[broken]["metadata"]["uid"]  # no API server does that

    async def scene():
        for name in ("broken", "chat"):
            await operator._service_changed(name=name, namespace="default")

    asyncio.run(run_until(operator, scene, lambda: store.names("statefulsets")))
    assert store.names("statefulsets") == ["chat-s0"]


def test_it_waits_until_the_definition_is_installed(operator, server, monkeypatch):
    store, _ = server
    monkeypatch.setattr("radixloom_operator.handlers._CRD_PAUSE_SECONDS", 0.01)
    answers = iter([404, 500, 404])
    store.fault = lambda method, path, number: next(answers, None)
    asyncio.run(operator._wait_for_our_api())
    assert store.requests == 4
