"""Where the process is between its start and its end.

    starting ──Ready, tokenizer──► serving ──SIGTERM──► draining ──► gone
        └──────────── engine lost ────┴─────────────────────┘

The health endpoints report it, and every request asks it for admission.
"""

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from radixloom_runtime.server.catalog import ServedModel
from radixloom_runtime.server.problems import STARTING_RETRY_SECONDS, UnavailableError
from radixloom_runtime.wire.messages import (
    Failed,
    Followers,
    Ready,
    Starting,
    StateMessage,
    Stats,
    StopWanted,
)

STATS_STALE_SECONDS = 15.0
"""An idle engine sends Stats every few seconds; this long without any, it hangs. A busy one is
silent during a step, so the limit of steps holds for it."""
STEP_STALE_SECONDS = 60.0
"""With requests running, a step succeeds many times a second; long prompts take a few seconds."""


@dataclass(frozen=True, slots=True)
class Serving:
    """What a request needs once everything is there."""

    model: ServedModel
    limits: Ready


@dataclass(slots=True)
class Lifecycle:
    """What is known of the start, the engine's life, and the requests in flight."""

    rank: int = 0
    """Of this host in its slice; all but 0 follow, and take no requests."""
    followers: dict[str, str] = field(default_factory=dict[str, str])
    """What the other hosts do, by rank; empty on a slice of one host, and on followers."""
    progress: Starting = field(
        default_factory=lambda: Starting(phase="process", done=0, total=1, unit="", seconds=0)
    )
    ready: Ready | None = None
    model: ServedModel | None = None
    stats: Stats | None = None
    heard_at: float = field(default_factory=time.monotonic)
    failure: Failed | None = None
    engine_lost: str | None = None
    draining: bool = False
    paused: bool = False
    """Whether the engine was told to plan no steps."""
    in_flight: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while no request is in flight."""

    def __post_init__(self) -> None:
        self.idle.set()

    def hear(self, message: StateMessage) -> None:
        """Take what the engine says of itself."""
        self.heard_at = time.monotonic()
        match message:
            case Starting():
                self.progress = message
            case Ready():
                self.ready = message
            case Stats():
                self.stats = message
            case Followers(states):
                self.followers = states
            case StopWanted():
                pass  # the supervisor's
            case Failed():
                self.failure = message

    @property
    def follows(self) -> bool:
        """Whether another host leads."""
        return self.rank > 0

    @property
    def is_started(self) -> bool:
        """Whether this host does its part."""
        return self.ready is not None and (self.follows or self.model is not None)

    @property
    def serving(self) -> Serving | None:
        """What requests need, or None while starting."""
        if self.ready is None or self.model is None:
            return None
        return Serving(self.model, self.ready)

    def admit(self) -> Serving:
        """Let a request in. Raises: `UnavailableError` while starting, draining, or broken."""
        if self.engine_lost is not None:
            raise UnavailableError(
                "the engine has ended; this server is about to",
                code="engine_lost",
                retry_after_seconds=1,
            )
        if self.draining:
            raise UnavailableError(
                "this server is shutting down", code="draining", retry_after_seconds=1
            )
        if (serving := self.serving) is None:
            raise UnavailableError(
                f"the model is loading ({self.progress.phase}); /startupz tells how far it is",
                code="starting",
                retry_after_seconds=STARTING_RETRY_SECONDS,
            )
        return serving

    @contextmanager
    def request(self) -> Generator[None, None, None]:
        """Count a request as in flight; draining waits for these."""
        self.in_flight += 1
        self.idle.clear()
        try:
            yield
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self.idle.set()

    async def wait_idle(self, timeout_seconds: float) -> None:
        """Wait until no request is in flight, at most so long."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.idle.wait(), timeout_seconds)

    def why_not_ready(self) -> str | None:
        """Say why no request should be sent here, or None."""
        if self.engine_lost is not None:
            return f"the engine has ended: {self.engine_lost}"
        if self.draining:
            return "shutting down"
        if not self.is_started:
            return f"starting: {self.progress.phase}"
        if self.paused:
            return "generation is paused; POST /continue_generation lets it go on"
        return self._why_engine_hangs()

    def _why_engine_hangs(self) -> str | None:
        silent_seconds = time.monotonic() - self.heard_at
        limit = STEP_STALE_SECONDS if self.in_flight else STATS_STALE_SECONDS
        if silent_seconds > limit:
            return f"nothing heard of the engine for {silent_seconds:.0f} s"
        if self.stats is None or not self.stats.num_running:
            return None
        if self.stats.seconds_since_step > STEP_STALE_SECONDS:
            return f"no step succeeded for {self.stats.seconds_since_step:.0f} s"
        return None
