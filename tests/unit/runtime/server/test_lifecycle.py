import asyncio
from typing import Any

import msgspec
import pytest
from support.ready import ready
from support.tiny import FOLDER

from radixloom_runtime.server import catalog, lifecycle
from radixloom_runtime.server.lifecycle import Lifecycle
from radixloom_runtime.server.problems import UnavailableError
from radixloom_runtime.wire.messages import Stats

MODEL = catalog.load(FOLDER, "tiny")
READY = ready()
STATS = msgspec.convert(dict.fromkeys(Stats.__struct_fields__, 0) | {"type": "Stats"}, Stats)


def _serving() -> Lifecycle:
    state = Lifecycle(model=MODEL)
    state.hear(READY)
    return state


def test_requests_are_let_in_once_both_halves_are_there():
    state = Lifecycle()
    state.hear(READY)
    with pytest.raises(UnavailableError, match="the model is loading"):
        state.admit()
    state.model = MODEL
    assert state.admit().limits is READY
    assert state.why_not_ready() is None


@pytest.mark.parametrize(
    ("change", "code"), [({"draining": True}, "draining"), ({"engine_lost": "x"}, "engine_lost")]
)
def test_nobody_is_let_in_at_the_end(change: dict[str, Any], code: str):
    state = _serving()
    for name, value in change.items():
        setattr(state, name, value)
    with pytest.raises(UnavailableError) as caught:
        state.admit()
    assert caught.value.code == code
    assert state.why_not_ready() is not None


def test_a_silent_engine_is_not_ready(monkeypatch: pytest.MonkeyPatch):
    state = _serving()
    monkeypatch.setattr(lifecycle, "STATS_STALE_SECONDS", -1)
    assert "nothing heard of the engine" in (state.why_not_ready() or "")


def test_an_engine_whose_steps_hang_is_not_ready():
    state = _serving()
    state.hear(msgspec.structs.replace(STATS, num_running=1, seconds_since_step=100))
    assert state.why_not_ready() == "no step succeeded for 100 s"


def test_an_idle_engine_makes_no_steps_and_is_ready():
    state = _serving()
    state.hear(msgspec.structs.replace(STATS, num_running=0, seconds_since_step=1000))
    assert state.why_not_ready() is None


def test_idle_is_when_the_last_request_has_ended():
    async def scene() -> None:
        state = Lifecycle()
        with state.request(), state.request():
            await state.wait_idle(0.01)
            assert state.in_flight == 2
            assert not state.idle.is_set()
        await asyncio.wait_for(state.wait_idle(10), 1)
        assert state.in_flight == 0

    asyncio.run(scene())
