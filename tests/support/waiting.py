"""Wait for a state of the world, bounded, and tell the whole story when it does not come."""

import time
from collections.abc import Callable
from typing import TypeVar

PERIOD_SECONDS = 0.5
T = TypeVar("T")


def wait_for(
    what: str,
    look: Callable[[], T | None],
    *,
    timeout_seconds: float,
    story: Callable[[], str] = lambda: "",
) -> T:
    """Return what `look` finds once it is true; fail with `story` after `timeout_seconds`."""
    started = time.monotonic()
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() - started > timeout_seconds:
            raise AssertionError(f"not after {timeout_seconds:.0f} s: {what}\n{story()}")
        time.sleep(PERIOD_SECONDS)
