"""The paths of Anthropic's API."""

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from radixloom_runtime.errors import RequestError
from radixloom_runtime.server import (
    answering,
    chat,
    chat_prompt,
    event_stream,
    order,
    parsing,
    statuses,
)
from radixloom_runtime.server.anthropic import translation
from radixloom_runtime.server.anthropic.form import MessageForm
from radixloom_runtime.server.anthropic.replies import TokenCount
from radixloom_runtime.server.anthropic.schema import (
    UNSUPPORTED,
    CountTokensRequest,
    MessagesRequest,
)
from radixloom_runtime.server.lifecycle import Serving
from radixloom_runtime.server.order import Order
from radixloom_runtime.server.problems import json_response, renamed
from radixloom_runtime.server.schema_chat import ChatRequest
from radixloom_runtime.server.service import service_of
from radixloom_runtime.server.unsupported import without_unsupported

router = APIRouter(
    prefix="/v1/messages",
    tags=["Anthropic"],
    responses=statuses.errors(*statuses.EVERYWHERE, form=statuses.ANTHROPIC),
)


@router.post(
    "",
    openapi_extra=parsing.documented(MessagesRequest),
    responses=statuses.answers(statuses.ANTHROPIC),
)
async def create_message(request: Request) -> Response:
    """Answer a conversation, in Anthropic's form."""
    serving = service_of(request).lifecycle.admit()
    body = without_unsupported(await parsing.json_object(request), UNSUPPORTED)
    wanted = parsing.validated(MessagesRequest, body)
    asked, ordered = await asyncio.to_thread(_ordered, wanted, serving)
    form = MessageForm(wanted.model, ordered.reading)
    work = answering.prepare(request, asked, ordered, serving.model)
    if wanted.stream:
        return await event_stream.stream(form, work)
    return await answering.whole(request, form, work)


@router.post(
    "/count_tokens",
    openapi_extra=parsing.documented(CountTokensRequest),
    responses=statuses.errors(404, form=statuses.ANTHROPIC),
)
async def count_tokens(request: Request) -> Response:
    """Count the tokens that a conversation would be, without answering it."""
    serving = service_of(request).lifecycle.admit()
    body = without_unsupported(await parsing.json_object(request), UNSUPPORTED)
    wanted = parsing.validated(CountTokensRequest, body)
    return json_response(await asyncio.to_thread(_counted, wanted, serving))


def _ordered(wanted: MessagesRequest, serving: Serving) -> tuple[ChatRequest, Order]:
    asked = translation.as_chat(wanted, serving.model)
    try:
        return asked, chat.make_order(asked, serving).naming(translation.NAMES)
    except RequestError as error:
        raise renamed(error, translation.NAMES) from error


def _counted(wanted: CountTokensRequest, serving: Serving) -> TokenCount:
    asked = translation.as_chat(wanted, serving.model)
    order.check_model(asked.model, serving.model)
    try:
        written = chat_prompt.write(asked, serving.model)
    except RequestError as error:
        raise renamed(error, translation.NAMES) from error
    ids = serving.model.tokenizer.encode(written.text, add_special_tokens=False)
    return TokenCount(len(ids))
