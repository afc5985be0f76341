"""Whose form errors have: Anthropic's under its paths, OpenAI's everywhere else."""

from starlette.responses import Response

from radixloom_runtime.errors import RequestError
from radixloom_runtime.server import problems
from radixloom_runtime.server.anthropic import errors as anthropic

ANTHROPIC_REQUEST_ID_HEADER = "request-id"
"""Where Anthropic's clients look for it."""
_ANTHROPIC_PATH = "/v1/messages"


def is_anthropic(path: str) -> bool:
    """Whether a path is one of Anthropic's API."""
    return path == _ANTHROPIC_PATH or path.startswith(f"{_ANTHROPIC_PATH}/")


def error_response(error: RequestError, path: str) -> Response:
    """Return the HTTP answer of an error of a request to `path`."""
    content = anthropic.told(error) if is_anthropic(path) else problems.error_object(error)
    return problems.json_response(content, status=error.status, headers=problems.headers_of(error))
