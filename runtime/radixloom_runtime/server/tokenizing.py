"""`/tokenize` and `/detokenize`: what the model would see, without asking it.

Names and shapes are vLLM's. No engine is involved, so neither takes a turn in the queue.
"""

import asyncio

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response

from radixloom_runtime.errors import RequestError
from radixloom_runtime.server import order, parsing, statuses
from radixloom_runtime.server.lifecycle import Serving
from radixloom_runtime.server.problems import json_response
from radixloom_runtime.server.schema import TokenId
from radixloom_runtime.server.schema_chat import Message
from radixloom_runtime.server.service import service_of

router = APIRouter(tags=["tokens"])


class TokenizeRequest(BaseModel):
    """A text, or messages as the chat template writes them."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )

    model: str | None = None
    prompt: str | None = None
    messages: list[Message] | None = Field(None, min_length=1)
    add_special_tokens: bool | None = None
    """Default: true for a prompt, as /v1/completions does; false for messages, whose template
    writes its own."""
    add_generation_prompt: bool | None = None
    """Of messages: end with what begins the answer. Default true."""
    return_token_strs: bool | None = None
    """Add `token_strs`, the text of each token alone."""

    @model_validator(mode="after")
    def _one_of_two(self) -> "TokenizeRequest":
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        if self.prompt is not None and self.add_generation_prompt is not None:
            raise ValueError("add_generation_prompt is for messages, found a prompt")
        return self


class DetokenizeRequest(BaseModel):
    """Token ids."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )

    model: str | None = None
    tokens: list[TokenId]
    skip_special_tokens: bool | None = None
    """Default false: every token is told."""


@router.post(
    "/tokenize",
    openapi_extra=parsing.documented(TokenizeRequest),
    responses=statuses.errors(404),
)
async def tokenize(request: Request) -> Response:
    """Split a text, or messages, into token ids."""
    serving = service_of(request).lifecycle.admit()
    wanted = await parsing.plain_request(request, TokenizeRequest)
    ids = await asyncio.to_thread(_ids_of, wanted, serving)
    reply: dict[str, object] = {
        "count": len(ids),
        "max_model_len": serving.limits.max_model_len,
        "tokens": ids,
    }
    if wanted.return_token_strs:
        reply["token_strs"] = [serving.model.token_bytes.text_of(each) for each in ids]
    return json_response(reply)


@router.post(
    "/detokenize",
    openapi_extra=parsing.documented(DetokenizeRequest),
    responses=statuses.errors(404),
)
async def detokenize(request: Request) -> Response:
    """Join token ids to a text."""
    serving = service_of(request).lifecycle.admit()
    wanted = await parsing.plain_request(request, DetokenizeRequest)
    _check_model(wanted.model, serving)
    order.check_ids(wanted.tokens, serving.limits, param="tokens")
    text = await asyncio.to_thread(
        serving.model.tokenizer.decode,
        wanted.tokens,
        skip_special_tokens=bool(wanted.skip_special_tokens),
    )
    return json_response({"prompt": text})


def _ids_of(wanted: TokenizeRequest, serving: Serving) -> list[int]:
    _check_model(wanted.model, serving)
    text = wanted.prompt
    with_special = wanted.add_special_tokens
    if text is not None:
        return serving.model.tokenizer.encode(text, add_special_tokens=with_special is not False)
    template = serving.model.chat_template
    if template is None:
        raise RequestError(
            f"the model {serving.model.name!r} has no chat template; give prompt",
            param="messages",
            code="no_chat_template",
        )
    text = template.render(
        [message.for_template() for message in wanted.messages or ()],
        generation_prompt=wanted.add_generation_prompt is not False,
    )
    return serving.model.tokenizer.encode(text, add_special_tokens=bool(with_special))


def _check_model(name: str | None, serving: Serving) -> None:
    if name is not None:
        order.check_model(name, serving.model)
