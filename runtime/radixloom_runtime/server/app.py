"""The HTTP application: routes, the frame around them, and the form of errors.

Bodies are read by `parsing` and not by FastAPI, whose errors have another form; FastAPI routes,
and documents the schemas under `/docs`. Templates and tokenizing run in a thread: a long prompt
takes tens of milliseconds, in which running streams must go on.
"""

import asyncio
from collections.abc import Iterable
from http import HTTPStatus

import structlog
from fastapi import APIRouter, FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from radixloom_runtime import __version__
from radixloom_runtime.errors import RequestError
from radixloom_runtime.server import (
    answering,
    cache_control,
    chat,
    completions,
    console_page,
    control,
    dialects,
    engine_view,
    health,
    lora,
    native,
    native_info,
    parsing,
    problems,
    statuses,
    tokenizing,
    upkeep,
)
from radixloom_runtime.server.anthropic import routes as anthropic
from radixloom_runtime.server.catalog import ServedModel
from radixloom_runtime.server.form import Form
from radixloom_runtime.server.frame import Frame
from radixloom_runtime.server.openapi import Application
from radixloom_runtime.server.order import Order, check_model
from radixloom_runtime.server.pooling import routes as pooling
from radixloom_runtime.server.responses import routes as responses
from radixloom_runtime.server.schema import TextRequest
from radixloom_runtime.server.schema_chat import ChatRequest
from radixloom_runtime.server.schema_completions import CompletionRequest
from radixloom_runtime.server.schema_native import GenerateRequest
from radixloom_runtime.server.service import Service, service_of

ENDPOINTS = frozenset(
    {"/v1/chat/completions", "/v1/completions", "/v1/models"}
    | {"/v1/responses", "/v1/messages", "/v1/messages/count_tokens"}
    | {"/flush_cache", "/pin_prefix", "/unpin_prefix"}
    | {"/tokenize", "/detokenize"}
    | pooling.PATHS
    | {"/abort_request", "/pause_generation", "/continue_generation"}
    | {"/load_lora_adapter", "/unload_lora_adapter"}
    | {"/v1/load_lora_adapter", "/v1/unload_lora_adapter"}
    | {"/start_profile", "/stop_profile", "/update_weights_from_disk"}
    | {"/", "/get_engine_stats", "/get_prefix_tree"}
    | {"/generate", "/get_model_info", "/get_server_info", "/get_load"}
    | {"/healthz", "/startupz", "/readyz", "/metrics", "/version"}
)
"""Paths that the metrics tell apart."""

log = structlog.get_logger()
router = APIRouter(prefix="/v1", tags=["OpenAI"])


@router.post(
    "/chat/completions",
    openapi_extra=parsing.documented(ChatRequest),
    responses=statuses.answers(),
)
async def create_chat_completion(request: Request) -> Response:
    """Answer a conversation."""
    service = service_of(request)
    serving = service.lifecycle.admit()
    wanted = await parsing.chat_request(request)
    order = await asyncio.to_thread(chat.make_order, wanted, serving)
    form = chat.ChatForm(wanted, order.reading, serving.model.token_bytes)
    return await _answer(request, wanted, order, form, serving.model)


@router.post(
    "/completions",
    openapi_extra=parsing.documented(CompletionRequest),
    responses=statuses.answers(),
)
async def create_completion(request: Request) -> Response:
    """Continue a text."""
    service = service_of(request)
    serving = service.lifecycle.admit()
    wanted = await parsing.completion_request(request)
    order = await asyncio.to_thread(completions.make_order, wanted, serving)
    model = serving.model
    form = completions.CompletionForm(wanted, model.tokenizer, model.token_bytes)
    return await _answer(request, wanted, order, form, model)


@router.get("/models")
async def list_models(request: Request) -> Response:
    """List the model and its adapters."""
    serving = service_of(request).lifecycle.admit()
    names = ("", *serving.model.adapters)
    cards = [serving.model.card(serving.limits.max_model_len, name) for name in names]
    return problems.json_response({"object": "list", "data": cards})


@router.get("/models/{name:path}", responses=statuses.errors(404))
async def retrieve_model(request: Request, name: str) -> Response:
    """Describe the model, or an adapter."""
    serving = service_of(request).lifecycle.admit()
    adapter = check_model(name, serving.model)
    return problems.json_response(serving.model.card(serving.limits.max_model_len, adapter))


@native_info.router.post(
    "/generate",
    openapi_extra=parsing.documented(GenerateRequest),
    responses=statuses.answers(),
)
async def generate(request: Request) -> Response:
    """Continue texts, by the names of SGL-JAX."""
    serving = service_of(request).lifecycle.admit()
    wanted = await parsing.generate_request(request)
    completion = native.as_completion(wanted, wanted.lora_path or serving.model.name)
    order = await native.make_order(wanted, completion, serving)
    form = native.GenerateForm(wanted, serving.model.token_bytes)
    names = {wanted.rid} if wanted.rid else set[str]()
    return await _answer(request, completion, order, form, serving.model, names=names)


async def _answer(
    request: Request,
    wanted: TextRequest,
    order: Order,
    form: Form,
    model: ServedModel,
    *,
    names: Iterable[str] = (),
) -> Response:
    work = answering.prepare(request, wanted, order, model, names=names)
    if not wanted.stream:
        return await answering.whole(request, form, work)
    options = wanted.stream_options
    with_usage = bool(options and options.include_usage)
    return await answering.stream(form, work, with_usage=with_usage)


_ROUTERS = (
    router,
    responses.router,
    pooling.router,
    cache_control.router,
    tokenizing.router,
    native_info.router,
    control.router,
    upkeep.router,
    lora.router,
)


def build(service: Service) -> FastAPI:
    """Make the ASGI application; that of a follower has the health paths alone."""
    app = Application(title="Radixloom", version=__version__, redoc_url=None)
    app.state.service = service
    if not service.lifecycle.follows:
        everywhere = statuses.errors(*statuses.EVERYWHERE)
        for each in _ROUTERS:
            app.include_router(each, responses=everywhere)
        app.include_router(anthropic.router)
        if service.has_console:
            _add_console(app)
    app.include_router(health.router)
    app.add_exception_handler(RequestError, _on_request_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_middleware(Frame, service=service, endpoints=ENDPOINTS)
    return app


def _add_console(app: FastAPI) -> None:
    app.include_router(engine_view.router, responses=statuses.errors(*statuses.EVERYWHERE))
    app.include_router(console_page.router)
    app.mount(console_page.PATH, console_page.Assets())


async def _on_request_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)  # noqa: S101 - what it is registered for
    # Without the message, which may quote the prompt.
    log.info("request.refused", status=error.status, param=error.param, code=error.code)
    return dialects.error_response(error, request.url.path)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """Put what routing refuses (no such path, wrong method) into the path's form of errors."""
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    reason = HTTPStatus(error.status_code).phrase.lower()
    refusal = RequestError(f"{request.method} {request.url.path}: {reason}")
    refusal.status = error.status_code
    response = dialects.error_response(refusal, request.url.path)
    response.headers.update(error.headers or {})
    return response
