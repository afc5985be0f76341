"""From a request to the answer of a leader, however many leaders it takes to get one.

    leader? ──none──► waiting room (POST) or 503
       │ ◄─────────────── one is ready
       ▼
     send ──► no connection, or 503 (starting, draining) ──► drop the leader, choose again
       │ ──► broken before an answer ──► the same, once; then 502
       ▼
     answer: from its first byte on there is no second try

A request whose connection breaks may be what killed its leader, and so goes to one other alone.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus

import structlog

from radixloom_runtime.errors import RequestError
from radixloom_runtime.router.fingerprint import Fingerprint
from radixloom_runtime.router.fleet import Fleet, Leader
from radixloom_runtime.router.http_connection import BrokenError, UnreachableError
from radixloom_runtime.router.metrics import RouterMetrics
from radixloom_runtime.router.policy import Choice
from radixloom_runtime.router.trace import Trace
from radixloom_runtime.router.upstream import Answer, Asked, Upstream
from radixloom_runtime.router.waiting_room import WaitingRoom
from radixloom_runtime.server.problems import STARTING_RETRY_SECONDS, UnavailableError

MAX_BROKEN = 2

log = structlog.get_logger()


class LeaderLostError(RequestError):
    """Leaders were lost over this request."""

    status = 502
    kind = "server_error"


class Forwarder:
    """Sends requests to leaders."""

    def __init__(
        self, fleet: Fleet, room: WaitingRoom, upstream: Upstream, metrics: RouterMetrics
    ) -> None:
        self._fleet = fleet
        self._room = room
        self._upstream = upstream
        self._metrics = metrics

    @asynccontextmanager
    async def answer(
        self, asked: Asked, prompt: Fingerprint, trace: Trace
    ) -> AsyncGenerator[Answer, None]:
        """Give a leader's answer, its body unread; the leader counts it until the block ends.

        Raises: `UnavailableError` without a leader, `LeaderLostError`.
        """
        num_broken = 0
        while True:
            with self._fleet.assigned(prompt, time.monotonic()) as assigned:
                if assigned is not None:
                    self._note(trace, prompt, *assigned)
                    found = await self._try(assigned[0], asked)
                    if isinstance(found, Answer):
                        try:
                            yield found
                        finally:
                            found.close()
                        return
                    num_broken += isinstance(found, BrokenError)
                    if num_broken == MAX_BROKEN:
                        raise _lost(found)
                    continue
            await self._wait(asked, trace)

    async def _try(
        self, leader: Leader, asked: Asked
    ) -> Answer | UnreachableError | BrokenError | None:
        """Ask one leader; without an answer that counts, it gets no more requests for now."""
        try:
            answer = await self._upstream.send(leader.address, asked)
        except UnreachableError as error:
            self._fleet.drop(leader, f"no connection: {error}", has_ended=error.is_refused)
            self._metrics.retries.labels("unreachable").inc()
            return error
        except BrokenError as error:
            self._fleet.drop(leader, f"connection broken: {error}")
            self._metrics.retries.labels("broken").inc()
            return error
        if answer.status != HTTPStatus.SERVICE_UNAVAILABLE:
            return answer
        answer.close()
        self._fleet.drop(leader, "answered 503")
        self._metrics.retries.labels("unavailable").inc()
        return None

    async def _wait(self, asked: Asked, trace: Trace) -> None:
        if asked.method != "POST":
            # A list of models is no reason to start a replica.
            self._metrics.refused.labels("no_leader").inc()
            raise UnavailableError(
                "no replica is ready; only POSTs wait for one",
                code="no_replica_ready",
                retry_after_seconds=STARTING_RETRY_SECONDS,
            )
        trace.held_seconds += await self._room.wait(trace.held_seconds)

    def _note(self, trace: Trace, prompt: Fingerprint, leader: Leader, choice: Choice) -> None:
        trace.attempts += 1
        trace.leader, trace.reason = leader.address, str(choice.reason)
        trace.prompt_blocks, trace.matched_blocks = len(prompt.blocks), choice.matched
        self._metrics.choices.labels(choice.reason).inc()
        self._metrics.prompt_blocks.inc(len(prompt.blocks))
        self._metrics.matched_blocks.inc(choice.matched)


def _lost(cause: object) -> LeaderLostError:
    return LeaderLostError(
        f"{MAX_BROKEN} replicas were lost before they answered this request ({cause}); it is sent"
        " to no other, since it may be the cause",
        code="leader_lost",
    )
