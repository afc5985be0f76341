"""What is told of a request in a trace: a name, attributes, and the phases of its answer.

Names are those of OpenTelemetry's semantic conventions for generative AI and HTTP; of prompts,
answers and keys nothing is told. Pure: `tracing` makes spans of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from starlette.datastructures import Headers

from radixloom_runtime.server.generation import Generation

Attribute = str | bool | int | float | Sequence[str]

_OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/messages": "chat",
    "/v1/responses": "chat",
    "/v1/completions": "text_completion",
    "/generate": "text_completion",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked of the model, and its answer, over by now."""

    model: str
    is_streamed: bool
    generation: Generation


@dataclass(frozen=True, slots=True)
class Exchange:
    """An HTTP request that is over; times are on the monotonic clock, in seconds."""

    method: str
    path: str
    """Of those that the metrics tell apart, else `other`."""
    headers: Headers
    request_id: str
    status: int
    """499: the client left before any answer."""
    began: float
    ended: float
    asked: Asked | None
    """None: it was refused before, or asked for no answer of the model."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of an answer's way; where an order has several choices, that of all together."""

    name: str
    began: float
    ended: float


def name_of(exchange: Exchange) -> str:
    """Name the request's span: few names, whatever clients send."""
    asked, operation = exchange.asked, _OPERATIONS.get(exchange.path)
    if asked is None or operation is None:
        return f"{exchange.method} {exchange.path}"
    return f"{operation} {asked.model}"


def attributes_of(exchange: Exchange) -> Mapping[str, Attribute]:
    """Tell a request and its answer."""
    told: dict[str, Attribute] = {
        "http.request.method": exchange.method,
        "url.path": exchange.path,
        "http.response.status_code": exchange.status,
        "radixloom.request_id": exchange.request_id,
    }
    if exchange.status >= HTTPStatus.BAD_REQUEST:
        told["error.type"] = str(exchange.status)
    if exchange.asked is not None:
        told |= _of_model(exchange.path, exchange.asked)
    return told


def phases_of(exchange: Exchange) -> list[Phase]:
    """Return what an answer's time went to, as far as it came."""
    if exchange.asked is None:
        return []
    work = exchange.asked.generation
    begins = {
        "queue": work.started_at,
        "prefill": work.scheduled_at,
        "decode": work.first_token_at,
    }
    # What was ended in the queue has neither of the others, or no prefill.
    known = [(name, began) for name, began in begins.items() if began is not None]
    ends = [*(began for _, began in known[1:]), work.last_token_at or exchange.ended]
    return [Phase(name, began, ended) for (name, began), ended in zip(known, ends, strict=True)]


def _of_model(path: str, asked: Asked) -> dict[str, Attribute]:
    work = asked.generation
    order, counts = work.order, work.counts
    told: dict[str, Attribute] = {
        "gen_ai.operation.name": _OPERATIONS.get(path, "chat"),
        "gen_ai.provider.name": "radixloom",
        "gen_ai.request.model": asked.model,
        "gen_ai.response.model": asked.model,
        "gen_ai.request.max_tokens": max(prompt.max_tokens for prompt in order.prompts),
        "gen_ai.request.temperature": order.sampling.temperature,
        "gen_ai.request.top_p": order.sampling.top_p,
        "gen_ai.request.choice.count": order.num_samples,
        "gen_ai.request.stream": asked.is_streamed,
        "gen_ai.usage.input_tokens": counts.prompt_tokens,
        "gen_ai.usage.cache_read.input_tokens": counts.cached_tokens,
        "gen_ai.usage.output_tokens": counts.output_tokens,
        "gen_ai.response.finish_reasons": work.ends,
    }
    if work.first_token_at is not None:
        told["gen_ai.response.time_to_first_chunk"] = work.first_token_at - work.started_at
    return told
