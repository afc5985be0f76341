"""When an engine counts as standing still."""

import asyncio
import threading
import time

import pytest

from radixloom_runtime.wire import pulse as pulses
from radixloom_runtime.wire.pulse import Pulse, PulseListener

BEAT_SECONDS = 0.1
LIMIT_SECONDS = 0.3


@pytest.fixture(autouse=True)
def quick_beats(monkeypatch):
    monkeypatch.setattr(pulses, "BEAT_SECONDS", BEAT_SECONDS)


async def listen(seconds: float, *, beats_until: float = 0, closes: bool = False) -> float | None:
    """Return the silence that was found within `seconds`, or None."""
    listener = PulseListener()
    pulse = Pulse(listener.engine_descriptor)
    end = time.monotonic() + beats_until

    def beat() -> None:
        while time.monotonic() < end:
            pulse.beat()
            time.sleep(BEAT_SECONDS / 5)
        if closes:
            pulse.close()

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        async with asyncio.timeout(seconds):
            return await listener.silence(lambda: LIMIT_SECONDS)
    except TimeoutError:
        return None
    finally:
        thread.join()
        listener.close()
        pulse.close()


def test_an_engine_that_beats_no_more_stands_still():
    found = asyncio.run(listen(5, beats_until=0.1))
    assert found is not None
    assert LIMIT_SECONDS < found < LIMIT_SECONDS + 1.5 * BEAT_SECONDS


@pytest.mark.parametrize(
    "more",
    [{}, {"beats_until": 1}, {"beats_until": 0.1, "closes": True}],
    ids=["never beats", "goes on beating", "closes its end"],
)
def test_no_silence_is_found_of_an_engine_that(more):
    assert asyncio.run(listen(0.8, **more)) is None


def test_a_listener_that_stood_still_itself_blames_nobody():
    async def stop_the_world() -> float | None:
        listening = asyncio.create_task(listen(1.4, beats_until=1.6))
        await asyncio.sleep(0.2)
        time.sleep(1)  # noqa: ASYNC251 - that is the point
        return await listening

    assert asyncio.run(stop_the_world()) is None


def test_a_pulse_that_nobody_listens_to_stops_nothing():
    Pulse(None).beat()
    Pulse.of_parent({}).close()
