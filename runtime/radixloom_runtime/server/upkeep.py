"""`/update_weights_from_disk`, as SGL-JAX's GPU sibling calls it: what a trainer asks for."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from radixloom_runtime.server import parsing, statuses
from radixloom_runtime.server.control import new_id, obeyed
from radixloom_runtime.server.problems import json_response
from radixloom_runtime.server.service import service_of
from radixloom_runtime.wire.messages import UpdateWeights

router = APIRouter(tags=["SGLang"])


class UpdateWeightsRequest(BaseModel):
    """Which weights to serve from now on."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )

    model_path: str
    """Folder, on the server's machine, of a checkpoint with the same configuration and shapes."""
    load_format: Literal["auto", "safetensors"] | None = None
    """Safetensors are what is read."""
    abort_all_requests: bool = False
    """End running answers with what there is of them; else they go on with the new weights."""


@router.post(
    "/update_weights_from_disk",
    openapi_extra=parsing.documented(UpdateWeightsRequest),
    responses=statuses.errors(400),
)
async def update_weights_from_disk(request: Request) -> Response:
    """Take the weights of another checkpoint of the same model, between two steps.

    All KV is forgotten, pinned prefixes too. What does not fit is refused, and nothing is changed.
    """
    service = service_of(request)
    service.lifecycle.admit()
    wanted = await parsing.plain_request(request, UpdateWeightsRequest)
    if wanted.abort_all_requests:
        service.in_flight.cut_all_short()
    await obeyed(service, UpdateWeights(request_id=new_id(), folder=wanted.model_path))
    return json_response({"success": True, "message": "the weights are updated"})
