"""A stream whose events have names, as Anthropic and OpenAI's Responses tell an answer.

event: content_block_delta
data: {"type":"content_block_delta", ...}
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import msgspec
from starlette.responses import Response

from radixloom_runtime.errors import RequestError
from radixloom_runtime.server import answering, sse
from radixloom_runtime.server.form import EventForm
from radixloom_runtime.server.generation import ChoiceDelta, Generation

SILENT_SECONDS = 15.0
"""Proxies close connections on which nothing was said for a minute, or half of one."""


async def stream(form: EventForm, generation: Generation) -> Response:
    """Answer with named events, unless the engine refuses at once."""
    return await answering.streamed(generation, lambda first: _frames(form, generation, first))


async def _frames(
    form: EventForm, generation: Generation, first: list[ChoiceDelta]
) -> AsyncGenerator[bytes, None]:
    [choice] = generation.choices.values()
    try:
        yield _frame(form.opening(choice)) + _told(form, first)
        while not generation.is_finished:
            if frame := await _next(form, generation):
                yield frame
        yield _frame(form.closing(answering.usage_of(generation)))
    except RequestError as error:
        yield _frame(form.broken_off(error))


async def _next(form: EventForm, generation: Generation) -> bytes:
    try:
        async with asyncio.timeout(SILENT_SECONDS):
            await generation.inbox.wait()
    except TimeoutError:
        return _frame(form.waiting())
    return _told(form, await generation.next())


def _told(form: EventForm, deltas: Sequence[ChoiceDelta]) -> bytes:
    return b"".join(_frame(form.events(delta)) for delta in deltas)


def _frame(events: Sequence[msgspec.Struct]) -> bytes:
    return b"".join(map(sse.named_event, events))
