"""The document under `/openapi.json`: FastAPI's, with what it cannot know mended.

Bodies are read by `parsing`, which FastAPI does not see: their schemas come with the routes, and
their parts are put where a document has them. No parameter of a path is ever a 422.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from typing_extensions import override

from radixloom_runtime.server import dialects, statuses


class Application(FastAPI):
    """A FastAPI application that describes itself as it is."""

    @override
    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = _mended(super().openapi())
        return self.openapi_schema


def _mended(document: dict[str, Any]) -> dict[str, Any]:
    schemas: dict[str, Any] = {}
    for path, operation in _operations(document):
        operation["responses"].pop("422", None)
        body = operation.get("requestBody")
        if body is not None:
            schemas |= _parts(body["content"]["application/json"]["schema"])
            form = statuses.ANTHROPIC if dialects.is_anthropic(path) else statuses.OPENAI
            for code, described in statuses.errors(*statuses.WITH_BODY, form=form).items():
                operation["responses"].setdefault(str(code), described)
    document["components"] = {"schemas": schemas}
    return document


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            yield path, operation


def _parts(schema: dict[str, Any]) -> dict[str, Any]:
    """Take the parts out of a body's schema."""
    parts: dict[str, Any] = schema.pop("$defs", {})
    return {f"{schema['title']}.{name}": part for name, part in parts.items()}
