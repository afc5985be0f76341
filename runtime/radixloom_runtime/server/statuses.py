"""Which statuses an operation may answer with, for its description under `/openapi.json`.

every operation but the health paths     401 500 503
with a body                              400 413
that asks the model                      404 408 429
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

Responses = dict[int | str, dict[str, Any]]
"""As FastAPI takes them."""

_TEXT = {"type": "string"}
_TEXT_OR_NULL = {"type": ["string", "null"]}


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


OPENAI = _object(
    {
        "error": _object(
            {
                "message": _TEXT,
                "type": _TEXT,
                "param": _TEXT_OR_NULL,
                "code": _TEXT_OR_NULL,
            }
        )
    }
)
ANTHROPIC = _object(
    {"type": {"const": "error"}, "error": _object({"type": _TEXT, "message": _TEXT})}
)

EVERYWHERE = (401, 500, 503)
WITH_BODY = (400, 413)


def errors(*codes: int, form: Mapping[str, Any] = OPENAI) -> Responses:
    """Describe errors of these statuses."""
    return {
        code: {
            "description": HTTPStatus(code).phrase,
            "content": {"application/json": {"schema": form}},
        }
        for code in codes
    }


STREAMED: Responses = {200: {"content": {"text/event-stream": {}}}}
"""Beside the whole answer as JSON."""


def asked() -> Responses:
    """Describe what an operation that asks the model, and is never streamed, may say of errors."""
    return errors(404, 408, 429)


def answers(form: Mapping[str, Any] = OPENAI) -> Responses:
    """Describe what an operation that asks the model may say beside what all do."""
    return STREAMED | errors(404, 408, 429, form=form)
