"""`/openapi.json` is a valid document, and says what the server does."""

import json
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from support.http_server import HttpServer, echo_engine
from support.tiny import FOLDER
from support.toy_engine import toy_engine

from radixloom_runtime.server import app
from radixloom_runtime.server.lifecycle import Lifecycle

DOCUMENT = app.build(
    cast("Any", SimpleNamespace(lifecycle=Lifecycle(), has_console=True))
).openapi()
OPERATIONS = [
    (method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods
]
CASES = [(*operation, "positive") for operation in OPERATIONS] + [
    (method, path, "negative")
    for method, path in OPERATIONS
    if "requestBody" in DOCUMENT["paths"][path][method.lower()]
]
OF_THE_ENGINE = {
    "/get_prefix_tree",
    "/flush_cache",
    "/pin_prefix",
    "/unpin_prefix",
    "/abort_request",
    "/pause_generation",
    "/continue_generation",
    "/start_profile",
    "/stop_profile",
    "/update_weights_from_disk",
    "/load_lora_adapter",
    "/unload_lora_adapter",
    "/v1/load_lora_adapter",
    "/v1/unload_lora_adapter",
    "/v1/embeddings",
    "/v1/score",
    "/v1/rerank",
}
"""What the echo engine knows nothing of."""
NUM_EXAMPLES = 40


def test_every_reference_leads_somewhere():
    text = json.dumps(DOCUMENT)
    schemas = DOCUMENT["components"]["schemas"]
    references = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert references
    assert references <= schemas.keys()
    assert "$defs" not in text


def test_every_operation_but_the_health_paths_tells_what_may_go_wrong():
    for path, methods in DOCUMENT["paths"].items():
        for operation in methods.values():
            found = set(operation["responses"])
            assert "422" not in found
            if operation["tags"] != ["health"]:
                assert {"200", "401", "500", "503"} <= found, path
            if "requestBody" in operation:
                assert {"400", "413"} <= found, path


def test_under_anthropics_paths_errors_have_anthropics_form():
    for code, described in DOCUMENT["paths"]["/v1/messages"]["post"]["responses"].items():
        if code != "200":
            properties = described["content"]["application/json"]["schema"]["properties"]
            assert properties["type"] == {"const": "error"}, code


def _calm_toy(address: str, given: Any) -> tuple[Sequence[str], Mapping[str, str]]:
    argv, environment = toy_engine(address, given)
    return argv, {**environment, "TOY_CALM": "1"}


@pytest.fixture(scope="module")
def echo() -> Iterator[HttpServer]:
    with HttpServer(echo_engine("--calm")) as running:
        yield running


@pytest.fixture(scope="module")
def toy() -> Iterator[HttpServer]:
    with HttpServer(_calm_toy) as running:
        yield running


def _as_served(case: Any) -> None:
    """Ask mostly for the model that is served: of another, nothing but a 404 is told."""
    if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
        case.body["model"] = FOLDER.name


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("method", "path", "mode"), CASES)
def test_no_body_is_too_strange_to_be_answered_as_documented(
    echo: HttpServer, toy: HttpServer, method: str, path: str, mode: str
):
    import schemathesis  # slow to import
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
    ]
    server = toy if path in OF_THE_ENGINE else echo
    operation = schemathesis.openapi.from_dict(DOCUMENT)[path][method]
    strategy = operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode))

    @given(case=strategy)
    @settings(
        max_examples=NUM_EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def holds(case: Any) -> None:
        _as_served(case)
        case.call_and_validate(base_url=server.url, checks=checks, timeout=20)
        if path == "/pause_generation":
            server.client.post("/continue_generation")

    holds()
