"""What makes the watchdog end the process; that it does end it, test_process shows."""

import os

from radixloom_runtime.engine.watchdog import Watchdog
from radixloom_runtime.wire.pulse import Pulse


def watchdog_of(*, parent_pid: int | None = None, seconds_on_device: float = 0.0) -> Watchdog:
    return Watchdog(
        parent_pid=os.getppid() if parent_pid is None else parent_pid,
        seconds_on_device=lambda: seconds_on_device,
        pulse=Pulse(None),
        last_words=lambda _: None,
        exit_code=1,
        step_limit_seconds=60,
    )


def test_a_living_parent_and_a_short_step_are_fine():
    watchdog = watchdog_of(seconds_on_device=59)
    assert watchdog.parent_is_gone() is None
    assert watchdog.step_hangs() is None


def test_another_parent_than_at_the_start_means_that_ours_is_gone():
    assert watchdog_of(parent_pid=1 if os.getppid() != 1 else 2).parent_is_gone() is not None


def test_a_step_over_the_limit_hangs_and_both_numbers_are_told():
    why = watchdog_of(seconds_on_device=61).step_hangs()
    assert why is not None
    assert "61 s (limit 60 s)" in why


def test_a_stopped_watchdog_watches_no_more():
    watchdog = watchdog_of()
    watchdog.start()
    watchdog.stop()
    assert not watchdog._thread.is_alive()
