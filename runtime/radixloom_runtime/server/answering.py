"""From an order to the HTTP answer, the same for all endpoints.

    start ─► wait for the engine's first word ─┬─ refused ─► 4xx
                                               ├─ stream  ─► SSE, a frame per turn of the loop
                                               └─ whole   ─► gather all, one JSON

Somebody always watches the connection: a client that goes away takes its requests out of the
engine, streaming or not.
"""

import asyncio
import dataclasses
import functools
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

import structlog
from starlette.requests import Request
from starlette.responses import Response

from radixloom_runtime.errors import RequestError
from radixloom_runtime.server import generation as generations
from radixloom_runtime.server import problems, sse
from radixloom_runtime.server.caller import user_of
from radixloom_runtime.server.catalog import ServedModel
from radixloom_runtime.server.connection import until_disconnect
from radixloom_runtime.server.form import Form, ReplyForm
from radixloom_runtime.server.generation import Choice, ChoiceDelta, Generation
from radixloom_runtime.server.order import Order
from radixloom_runtime.server.replies import CachedTokens, Usage
from radixloom_runtime.server.schema import TextRequest
from radixloom_runtime.server.service import service_of
from radixloom_runtime.server.spans import Asked
from radixloom_runtime.text.pipeline import TextDelta

FIRST_WORD_SECONDS = 1.0
"""A refusal by the engine comes at once, and should become a status rather than an event; a long
queue must not keep the headers back."""

Writing = Callable[[list[ChoiceDelta]], AsyncGenerator[bytes, None]]

log = structlog.get_logger()


def prepare(
    request: Request,
    wanted: TextRequest,
    order: Order,
    model: ServedModel,
    *,
    names: Iterable[str] = (),
) -> Generation:
    """Make the choices of an order, which is counted for who asks; nothing is sent yet.

    It can be aborted by the HTTP request's id, and by any of `names`.
    """
    service = service_of(request)
    order = dataclasses.replace(
        order,
        user=user_of(request, wanted.user),
        timeout_seconds=wanted.timeout or service.request_timeout,
    )
    work = generations.prepare(order, model.tokenizer, service.engine, service.metrics)
    service.in_flight.add(work, {request.state.request_id, *names})
    work.on_close = functools.partial(service.in_flight.remove, work)
    request.state.asked = Asked(wanted.model, bool(wanted.stream), work)
    return work


async def whole(request: Request, form: ReplyForm, generation: Generation) -> Response:
    """Wait for all choices and answer with one JSON object."""
    try:
        generation.start()
        answers = await until_disconnect(request.receive, _gather(generation))
        return problems.json_response(form.reply(answers, usage_of(generation)))
    finally:
        finish(generation)


async def stream(form: Form, generation: Generation, *, with_usage: bool) -> Response:
    """Answer with server-sent events, unless the engine refuses at once."""
    return await streamed(
        generation, lambda first: _events(form, generation, first, with_usage=with_usage)
    )


async def streamed(generation: Generation, write: Writing) -> Response:
    """Answer with the frames that `write` makes, unless the engine refuses at once.

    `write` is given what the engine has said already.
    """
    try:
        generation.start()
        first = await _first_word(generation)
    except BaseException:
        finish(generation)
        raise
    return sse.SseResponse(write(first), on_end=lambda: finish(generation))


def usage_of(generation: Generation) -> Usage:
    """Count the tokens, as OpenAI's answers tell them."""
    counts = generation.counts
    return Usage(
        prompt_tokens=counts.prompt_tokens,
        completion_tokens=counts.output_tokens,
        total_tokens=counts.prompt_tokens + counts.output_tokens,
        prompt_tokens_details=CachedTokens(counts.cached_tokens),
    )


def finish(generation: Generation) -> None:
    """Free what the engine holds, and log how the request went."""
    generation.close()
    counts = generation.counts
    log.info(
        "request.finished",
        choices=len(generation.choices),
        prompt_tokens=counts.prompt_tokens,
        cached_tokens=counts.cached_tokens,
        output_tokens=counts.output_tokens,
        finish_reason=",".join(dict.fromkeys(generation.ends)),
        **generation.seconds(),
    )


async def _first_word(generation: Generation) -> list[ChoiceDelta]:
    try:
        await asyncio.wait_for(generation.inbox.wait(), FIRST_WORD_SECONDS)
    except TimeoutError:
        return []
    return await generation.next()


async def _gather(generation: Generation) -> list[ChoiceDelta]:
    parts: dict[int, list[ChoiceDelta]] = {}
    while not generation.is_finished:
        for delta in await generation.next():
            parts.setdefault(delta.choice.index, []).append(delta)
    return [joined(parts[index]) for index in sorted(parts)]


def joined(deltas: Sequence[ChoiceDelta]) -> ChoiceDelta:
    """Make one delta of all those of a choice."""
    texts = [delta.text for delta in deltas]
    has_logprobs = texts[0].logprobs is not None
    return ChoiceDelta(
        choice=deltas[0].choice,
        text=TextDelta(
            text="".join(text.text for text in texts),
            token_ids=[token_id for text in texts for token_id in text.token_ids],
            finish_reason=texts[-1].finish_reason,
            logprobs=[entry for text in texts for entry in text.logprobs or ()]
            if has_logprobs
            else None,
            text_offsets=[offset for text in texts for offset in text.text_offsets],
            stop_string=texts[-1].stop_string,
        ),
        is_first=True,
        prompt_logprobs=deltas[0].prompt_logprobs,
    )


async def _events(
    form: Form, generation: Generation, first: list[ChoiceDelta], *, with_usage: bool
) -> AsyncGenerator[bytes, None]:
    """Yield frames of events until all choices are told, or the engine is gone."""
    choices: list[Choice] = list(generation.choices.values())
    try:
        yield b"".join(map(sse.event, form.opening(choices))) + _frame(form, first)
        while not generation.is_finished:
            if frame := _frame(form, await generation.next()):
                yield frame
        if with_usage:
            yield sse.event(form.usage_chunk(usage_of(generation)))
        yield sse.DONE
    except RequestError as error:
        yield sse.event(problems.error_object(error))


def _frame(form: Form, deltas: Sequence[ChoiceDelta]) -> bytes:
    chunks = [chunk for delta in deltas if (chunk := form.chunk(delta)) is not None]
    return b"".join(map(sse.event, chunks))
