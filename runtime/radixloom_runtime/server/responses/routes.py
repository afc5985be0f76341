"""The paths of OpenAI's Responses API."""

import asyncio
from collections.abc import Callable, Sequence

from fastapi import APIRouter, Request
from starlette.responses import Response

from radixloom_runtime.errors import RequestError
from radixloom_runtime.server import answering, chat, event_stream, parsing, statuses
from radixloom_runtime.server.caller import user_of
from radixloom_runtime.server.lifecycle import Serving
from radixloom_runtime.server.order import Order
from radixloom_runtime.server.problems import json_response, renamed
from radixloom_runtime.server.responses import conversation, translation
from radixloom_runtime.server.responses.form import ResponseForm
from radixloom_runtime.server.responses.items import AnyItem
from radixloom_runtime.server.responses.replies import Deleted
from radixloom_runtime.server.responses.schema import UNSUPPORTED, WITHOUT_EFFECT, ResponseRequest
from radixloom_runtime.server.schema_chat import ChatRequest
from radixloom_runtime.server.service import service_of
from radixloom_runtime.server.unsupported import without_unsupported

router = APIRouter(prefix="/v1/responses", tags=["OpenAI"])


@router.post("", openapi_extra=parsing.documented(ResponseRequest), responses=statuses.answers())
async def create_response(request: Request) -> Response:
    """Answer a conversation with items. Stored, unless `store` is false."""
    service = service_of(request)
    serving = service.lifecycle.admit()
    wanted = await _read(request)
    going_on = conversation.begin(wanted, service.responses, owner=_owner(request))
    asked, order = await asyncio.to_thread(_ordered, wanted, going_on.items, serving)
    form = ResponseForm(wanted, order, count=_counting(serving), keep=going_on.keep)
    work = answering.prepare(request, asked, order, serving.model)
    if wanted.stream:
        return await event_stream.stream(form, work)
    return await answering.whole(request, form, work)


@router.get("/{response_id}", responses=statuses.errors(400, 404))
async def retrieve_response(request: Request, response_id: str) -> Response:
    """Tell a stored response again."""
    service = service_of(request)
    service.lifecycle.admit()
    if request.query_params:
        name = next(iter(request.query_params))
        raise RequestError(
            f"{name} is not supported by this server: a stored response is told whole",
            param=name,
            code="unsupported_parameter",
        )
    stored = service.responses.get(response_id, owner=_owner(request))
    return Response(stored.told, media_type="application/json")


@router.delete("/{response_id}", responses=statuses.errors(404))
async def delete_response(request: Request, response_id: str) -> Response:
    """Forget a stored response."""
    service = service_of(request)
    service.lifecycle.admit()
    service.responses.delete(response_id, owner=_owner(request))
    return json_response(Deleted(response_id))


async def _read(request: Request) -> ResponseRequest:
    body = await parsing.json_object(request)
    body = {name: value for name, value in body.items() if name not in WITHOUT_EFFECT}
    return parsing.validated(ResponseRequest, without_unsupported(body, UNSUPPORTED))


def _ordered(
    wanted: ResponseRequest, items: Sequence[AnyItem], serving: Serving
) -> tuple[ChatRequest, Order]:
    asked = translation.as_chat(wanted, items)
    try:
        return asked, chat.make_order(asked, serving).naming(translation.NAMES)
    except RequestError as error:
        raise renamed(error, translation.NAMES) from error


def _counting(serving: Serving) -> Callable[[str], int]:
    tokenizer = serving.model.tokenizer
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))


def _owner(request: Request) -> str:
    return user_of(request, None)
