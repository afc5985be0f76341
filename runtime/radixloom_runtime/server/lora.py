"""`/load_lora_adapter` and `/unload_lora_adapter`, as SGLang calls them, and under /v1 vLLM."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from radixloom_runtime.errors import RequestError
from radixloom_runtime.server import parsing, statuses
from radixloom_runtime.server.catalog import ServedModel
from radixloom_runtime.server.control import new_id, obeyed
from radixloom_runtime.server.problems import ModelNotFoundError, json_response
from radixloom_runtime.server.service import service_of
from radixloom_runtime.wire.messages import LoadAdapter, UnloadAdapter

router = APIRouter(tags=["SGLang, vLLM"])

_STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


class LoadLoraRequest(BaseModel):
    """An adapter, and what clients call it."""

    model_config = _STRICT

    lora_name: str = Field(min_length=1, max_length=256, pattern="^[^:]*$")
    """What clients give as `model`; an adapter that has the name is replaced."""
    lora_path: str = Field(min_length=1)
    """Folder, on the server's machine, of an adapter as PEFT saves it."""


class UnloadLoraRequest(BaseModel):
    """Which adapter to unload."""

    model_config = _STRICT

    lora_name: str = Field(min_length=1, max_length=256)
    """The name that it was loaded by."""


@router.post("/v1/load_lora_adapter", openapi_extra=parsing.documented(LoadLoraRequest))
@router.post("/load_lora_adapter", openapi_extra=parsing.documented(LoadLoraRequest))
async def load_lora_adapter(request: Request) -> Response:
    """Load an adapter. Requests that run with another of its name end with that one."""
    service = service_of(request)
    model = service.lifecycle.admit().model
    wanted = await parsing.plain_request(request, LoadLoraRequest)
    if wanted.lora_name == model.name:
        raise RequestError(
            f"lora_name {wanted.lora_name!r} is the model's own name; choose another",
            param="lora_name",
        )
    load = LoadAdapter(request_id=new_id(), name=wanted.lora_name, folder=wanted.lora_path)
    await obeyed(service, load)
    model.add_adapter(wanted.lora_name)
    return _told(model)


@router.post(
    "/v1/unload_lora_adapter",
    openapi_extra=parsing.documented(UnloadLoraRequest),
    responses=statuses.errors(404),
)
@router.post(
    "/unload_lora_adapter",
    openapi_extra=parsing.documented(UnloadLoraRequest),
    responses=statuses.errors(404),
)
async def unload_lora_adapter(request: Request) -> Response:
    """Let no more requests have an adapter. Those that run end with it, then its place is free."""
    service = service_of(request)
    model = service.lifecycle.admit().model
    wanted = await parsing.plain_request(request, UnloadLoraRequest)
    since = model.adapters.pop(wanted.lora_name, None)  # now, so that no request comes between
    if since is None:
        raise ModelNotFoundError(
            f"no adapter {wanted.lora_name!r} is loaded; loaded:"
            f" {', '.join(model.adapters) or 'none'}",
            param="lora_name",
            code="model_not_found",
        )
    try:
        await obeyed(service, UnloadAdapter(request_id=new_id(), name=wanted.lora_name))
    except RequestError:
        model.adapters[wanted.lora_name] = since
        raise
    return _told(model)


def _told(model: ServedModel) -> Response:
    return json_response({"success": True, "loaded_adapters": list(model.adapters)})
