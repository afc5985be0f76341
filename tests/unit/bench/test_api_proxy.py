"""By what it is known that an operator has nothing left to write."""

import ssl
from pathlib import Path

import pytest

from bench.api_proxy import ApiProxy, Asked

SERVICE = "/apis/serving.radixloom.dev/v1alpha1/namespaces/one/llmservices/chat"
TURN = Asked("GET", SERVICE)
WRITE = Asked("PATCH", f"{SERVICE}/status?force=true")
READ = Asked("GET", "/api/v1/namespaces/one/pods?labelSelector=x")
RENEWAL = Asked("PUT", "/apis/coordination.k8s.io/v1/namespaces/one/leases/operator")
WATCH = Asked("GET", SERVICE.removesuffix("/chat") + "?watch=true")


@pytest.fixture
def proxy(monkeypatch) -> ApiProxy:
    """A proxy on whose clock each look is a second later."""
    seconds = iter(range(1, 1000))
    monkeypatch.setattr("bench.api_proxy.time.monotonic", lambda: float(next(seconds)))
    return ApiProxy("https://127.0.0.1:1", ssl.create_default_context(), Path("kubeconfig"))


@pytest.mark.parametrize(
    ("asked", "has_rested"),
    [
        ([], False),
        ([TURN, READ, READ], False),
        ([TURN, READ, TURN], True),
        ([TURN, RENEWAL, WATCH, WATCH, TURN], True),
        ([TURN, WRITE, TURN], False),
        ([TURN, WRITE, TURN, READ, TURN], True),
        ([TURN, READ, TURN, WRITE], False),
    ],
)
def test_an_operator_rests_when_a_whole_turn_wrote_nothing(proxy, asked, has_rested):
    for one in asked:
        proxy.note(one)
    assert proxy.has_rested(0) is has_rested


def test_turns_of_before_do_not_count(proxy):
    for _ in range(3):
        proxy.note(TURN)
    assert not proxy.has_rested(2)
