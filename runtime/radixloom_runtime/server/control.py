"""`/abort_request`, `/pause_generation`, `/start_profile` and their kin, as SGL-JAX calls them.

An aborted answer ends with what there is of it. While paused, requests wait as behind a full batch:
the queue's limit and their deadlines hold. A server that is told to stop goes on by itself.
"""

import itertools
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response

from radixloom_runtime.errors import RequestError
from radixloom_runtime.server import parsing, statuses
from radixloom_runtime.server.inbox import EngineLost
from radixloom_runtime.server.problems import EngineLostError, json_response
from radixloom_runtime.server.service import Service, service_of
from radixloom_runtime.wire.messages import (
    Pause,
    Question,
    Rejected,
    Resume,
    StartProfile,
    StopProfile,
)

router = APIRouter(tags=["SGL-JAX"])

_STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)

_count = itertools.count()


class AbortRequest(BaseModel):
    """Which answers to end."""

    model_config = _STRICT

    rid: str | None = None
    """`rid` of a `/generate`, or the `x-request-id` that any answer's headers have."""
    abort_all: bool | None = None
    """All there are, in the place of one."""

    @model_validator(mode="after")
    def _one_or_all(self) -> "AbortRequest":
        if bool(self.rid) == bool(self.abort_all):
            raise ValueError("give either rid or abort_all")
        return self


class PauseRequest(BaseModel):
    """What becomes of the requests that run and wait."""

    model_config = _STRICT

    mode: Literal["abort", "in_place"] | None = None
    """`abort`, the default, ends them with what there is; `in_place` keeps them, and their KV."""


class ProfileRequest(BaseModel):
    """How much to record, and for how long."""

    model_config = _STRICT

    num_steps: int | None = Field(None, ge=1)
    """The profile ends by itself after as many steps. Default: with `/stop_profile`."""
    host_tracer_level: int | None = Field(None, ge=0, le=3)
    """0 records nothing of the host, 3 most. Default: JAX's."""
    python_tracer_level: int | None = Field(None, ge=0, le=1)
    """1 records calls of Python functions. Default: JAX's."""


@router.post("/abort_request", openapi_extra=parsing.documented(AbortRequest))
async def abort_request(request: Request) -> Response:
    """End answers with what there is of them. How many there were is told."""
    service = service_of(request)
    service.lifecycle.admit()
    wanted = await parsing.plain_request(request, AbortRequest)
    in_flight = service.in_flight
    count = in_flight.cut_all_short() if wanted.abort_all else in_flight.cut_short(wanted.rid or "")
    return json_response({"num_aborted": count})


@router.post("/pause_generation", openapi_extra=parsing.documented(PauseRequest, required=False))
async def pause_generation(request: Request) -> Response:
    """Let no step begin. New requests wait."""
    service = service_of(request)
    service.lifecycle.admit()
    wanted = await parsing.optional_request(request, PauseRequest)
    await obeyed(service, Pause(request_id=new_id()))
    service.lifecycle.paused = True
    count = 0 if wanted.mode == "in_place" else service.in_flight.cut_all_short()
    return json_response({"status": "paused", "num_aborted": count})


@router.post("/continue_generation")
async def continue_generation(request: Request) -> Response:
    """Let steps begin again."""
    service = service_of(request)
    service.lifecycle.admit()
    await obeyed(service, Resume(request_id=new_id()))
    service.lifecycle.paused = False
    return json_response({"status": "running"})


@router.post("/start_profile", openapi_extra=parsing.documented(ProfileRequest, required=False))
async def start_profile(request: Request) -> Response:
    """Record what the engine does. The profile is written to the server's --profile-dir."""
    service = service_of(request)
    service.lifecycle.admit()
    wanted = await parsing.optional_request(request, ProfileRequest)
    start = StartProfile(
        request_id=new_id(),
        num_steps=wanted.num_steps,
        host_tracer_level=wanted.host_tracer_level,
        python_tracer_level=wanted.python_tracer_level,
    )
    await obeyed(service, start)
    return json_response({"status": "recording"})


@router.post("/stop_profile", responses=statuses.errors(400))
async def stop_profile(request: Request) -> Response:
    """Write the profile. No step begins until it is written."""
    service = service_of(request)
    service.lifecycle.admit()
    await obeyed(service, StopProfile(request_id=new_id()))
    return json_response({"status": "written"})


def new_id() -> str:
    """Name a question to the engine."""
    return f"control-{next(_count)}"


async def obeyed(service: Service, question: Question) -> None:
    """Wait until the engine has done what it is told. Raises: `RequestError` with its refusal."""
    match await service.engine.ask(question):
        case Rejected(message=message):
            raise RequestError(message, code="refused")
        case EngineLost(message):
            raise EngineLostError(f"the engine ended: {message}", code="engine_lost")
        case _:
            pass
