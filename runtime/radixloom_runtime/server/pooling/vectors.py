"""Prompts to vectors, through the engine's own queue.

A request of many texts sends a few at a time, as many as run together: so it neither fills the
queue, nor is refused because it would.
"""

import itertools
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import structlog
from numpy.typing import NDArray
from starlette.requests import Request

from radixloom_runtime.errors import RequestError
from radixloom_runtime.server.caller import user_of
from radixloom_runtime.server.connection import until_disconnect
from radixloom_runtime.server.generation import ABORT, engine_lost, rejection
from radixloom_runtime.server.inbox import EngineLost, Event, Inbox
from radixloom_runtime.server.order import check_model
from radixloom_runtime.server.pooling.schema import PoolingRequest
from radixloom_runtime.server.problems import RequestTimeoutError
from radixloom_runtime.server.replies import CachedTokens, Usage
from radixloom_runtime.server.service import Service, service_of
from radixloom_runtime.wire.messages import Output, Pooling, Rejected, Submit, TimedOut

Vector = NDArray[np.float32]

_ids = itertools.count()
_process = secrets.token_hex(4)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of each prompt: one of the two."""

    pooling: Pooling | None = None
    scored_ids: Sequence[int] = ()


@dataclass(slots=True, eq=False)
class VectorWork:
    """The prompts of one HTTP request, in the engine's hands."""

    service: Service
    submits: Sequence[Submit]
    timeout_seconds: float | None
    num_together: int
    inbox: Inbox = field(default_factory=Inbox)
    outputs: dict[str, Output] = field(default_factory=dict[str, Output])
    ended_by: str = ABORT
    started_at: float = field(default_factory=time.monotonic)

    async def run(self) -> list[Vector]:
        """Return the prompts' vectors in their order.

        Raises: `RequestError` when the engine refuses one, or is gone.
        """
        waiting = iter(self.submits)
        self._send(waiting, self.num_together)
        while len(self.outputs) < len(self.submits):
            events = await self.inbox.take()
            for event in events:
                self._take(event)
            self._send(waiting, len(events))
        self.ended_by = "stop"
        self.service.metrics.request_seconds.observe(time.monotonic() - self.started_at)
        found = (self.outputs[submit.request_id].vector for submit in self.submits)
        return [np.frombuffer(vector, "<f4") for vector in found]

    def cut_short(self) -> None:
        """End it without an answer."""
        self.inbox.put(Rejected(request_id="", message="the request was aborted"))

    def close(self) -> None:
        """Take back from the engine what is not finished, and log how it went."""
        open_ids = [each.request_id for each in self.submits if each.request_id not in self.outputs]
        self.service.engine.abort(open_ids)
        self.service.metrics.finished.labels(self.ended_by).inc(len(self.submits))
        usage = self.usage
        log.info(
            "request.finished",
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.prompt_tokens_details.cached_tokens,
            prompts=len(self.submits),
            finish_reason=self.ended_by,
            total_seconds=round(time.monotonic() - self.started_at, 4),
        )

    @property
    def usage(self) -> Usage:
        """Count the tokens."""
        num_tokens = sum(len(submit.prompt_ids) for submit in self.submits)
        num_cached = sum(output.cached_tokens for output in self.outputs.values())
        return Usage(
            prompt_tokens=num_tokens,
            completion_tokens=0,
            total_tokens=num_tokens,
            prompt_tokens_details=CachedTokens(num_cached),
        )

    def _send(self, waiting: Iterator[Submit], count: int) -> None:
        self.service.engine.submit(list(itertools.islice(waiting, count)), self.inbox)

    def _take(self, event: Event) -> None:
        match event:
            case EngineLost():
                raise engine_lost(event)
            case Rejected():
                raise rejection(event)
            case TimedOut():
                self.ended_by = "deadline"
                raise RequestTimeoutError(
                    f"the answer was not complete after {self.timeout_seconds:g} s, with"
                    f" {len(self.outputs)} of {len(self.submits)} texts read; give a longer"
                    " `timeout` or fewer texts",
                    param="timeout",
                    code="request_timeout",
                )
            case Output():
                self.outputs[event.request_id] = event


async def vectors_of(
    request: Request, wanted: PoolingRequest, prompts: Sequence[list[int]], question: Question
) -> tuple[list[Vector], Usage]:
    """Ask the engine for the vector of each prompt; prompts fit. Raises: `RequestError`."""
    service = service_of(request)
    timeout = wanted.timeout or service.request_timeout
    deadline = None if timeout is None else time.monotonic() + timeout
    serving = service.lifecycle.admit()
    adapter = check_model(wanted.model, serving.model)
    submits = [
        Submit(
            request_id=f"v{_process}-{next(_ids)}",
            prompt_ids=prompt,
            max_tokens=0,
            priority=wanted.priority or 0,
            user=user_of(request, wanted.user),
            deadline=deadline,
            pooling=question.pooling,
            scored_ids=list(question.scored_ids),
            adapter=adapter,
        )
        for prompt in prompts
    ]
    num_together = serving.limits.max_running_requests
    work = VectorWork(service, submits, timeout, num_together)
    service.in_flight.add(work, {request.state.request_id})
    try:
        return await until_disconnect(request.receive, work.run()), work.usage
    finally:
        service.in_flight.remove(work)
        work.close()


def check_fits(num_tokens: int, max_model_len: int, *, param: str) -> None:
    """Raise `RequestError` for a text that is empty, or longer than the model reads."""
    if num_tokens == 0:
        raise RequestError(f"{param} is empty: the model needs a token to read", param=param)
    if num_tokens > max_model_len:
        raise RequestError(
            f"{param} has {num_tokens} tokens, the model reads {max_model_len}; shorten it",
            param=param,
            code="context_length_exceeded",
        )
