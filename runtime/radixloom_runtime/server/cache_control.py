"""`/flush_cache`, `/pin_prefix`, `/unpin_prefix`: the prefix cache by hand.

A pinned prefix stays in the KV cache until it is unpinned or the server ends, within
`--pinned-share`. Whole pages are kept; the answer says how many tokens that makes.
"""

import asyncio
import itertools
import secrets
import time

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response

from radixloom_runtime.errors import OverloadedError, RequestError
from radixloom_runtime.server import order, parsing, statuses
from radixloom_runtime.server.connection import until_disconnect
from radixloom_runtime.server.engine_client import Reply
from radixloom_runtime.server.inbox import EngineLost
from radixloom_runtime.server.lifecycle import Serving
from radixloom_runtime.server.problems import EngineLostError, RequestTimeoutError, json_response
from radixloom_runtime.server.schema import MAX_TIMEOUT_SECONDS, TokenId
from radixloom_runtime.server.schema_chat import Message
from radixloom_runtime.server.service import Service, service_of
from radixloom_runtime.wire.messages import (
    CacheChanged,
    CacheLook,
    Done,
    Flush,
    Pin,
    Rejected,
    TimedOut,
    Unpin,
)

router = APIRouter(tags=["prefix cache"])

DEFAULT_PIN_SECONDS = 600.0
"""A pin waits its turn like a request; without an end, its client would for ever."""

_count = itertools.count()


class PinRequest(BaseModel):
    """The beginning of prompts to come: a text, token ids, or messages."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )

    prompt: str | list[TokenId] | None = None
    messages: list[Message] | None = Field(None, min_length=1)
    """Written by the chat template, up to the end of the last one."""
    timeout: float | None = Field(None, gt=0, le=MAX_TIMEOUT_SECONDS)
    """Seconds until the prefix must be computed; then 408.
    Default: the server's --request-timeout, or ten minutes."""

    @model_validator(mode="after")
    def _one_of_two(self) -> "PinRequest":
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        return self


class UnpinRequest(BaseModel):
    """Which prefix to let go."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )

    id: str


class PinNotFoundError(RequestError):
    """There is no such pin."""

    status = 404


@router.post("/flush_cache")
async def flush_cache(request: Request) -> Response:
    """Drop every cached prefix that no running request and no pin holds."""
    service = service_of(request)
    service.lifecycle.admit()
    reply = _done(await service.engine.ask(Flush(request_id=_new_id())))
    return json_response({"flushed_tokens": reply.num_tokens})


@router.post(
    "/pin_prefix",
    openapi_extra=parsing.documented(PinRequest),
    responses=statuses.errors(408, 429),
)
async def pin_prefix(request: Request) -> Response:
    """Compute a prefix, if need be, and keep it in the cache."""
    service = service_of(request)
    serving = service.lifecycle.admit()
    wanted = await parsing.plain_request(request, PinRequest)
    prompt_ids = await asyncio.to_thread(prompt_ids_of, wanted, serving)
    seconds = wanted.timeout or service.request_timeout or DEFAULT_PIN_SECONDS
    pin = Pin(
        request_id=f"pin-{secrets.token_hex(8)}",
        prompt_ids=prompt_ids,
        deadline=time.monotonic() + seconds,
    )
    reply = _done(await until_disconnect(request.receive, _pinned(service, pin)))
    return json_response({"id": pin.request_id, "pinned_tokens": reply.num_tokens})


@router.post(
    "/unpin_prefix",
    openapi_extra=parsing.documented(UnpinRequest),
    responses=statuses.errors(404),
)
async def unpin_prefix(request: Request) -> Response:
    """Let a pinned prefix be evicted again."""
    service = service_of(request)
    service.lifecycle.admit()
    wanted = await parsing.plain_request(request, UnpinRequest)
    reply = _done(await service.engine.ask(Unpin(request_id=_new_id(), pin_id=wanted.id)))
    if not reply.num_tokens:
        raise PinNotFoundError(f"there is no pin {wanted.id!r}", param="id", code="pin_not_found")
    return json_response({"unpinned_tokens": reply.num_tokens})


def prompt_ids_of(wanted: PinRequest, serving: Serving) -> list[int]:
    """Return the tokens to pin. Raises: `RequestError`."""
    tokenizer, template = serving.model.tokenizer, serving.model.chat_template
    ids = wanted.prompt
    if isinstance(ids, str):
        ids = tokenizer.encode(ids, add_special_tokens=True)
    if wanted.messages is not None:
        if template is None:
            raise RequestError("the model has no chat template; give prompt", param="messages")
        messages = [message.for_template() for message in wanted.messages]
        text = template.render(messages, generation_prompt=False)
        ids = tokenizer.encode(text, add_special_tokens=False)
    return order.fit(
        ids or [], serving.limits, max_tokens=0, default_max_tokens=0, param="prompt"
    ).ids


def _new_id() -> str:
    return f"cache-{next(_count)}"


async def _pinned(service: Service, pin: Pin) -> Reply:
    try:
        return await service.engine.ask(pin)
    except asyncio.CancelledError:  # the client is gone: nobody would ever unpin it
        service.engine.tell(Unpin(request_id=_new_id(), pin_id=pin.request_id))
        raise


def _done(reply: Reply) -> CacheChanged:
    match reply:
        case CacheChanged():
            return reply
        case Done() | CacheLook():
            raise AssertionError("the cache's questions are answered by CacheChanged")
        case EngineLost(message):
            raise EngineLostError(f"the engine ended: {message}", code="engine_lost")
        case Rejected(message=message, retry_after_seconds=seconds):
            if seconds is None:
                raise RequestError(message, code="cannot_pin")
            raise OverloadedError(message, retry_after_seconds=seconds)
        case TimedOut():
            raise RequestTimeoutError(
                "the prefix was not computed in time; give a longer `timeout`, or try again when"
                " fewer requests wait",
                param="timeout",
                code="request_timeout",
            )
