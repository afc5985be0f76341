"""Progress lines on stderr, so that stdout carries only results."""

import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

_STARTED = time.monotonic()
_REPEAT_SECONDS = 15.0


def elapsed(seconds: float) -> str:
    """Write a duration as a person reads it: `8s`, `3m05s`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def say(message: str) -> None:
    """Print one progress line with the time since the command began."""
    stamp = elapsed(time.monotonic() - _STARTED)
    print(f"[{stamp:>6}] {message}", file=sys.stderr, flush=True)


@contextmanager
def long_step(describe: Callable[[], str]) -> Generator[None, None, None]:
    """Say `describe()` now and every 15 s until the block ends."""
    started = time.monotonic()
    finished = threading.Event()

    def repeat() -> None:
        while not finished.wait(_REPEAT_SECONDS):
            say(f"{describe()}, elapsed {elapsed(time.monotonic() - started)}")

    say(describe())
    reporter = threading.Thread(target=repeat, daemon=True)
    reporter.start()
    try:
        yield
    finally:
        finished.set()
        reporter.join()
