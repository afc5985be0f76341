"""The prefix tree as the engine told it last: however many watch, it is asked once a second."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from radixloom_runtime.server.engine_client import Reply
from radixloom_runtime.server.inbox import EngineLost
from radixloom_runtime.server.problems import EngineLostError
from radixloom_runtime.wire.messages import CacheLook, Look, Question

MAX_NODES = 128
"""Of each group's tree: more than a person looks at."""
MAX_IDS = 40
"""Of each node: a line of text."""
FRESH_SECONDS = 1.0

Ask = Callable[[Question], Awaitable[Reply]]
"""As `EngineClient.ask`."""

_count = itertools.count()


@dataclass(slots=True)
class TreeView:
    """The tree as the engine told it last."""

    _told: CacheLook | None = None
    _told_at: float = 0.0
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def look(self, ask: Ask) -> CacheLook:
        """Return what the cache holds, or held a second ago. Raises: `EngineLostError`."""
        async with self._one_at_a_time:
            if self._told is None or time.monotonic() - self._told_at > FRESH_SECONDS:
                self._told = await _answer(ask)
                self._told_at = time.monotonic()
            return self._told


async def _answer(ask: Ask) -> CacheLook:
    question = Look(request_id=f"look-{next(_count)}", max_nodes=MAX_NODES, max_ids=MAX_IDS)
    match await ask(question):
        case CacheLook() as told:
            return told
        case EngineLost(message):
            raise EngineLostError(f"the engine ended: {message}", code="engine_lost")
        case other:
            raise AssertionError(f"a Look is answered by CacheLook, found {other}")
