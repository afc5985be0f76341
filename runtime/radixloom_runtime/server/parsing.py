"""From the bytes of a body to a checked request.

    bytes ──limit──► JSON object ──unsupported──► pydantic model

Whatever is wrong ends as one `RequestError` that names the parameter.
"""

from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request

from radixloom_runtime.errors import RequestError
from radixloom_runtime.server import unsupported
from radixloom_runtime.server.connection import read_body
from radixloom_runtime.server.schema_chat import ChatRequest
from radixloom_runtime.server.schema_completions import CompletionRequest
from radixloom_runtime.server.schema_native import GenerateRequest
from radixloom_runtime.server.service import service_of

RequestT = TypeVar("RequestT", bound=BaseModel)

_CODES = {
    "extra_forbidden": "unknown_parameter",
    "missing": "missing_required_parameter",
}


def documented(kind: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """Describe a body for `/docs`: FastAPI does not see what is read here.

    Parts are named after the body, since several have a `Message`; `openapi` puts them in place.
    """
    place = f"#/components/schemas/{kind.__name__}.{{model}}"
    schema = {"schema": kind.model_json_schema(ref_template=place)}
    return {"requestBody": {"required": required, "content": {"application/json": schema}}}


async def chat_request(request: Request) -> ChatRequest:
    """Read and check a chat completion's body. Raises: `RequestError`."""
    body = await json_object(request)
    body = _without_effect_free(body, unsupported.CHAT)
    messages = body.get("messages")
    if isinstance(messages, list):
        body["messages"] = [_message(index, item) for index, item in enumerate(messages)]
    return validated(ChatRequest, body)


async def completion_request(request: Request) -> CompletionRequest:
    """Read and check a text completion's body. Raises: `RequestError`."""
    body = await json_object(request)
    return validated(CompletionRequest, _without_effect_free(body, unsupported.COMPLETIONS))


async def generate_request(request: Request) -> GenerateRequest:
    """Read and check the body of `/generate`. Raises: `RequestError`."""
    body = unsupported.without_unsupported(await json_object(request), unsupported.NATIVE)
    if body.get("sampling_params") is None:
        body.pop("sampling_params", None)
    return validated(GenerateRequest, body)


async def plain_request(request: Request, kind: type[RequestT]) -> RequestT:
    """Read and check a body that OpenAI does not define. Raises: `RequestError`."""
    return validated(kind, await json_object(request))


async def optional_request(request: Request, kind: type[RequestT]) -> RequestT:
    """Read and check a body that may be left out. Raises: `RequestError`."""
    body = await read_body(request, service_of(request).max_body_bytes)
    return validated(kind, _decoded(body) if body else {})


async def json_object(request: Request) -> dict[str, Any]:
    """Read a body that is a JSON object. Raises: `RequestError`."""
    return _decoded(await read_body(request, service_of(request).max_body_bytes))


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except RecursionError as error:
        raise RequestError("the body is nested too deeply", code="invalid_json") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"the body is no JSON: {error}", code="invalid_json") from error
    if not isinstance(found, dict):
        raise RequestError("the body must be a JSON object", code="invalid_json")
    return found


def _without_effect_free(
    body: dict[str, Any], table: "unsupported.Mapping[str, tuple[Any, ...]]"
) -> dict[str, Any]:
    body = {name: value for name, value in body.items() if name not in unsupported.WITHOUT_EFFECT}
    body = unsupported.without_unsupported(body, table)
    options = body.get("stream_options")
    if isinstance(options, dict):
        body["stream_options"] = unsupported.without_unsupported(
            options, unsupported.STREAM_OPTIONS, at="stream_options."
        )
    return body


def _message(index: int, message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    return unsupported.without_unsupported(message, unsupported.MESSAGE, at=f"messages[{index}].")


def validated(kind: type[RequestT], body: dict[str, Any]) -> RequestT:
    """Check a body against its schema. Raises: `RequestError` naming the parameter."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise _request_error(error.errors(include_url=False)[0]) from error


def _request_error(details: ErrorDetails) -> RequestError:
    param = _path(details["loc"])
    kind = details["type"]
    if kind == "extra_forbidden":
        message = f"unknown parameter: {param}"
    elif kind == "missing":
        message = f"missing required parameter: {param}"
    else:
        message = _sentence(param, details)
    return RequestError(message, param=param or None, code=_CODES.get(kind, "invalid_value"))


def _sentence(param: str, details: ErrorDetails) -> str:
    text = details["msg"].removeprefix("Value error, ")
    if not param:
        return text
    if details["type"] == "value_error":
        return f"{param}: {text}"
    found = repr(details["input"])
    return f"{param}: {text}, found {found if len(found) <= 80 else found[:80] + '…'}"


def _path(location: tuple[int | str, ...]) -> str:
    """Write `("messages", 0, "role")` as `messages[0].role`; union branches are left out."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part.isidentifier() and part not in {"str", "list"}:
            path += f".{part}" if path else part
    return path
